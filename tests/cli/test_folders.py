"""Folders as they are: with links in circles, broken configurations, things that overlap; in an order that holds."""

from __future__ import annotations

import os
import shutil
import sys

import pytest
from material import write_lora

from assetctl import Registry


@pytest.fixture
def folder(tmp_path):
    """Two LoRAs, `a` and `b`."""
    for number, name in enumerate("ab"):
        write_lora(tmp_path / "loras" / f"{name}.safetensors", seed=number)
    return tmp_path / "loras"


def names(assetctl) -> list[str]:
    return [asset["name"] for asset in assetctl("list", "--json").data]


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_link_to_itself_is_told_and_the_rest_comes_in(assetctl, folder, how):
    link = folder / "around.safetensors"
    link.symlink_to(link)
    ended = assetctl("import", folder, *how)
    assert (ended.code, names(assetctl)) == (0, ["a", "b"])
    assert f"{link} cannot be read" in ended.err


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_subfolder_with_a_broken_configuration_is_told_and_the_rest_comes_in(assetctl, folder, how):
    write_lora(folder / "aa" / "c.safetensors", seed=3)
    (folder / "aa" / "config.json").write_text("no JSON")
    ended = assetctl("import", folder, *how)
    assert (ended.code, names(assetctl)) == (0, ["a", "b"])
    assert str(folder / "aa") in ended.err


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_broken_configuration_in_a_named_folder_is_told_and_keeps_no_other_path_out(assetctl, folder, how):
    (folder / "config.json").write_text("[" * 100_000)
    other = write_lora(folder.parent / "other.safetensors", seed=3)
    ended = assetctl("import", folder, other, *how)
    assert (ended.code, sorted(names(assetctl))) == (0, ["a", "b", "other"])
    assert f"{folder / 'config.json'} is not a JSON object" in ended.err
    assert [each["path"] for each in assetctl("identify", folder, "--json").data if each["error"]] == [str(folder)]


@pytest.fixture
def deep(folder):
    """A folder that nests deeper than Python may call itself."""
    place = folder / "aa"
    for _ in range(500):
        place.mkdir()
        place /= "d"
    return folder / "aa"


@pytest.mark.skipif(sys.platform == "win32", reason="there are no folders so deep")
def test_folders_however_deep_keep_nothing_out(assetctl, folder, deep):
    write_lora(deep.joinpath(*["d"] * 499) / "c.safetensors", seed=3)
    ended = assetctl("import", folder)
    assert (ended.code, names(assetctl)) == (0, ["a", "b", "c"])
    assert [each["error"] for each in assetctl("identify", folder, "--json").data] == [None] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="there are no folders so deep")
