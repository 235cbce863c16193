"""What frees space can be written down on a full disk, by the room that was kept for it."""

from __future__ import annotations

import os
import shutil
import sqlite3

import pytest
from disks import fill, refused_writes, small_disk

from assetctl.catalog import Catalog, NewAsset
from assetctl.catalog.catalog import KEPT, reserve_of
from assetctl.errors import StorageError
from assetctl.operations.workspace import Workspace
from assetctl.settings import Settings
from assetctl.types import AssetFile, Identification

LARGE = 80 * 2**20


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", LARGE) as folder:
        yield folder


def workspace(home) -> Workspace:
    return Workspace(Settings.load(home))


def fresh(home, count: int = 200) -> list[int]:
    """A home with so many assets."""
    home.mkdir(exist_ok=True)
    with Catalog(home / "catalog.db") as catalog:
        entries = [
            NewAsset(f"a{n}", f"/l/a{n}.st", (AssetFile(f"/l/a{n}.st", 10, 1),), Identification(), in_store=False)
            for n in range(count)
        ]
        return catalog.add(entries)


def forget(space: Workspace, numbers: list[int]) -> None:
    with space.catalog.write() as writer:
        for number in numbers:
            writer.remove(number)


def test_writing_keeps_room_for_the_catalog_and_reading_does_not(tmp_path):
    path = tmp_path / "catalog.db"
    Catalog(path).close()
    assert not reserve_of(path).exists()
    fresh(tmp_path, 1)
    status = reserve_of(path).stat()
    assert status.st_size == KEPT
    assert status.st_blocks * 512 >= KEPT  # really taken


def test_an_asset_is_forgotten_on_a_full_disk(disk):
    numbers = fresh(disk / "home")
    fill(disk)
    space = workspace(disk / "home")
    with space.reserve():
        assert not reserve_of(space.settings.catalog).exists()
        for number in numbers[:150]:
            with space.catalog.write() as writer:
                writer.remove(number)
        with space.catalog.write() as writer:
            writer.set_notes(numbers[-1], "n" * 50_000)
    assert len(space.catalog.read.assets()) == 50
    space.close()
    (disk / "taken").unlink()
    with workspace(disk / "home").reserve():
        pass
    fresh(disk / "home")
    assert reserve_of(space.settings.catalog).stat().st_size == KEPT


def test_without_it_a_full_disk_is_told_of_and_nothing_is_changed(disk):
    numbers = fresh(disk / "home")
    reserve_of(disk / "home" / "catalog.db").unlink()
    space = workspace(disk / "home")
    assert len(space.catalog.read.assets()) == 200
    fill(disk)
    with space.reserve(), pytest.raises(StorageError, match="disk is full"):
        forget(space, numbers[:150])
    assert len(space.catalog.read.assets()) == 200
    space.close()


def test_the_room_is_kept_again_once_there_is_space(disk):
    fresh(disk / "home")
    taken = fill(disk)
    reserve = reserve_of(disk / "home" / "catalog.db")
    with workspace(disk / "home").reserve():
        os.truncate(taken, taken.stat().st_size - 2 * KEPT)
    assert reserve.stat().st_size == KEPT
    with workspace(disk / "home").reserve():  # half of it is free: nothing needs to be given back
        assert reserve.exists()


def test_where_a_quota_refuses_the_room_is_given_back_too(tmp_path):
    fresh(tmp_path, 1)
    reserve = reserve_of(tmp_path / "catalog.db")
    with refused_writes(), workspace(tmp_path).reserve():
        assert not reserve.exists()
    assert not reserve.exists()
    fresh(tmp_path, 1)
    assert reserve.stat().st_size == KEPT


def test_where_there_is_room_nothing_is_given_back(tmp_path):
    fresh(tmp_path, 1)
    with workspace(tmp_path).reserve():
        assert reserve_of(tmp_path / "catalog.db").stat().st_size == KEPT
    assert [path.name for path in tmp_path.iterdir() if "catalog" not in path.name] == []


def test_a_disk_without_plenty_of_space_keeps_its_last_room(tmp_path):
    with small_disk(tmp_path / "small", 20 * 2**20) as disk:
        fresh(disk / "home")
        assert not reserve_of(disk / "home" / "catalog.db").exists()


OTHERS = {
    "notes": lambda path: path.write_bytes(b"my notes"),
    "as large": lambda path: path.write_bytes(b"mine" + bytes(KEPT - 4)),
    "another name of a file": lambda path: path.hardlink_to(path.with_name("elsewhere")),
    "a link": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "a folder": lambda path: path.mkdir(),
    "begins alike": lambda path: path.write_bytes(
        b"assetctl: room for the catalog, to be used when the disk is full. It holds nothing.\n" + b"but this"
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_persons_own_file_of_that_name_stays(tmp_path, other):
    reserve = reserve_of(tmp_path / "catalog.db")
    (tmp_path / "elsewhere").write_bytes(b"mine")
    OTHERS[other](reserve)
    before = reserve.lstat().st_ino, reserve.lstat().st_size
    fresh(tmp_path, 1)
    with refused_writes(), workspace(tmp_path).reserve():
        pass
    assert (reserve.lstat().st_ino, reserve.lstat().st_size) == before
    assert (tmp_path / "elsewhere").read_bytes() == b"mine"


def test_one_that_was_cut_short_is_made_anew(tmp_path):
    fresh(tmp_path, 1)
    reserve = reserve_of(tmp_path / "catalog.db")
    os.truncate(reserve, 5000)
    fresh(tmp_path, 1)
    assert reserve.stat().st_size == KEPT


def test_two_commands_share_the_room(disk):
    numbers = fresh(disk / "home")
    fill(disk)
    one, other = workspace(disk / "home"), workspace(disk / "home")
    with one.reserve(), other.reserve():
        for space, number in ((one, numbers[0]), (other, numbers[1])):
            with space.catalog.write() as writer:
                writer.remove(number)
    one.close()
    other.close()
    assert shutil.disk_usage(disk).free > KEPT // 2
    with sqlite3.connect(disk / "home" / "catalog.db") as connection:
        assert connection.execute("SELECT count(*) FROM assets").fetchone() == (198,)
