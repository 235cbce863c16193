"""Files go into the store when a person says so: also those that are registered, and past those that are refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from disks import unwritable
from material import write_lora, write_safetensors


@pytest.fixture
def lora(tmp_path):
    return write_lora(tmp_path / "files" / "whiskers.safetensors")


@pytest.fixture
def mixed(tmp_path):
    """A folder with two assets, and between them a file that is none."""
    folder = tmp_path / "mixed"
    write_lora(folder / "a.safetensors", seed=1)
    (folder / "b.safetensors").write_bytes(b"<html>not a model</html>")
    write_lora(folder / "c.safetensors", seed=2)
    return folder


@pytest.mark.parametrize("hash_it", [[], ["--no-hash"]])
@pytest.mark.parametrize("how", [("import", "--copy"), ("import", "--move"), ("pull",)])
def test_a_file_that_is_registered_in_place_becomes_the_stores(assetctl, home, lora, how, hash_it):
    assetctl("import", lora, "--tag", "cats", *hash_it)
    assetctl("edit", "whiskers", "--notes", "mine")
    ended = assetctl(*how, lora)
    assert (ended.code, "already here" in ended.err) == (0, False)
    (asset,) = assetctl("list", "--in-store", "--json").data
    place = home / "models" / "loras" / "whiskers.safetensors"
    assert (asset["path"], asset["tags"]) == (str(place), ["cats"])
    assert len(assetctl("list", "--json").data) == 1
    there = [lora] if how != ("import", "--move") else []
    assert [file["path"] for file in assetctl("inspect", "whiskers", "--json").data["files"]] == [
        str(place),
        *map(str, there),
    ]
    assert lora.exists() == bool(there)
    assert assetctl("verify").code == 0
    assert "already here" in assetctl(*how, place).err


def test_a_file_in_the_store_that_was_registered_in_place_is_not_copied(assetctl, home):
    mine = write_lora(home / "models" / "loras" / "mine.safetensors")
    assetctl("import", mine)
    assert assetctl("import", "--copy", mine).code == 0
    assert assetctl("list", "--in-store", "--json").data == []  # nobody gave it away
    assert assetctl("import", "--move", mine).code == 0
    assert [asset["path"] for asset in assetctl("list", "--in-store", "--json").data] == [str(mine)]
    assert list(mine.parent.iterdir()) == [mine]


def test_a_copy_that_is_moved_into_the_store_is_forgotten_where_it_lay(assetctl, lora):
    twin = lora.with_name("twin.safetensors")
    twin.write_bytes(lora.read_bytes())
    assetctl("pull", lora)
    assetctl("import", twin)
    assert assetctl("import", "--move", twin).code == 0
    assert (twin.exists(), assetctl("verify").code) == (False, 0)


def test_what_was_moved_is_forgotten_where_it_lay_also_if_the_rest_can_not_be(assetctl, tmp_path):
    folder = tmp_path / "pipeline"
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    unet = write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (4, 4, 3, 3)})
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": 768, "in_channels": 4}))
    (folder / "model_index.json").write_text(json.dumps(index | {"vae": ["diffusers", "AutoencoderKL"]}))
    source = tmp_path / "vae" if os.geteuid() == 0 else folder / "vae"
    write_safetensors(source / "diffusion_pytorch_model.safetensors", {"a": (4, 4)})
    (source / "config.json").write_text("{}")
    with unwritable(source, folder / "vae"):
        assetctl("import", folder)
        ended = assetctl("import", "--move", folder)
        assert (ended.code, "cannot be deleted" in ended.err) == (1, True)
        files = assetctl("inspect", "pipeline", "--json").data["files"]
        copies = [Path(file["path"]) for file in files if file["role"] == "copy"]
        assert sorted(copies) == sorted(folder.glob("vae/*"))
        assert not unet.exists()
        assert assetctl("verify").code == 0


def test_what_the_store_links_to_is_not_moved_away(assetctl, home, lora):
    link = home / "models" / "loras" / "whiskers.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(lora)
    assetctl("import", link)
    assert assetctl("import", "--move", lora).code == 0
    (asset,) = assetctl("list", "--json").data
    assert Path(asset["path"]).is_file()
    assert not Path(asset["path"]).is_symlink()


@pytest.mark.parametrize("how", ["--copy", "--move"])
def test_a_bad_file_in_a_folder_is_passed_over(assetctl, mixed, how):
    ended = assetctl("import", how, mixed, "--json")
    assert ([asset["name"] for asset in ended.data], ended.code) == (["a", "c"], 0)
    assert "b.safetensors" in ended.err
    assert (mixed / "b.safetensors").exists()
    assert (mixed / "a.safetensors").exists() == (how == "--copy")


def test_a_bad_file_that_was_named_fails_and_what_was_done_is_said(assetctl, mixed):
    ended = assetctl("import", "--move", *sorted(mixed.iterdir()))
    assert ended.code == 5
    assert all(f"{name}: stored" in ended.err for name in "ac")
    assert "b.safetensors" in ended.err
    assert list(mixed.iterdir()) == [mixed / "b.safetensors"]


def test_a_name_that_is_taken_is_said(assetctl, lora, tmp_path):
    other = write_lora(tmp_path / "other.safetensors", seed=3)
    assetctl("pull", lora, "--name", "r")
    ended = assetctl("pull", other, "--name", "r", "--json")
    assert ended.data[0]["name"] == "r-2"
    assert "Another asset is called r already: this one is r-2." in ended.err


def test_one_that_is_too_large_for_the_disk_does_not_keep_the_others(assetctl, tmp_path):
    lora = write_lora(tmp_path / "d" / "zz.safetensors")
    header = b'{"emb_params": {"dtype": "F16", "shape": [2147483648, 768], "data_offsets": [0, 3298534883328]}}'
    with (tmp_path / "d" / "aa.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + 3298534883328)
    ended = assetctl("import", "--copy", lora.parent)
    assert "of free space are needed" in ended.err
    assert [asset["name"] for asset in assetctl("list", "--json").data] == ["zz"]
