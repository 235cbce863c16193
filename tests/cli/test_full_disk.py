"""On a full disk everything that is known can be read, and what cannot be written is said in a sentence."""

from __future__ import annotations

import shutil

import pytest
from disks import fill, refused_writes, small_disk
from material import write_lora

READING = [
    ("list",), ("list", "--limit", "1"), ("search", "whisk"), ("inspect", "whiskers"), ("verify", "--quick"),
    ("check", "whiskers"), ("history",), ("du",), ("rm", "--help"), ("dedupe",), ("export",),
]  # fmt: skip


@pytest.fixture
def full(assetctl, home, tmp_path, monkeypatch):
    """A home with one asset, on a disk without a byte left."""
    assetctl("import", "--copy", write_lora(tmp_path / "files" / "whiskers.safetensors"))
    (home / "catalog.db.reserve").unlink()
    with small_disk(tmp_path / "disk", 4 * 2**20) as disk:
        shutil.copytree(home, disk / "home")
        monkeypatch.setenv("ASSETCTL_HOME", str(disk / "home"))
        fill(disk)
        yield disk


def test_a_full_disk_is_read(assetctl, full):
    for command in READING:
        ended = assetctl(*command)
        assert "is full" not in ended.err, command
        assert ended.code == 0, (command, ended.err)


def test_what_can_not_be_written_on_a_full_disk_is_said(assetctl, full):
    ended = assetctl("edit", "whiskers", "--tag", "x", "--json")
    assert (ended.code, ended.error["code"]) == (1, "storage")
    assert "is full" in ended.error["message"]


@pytest.mark.parametrize("command", READING, ids=lambda words: words[0])
def test_what_refuses_every_byte_is_read(assetctl, tmp_path, command):
    assetctl("import", "--copy", write_lora(tmp_path / "files" / "whiskers.safetensors"))
    with refused_writes():
        ended = assetctl(*command)
    assert ended.code == 0, ended.err


@pytest.fixture
def filled(assetctl, tmp_path, monkeypatch):
    """A home with assets, an unfinished download and something in the trash, on a disk that was filled by another."""
    with small_disk(tmp_path / "disk", 128 * 2**20) as disk:
        monkeypatch.setenv("ASSETCTL_HOME", str(disk / "home"))
        for name, seed in (("one", 1), ("two", 2), ("three", 3)):
            assetctl("import", "--move", write_lora(tmp_path / f"{name}.safetensors", rank=512, seed=seed))
        assetctl("rm", "three", "--yes")
        unfinished = disk / "home" / "models" / ".staging" / ("0" * 32)
        unfinished.mkdir()
        (unfinished / "half.part").write_bytes(bytes(2**20))
        fill(disk)
        yield disk


@pytest.mark.parametrize(
    "command",
    [
        ("rm", "one"),
        ("rm", "one", "--now"),
        ("prune",),
        ("prune", "--now"),
        ("trash", "empty"),
        ("trash", "restore", "three"),
    ],
    ids=" ".join,
)
def test_what_frees_space_works_on_a_full_disk(assetctl, filled, command):
    ended = assetctl(*command, *([] if "restore" in command else ["--yes"]))
    assert ended.code == 0, ended.err
    assert assetctl("verify").code == 0
    assert assetctl("trash", "empty", "--yes").code == 0
    assert shutil.disk_usage(filled).free > 0


@pytest.mark.parametrize("command", [("rm", "one", "--now"), ("prune", "--now"), ("trash", "empty")], ids=" ".join)
def test_what_is_deleted_for_good_frees_space_without_any_room(assetctl, filled, command):
    room = filled / "home" / "catalog.db.reserve"
    room.unlink()
    fill(filled)
    ended = assetctl(*command, "--yes")
    assert ended.code == 0, ended.err
    assert shutil.disk_usage(filled).free > 0
