"""Folders as they are: with links in circles, broken configurations, things that overlap; in an order that holds."""

from __future__ import annotations

import os
import shutil

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
    assert f"{link} can not be read" in ended.err


@pytest.mark.parametrize("how", [[], ["--copy"]])
def test_a_subfolder_with_a_broken_configuration_is_told_and_the_rest_comes_in(assetctl, folder, how):
    write_lora(folder / "aa" / "c.safetensors", seed=3)
    (folder / "aa" / "config.json").write_text("no JSON")
    ended = assetctl("import", folder, *how)
    assert (ended.code, names(assetctl)) == (0, ["a", "b"])
    assert str(folder / "aa") in ended.err


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
    assert assetctl("inspect", "a", "--json").data["problem"].endswith("it is no regular file.")
    assert "it is no regular file" in assetctl("identify", folder / "a.safetensors").err


def test_a_result_lists_its_assets_and_outlives_the_registry(home, folder):
    with Registry.open(home) as registry:
        first = registry.import_files(folder)
        again = registry.import_files(folder, listed=False)
    assert [asset.name for asset in first.assets] == ["a", "b"]
    assert (again.assets, again.found, again.unchanged) == ([], 2, 2)
