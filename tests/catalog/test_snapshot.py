"""A catalog is read with all that was committed where nothing can be written: on a full disk, in another's home."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from disks import fill, give_up_rights, refused_writes, small_disk, unwritable

from assetctl.catalog import Catalog, NewAsset
from assetctl.catalog.snapshot import snapshot
from assetctl.errors import CatalogError, StorageError
from assetctl.types import AssetFile, Identification

if TYPE_CHECKING:
    from pathlib import Path


def asset(name: str) -> NewAsset:
    path = f"/loras/{name}.safetensors"
    return NewAsset(name, path, (AssetFile(path, 10, 1),), Identification(), in_store=False)


@pytest.fixture
def home(tmp_path):
    """A home whose second asset is in the write-ahead log alone: whoever wrote it was killed."""
    made, home = tmp_path / "made", tmp_path / "home"
    made.mkdir()
    home.mkdir()
    with Catalog(made / "catalog.db") as catalog:
        catalog.add([asset("first")])
        with contextlib.closing(sqlite3.connect(made / "catalog.db")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        catalog.add([asset("second")])
        for name in ("catalog.db", "catalog.db-wal"):
            shutil.copy(made / name, home)
    return home


def contents(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir()}


def names(home: Path) -> list[str]:
    with Catalog(home / "catalog.db") as catalog:
        return [found.name for found in catalog.read.assets()]


def test_what_is_in_the_log_alone_is_read_where_nothing_can_be_written(home, tmp_path):
    before = contents(home)
    with unwritable(home, tmp_path / "seen") as seen:
        assert names(seen) == ["first", "second"]
    assert contents(home) == before


def test_what_somebody_writes_meanwhile_is_read_too(home, tmp_path):
    with Catalog(home / "catalog.db") as writing, unwritable(home, tmp_path / "seen") as seen:
        with contextlib.suppress(sqlite3.Error):  # where permissions make it so, to the one who writes as well
            with sqlite3.connect(home / "catalog.db") as connection:
                connection.execute("UPDATE assets SET name = 'third' WHERE name = 'second'")
            connection.close()
        assert names(seen) == [found.name for found in writing.read.assets()]


def test_a_log_that_may_not_be_read_is_told_of(home):
    (home / "catalog.db-wal").chmod(0)
    home.chmod(0o555)
    code = "import sys; from assetctl.cli.main import run; sys.exit(run(['list']))"
    environment = {**os.environ, "ASSETCTL_HOME": str(home)}
    try:
        ended = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False,
            preexec_fn=give_up_rights,
        )  # fmt: skip
    finally:
        home.chmod(0o755)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "catalog.db-wal, which holds the catalog's latest changes, cannot be read: Permission denied" in ended.stderr


def test_a_full_disk_can_be_read_and_says_what_can_not_be_written(home):
    with refused_writes(), Catalog(home / "catalog.db") as catalog:
        assert [found.name for found in catalog.read.search("sec")] == ["second"]
        with pytest.raises(StorageError, match="disk is full"):
            catalog.add([asset("third")])
        assert len(catalog.read.assets()) == 2


def test_what_is_written_at_last_is_read_by_whoever_wrote_it(home):
    with refused_writes():
        catalog = Catalog(home / "catalog.db")
    with catalog:
        (number,) = catalog.add([asset("third")])
        assert catalog.read.by_id(number).name == "third"
        with catalog.write() as writer:
            writer.rename(number, "last")
        assert [found.name for found in catalog.read.assets()] == ["first", "last", "second"]


def test_a_disk_without_a_byte_left_can_be_read(home, tmp_path):
    with small_disk(tmp_path / "disk", 4 * 2**20) as disk:
        shutil.copytree(home, disk / "home")
        fill(disk)
        assert names(disk / "home") == ["first", "second"]


def test_a_database_left_half_written_is_not_taken_for_whole(home):
    (home / "catalog.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + bytes(504))
    with pytest.raises(StorageError, match="half written"):
        snapshot(home / "catalog.db")


def test_a_log_that_would_fill_the_memory_is_refused(home):
    log = home / "catalog.db-wal"
    with log.open("r+b") as opened:
        opened.truncate(2**28 + 1)
    with pytest.raises(CatalogError, match="too large"):
        snapshot(home / "catalog.db")


WRITES_IN_PAIRS = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA wal_autocheckpoint = 3")
print("begun", flush=True)
for burst in range(5):
    for _ in range(20):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 3000,)] * 2)
        connection.execute("COMMIT")
    time.sleep(0.2)
"""


