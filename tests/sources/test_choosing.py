from __future__ import annotations

from typing import Any

import pytest
from tables import table

from assetctl.errors import AssetctlError, RefusedFileError
from assetctl.sources._choose import choose_single_file, diffusers_files, read_index
from assetctl.sources.huggingface import file_name

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
}
TEXTS = [
    "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
    "unet/config.json",
]  # fmt: skip
REPO = "org/repo"


@pytest.mark.parametrize("case", table("references/folder_files"))
def test_of_each_component_what_diffusers_loads_is_taken_and_no_more(case: dict[str, Any]):
    files = [*TEXTS, *case["files"]]
    if "refused" in case:
        with pytest.raises(RefusedFileError, match=case["refused"]):
            diffusers_files(files, INDEX, REPO)
        return
    chosen = diffusers_files(files, INDEX, REPO)
    assert set(chosen) == {*TEXTS, *case["chosen"]}


def test_a_missing_component_is_refused():
    with pytest.raises(RefusedFileError, match="no folder unet"):
        diffusers_files([path for path in TEXTS if "unet" not in path], INDEX, "org/repo")


@pytest.mark.parametrize("index", [[], None, "x"])
def test_an_index_that_is_no_object_is_refused(index: object):
    with pytest.raises(RefusedFileError, match="not a JSON object"):
        diffusers_files(TEXTS, index, "org/repo")


@pytest.mark.parametrize("case", table("references/single_files"))
def test_the_one_model_file_is_taken_a_pickle_only_where_there_is_nothing_better(case: dict[str, Any]):
    place = "hf://org/repo@v2/"
    if "refused" not in case:
        assert choose_single_file(case["files"], REPO, place, case.get("variant")) == case["chosen"]
        return
    with pytest.raises(AssetctlError) as caught:
        choose_single_file(case["files"], REPO, place, case.get("variant"))
    assert caught.value.code == case["refused"]
    assert case.get("says", "") in f"{caught.value.message} {caught.value.hint}"
    if "candidates" in case:
        references = tuple(place + path for path in case["candidates"])
        assert caught.value.candidates == references
        assert f"assetctl pull {references[0]}" in caught.value.hint


@pytest.mark.parametrize("case", table("references/file_names"))
def test_an_asset_is_called_after_its_file_unless_all_files_are_called_so(case: dict[str, Any]):
    assert file_name(case["path"], "repo") == case["name"]


@pytest.mark.parametrize("raw", [b"[" * 500_000, b'{"a":' * 100_000, b"\xff", b"", b"NaN,", b'{"a": 1' + b" " * 99])
def test_an_index_of_nonsense_is_refused(raw: bytes):
    with pytest.raises(RefusedFileError, match="not JSON"):
        read_index(raw, "org/repo")


def test_an_index_of_more_than_any_pipeline_has_is_refused():
    part = ["diffusers", "UNet2DConditionModel"]
    with pytest.raises(RefusedFileError, match="500 components"):
        diffusers_files(["model_index.json"], {f"part{number}": part for number in range(500)}, "org/repo")
    files = [f"unet/{number}.json" for number in range(100_000)]
    with pytest.raises(RefusedFileError, match="100001 files"):
        diffusers_files(files, {"unet": part}, "org/repo")
