"""The trash between two steps: what is written, or goes wrong, while files are on their way."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from assetctl.errors import StorageError
from assetctl.store.trash import Trash

OTHER = Path("/dev/shm")  # noqa: S108 - another filesystem than the temporary folder's, where there is one


@pytest.fixture
def trash(tmp_path):
    return Trash(tmp_path / "home" / "trash", tmp_path / "home" / "models")


@pytest.fixture
def elsewhere(tmp_path):
    """A folder on another disk."""
    folder = OTHER / f"assetctl-test-trash-{os.getpid()}"
    if not OTHER.is_dir() or OTHER.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second filesystem")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def everything(*folders: Path) -> dict[str, bytes]:
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files if path.name not in (".lock", "entry.json")}


def test_what_was_written_to_while_it_was_copied_stays(trash, elsewhere, tmp_path):
    for name in ("a", "b"):
        (elsewhere / name).write_bytes(b"first")
    entry = trash.prepare([elsewhere / "a", elsewhere / "b"], name="x", reason="rm")
    (elsewhere / "b").write_bytes(b"hours of work")
    with pytest.raises(StorageError, match="changed meanwhile"):
        trash.take(entry)
    trash.undo(entry)
    assert everything(elsewhere) == {"a": b"first", "b": b"hours of work"}
    assert everything(tmp_path) == {}


@pytest.mark.parametrize("is_far", [False, True])
def test_what_stops_in_between_leaves_all_where_it_was(trash, elsewhere, tmp_path, is_far):
    place = elsewhere if is_far else tmp_path / "near"
    (place / "folder" / "deep").mkdir(parents=True)
    (place / "folder" / "deep" / "a").write_bytes(b"a")
    (place / "b").write_bytes(b"b")
    before = everything(place)
    entry = trash.prepare([place / "folder", place / "b"], name="x", reason="prune")
    trash.take(entry)
    assert everything(place) == {}
    trash.undo(entry)
    assert everything(place) == before
    assert trash.entries() == []


def test_what_lies_there_by_now_and_is_the_same_stays_a_persons(trash, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"same")
    entry = trash.prepare([path], name="x", reason="rm")
    trash.take(entry)
    path.write_bytes(b"same")
    number = path.stat().st_ino
    with pytest.raises(StorageError, match="something else lies"):
        trash.bring_back(entry)
    assert (path.stat().st_ino, path.read_bytes()) == (number, b"same")


def test_what_is_in_the_way_of_one_keeps_all_in_the_trash(trash, tmp_path):
    for path in (tmp_path / "f" / "a", tmp_path / "f" / "c" / "b"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(path.name.encode())
    entry = trash.prepare([tmp_path / "f" / "a", tmp_path / "f" / "c" / "b"], name="x", reason="rm")
    trash.take(entry)
    (tmp_path / "f" / "c").rmdir()
    (tmp_path / "f" / "c").write_bytes(b"mine")
    with pytest.raises(StorageError, match=r"in the way of .*/c/b"):
        trash.bring_back(entry)
    assert everything(tmp_path / "f") == {"c": b"mine"}
    assert everything(tmp_path / "home") == {"a": b"a", "b": b"b"}


def test_what_a_kill_left_in_the_trash_is_tidied_up(trash, tmp_path):
    folder = tmp_path / "home" / "trash" / ".0123abcd" / "0"
    folder.mkdir(parents=True)
    (folder / f".assetctl-{'0' * 32}").write_bytes(b"half a copy")
    (folder.parent / f".entry.json.{'0' * 16}.incoming").write_bytes(b"{")
    theirs = tmp_path / "home" / "trash" / "mine"
    theirs.mkdir()
    (theirs / f".assetctl-{'0' * 32}").write_bytes(b"mine")
    trash.tidy()
    assert everything(tmp_path / "home") == {f".assetctl-{'0' * 32}": b"mine"}
    assert not folder.parent.exists()


def test_an_entry_in_a_store_from_elsewhere_keeps_to_that_store(trash, tmp_path):
    folder = tmp_path / "home" / "models" / ".trash" / ".aaaaaaaa"
    (folder / "0").mkdir(parents=True)
    (folder / "0" / "evil").write_bytes(b"evil")
    document = {
        "version": 1, "name": "nice", "kind": None, "reason": "rm", "deleted_at": "2026-01-01T00:00:00Z", "asset": None,
        "store": str(tmp_path / "home" / "models"), "home": "/somewhere", "files": [{"path": "/etc/evil", "size": 4}],
    }  # fmt: skip
    (folder / "entry.json").write_text(json.dumps(document))
    assert trash.entries() == []
    document["files"] = [{"path": str(tmp_path / "home" / "models" / "loras" / "evil"), "size": 4}]
    (folder / "entry.json").write_text(json.dumps(document))
    assert [entry.name for entry in trash.entries()] == ["nice"]
