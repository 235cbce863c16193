"""Keeping a home tidy: what takes space, what is of no use, what lies there twice."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from material import write_embedding, write_lora

from assetctl import Registry
from assetctl.store import Store


def test_space_is_told_by_kind_and_family(assetctl, tmp_path):
    lora = write_lora(tmp_path / "a.safetensors")
    assetctl("import", lora, write_lora(tmp_path / "b.safetensors", seed=1))
    assetctl("pull", write_embedding(tmp_path / "c.safetensors"))
    data = assetctl("du", "--json").data
    size = lora.stat().st_size
    assert data[0] == {"kind": "lora", "family": "sd1", "count": 2, "size": 2 * size, "stored": 0}
    assert (data[1]["kind"], data[1]["stored"]) == ("embedding", data[1]["size"])
    assert "in the store" in assetctl("du").out


#: How assetctl calls the folder in which it gets a download ready.
UNFINISHED = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def untidy(assetctl, home, tmp_path):
    """A store with a download that was not finished, files that somebody put there, and an asset."""
    assetctl("pull", write_lora(tmp_path / "kept.safetensors"))
    models = home / "models"
    (models / ".staging" / UNFINISHED).mkdir(parents=True)
    (models / ".staging" / UNFINISHED / "half.part").write_bytes(b"x" * 5000)
    (models / ".staging" / "mine").mkdir()
    (models / ".staging" / "mine" / "note.txt").write_text("mine")
    (models / "loras" / "stray.safetensors").write_bytes(b"y" * 300)
    (models / "loras" / "kept.config").mkdir()
    return models


def test_unfinished_downloads_go_to_the_trash_and_strangers_are_shown(assetctl, untidy):
    stray, unfinished = untidy / "loras" / "stray.safetensors", untidy / ".staging" / UNFINISHED
    planned = assetctl("prune", "--dry-run", "--json").data
    assert planned["files"] == [{"path": str(unfinished), "size": 5000, "why": "unfinished"}]
    assert planned["strangers"] == [{"path": str(stray), "size": 300}]
    assert (planned["size"], planned["removed"]) == (5000, False)
    assert assetctl("prune", "--dry-run", "--quiet").out.splitlines() == [str(unfinished)]
    told = assetctl("prune", "--dry-run").err
    assert f"{stray}: assetctl did not put it there" in told
    assert f"assetctl import {stray}" in told
    assert assetctl("prune").code == 2
    assert unfinished.exists()
    assert assetctl("prune", "--yes").code == 0
    assert not unfinished.exists()
    assert stray.read_bytes() == b"y" * 300
    assert (untidy / ".staging" / "mine" / "note.txt").read_text() == "mine"
    assert assetctl("verify").code == 0
    assert assetctl("prune", "--json").data["files"] == []
    assert assetctl("trash", "restore", UNFINISHED).code == 0
    assert (unfinished / "half.part").read_bytes() == b"x" * 5000


def test_prune_now_deletes_for_good(assetctl, untidy):
    assert assetctl("prune", "--now", "--yes").code == 0
    assert not (untidy / ".staging" / UNFINISHED).exists()
    assert assetctl("trash", "--json").data == []


def test_a_download_that_goes_on_is_left_alone(assetctl, untidy):
    unfinished = untidy / ".staging" / UNFINISHED
    with FileLock(f"{unfinished}.lock"):
        assetctl("prune", "--yes")
        assert (unfinished / "half.part").exists()
    assetctl("prune", "--yes")
    assert not unfinished.exists()


def test_what_a_killed_pull_had_placed_is_pruned_and_what_replaced_it_is_not(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    with Registry.open(home) as registry:
        store = Store(registry.settings.models)
        for name in ("one", "two"):
            staged = store.staging(name) / f"{name}.safetensors"
            shutil.copy(lora, staged)
            placed = store.place(staged, "lora", "safetensors", name, key=name)
    placed.unlink()
    shutil.copy(lora, placed)  # somebody's own, by the same name
    pruned = assetctl("prune", "--yes", "--json").data
    assert [(Path(each["path"]).stem, each["why"]) for each in pruned["files"]] == [("one", "unregistered")]
    assert [Path(each["path"]).stem for each in pruned["strangers"]] == ["two"]
    assert [path.stem for path in placed.parent.iterdir()] == ["two"]


def test_a_pull_goes_on_with_what_a_killed_one_had_placed(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    with Registry.open(home) as registry:
        store = Store(registry.settings.models)
        staged = store.staging("x") / "cat.safetensors"
        shutil.copy(lora, staged)
        digest = hashlib.sha256(lora.read_bytes()).hexdigest()
        placed = store.place(staged, "lora", "safetensors", "cat", key=f"bytes {digest}")
    (asset,) = assetctl("pull", lora, "--json").data
    assert asset["path"] == str(placed)
    assert assetctl("prune", "--json").data["files"] == []


def test_a_persons_own_copy_in_the_store_stays_theirs(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    mine = home / "models" / "loras" / "mine.safetensors"
    mine.parent.mkdir(parents=True)
    shutil.copy(lora, mine)
    (asset,) = assetctl("pull", lora, "--json").data
    assert asset["path"] != str(mine)
    assert assetctl("rm", "cat", "--yes", "--now").code == 0
    assert assetctl("prune", "--yes", "--now").code == 0
    assert mine.read_bytes() == lora.read_bytes()


def test_a_file_of_the_store_is_taken_in_where_it_lies_if_it_is_named(assetctl, home):
    mine = write_lora(home / "models" / "loras" / "mine.safetensors")
    (asset,) = assetctl("import", "--move", mine, "--json").data
    assert asset["path"] == str(mine)
    assert [path.name for path in mine.parent.iterdir()] == [mine.name]


def test_an_older_catalog_that_was_put_back_costs_no_file(assetctl, home, tmp_path):
    assetctl("pull", write_lora(tmp_path / "one.safetensors"))
    shutil.copy(home / "catalog.db", tmp_path / "old.db")
    only = write_lora(tmp_path / "two.safetensors", seed=1)
    content = only.read_bytes()
    (asset,) = assetctl("import", "--move", only, "--json").data
    for suffix in ("-wal", "-shm"):
        (home / f"catalog.db{suffix}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "old.db", home / "catalog.db")
    pruned = assetctl("prune", "--yes", "--json").data
    assert [each["path"] for each in pruned["strangers"]] == [asset["path"]]
    assert Path(asset["path"]).read_bytes() == content


def test_a_store_shared_with_other_programs_is_left_as_it_is(assetctl, home, tmp_path, monkeypatch):
    tree = tmp_path / "ComfyUI" / "models"
    write_lora(tree / "loras" / "theirs.safetensors")
    (tree / "loras" / "note.txt").write_text("mine")
    (tree / "vae" / "deep").mkdir(parents=True)
    write_lora(tree / "vae" / "deep" / "x.safetensors", seed=2)
    monkeypatch.setenv("ASSETCTL_MODELS", str(tree))
    before = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    pruned = assetctl("prune", "--yes", "--now", "--json").data
    assert len(pruned["strangers"]) == 3
    after = {path: path.read_bytes() for path in tree.rglob("*") if path.is_file() and ".staging" not in path.parts}
    assert after == before


def test_locks_that_nobody_holds_are_swept_up(assetctl, untidy):
    (untidy / ".staging" / "left.lock").touch()
    with FileLock(untidy / ".staging" / "held.lock"):
        assetctl("prune", "--yes")
        assert {path.name for path in (untidy / ".staging").iterdir()} == {"held.lock", "mine"}


def test_notes_and_previews_beside_an_asset_are_no_strangers(assetctl, untidy):
    loras = untidy / "loras"
    beside = ["kept.civitai.info", "kept.json", "kept.cm-info.json", "kept.yaml", "kept.preview.png", "kept.png"]
    for name in (*beside, "stray.json"):
        (loras / name).write_text("{}")
    strangers = assetctl("prune", "--yes", "--json").data["strangers"]
    assert [Path(each["path"]).name for each in strangers] == ["stray.json", "stray.safetensors"]
    assert all((loras / name).exists() for name in beside)


def test_a_folder_that_is_a_link_is_not_looked_into(assetctl, untidy, tmp_path):
    other = tmp_path / "shared-loras"
    shutil.move(untidy / "loras", other)
    (untidy / "loras").symlink_to(other)
    assert assetctl("prune", "--yes", "--json").data["strangers"] == []
    assert (other / "stray.safetensors").exists()


def test_missing_assets_are_forgotten_only_when_asked(assetctl, tmp_path):
    lora = write_lora(tmp_path / "gone.safetensors")
    assetctl("import", lora)
    lora.unlink()
    assetctl("prune", "--yes")
    assert len(assetctl("list", "--json").data) == 1
    assert assetctl("prune", "--missing", "--yes", "--json").data["missing"] == ["gone"]
    assert assetctl("list", "--json").data == []
