"""Keeping a home tidy: what takes space, what is of no use, what lies there twice."""

from __future__ import annotations

import os
import shutil

import pytest
from filelock import FileLock
from material import write_embedding, write_lora

from assetctl import Registry


def test_space_is_told_by_kind_and_family(assetctl, tmp_path):
    lora = write_lora(tmp_path / "a.safetensors")
    assetctl("import", lora, write_lora(tmp_path / "b.safetensors", seed=1))
    assetctl("pull", write_embedding(tmp_path / "c.safetensors"))
    data = assetctl("du", "--json").data
    size = lora.stat().st_size
    assert data[0] == {"kind": "lora", "family": "sd1", "count": 2, "size": 2 * size, "stored": 0}
    assert (data[1]["kind"], data[1]["stored"]) == ("embedding", data[1]["size"])
    assert "in the store" in assetctl("du").out


@pytest.fixture
def untidy(assetctl, home, tmp_path):
    """A store with a download that was not finished, a file that nobody names, and an asset."""
    assetctl("pull", write_lora(tmp_path / "kept.safetensors"))
    models = home / "models"
    (models / ".staging" / "0123").mkdir(parents=True)
    (models / ".staging" / "0123" / "half.part").write_bytes(b"x" * 5000)
    (models / "loras" / "stray.safetensors").write_bytes(b"y" * 300)
    (models / "loras" / "kept.config").mkdir()
    return models


def test_what_is_of_no_use_is_shown_and_then_removed(assetctl, untidy):
    planned = assetctl("prune", "--dry-run", "--json").data
    assert [(each["path"].rpartition("/")[2], each["why"]) for each in planned["files"]] == [
        ("0123", "unfinished"),
        ("stray.safetensors", "unnamed"),
    ]
    assert (planned["size"], planned["removed"]) == (5300, False)
    quietly = assetctl("prune", "--dry-run", "--quiet")
    assert quietly.out.splitlines() == [each["path"] for each in planned["files"]]
    assert assetctl("prune").code == 2
    assert (untidy / "loras" / "stray.safetensors").exists()
    assert assetctl("prune", "--yes").code == 0
    assert sorted(path.name for path in (untidy / "loras").iterdir()) == ["kept.config", "kept.safetensors"]
    assert not (untidy / ".staging" / "0123").exists()
    assert assetctl("verify").code == 0
    assert assetctl("prune", "--json").data["files"] == []


def test_a_download_that_goes_on_is_left_alone(assetctl, untidy):
    with FileLock(untidy / ".staging" / "0123.lock"):
        assetctl("prune", "--yes")
        assert (untidy / ".staging" / "0123" / "half.part").exists()
    assetctl("prune", "--yes")
    assert not (untidy / ".staging" / "0123").exists()


def test_what_became_an_assets_since_it_was_planned_is_left_alone(assetctl, home):
    mine = write_lora(home / "models" / "loras" / "mine.safetensors")
    with Registry.open(home) as registry:
        plan = registry.plan_pruning()
        assert [leftover.path for leftover in plan.leftovers] == [mine]
        registry.import_files(mine)
        registry.prune(plan)
    assert mine.exists()


def test_locks_that_nobody_holds_are_swept_up(assetctl, untidy):
    assert list((untidy / ".staging").glob("*.lock"))
    with FileLock(untidy / ".staging" / "held.lock"):
        assetctl("prune", "--yes")
        assert [path.name for path in (untidy / ".staging").iterdir()] == ["held.lock"]


def test_notes_and_previews_beside_an_asset_are_no_leftovers(assetctl, untidy):
    loras = untidy / "loras"
    beside = ["kept.civitai.info", "kept.json", "kept.cm-info.json", "kept.yaml", "kept.preview.png", "kept.png"]
    for name in (*beside, "stray.json"):
        (loras / name).write_text("{}")
    assetctl("prune", "--yes")
    assert {path.name for path in loras.iterdir()} == {*beside, "kept.config", "kept.safetensors"}


def test_a_folder_that_is_a_link_is_left_alone(assetctl, untidy, tmp_path):
    other = tmp_path / "shared-loras"
    shutil.move(untidy / "loras", other)
    (untidy / "loras").symlink_to(other)
    assetctl("prune", "--yes")
    assert (other / "stray.safetensors").exists()


def test_missing_assets_are_forgotten_only_when_asked(assetctl, tmp_path):
    lora = write_lora(tmp_path / "gone.safetensors")
    assetctl("import", lora)
    lora.unlink()
    assetctl("prune", "--yes")
    assert len(assetctl("list", "--json").data) == 1
    assert assetctl("prune", "--missing", "--yes", "--json").data["missing"] == ["gone"]
    assert assetctl("list", "--json").data == []


def test_copies_are_shown_and_linked(assetctl, tmp_path):
    one = write_lora(tmp_path / "mine" / "one.safetensors")
    two = tmp_path / "mine" / "two.safetensors"
    shutil.copy(one, two)
    os.utime(two, (1, 1))
    assetctl("import", tmp_path / "mine")
    (pair,) = assetctl("dedupe", "--json").data
    assert ({pair["path"], pair["copy"]}, pair["linked"]) == ({str(one), str(two)}, False)
    assert not one.samefile(two)
    assert assetctl("dedupe", "--link", "--json").data[0]["linked"] is True
    assert one.samefile(two)
    assert assetctl("dedupe", "--json").data == []
    assert assetctl("verify", "--quick").code == 0
    assert assetctl("verify").code == 0


def test_what_changed_since_is_not_linked(assetctl, tmp_path):
    one = write_lora(tmp_path / "mine" / "one.safetensors")
    two = tmp_path / "mine" / "two.safetensors"
    shutil.copy(one, two)
    assetctl("import", tmp_path / "mine")
    changed = bytearray(two.read_bytes())
    changed[-1] ^= 1
    two.write_bytes(changed)
    ended = assetctl("dedupe", "--link")
    assert "other bytes" in ended.err
    assert two.read_bytes() == bytes(changed)
    assert two.stat().st_nlink == 1
