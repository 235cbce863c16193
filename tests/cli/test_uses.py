"""Names in prompts and pictures become the right files."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from compat.sparse import tiny_checkpoint, write_sparse
from material import write_embedding, write_lora
from tables import table
from written_pictures import infotext, write_png

from assetctl.request import Use


@pytest.fixture
def library(assetctl, tmp_path):
    """Fill a library with LoRAs at these paths, and tell what the catalog calls each."""

    def fill(*paths: str) -> dict[str, str]:
        root = tmp_path / "library"
        for seed, path in enumerate(paths):
            write_lora(root / f"{path}.safetensors", seed=seed)
        assetctl("import", root)
        names = {each["path"]: each["name"] for each in assetctl("list", "--json").data}
        return {path: names[str(root / f"{path}.safetensors")] for path in paths}

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
    ended = assetctl("prompt", "<lora:sample:1>", "--json")
    assert ended.data["unknown_loras"] == []
    assert "could be any of 2 assets" in json.loads(ended.out)["warnings"][0]["message"]


def test_a_lora_goes_by_what_its_metadata_call_it(assetctl, pictured, tmp_path):
    write_lora(tmp_path / "library" / "cat_v2.safetensors", alias="Fancy alias")
    write_lora(tmp_path / "library" / "other.safetensors", alias="cat_v2", seed=1)
    assetctl("import", tmp_path / "library")
    for prompt, asset in (("<lora:Fancy alias:0.7>", "cat_v2"), ("<lora:fancy ALIAS:0.7>", "cat_v2"),
                          ("<lora:cat_v2:0.7>", "cat_v2")):  # fmt: skip
        (found,) = pictured(prompt)
        assert (found["status"], found["asset"], found["weight"]) == ("here", asset, 0.7)
        assert not [
            each
            for each in assetctl("check", "--prompt", prompt, "--json").data["findings"]
            if each["severity"] == "error"
        ]
    assert assetctl("identify", tmp_path / "library" / "cat_v2.safetensors", "--json").data[0]["alias"] == "Fancy alias"


def test_an_alias_of_two_is_none_of_them(assetctl, pictured, tmp_path):
    for seed in (0, 1):
        write_lora(tmp_path / "library" / f"cat_{seed}.safetensors", alias="fancy", seed=seed)
    assetctl("import", tmp_path / "library")
    assert assetctl("check", "--prompt", "<lora:fancy:1>", "--json").error["code"] == "ambiguous"
    (found,) = pictured("<lora:fancy:1>")
    assert (found["status"], sorted(found["candidates"])) == ("ambiguous", ["cat_0", "cat_1"])
    digest = assetctl("inspect", "cat_1", "--json").data["autov3"]
    (found,) = pictured("<lora:fancy:1>", Lora_hashes=f'"fancy: {digest}"')
    assert (found["status"], found["asset"], found["weight"]) == ("here", "cat_1", 1.0)


def test_a_checkpoint_goes_by_its_title(assetctl, tmp_path):
    write_sparse(tmp_path / "sd15" / "dream.safetensors", tiny_checkpoint())
    assetctl("import", tmp_path / "sd15")
    digits = assetctl("inspect", "dream", "--json").data["autov2"]
    for title in (f"dream.safetensors [{digits}]", f"sd15/dream.safetensors [{digits}]", f"sd15\\dream [{digits[:8]}]"):
        assert assetctl("check", "--checkpoint", title, "--for", "any", "--json").code == 0
    assert assetctl("check", "--checkpoint", "dream.safetensors [0123456789]", "--json").code == 3
    picture = write_png(tmp_path / "cat.png", parameters=infotext(Model=f"sd15/dream.safetensors [{digits}]"))
    (found,) = assetctl("inspect", picture, "--json").data["assets"]
    assert (found["name"], found["asset"], found["matched_by"]) == ("sd15/dream", "dream", "autov2")


def test_swarmui_names_a_file_by_all_digits_of_the_hash_past_its_header(assetctl, tmp_path):
    path = write_lora(tmp_path / "library" / "renamed.safetensors")
    assetctl("import", path)
    content = path.read_bytes()
    digest = hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest()
    said = {
        "sui_image_params": {"prompt": "a", "loras": ["char/old"], "loraweights": ["0.7"], "model": "dream"},
        "sui_models": [{"name": "char/old.safetensors", "param": "loras", "hash": f"0x{digest}"}],
    }
    assetctl("inspect", "renamed", "--hash")
    picture = write_png(tmp_path / "cat.png", parameters=json.dumps(said))
    (found,) = [each for each in assetctl("inspect", picture, "--json").data["assets"] if each["role"] == "lora"]
    assert (found["name"], found["asset"], found["matched_by"]) == ("char/old", "renamed", "autov3")
    assert (found["weight"], found["status"]) == (0.7, "here")


def test_a_lora_is_meant_before_anything_else_of_its_name(assetctl, tmp_path):
    write_embedding(tmp_path / "library" / "fancy.safetensors")
    write_lora(tmp_path / "library" / "cat.safetensors", alias="fancy")
    assetctl("import", tmp_path / "library")
    told = assetctl("check", "--prompt", "<lora:fancy:1>", "--json").data["findings"]
    assert [each["assets"] for each in told if each["rule"] == "trigger_words"] == [["cat"]]
    assetctl("rm", "cat")
    told = assetctl("check", "--prompt", "<lora:fancy:1>", "--json").data["findings"]
    assert [each["assets"][:1] for each in told if each["rule"] == "kind"] == [["fancy"]]


@pytest.mark.parametrize("command", [("check", "--prompt"), ("generate", "--dry-run"), ("prompt",)])
def test_a_name_of_two_files_is_told_in_the_same_words_by_all_who_read_a_prompt(assetctl, library, command):
    library("char/sample", "pose/sample")
    said = assetctl(*command, "a cat <lora:sample:1>")
    assert said.code == (0 if command == ("prompt",) else 3)
    assert "'sample' could be any of 2 assets" in said.err
    assert "char/sample, pose/sample" in said.err


def test_the_name_that_a_list_shows_is_one_assets_wherever_a_command_takes_it(assetctl, library):
    names = library("sample", "char/sample", "pose/sample")
    for name in names.values():
        assert assetctl("check", name, "--quiet").code == assetctl("inspect", name).code == 0
    own = names["pose/sample"]
    assert own != "sample"
    assert assetctl("check", "--prompt", f"<lora:{own}:1>", "--json").data["findings"][0]["assets"] == [own]


def asking(assetctl):
    """All that names an asset which is not there, and what each says of that."""
    commands = (
        ("inspect", "sample"), ("check", "sample"), ("check", "sample:0.7"), ("check", "--lora", "char/Sample:0.7"),
        ("check", "--prompt", "a <lora:sample:1>"), ("prompt", "a <lora:sample.safetensors:1>"),
        ("edit", "sample", "--tag", "x"),
        ("generate", "a cat", "--lora", "sample", "--dry-run"), ("generate", "a <lora:char/sample:1>", "--dry-run"),
    )  # fmt: skip
    return [assetctl(*command) for command in commands]


def test_what_is_in_the_trash_is_said_to_be_there_and_how_it_comes_back(assetctl, library):
    library("char/sample", "pose/other")
    assetctl("demo", "--pull")
    assetctl("import", "--copy", assetctl("inspect", "sample", "--json").data["path"])
    assetctl("rm", "sample", "--yes")
    for said in asking(assetctl):
        assert "`assetctl trash restore sample` brings it back" in said.out + said.err
    assetctl("trash", "restore", "sample")
    assert assetctl("inspect", "sample").code == 0


def test_of_two_in_the_trash_one_is_named_by_its_number(assetctl, tmp_path):
    for seed in (1, 2):
        path = write_lora(tmp_path / str(seed) / "sample.safetensors", seed=seed)
        assetctl("import", "--copy", path)
        assetctl("rm", "sample", "--yes")
    (number,) = re.findall(r"trash restore (\S+)`", assetctl("inspect", "sample").err)
    assert number != "sample"
    assert assetctl("trash", "restore", number).code == 0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("ink", ("ink", None, None)),
        ("ink:0.8", ("ink", 0.8, None)),
        ("ink:0.5:0.8", ("ink", 0.8, 0.5)),
        ("a:b:0.8", ("a:b", 0.8, None)),
        ("0.5:0.8", ("0.5", 0.8, None)),
        ("C:\\loras\\ink.safetensors:1", ("C:\\loras\\ink.safetensors", 1.0, None)),
    ],
)
def test_a_lora_may_have_a_weight_for_text_encoders(text, parts):
    use = Use.parse("lora", text)
    assert (use.reference, use.weight, use.text_weight) == parts
    assert Use.parse("lora", str(use)) == use
