"""The trash: what is deleted comes back whole, or goes for good when a person says so."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest
from material import write_lora, write_safetensors

from assetctl import Registry
from assetctl.errors import NotFoundError

OTHER = Path("/dev/shm")  # noqa: S108 - another filesystem than the temporary folder's, where there is one


@pytest.fixture
def whiskers(assetctl, home, tmp_path):
    """An asset that only the store has, with what a person said of it."""
    assetctl("import", "--move", write_lora(tmp_path / "whiskers.safetensors"))
    assetctl("edit", "whiskers", "--tag", "cats", "--notes", "strong", "--default-weight", "0.7", "--family", "sdxl")
    return home / "models" / "loras" / "whiskers.safetensors"


@pytest.fixture
def pipeline(tmp_path):
    """A diffusers folder."""
    folder = tmp_path / "pipeline"
    index = {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}
    write_safetensors(folder / "unet" / "diffusion_pytorch_model.safetensors", {"conv_in.weight": (4, 4, 3, 3)})
    (folder / "model_index.json").write_text(json.dumps(index))
    (folder / "unet" / "config.json").write_text(json.dumps({"cross_attention_dim": 768, "in_channels": 4}))
    return folder


def shown(assetctl, name: str) -> dict[str, object]:
    data = assetctl("inspect", name, "--json").data
    return {key: value for key, value in data.items() if key not in ("updated_at", "id")}


def test_what_is_removed_comes_back_with_all_that_was_said_of_it(assetctl, whiskers):
    content, before = whiskers.read_bytes(), shown(assetctl, "whiskers")
    (removed,) = assetctl("rm", "whiskers", "--yes", "--json").data
    assert not whiskers.exists()
    assert assetctl("list", "--json").data == []
    (entry,) = assetctl("trash", "--json").data
    assert (entry["id"], entry["name"], entry["reason"], entry["paths"]) == (
        removed["trash"],
        "whiskers",
        "rm",
        [str(whiskers)],
    )
    assert "whiskers" in assetctl("trash").out
    assert assetctl("trash", "restore", "whiskers").code == 0
    assert (whiskers.read_bytes(), shown(assetctl, "whiskers")) == (content, before)
    assert assetctl("verify").code == 0
    assert assetctl("trash", "--json").data == []


def test_an_asset_of_very_many_pictures_goes_and_comes_back_to_them(assetctl, home, whiskers):
    used = "SELECT count(*) FROM generation_assets WHERE asset_id IS NOT NULL"
    with contextlib.closing(sqlite3.connect(home / "catalog.db")) as connection, connection:
        connection.execute(
            "INSERT INTO generation_assets WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 40000) "
            "SELECT i, 0, id, 'lora', name, sha256, 1.0 FROM n, assets"
        )
    assert assetctl("rm", "whiskers", "--yes").code == 0
    assert not whiskers.exists()
    assert assetctl("trash", "restore", "whiskers").code == 0
    with contextlib.closing(sqlite3.connect(home / "catalog.db")) as connection:
        assert connection.execute(used).fetchone() == (40000,)


def test_now_skips_the_trash(assetctl, whiskers):
    assert assetctl("rm", "whiskers", "--yes", "--now").code == 0
    assert not whiskers.exists()
    assert assetctl("trash", "--json").data == []


def test_a_dry_run_deletes_nothing(assetctl, whiskers):
    ended = assetctl("rm", "whiskers", "--dry-run", "--json")
    assert (ended.code, ended.data[0]["removed"], ended.data[0]["deleted"]) == (0, False, [str(whiskers)])
    assert "would move to the trash" in assetctl("rm", "whiskers", "--dry-run").err
    assert whiskers.exists()


def test_emptying_asks_and_then_deletes_for_good(assetctl, home, whiskers):
    size = whiskers.stat().st_size
    assetctl("rm", "whiskers", "--yes")
    assert assetctl("trash", "empty").code == 2
    assert len(assetctl("trash", "--json").data) == 1
    assert assetctl("trash", "empty", "--older-than", "1", "--yes", "--json").data["entries"] == []
    assert assetctl("trash", "empty", "--dry-run", "--json").data["size"] == size
    assert assetctl("trash", "empty", "whiskers", "--yes", "--json").data["size"] == size
    assert assetctl("trash", "--json").data == []
    assert [path.name for path in (home / "trash").rglob("*")] == [".lock"]
    assert assetctl("trash", "restore", "whiskers").code == 3


def test_nothing_is_overwritten_by_what_comes_back(assetctl, whiskers):
    content = whiskers.read_bytes()
    assetctl("rm", "whiskers", "--yes")
    whiskers.write_bytes(b"mine")
    ended = assetctl("trash", "restore", "whiskers", "--json")
    assert (ended.code, ended.error["code"]) == (1, "storage")
    assert whiskers.read_bytes() == b"mine"
    whiskers.unlink()
    assert assetctl("trash", "restore", "whiskers").code == 0
    assert whiskers.read_bytes() == content


def test_two_of_one_name_are_told_apart_by_their_ids(assetctl, tmp_path):
    for seed in (1, 2):
        assetctl("import", "--move", write_lora(tmp_path / "cat.safetensors", seed=seed))
        assetctl("rm", "cat", "--yes")
    ended = assetctl("trash", "restore", "cat", "--json")
    assert (ended.code, ended.error["code"]) == (3, "ambiguous")
    first = assetctl("trash", "--json").data[0]["id"]
    assert assetctl("trash", "restore", first).code == 0
    assert len(assetctl("trash", "--json").data) == 1


def test_an_asset_that_stays_where_it_lies_can_be_taken_in_again_with_its_labels(assetctl, tmp_path):
    lora = write_lora(tmp_path / "mine.safetensors")
    assetctl("import", lora)
    assetctl("edit", "mine", "--tag", "cats")
    before = shown(assetctl, "mine")
    assert assetctl("rm", "mine", "--yes").code == 0
    assert lora.exists()
    assert assetctl("trash", "restore", "mine").code == 0
    assert shown(assetctl, "mine") == before


def test_a_folder_is_removed_but_for_what_is_none_of_its_own(assetctl, home, pipeline):
    assetctl("import", pipeline)
    (pipeline / "notes.md").write_text("mine")
    (pipeline / "mine").mkdir()
    (pipeline / "mine" / "other.safetensors").write_bytes(b"mine")
    assert assetctl("rm", "pipeline", "--delete-files", "--yes", "--now").code == 0
    left = {path.relative_to(pipeline).as_posix() for path in pipeline.rglob("*") if path.is_file()}
    assert left == {"notes.md", "mine/other.safetensors"}


def test_a_folder_of_the_store_comes_back_whole(assetctl, home, pipeline):
    assetctl("import", "--move", pipeline)
    place = home / "models" / "diffusers" / "pipeline"
    (place / "notes.md").write_text("mine")
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert assetctl("rm", "pipeline", "--yes").code == 0
    assert {path.name for path in place.rglob("*") if path.is_file()} == {"notes.md"}
    assert assetctl("trash", "restore", "pipeline").code == 0
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert assetctl("verify").code == 0


@pytest.mark.parametrize("how", [[], ["--now"]])
def test_of_a_configuration_beside_a_file_goes_what_assetctl_put_there(assetctl, home, tmp_path, how):
    source = write_lora(tmp_path / "cat.safetensors")
    (tmp_path / "cat.config" / "unet").mkdir(parents=True)
    for name in ("a.json", "unet/b.json", "unet/c.json"):
        (tmp_path / "cat.config" / name).write_text("{}")
    assetctl("pull", source)
    beside = home / "models" / "loras" / "cat.config"
    (beside / "mine.txt").write_text("mine")
    (beside / "unet" / "c.json").write_text("[]  ")
    before = {path: path.read_bytes() for path in beside.rglob("*") if path.is_file()}
    assert assetctl("rm", "cat", "--yes", *how).code == 0
    assert {path.name for path in beside.rglob("*") if path.is_file()} == {"mine.txt", "c.json"}
    if not how:
        assert assetctl("trash", "restore", "cat").code == 0
        assert {path: path.read_bytes() for path in beside.rglob("*") if path.is_file()} == before


def test_a_configuration_that_a_person_made_stays(assetctl, home, whiskers):
    beside = whiskers.with_suffix(".config")
    (beside / "tokenizer").mkdir(parents=True)
    (beside / "tokenizer" / "vocab.json").write_text("{}")
    assert assetctl("rm", "whiskers", "--yes").code == 0
    assert (beside / "tokenizer" / "vocab.json").exists()


def test_the_trash_is_emptied_by_age_and_by_size(assetctl, home, tmp_path, monkeypatch):
    for seed in (1, 2, 3):
        assetctl("import", "--move", write_lora(tmp_path / f"cat{seed}.safetensors", seed=seed))
    assetctl("rm", "cat1", "--yes")
    (note,) = (home / "trash").glob("*/entry.json")
    document = json.loads(note.read_text())
    note.write_text(json.dumps(document | {"deleted_at": "2020-01-01T00:00:00Z"}))
    assert "cat1" in assetctl("rm", "cat2", "--yes").err
    assert [entry["name"] for entry in assetctl("trash", "--json").data] == ["cat2"]
    monkeypatch.setenv("ASSETCTL_TRASH_GIGABYTES", "0")
    assetctl("rm", "cat3", "--yes")
    assert [entry["name"] for entry in assetctl("trash", "--json").data] == ["cat3"]


@pytest.mark.parametrize("value", ["-1", "x", "1e3", "\u00b2", "9" * 30])
def test_a_setting_of_the_trash_that_is_no_number_is_refused(assetctl, whiskers, monkeypatch, value):
    monkeypatch.setenv("ASSETCTL_TRASH_DAYS", value)
    assert assetctl("rm", "whiskers", "--yes", "--json").code == 2
    assert whiskers.exists()


def test_what_somebody_puts_into_the_trash_stays(assetctl, home, whiskers):
    assetctl("rm", "whiskers", "--yes")
    (entry,) = (path for path in (home / "trash").iterdir() if path.is_dir())
    (home / "trash" / "mine.txt").write_text("mine")
    (entry / "mine.txt").write_text("mine")
    assert assetctl("trash", "empty", "--yes").code == 0
    left = {path.name for path in (home / "trash").rglob("*") if path.is_file()}
    assert left == {"mine.txt", ".lock"}
    assert (entry / "mine.txt").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"files": [{"path": "relative", "size": 1}]},
        {"files": [{"path": "/etc/../etc/x", "size": 1}]},
        {"files": 5},
        {"files": [{"path": "/x/\ud800", "size": 1}]},
        {"files": [{"path": "/x/y", "size": float("inf")}]},
        {"files": [{"path": "/x/y", "size": -1}]},
        {"asset": {"asset": 5}},
        {"asset": {}},
        {"name": ["x"]},
        {"deleted_at": None},
    ],
)
def test_an_entry_that_was_tampered_with_does_no_harm(assetctl, home, whiskers, change):
    assetctl("rm", "whiskers", "--yes")
    (note,) = (home / "trash").glob("*/entry.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | change))
    ended = assetctl("trash", "restore", "whiskers", "--json")
    assert ended.code in (1, 3, 5)
    assert "defect" not in ended.out
    assert [path.name for path in (home / "trash").rglob("*.safetensors")] == ["whiskers.safetensors"]
    assert assetctl("trash").code == 0


@pytest.mark.parametrize("key", ["name", "kind", "reason", "deleted_at"])
def test_an_entry_that_no_document_can_hold_is_told_of_beside_the_others(assetctl, home, tmp_path, key):
    assetctl(
        "import", "--move", write_lora(tmp_path / "bad.safetensors"), write_lora(tmp_path / "good.safetensors", seed=2)
    )
    assetctl("rm", "bad", "--yes")
    (note,) = (home / "trash").glob("*/entry.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {key: "\ud800"}))
    assetctl("rm", "good", "--yes")
    ended = assetctl("trash")
    assert (ended.code, "good" in ended.out) == (0, True)
    assert f"{note.parent} does not say what it holds" in ended.err
    assert [entry["name"] for entry in assetctl("trash", "--json").data] == ["good"]
    assert assetctl("trash", "empty", "--yes").code == 0
    assert note.exists()


def test_a_name_that_steers_a_terminal_is_shown_as_none_and_its_file_comes_back(assetctl, tmp_path):
    lora = write_lora(tmp_path / "a\x1b[31m\nb.safetensors")
    assetctl("import", lora)
    (asset,) = assetctl("list", "--json").data
    lora.write_bytes(b"changed")
    assert assetctl("rm", asset["name"], "--delete-files", "--now", "--yes").code == 0
    (entry,) = assetctl("trash", "--json").data
    assert entry["name"] == "a[31m b.safetensors"
    assert assetctl("trash", "restore", entry["name"]).code == 0
    assert lora.read_bytes() == b"changed"


@pytest.mark.skipif(not OTHER.is_dir(), reason="needs a second filesystem")
def test_what_lies_on_another_disk_is_copied_there_and_back(assetctl, tmp_path):
    other = OTHER / f"assetctl-trash-{os.getpid()}"
    other.mkdir()
    try:
        if other.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second filesystem")
        mine = write_lora(other / "mine.safetensors")
        content = mine.read_bytes()
        assetctl("import", mine)
        assert assetctl("rm", "mine", "--delete-files", "--yes").code == 0
        assert not mine.exists()
        assert assetctl("trash", "restore", "mine").code == 0
        assert mine.read_bytes() == content
        assert assetctl("verify").code == 0
    finally:
        shutil.rmtree(other)


def test_moving_in_mends_a_store_that_has_rotted_with_its_time_kept(assetctl, home, tmp_path):
    lora = write_lora(tmp_path / "cat.safetensors")
    good = lora.read_bytes()
    assetctl("pull", lora)
    place = home / "models" / "loras" / "cat.safetensors"
    written = place.stat().st_mtime_ns
    place.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    os.utime(place, ns=(written, written))
    assert assetctl("import", "--move", lora).code == 0
    assert place.read_bytes() == good
    assert not lora.exists()
    assert assetctl("verify").code == 0


def test_a_copied_home_restores_into_its_own_store(assetctl, home, whiskers, tmp_path, monkeypatch):
    content = whiskers.read_bytes()
    assetctl("rm", "whiskers", "--yes")
    other = tmp_path / "other"
    shutil.copytree(home, other)
    monkeypatch.setenv("ASSETCTL_HOME", str(other))
    assert assetctl("trash", "restore", "whiskers").code == 0
    assert (other / "models" / "loras" / "whiskers.safetensors").read_bytes() == content
    assert not whiskers.exists()
    assert assetctl("verify").code == 0
    assert [asset["name"] for asset in assetctl("list", "--in-store", "--json").data] == ["whiskers"]


def test_nothing_is_restored_into_the_place_of_another_asset(assetctl, whiskers, tmp_path):
    assetctl("rm", "whiskers", "--yes")
    assetctl("import", "--move", write_lora(tmp_path / "whiskers.safetensors", seed=9))
    whiskers.unlink()
    ended = assetctl("trash", "restore", "whiskers", "--json")
    assert (ended.code, ended.error["code"]) == (1, "storage")
    assert len(assetctl("trash", "--json").data) == 1


@pytest.mark.parametrize("catalog_knew", [False, True])
def test_a_restoration_that_was_killed_goes_on(assetctl, home, whiskers, catalog_knew):
    content, before = whiskers.read_bytes(), shown(assetctl, "whiskers")
    assetctl("rm", "whiskers", "--yes")
    shutil.copytree(home / "trash", home.with_name("kept"))
    if catalog_knew:
        assetctl("trash", "restore", "whiskers")
        shutil.rmtree(home / "trash")
        home.with_name("kept").rename(home / "trash")
    (lying,) = (home / "trash").rglob("*.safetensors")
    lying.replace(whiskers)  # moved, and the entry is still there
    assert assetctl("trash", "restore", "whiskers").code == 0
    assert (whiskers.read_bytes(), shown(assetctl, "whiskers")) == (content, before)
    assert assetctl("trash", "--json").data == []


def test_a_removal_that_was_killed_can_be_taken_back(assetctl, home, whiskers):
    content, before = whiskers.read_bytes(), shown(assetctl, "whiskers")
    shutil.copy(home / "catalog.db", home / "before.db")
    assetctl("rm", "whiskers", "--yes")
    for suffix in ("-wal", "-shm"):
        (home / f"catalog.db{suffix}").unlink(missing_ok=True)
    (home / "before.db").replace(home / "catalog.db")  # the catalog did not come to forget it
    assert assetctl("trash", "restore", "whiskers").code == 0
    assert (whiskers.read_bytes(), shown(assetctl, "whiskers")) == (content, before)


def test_another_asset_that_got_the_number_meanwhile_is_not_removed(assetctl, home, whiskers, tmp_path):
    with Registry.open(home) as registry:
        plan = registry.plan_removal("whiskers")
        with Registry.open(home) as other:
            other.remove(other.plan_removal("whiskers"), now=True)
            other.add_to_store(write_lora(tmp_path / "two.safetensors", seed=2))
        for now in (False, True):
            with pytest.raises(NotFoundError):
                registry.remove(plan, now=now)
        assert [asset.name for asset in registry.list()] == ["two"]
    assert (home / "models" / "loras" / "two.safetensors").exists()


def test_a_dry_run_of_restoring_restores_nothing(assetctl, whiskers):
    assetctl("rm", "whiskers", "--yes")
    (shown,) = assetctl("trash", "restore", "whiskers", "--dry-run", "--json").data
    assert (shown["paths"], shown["restored"], whiskers.exists()) == ([str(whiskers)], False, False)


def test_one_that_cannot_come_back_does_not_keep_the_others(assetctl, home, whiskers, tmp_path):
    assetctl("import", "--move", write_lora(tmp_path / "two.safetensors", seed=2))
    assetctl("rm", "whiskers", "two", "--yes")
    whiskers.write_bytes(b"mine")
    assert assetctl("trash", "restore", "whiskers", "two").code == 1
    assert (home / "models" / "loras" / "two.safetensors").exists()
    assert whiskers.read_bytes() == b"mine"


@pytest.mark.skipif(not OTHER.is_dir(), reason="needs a second filesystem")
def test_a_folder_on_another_disk_that_can_not_be_removed_loses_nothing(assetctl, home, tmp_path):
    other = OTHER / f"assetctl-loras-{os.getpid()}"
    other.mkdir()
    try:
        if other.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("needs a second filesystem")
        (home / "models").mkdir(parents=True)
        (home / "models" / "loras").symlink_to(other)
        source = write_lora(tmp_path / "one.safetensors")
        (tmp_path / "one.config").mkdir()
        for name in ("a.json", "b.json"):
            (tmp_path / "one.config" / name).write_text(name)
        assetctl("pull", source)
        beside = other / "one.config"
        if os.geteuid() == 0:
            made = subprocess.run(["chattr", "+i", beside / "b.json"], check=False, capture_output=True)
            if made.returncode:
                pytest.skip("no file can be kept from being removed here")
        else:
            beside.chmod(0o555)
        before = {path: path.read_bytes() for path in other.rglob("*") if path.is_file()}
        ended = assetctl("rm", "one", "--yes", "--json")
        subprocess.run(["chattr", "-i", beside / "b.json"], check=False, capture_output=True)
        beside.chmod(0o755)
        assert ended.code == 1
        assert {path: path.read_bytes() for path in other.rglob("*") if path.is_file()} == before
        assert [asset["name"] for asset in assetctl("list", "--json").data] == ["one"]
    finally:
        shutil.rmtree(other)
