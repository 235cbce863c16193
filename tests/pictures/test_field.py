"""Pictures of many programs, as people have found them: each case is read from a file with the texts in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from written_pictures import write_png

from assetctl.pictures import parse_infotext, read_parameters
from assetctl.prompt import parse_weights

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def corpus(name: str) -> list[Any]:
    """The cases of a table of others; one that is skipped where it is not here."""
    if not (CORPUS / name).is_file():
        return [pytest.param({}, marks=pytest.mark.skip("the corpus is not beside the checkout"))]
    return json.loads((CORPUS / name).read_text("utf-8"))


@pytest.mark.parametrize("case", corpus("field/pictures.json"))
def test_pictures_of_the_field_are_read(tmp_path: Path, case: dict[str, Any]):
    texts = {case["chunk"].partition(",")[0]: case["text"]}
    if "Software: " in case["chunk"]:
        texts["Software"] = case["chunk"].partition("Software: ")[2]
    found = read_parameters(write_png(tmp_path / "cat.png", **texts))
    assert found is not None
    said = dict(found.settings) | {"software": found.software, "prompt": found.prompt}
    said |= {"negative_prompt": found.negative_prompt}
    said["size"] = f"{found.settings.get('width')}x{found.settings.get('height')}"
    said["checkpoint"] = next((each.name for each in found.assets if each.role == "checkpoint"), None)
    said["loras"] = {each.name: each.weight for each in found.assets if each.role == "lora"}
    expected = {key: value for key, value in case["expect"].items() if key != "note"}
    assert {key: said[key] for key in expected} == expected
    assert len(said["loras"]) == sum(each.role == "lora" for each in found.assets)


@pytest.mark.parametrize("case", corpus("infotexts.json"))
def test_infotexts_of_others_tests_are_read(case: dict[str, Any]):
    found, expected = parse_infotext(case["text"]), case["expected"]
    assert {name: found.fields.get(name) for name in expected.get("fields", {})} == expected.get("fields", {})
    said = dict(found.settings) | {"prompt": found.prompt, "negative": found.negative_prompt}
    assert all(said[name] == value for name, value in expected.items() if name in said)
    for role in ("lora", "embedding"):
        wanted = [each for each in expected.get("resources", expected.get("embeddings", [])) if
                  each.get("type", "embedding") == role]  # fmt: skip
        used = [each for each in found.assets if each.role == role]
        assert [(each.name, each.hash) for each in used] == [(each["name"], each["hash"]) for each in wanted]


def test_prompts_of_others_tests_are_weighed_as_a1111_does():
    cases = corpus("prompts.json")
    if not isinstance(cases[0], dict):
        pytest.skip("the corpus is not beside the checkout")
    for case in cases:
        found = [[text, weight] for text, weight in parse_weights(case["input"])]
        assert found == case["a1111"], case["input"]
