"""What other programs left beside files, each beside a file of its own, is learned by one run."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from material import write_lora
from tables import cases, field, table

from assetctl.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.operations.acquire.enrich import Enriched

_TABLE = "answers/sidecars"
_OTHERS = [each.values[0] for each in field("sidecars") if each.values[0]["file"].endswith(".json")]


def _others() -> list[dict[str, Any]]:
    """The cases of others, written as ours are."""
    return [
        {"beside": {each["file"].removeprefix("NAME"): each["text"]}, "id": each["program"], "expect": each["expect"]}
        for each in _OTHERS
    ]


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Enriched, dict[str, Any]]]]:
    folder = tmp_path_factory.mktemp("files")
    names = {}
    for number, case in enumerate((*cases(_TABLE), *_others())):
        path = write_lora(folder / f"ink{number}.safetensors", "sdxl", words="", seed=number)
        names[path.stem] = case["id"]
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        for suffix, said in case["beside"].items():
            written = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
            for mark, value in (("sha256", digest), ("SHA256", digest.upper()), ("autov2", digest[:10])):
                written = written.replace(f"<{mark}>", value)
            path.with_name(path.stem + suffix).write_text(written, case.get("encoding", "utf-8"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASSETCTL_OFFLINE", "1")
        with Registry.open(tmp_path_factory.mktemp("home")) as registry:
            registry.import_files(folder)
            results = registry.enrich()
            found = {}
            for each in results:
                origin = registry.inspect(each.asset.name).origin
                page = origin.facts.page if origin and origin.facts else None
                found[names[each.asset.name]] = (each, {"page": page})
            yield found


def _seen(result: Enriched, more: dict[str, Any]) -> dict[str, Any]:
    asset = result.asset
    number, _, version = (more["page"] or "").partition("/models/")[2].partition("?modelVersionId=")
    return {
        "base_model": asset.base_model,
        "trigger_words": list(asset.trigger_words),
        "notes": asset.notes,
        "default_weight": asset.default_weight,
        "tags": list(asset.tags),
        "sources": list(result.sources),
        "page": f"{number}@{version}" if version else None,
        "origin": f"civitai:{number}@{version}",
    }


@pytest.mark.parametrize("case", table(_TABLE))
def test_a_sidecar_says_what_a_person_would_read_in_it(learned, case: dict[str, Any]):
    seen = _seen(*learned[case["id"]])
    assert {key: seen[key] for key in case["expect"]} == case["expect"]


@pytest.mark.parametrize("case", _others(), ids=[each["program"] for each in _OTHERS])
def test_sidecars_that_others_collected_say_what_they_should(learned, case: dict[str, Any]):
    seen = _seen(*learned[case["id"]])
    assert {key: seen[key] for key in case["expect"]} == case["expect"]
