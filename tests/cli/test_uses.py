"""Names in prompts and pictures become the right files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from material import write_lora
from tables import table
from written_pictures import infotext, write_png


@pytest.fixture
def library(assetctl, tmp_path):
    """Fill a library with LoRAs at these paths, and tell what the catalog calls each."""

    def fill(*paths: str) -> dict[str, str]:
        root = tmp_path / "library"
        for seed, path in enumerate(paths):
            write_lora(root / f"{path}.safetensors", seed=seed)
        assetctl("import", root)
        listed = assetctl("list", "--json").data
        return {
            Path(each["path"]).relative_to(root).as_posix()[: -len(".safetensors")]: each["name"] for each in listed
        }

    return fill


@pytest.fixture
def pictured(assetctl, tmp_path):
    """What `inspect` says of the LoRAs of a picture with this prompt."""

    def call(prompt: str, **fields: object) -> list[dict[str, Any]]:
        picture = write_png(tmp_path / "cat.png", parameters=infotext(prompt, **fields))
        assets = assetctl("inspect", picture, "--json").data["assets"]
        return [each for each in assets if each["role"] == "lora"]

    return call


@pytest.mark.parametrize("case", table("names/uses"))
def test_a_prompt_and_a_picture_mean_the_same_file(assetctl, library, pictured, case: dict[str, Any]):
    names = library(*case["library"])
    prompt = f"a cat <lora:{case['name']}:0.7>"
    checked = assetctl("check", "--prompt", prompt, "--json")
    (found,) = pictured(prompt)
    assert found["weight"] == 0.7
    if "means" in case:
        (told,) = [each for each in checked.data["findings"] if each["rule"] == "trigger_words"]
        assert told["assets"] == [names[case["means"]]]
        assert (found["status"], found["asset"]) == ("here", names[case["means"]])
    elif "ambiguous" in case:
        assert (checked.code, checked.error["code"]) == (3, "ambiguous")
        assert found["status"] == "ambiguous"
        assert len(found["candidates"]) == case["ambiguous"]
        assert all(name in checked.error["message"] for name in found["candidates"])
    else:
        assert [each["rule"] for each in checked.data["findings"] if each["severity"] == "error"] == ["unknown_lora"]
        elsewhere = case.get("elsewhere")
        assert found["asset"] == (elsewhere and names[elsewhere])
        assert "another folder" in (found["note"] or "") if elsewhere else found["status"] == "missing"


def test_no_lora_is_lost_because_another_has_its_name(library, pictured):
    names = library("Sample", "char/sample", "pose/sample")
    found = pictured("a cat <lora:char/sample:0.7> <lora:pose\\sample.safetensors:1> <lora:Sample:0.3>")
    assert [(each["name"], each["asset"], each["weight"]) for each in found] == [
        ("char/sample", names["char/sample"], 0.7), ("pose/sample", names["pose/sample"], 1.0),
        ("Sample", names["Sample"], 0.3),
    ]  # fmt: skip


def test_one_file_is_not_taken_for_two_of_other_folders(library, pictured):
    library("sample")
    found = pictured("a cat <lora:char/sample:0.7> <lora:pose/sample:1>")
    assert [each["status"] for each in found] == ["missing", "missing"]


def test_a_lora_that_is_named_twice_is_used_twice(library, pictured):
    library("sample")
    found = pictured("a cat <lora:sample:0.7> <lora:sample:0.2>", Lora_hashes='"sample: 0123456789ab"')
    assert [(each["name"], each["weight"]) for each in found] == [("sample", 0.7), ("sample", 0.2)]


def test_two_hashes_of_one_name_are_two_loras(assetctl, library, pictured):
    names = library("char/sample", "pose/sample")
    digests = [assetctl("inspect", name, "--json").data["autov3"] for name in names.values()]
    hashes = ", ".join(f"sample: {digest}" for digest in digests)
    found = pictured("a cat <lora:sample:0.7>", Lora_hashes=f'"{hashes}"')
    assert [each["asset"] for each in found] == list(names.values())


def test_an_ambiguous_name_says_with_which_folders_each_would_be_meant(assetctl, library):
    library("char/sample", "pose/sample")
    ended = assetctl("check", "--prompt", "<lora:sample:1>")
    assert ended.code == 3
    assert "char/sample, pose/sample" in ended.err
    assert assetctl("check", "--lora", "pose/sample").code == 0
    assert assetctl("prompt", "<lora:sample:1>", "--json").data["unknown_loras"] == []
