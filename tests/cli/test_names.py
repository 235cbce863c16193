"""What an asset may be called: a name that one command gives is a name to all others."""

from __future__ import annotations

import json

import pytest
from material import write_lora
from tables import table


@pytest.mark.parametrize("case", table("names/assets"))
def test_a_name_of_a_manifest_comes_back_from_the_trash_and_goes_into_another(assetctl, tmp_path, monkeypatch, case):
    name = case["name"]
    lora = write_lora(tmp_path / "lora.safetensors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text(f"[assets.{json.dumps(name)}]\nsource = {json.dumps(str(lora))}\n", "utf-8")
    assert assetctl("sync").code == 0
    assert assetctl("rm", "--yes", "--", name).code == 0
    (entry,) = assetctl("trash", "--json").data
    assert assetctl("trash", "restore", entry["id"]).code == 0
    assert [asset["name"] for asset in assetctl("list", "--json").data] == [name]
    assert assetctl("export", "--out", tmp_path / "again.toml").code == 0
    assert assetctl("lock", "--file", tmp_path / "again.toml").code == 0


def test_two_of_one_long_name_can_be_exported(assetctl, tmp_path):
    for seed in (1, 2):
        write_lora(tmp_path / str(seed) / f"{'y' * 130}.safetensors", seed=seed)
    assetctl("import", tmp_path / "1", tmp_path / "2")
    assert assetctl("export", "--out", tmp_path / "registry.toml").code == 0
    assert assetctl("lock", "--file", tmp_path / "registry.toml").code == 0


@pytest.mark.parametrize("case", table("names/no_assets"))
def test_what_can_be_no_name_is_none_to_a_manifest_nor_to_the_trash(assetctl, home, tmp_path, monkeypatch, case):
    name = case["name"]
    lora = write_lora(tmp_path / "lora.safetensors")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.toml").write_text(f"[assets.{json.dumps(name)}]\nsource = {json.dumps(str(lora))}\n", "utf-8")
    assert assetctl("lock").code == 2
    assetctl("import", "--move", lora)
    assetctl("rm", "lora", "--yes")
    (note,) = (home / "trash").glob("*/entry.json")
    document = json.loads(note.read_text())
    document["asset"]["asset"]["name"] = name
    note.write_text(json.dumps(document))
    ended = assetctl("trash", "restore", "lora", "--json")
    assert (ended.code, ended.error["code"]) == (5, "file_corrupt")


@pytest.mark.parametrize("name", ["nofile.png", "nope.safetensors", "lost/model.ckpt"])
def test_a_file_that_is_not_there_is_called_a_file(assetctl, name):
    for command in (("inspect", name), ("check", name), ("generate", "a cat", "--checkpoint", name, "--dry-run")):
        ended = assetctl(*command, "--json")
        assert (ended.code, ended.error["code"]) == (3, "not_found"), command
        assert f"There is no file {name}" in ended.error["message"], command
