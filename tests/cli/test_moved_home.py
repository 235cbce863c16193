"""A home that was moved, copied, or is reached by another name is the same home, and nothing in it is lost."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from disks import unwritable
from material import write_lora, write_safetensors


@pytest.fixture
def lora(tmp_path):
    return write_lora(tmp_path / "files" / "whiskers.safetensors")


@pytest.fixture
def pipeline(tmp_path):
    folder = tmp_path / "files" / "pipeline"
    config = {"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "in_channels": 4}
    write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (4, 4, 3, 3)})
    (folder / "model_index.json").write_text(json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}))
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def filled(assetctl, home, lora, pipeline, tmp_path):
    """A home whose store has the only copies of a LoRA and a folder, and knows a file that a person put there."""
    assert assetctl("import", "--move", lora, pipeline).code == 0
    mine = write_lora(home / "models" / "loras" / "mine.safetensors", seed=4)
    assert assetctl("import", mine).code == 0
    return home


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


def stored(folder: Path) -> set[str]:
    return {name for name in files(folder / "models") if not name.startswith(".staging")}


def moved(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = home.rename(home.with_name("elsewhere"))
    monkeypatch.setenv("ASSETCTL_HOME", str(place))
    return place


def test_a_moved_home_has_its_assets(assetctl, filled, monkeypatch):
    before = stored(filled)
    place = moved(filled, monkeypatch)
    assets = {asset["name"]: Path(asset["path"]) for asset in assetctl("list", "--json").data}
    assert assets.keys() == {"whiskers", "pipeline", "mine"}
    assert all(path.is_relative_to(place) and path.exists() for path in assets.values())
    assert assetctl("verify").code == 0
    assert assetctl("prune", "--yes", "--json").data["files"] == []
    assert stored(place) == before
    assert {asset["name"] for asset in assetctl("list", "--in-store", "--json").data} == {"whiskers", "pipeline"}
    assert assetctl("rm", "whiskers", "--yes").code == 0
    assert "loras/whiskers.safetensors" not in stored(place)


def test_a_moved_home_has_its_assets_where_nothing_can_be_written(assetctl, filled, tmp_path, monkeypatch):
    place = moved(filled, monkeypatch)
    with unwritable(place, tmp_path / "seen") as seen:
        monkeypatch.setenv("ASSETCTL_HOME", str(seen))
        assert assetctl("verify").code == 0
        assets = {asset["name"]: Path(asset["path"]) for asset in assetctl("list", "--json").data}
        assert assets.keys() == {"whiskers", "pipeline", "mine"}
        assert all(path.is_relative_to(seen) and path.exists() for path in assets.values())
        listed = assetctl("list", "--in-store", "--json").data
        assert {asset["name"] for asset in listed} == {"whiskers", "pipeline"}
        told = assetctl("prune", "--dry-run", "--json").data
        assert (told["files"], told["strangers"]) == ([], [])
        assert assetctl("rm", "whiskers", "--yes").code == 1
        assert assetctl("inspect", "whiskers").code == 0
    monkeypatch.setenv("ASSETCTL_HOME", str(place))
    assert assetctl("verify").code == 0


def test_a_moved_store_has_its_assets(assetctl, filled, tmp_path, monkeypatch):
    place = (filled / "models").rename(tmp_path / "big-disk")
    monkeypatch.setenv("ASSETCTL_MODELS", str(place))
    assert assetctl("prune", "--yes", "--json").data["files"] == []
    assert assetctl("verify").code == 0


def test_a_copied_home_uses_its_own_files(assetctl, filled, tmp_path, monkeypatch):
    copied = Path(shutil.copytree(filled, tmp_path / "copied"))
    monkeypatch.setenv("ASSETCTL_HOME", str(copied))
    assert assetctl("prune", "--yes", "--json").data["files"] == []
    assert assetctl("rm", "whiskers", "--yes").code == 0
    assert "loras/whiskers.safetensors" in stored(filled)


@pytest.mark.parametrize("first", [True, False])
def test_a_home_by_another_name_is_the_same(assetctl, home, lora, tmp_path, monkeypatch, first):
    home.mkdir()
    link = tmp_path / "link"
    link.symlink_to(home)
    monkeypatch.setenv("ASSETCTL_HOME", str(home if first else link))
    assetctl("pull", lora)
    mine = write_lora(Path(os.environ["ASSETCTL_HOME"]) / "models" / "loras" / "mine.safetensors", seed=4)
    assetctl("import", mine)
    monkeypatch.setenv("ASSETCTL_HOME", str(link if first else home))
    assert assetctl("prune", "--yes", "--json").data["files"] == []
    assert {"loras/whiskers.safetensors", "loras/mine.safetensors"} <= stored(home)
    assert assetctl("verify").code == 0
    assert assetctl("rm", "whiskers", "--yes").code == 0
    assert stored(home) == {"loras/mine.safetensors"}


def test_nothing_is_removed_while_assets_of_the_store_are_missing(assetctl, filled):
    loras = filled / "models" / "loras"
    sorted_away = loras / "cats" / "whiskers.safetensors"
    sorted_away.parent.mkdir()
    (loras / "whiskers.safetensors").rename(sorted_away)
    pruned = assetctl("prune", "--yes", "--json").data
    assert [each["path"] for each in pruned["strangers"]] == [str(sorted_away.parent)]
    assert assetctl("prune", "--missing", "--yes", "--json").data["missing"] == ["whiskers"]
    assert sorted_away.exists()


def test_a_sync_in_a_moved_home_finds_all_in_place(assetctl, home, lora, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(lora, project / "mine.safetensors")
    (project / "registry.toml").write_text('[assets.whiskers]\nsource = "./mine.safetensors"\n')
    monkeypatch.chdir(project)
    assert assetctl("sync", "--allow-outside").code == 0
    moved(home, monkeypatch)
    assert [step["action"] for step in assetctl("sync", "--locked", "--allow-outside", "--json").data] == ["keep"]


def test_what_the_store_of_now_lacks_is_fetched_into_it(assetctl, home, lora, tmp_path, monkeypatch):
    assetctl("pull", lora)
    shutil.rmtree(home / "models")
    monkeypatch.setenv("ASSETCTL_MODELS", str(tmp_path / "new-disk"))
    (asset,) = assetctl("pull", lora, "--json").data
    assert (asset["name"], asset["path"]) == ("whiskers", str(tmp_path / "new-disk" / "loras" / "whiskers.safetensors"))
    assert assetctl("verify").code == 0


def test_an_asset_found_again_in_the_store_is_still_the_stores(assetctl, home, lora):
    assetctl("pull", lora)
    loras = home / "models" / "loras"
    (loras / "whiskers.safetensors").rename(loras / "renamed.safetensors")
    assert assetctl("import", home / "models").code == 0
    (asset,) = assetctl("list", "--in-store", "--json").data
    assert Path(asset["path"]).name == "renamed.safetensors"
