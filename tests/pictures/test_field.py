"""Pictures of many programs, as people have found them: each case is read from a file with the texts in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from written_pictures import write_png

from assetctl.pictures import read_parameters

CORPUS = Path(__file__).parents[3] / "shared" / "corpus" / "field" / "pictures.json"


def field() -> list[Any]:
    if not CORPUS.is_file():
        return [pytest.param({}, marks=pytest.mark.skip("the corpus is not beside the checkout"))]
    return [pytest.param(each, id=each["program"]) for each in json.loads(CORPUS.read_text("utf-8"))]


@pytest.mark.parametrize("case", field())
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