@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_model_with_folders_however_deep_is_told(assetctl, folder, deep, how):
    (deep / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    ended = assetctl("import", folder, *how)
    assert (ended.code, names(assetctl)) == (0, ["a", "b"])
    assert f"{deep} has folders nested too deeply for a model" in ended.err


def test_a_broken_configuration_hides_no_file_from_identify(assetctl, folder):
    (folder / "aa").mkdir()
    (folder / "aa" / "config.json").write_text("no JSON")
    found = {each["path"]: each["error"] for each in assetctl("identify", folder, "--json").data}
    assert {path: error is None for path, error in found.items()} == {
        str(folder / "a.safetensors"): True,
        str(folder / "aa"): False,
        str(folder / "b.safetensors"): True,
    }


def test_what_overlaps_in_one_run_is_told_before_anything_is_registered(assetctl, folder):
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    ended = assetctl("import", folder, folder / "a.safetensors", "--json")
    assert (ended.code, ended.error["code"], names(assetctl)) == (2, "usage", [])
    assert "imported too" in ended.error["message"]


def test_the_same_path_may_be_named_twice(assetctl, folder):
    assert assetctl("import", folder, folder / "a.safetensors", folder).code == 0
    assert names(assetctl) == ["a", "b"]


def test_copies_are_taken_in_the_order_in_which_they_are_named(assetctl, folder, tmp_path):
    twin = tmp_path / "download(3).safetensors"
    shutil.copy(folder / "a.safetensors", twin)
    assert assetctl("import", "--copy", folder, twin).code == 0
    assert names(assetctl) == ["a", "b"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_an_assets_place_makes_nobody_wait(assetctl, folder):
    assetctl("import", folder)
    (folder / "a.safetensors").unlink()
    os.mkfifo(folder / "a.safetensors")
    assert assetctl("import", folder, "--json").code == 0
    assert assetctl("verify", "a").code == 5
    assert assetctl("inspect", "a", "--json").data["problem"].endswith("it is not a regular file.")
    assert "it is not a regular file" in assetctl("identify", folder / "a.safetensors").err


def test_a_result_lists_its_assets_and_outlives_the_registry(home, folder):
    with Registry.open(home) as registry:
        first = registry.import_files(folder)
        again = registry.import_files(folder, listed=False)
    assert [asset.name for asset in first.assets] == ["a", "b"]
    assert (again.assets, again.found, again.unchanged) == ([], 2, 2)


def test_inspect_tells_of_a_file_that_is_gone_or_cut_short(assetctl, folder):
    assetctl("import", folder)
    assert assetctl("inspect", "a", "--json").data["problem"] is None
    (folder / "a.safetensors").unlink()
    os.truncate(folder / "b.safetensors", 1000)
    for name, what in (("a", "the file is gone"), ("b", "it has 1000 bytes")):
        assert what in assetctl("inspect", name, "--no-hash", "--json").data["problem"]
        assert str(folder / f"{name}.safetensors") in assetctl("inspect", name).err


def test_twins_that_were_hashed_late_are_found_and_become_one(assetctl, folder):
    shutil.copy(folder / "a.safetensors", folder / "twin.safetensors")
    assetctl("import", folder, "--no-hash")
    assetctl("verify")
    (pair,) = assetctl("dedupe", "--json").data
    assert (pair["asset"], pair["copy"]) == ("a", str(folder / "twin.safetensors"))
    assert "one asset, two places" in assetctl("import", folder).err
    assert names(assetctl) == ["a", "b"]
    assert len(assetctl("dedupe", "--json").data) == 1


def test_copies_of_twins_are_listed_once(assetctl, folder):
    shutil.copy(folder / "a.safetensors", folder / "twin.safetensors")
    assert assetctl("import", folder, "--copy", "--quiet").out == "a\nb\n"


def test_an_import_says_what_it_found_and_nothing_against_it(assetctl, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for how in ([], ["--copy"]):
        assert "No assets were found." in assetctl("import", tmp_path / "empty", *how).err
    assetctl("import", folder, "--copy")
    again = assetctl("import", folder).err
    assert "one asset, two places" in again
    assert "No assets were found." not in again


@pytest.mark.parametrize("arguments", [["import", ""], ["identify", ""], ["list", "--home", ""]])
def test_an_empty_path_is_not_the_current_folder(assetctl, folder, monkeypatch, arguments):
    monkeypatch.chdir(folder)
    ended = assetctl(*arguments, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert sorted(path.name for path in folder.iterdir()) == ["a.safetensors", "b.safetensors"]


def test_a_copy_is_not_moved(assetctl, folder):
    assert assetctl("import", folder, "--copy", "--move").code == 2
    assert (folder / "a.safetensors").exists()


def test_what_can_not_be_identified_again_is_told(assetctl, folder):
    assetctl("import", folder)
    (folder / "a.safetensors").unlink()
    for command, code in ((["identify", "--again", "a"], 5), (["identify", "--again"], 0)):
        ended = assetctl(*command)
        assert ended.code == code
        assert f"{folder / 'a.safetensors'} cannot be read" in ended.err
    assert names(assetctl) == ["a", "b"]


def test_what_has_no_family_can_be_listed(assetctl, folder):
    assetctl("import", folder)
    assetctl("edit", "a", "--family", "")
    assert [asset["name"] for asset in assetctl("list", "--family", "", "--json").data] == ["a"]
