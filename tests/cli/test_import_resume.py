"""Importing again: what is unchanged is not opened, and what was interrupted goes on where it ended."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from compat.sparse import write_sparse
from patience import fair

from assetctl.catalog import Catalog
from assetctl.files.hashing import HashRun
from tests.material import write_lora

_opened: list[str] = []


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and isinstance(arguments[0], (str, os.PathLike)):
        _opened.append(os.fspath(arguments[0]))


@pytest.fixture(scope="module")
def hook():
    sys.addaudithook(_listen)  # stays for good


@pytest.fixture
def opened(hook):
    """Paths of the files that this process opened, since the test last cleared it."""
    _opened.clear()
    return _opened


def in_folder(paths, folder) -> set[str]:
    return {path for path in paths if path.startswith(f"{folder}/")}


def rows(home, query: str) -> list[tuple]:
    with sqlite3.connect(home / "catalog.db", timeout=5) as connection:
        return connection.execute(query).fetchall()


def test_unchanged_files_are_not_opened(assetctl, tmp_path, opened):
    folder = tmp_path / "loras"
    for number in range(5):
        write_lora(folder / f"{number}.safetensors", seed=number)
    assert assetctl("import", folder).code == 0
    assert len(in_folder(opened, folder)) == 5
    opened.clear()
    assert "5 unchanged" in assetctl("import", folder).err
    assert in_folder(opened, folder) == set()


def test_a_file_is_known_by_path_size_and_time_alone(assetctl, tmp_path, opened):
    lora = write_lora(tmp_path / "one.safetensors")
    assetctl("import", lora)
    before, length = lora.stat(), lora.stat().st_size
    lora.write_bytes(b"\0" * length)
    os.utime(lora, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert "1 unchanged" in assetctl("import", lora).err
    os.utime(lora, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert assetctl("import", lora).code == 5


def interrupted(home, folder, assets: int) -> int:
    """Exit code of an import that gets Ctrl-C once all is registered and some is hashed."""
    command = [sys.executable, "-m", "assetctl", "import", str(folder)]
    process = subprocess.Popen(command, env={**os.environ, "ASSETCTL_HOME": str(home)}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + fair(30)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
        if (home / "catalog.db").exists() and len(rows(home, "SELECT 1 FROM files")) == assets:
            break
    time.sleep(fair(0.1))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=fair(30))
    return process.returncode


def test_an_interrupted_import_keeps_assets_and_hashes_and_the_next_hashes_the_rest(home, assetctl, tmp_path, opened):
    folder = tmp_path / "loras"
    for number in range(3):
        write_lora(folder / f"a-{number}.safetensors", seed=number)
    for number in range(2):
        write_sparse(folder / f"b-{number}.safetensors", {"emb_params": [(2 + number) * 2**28 // 1536, 768]})
    shutil.copy(folder / "a-0.safetensors", folder / "c-twin.safetensors")  # on two cores, its turn never comes
    Catalog(home / "catalog.db").close()
    assert interrupted(home, folder, 6) == 130
    states = dict(rows(home, "SELECT path, sha256 FROM files"))
    done = {path for path, sha256 in states.items() if sha256}
    assert len(states) == 6
    assert {str(folder / f"a-{number}.safetensors") for number in range(3)} <= done
    assert done < set(states)
    opened.clear()
    ended = assetctl("import", folder)
    assert ended.code == 0
    assert in_folder(opened, folder) == set(states) - done
    assert rows(home, "SELECT count(*) FROM files WHERE sha256 IS NULL") == [(0,)]
    assert len(assetctl("list", "--json").data) == 5  # the twin has become a copy


def test_a_broken_file_is_not_read_through_before_it_is_refused(assetctl, tmp_path, opened):
    folder = tmp_path / "loras"
    good = write_lora(folder / "good.safetensors")
    broken = folder / "broken.safetensors"
    broken.write_bytes(good.read_bytes()[:-1])
    for _ in range(2):
        opened.clear()
        assert str(broken) in assetctl("import", folder).err
        assert opened.count(str(broken)) == 1


def test_a_late_hash_makes_no_asset_of_a_persons_own_vanish(home, assetctl, tmp_path):
    first = write_lora(tmp_path / "first.safetensors")
    twin = tmp_path / "twin.safetensors"
    shutil.copy(first, twin)
    assetctl("import", "--no-hash", first, twin)
    time.sleep(1.1)  # the catalog's clock counts seconds
    assert assetctl("edit", "twin", "--notes", "mine").code == 0
    assert assetctl("import", first, twin).code == 0
    assert {asset["name"] for asset in assetctl("list", "--json").data} == {"first", "twin"}


def test_what_a_person_edits_while_hashes_come_is_not_merged_away(assetctl, home, tmp_path, monkeypatch):
    folder = tmp_path / "loras"
    write_lora(folder / "first.safetensors")
    assetctl("import", folder)
    shutil.copyfile(folder / "first.safetensors", folder / "second.safetensors")
    batches = HashRun.batches

    def meanwhile(self):
        assert assetctl("edit", "second", "--notes", "strong above 1").code == 0
        yield from batches(self)

    monkeypatch.setattr(HashRun, "batches", meanwhile)
    assert assetctl("import", folder).code == 0
    assert {one["name"] for one in assetctl("list", "--json").data} == {"first", "second"}
    assert assetctl("inspect", "second", "--json").data["notes"] == "strong above 1"


def test_a_copy_whose_original_changed_has_its_hash(assetctl, tmp_path):
    folder = tmp_path / "loras"
    first = write_lora(folder / "first.safetensors")
    shutil.copyfile(first, folder / "second.safetensors")
    assetctl("import", folder)
    write_lora(first, seed=5)
    assetctl("import", folder)
    found = assetctl("list", "--json").data
    assert len({one["sha256"] for one in found} - {None}) == len(found) == 2


def test_a_folder_named_twice_counts_once(assetctl, tmp_path):
    folder = tmp_path / "loras"
    write_lora(folder / "first.safetensors")
    assert "1 new" in assetctl("import", folder, folder).err