def test_what_another_process_writes_is_read_whole_or_not_at_all(tmp_path):
    path = tmp_path / "some.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (x)")
    with subprocess.Popen([sys.executable, "-c", WRITES_IN_PAIRS, path], stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline()
        while writer.poll() is None:
            with contextlib.suppress(StorageError), contextlib.closing(sqlite3.connect(":memory:")) as connection:
                connection.deserialize(snapshot(path))
                assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
                assert connection.execute("SELECT count(*) % 2 FROM t").fetchone() == (0,)


def dumped(content: bytes) -> list[str]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        if content:
            connection.deserialize(content)
        return [*connection.iterdump(), *map(str, connection.execute("PRAGMA integrity_check"))]


def as_sqlite_reads(folder: Path, aside: Path) -> list[str]:
    shutil.copytree(folder, aside)
    try:
        with contextlib.closing(sqlite3.connect(aside / "some.db")) as connection:
            return [*connection.iterdump(), *map(str, connection.execute("PRAGMA integrity_check"))]
    finally:
        shutil.rmtree(aside)


@pytest.mark.parametrize("page_size", [512, 4096, 32768])
def test_logs_are_read_as_sqlite_reads_them(tmp_path, page_size):
    chance = random.Random(page_size)
    folder, copied = tmp_path / "live", tmp_path / "copied"
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "some.db", isolation_level=None)) as connection:
        for pragma in (f"page_size = {page_size}", "journal_mode = WAL", "wal_autocheckpoint = 0", "cache_size = 3"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x)")
        for step in range(12):
            connection.execute("BEGIN")
            rows = [(chance.randrange(200), chance.randbytes(chance.randrange(3000))) for _ in range(9)]
            connection.executemany("INSERT OR REPLACE INTO t VALUES (?, ?)", rows)
            copied.mkdir()
            for name in ("some.db", "some.db-wal"):  # what is not committed yet may be in the log
                shutil.copy(folder / name, copied)
            connection.execute("ROLLBACK" if step % 5 == 3 else "COMMIT")
            if step % 4 == 2:
                connection.execute("DELETE FROM t WHERE n < 100")
                connection.execute("VACUUM")
            if step % 6 == 5:
                connection.execute("PRAGMA wal_checkpoint(RESTART)")  # old frames stay behind new ones
            log = copied / "some.db-wal"
            for cut in (None, chance.randrange(log.stat().st_size + 1)):
                if cut is not None:
                    os.truncate(log, cut)
                os.utime(log, (1, 1))
                os.utime(copied / "some.db", (1, 1))
                assert dumped(snapshot(copied / "some.db")) == as_sqlite_reads(copied, tmp_path / "aside"), (step, cut)
            shutil.rmtree(copied)


def test_a_log_damaged_anywhere_is_read_as_sqlite_reads_it(home, tmp_path):
    chance = random.Random(0)
    (home / "catalog.db").rename(home / "some.db")
    log = home / "some.db-wal"
    (home / "catalog.db-wal").rename(log)
    good = log.read_bytes()
    os.utime(home / "some.db", (1, 1))
    for place in [*range(0, 56, 3), *(chance.randrange(len(good)) for _ in range(20))]:
        bad = bytearray(good)
        bad[place] ^= 1 << chance.randrange(8)
        log.write_bytes(bad)
        os.utime(log, (1, 1))
        try:
            expected = as_sqlite_reads(home, tmp_path / "aside")
        except sqlite3.Error:
            continue  # a log of another version, which SQLite refuses and we pass over
        assert dumped(snapshot(home / "some.db")) == expected, place
