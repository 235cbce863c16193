"""Writing past the cache: the same bytes wherever they go, and whatever the disk can do."""

from __future__ import annotations

import errno
import os
import random
from mmap import mmap
from pathlib import Path

import pytest

from assetctl.files.disk import BLOCK, DirectFile

DATA = random.Random(3).randbytes(40 * BLOCK + 777)


def pages(data: bytes) -> memoryview:
    """`data` in memory that begins with a page."""
    view = memoryview(mmap(-1, len(data)))
    view[:] = data
    return view


def write_in(path: Path, sizes: list[int]) -> None:
    path.touch()
    with DirectFile(path) as file:
        position = 0
        for size in sizes:
            file.write(position, pages(DATA[position : position + size]))
            position += size
        file.write(position, pages(DATA[position:]))


@pytest.mark.parametrize(
    "sizes",
    [[], [BLOCK] * 40, [8 * BLOCK] * 5, [100, BLOCK - 100, 4 * BLOCK, 5 * BLOCK], [BLOCK, 1, BLOCK, 7 * BLOCK]],
)
def test_pieces_of_all_sizes_make_the_file(tmp_path, sizes):
    write_in(tmp_path / "out", sizes)
    assert (tmp_path / "out").read_bytes() == DATA


def test_pieces_come_in_any_order_cached_or_not(tmp_path):
    path = tmp_path / "out"
    path.touch()
    starts = list(range(0, len(DATA), 4 * BLOCK))
    random.Random(5).shuffle(starts)
    with DirectFile(path) as file:
        for number, start in enumerate(starts):
            file.write(start, pages(DATA[start : start + 4 * BLOCK]), cached=bool(number % 2))
    assert path.read_bytes() == DATA


MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name of its own


@pytest.mark.skipif(not MEMORY.is_dir(), reason="needs a file system in memory")
def test_a_filesystem_in_memory_will_do():
    path = MEMORY / f"assetctl-test-{os.getpid()}"
    try:
        write_in(path, [BLOCK] * 9)
        assert path.read_bytes() == DATA
    finally:
        path.unlink()


@pytest.fixture
def direct(tmp_path) -> None:
    """Skips where the disk cannot be written past the cache."""
    probe = tmp_path / "probe"
    probe.touch()
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_DIRECT))
    except (AttributeError, OSError):
        pytest.skip("the system or its disk writes through its cache alone")


@pytest.mark.usefixtures("direct")
def test_a_disk_that_changes_its_mind_gets_the_bytes_the_usual_way(tmp_path, monkeypatch):
    pwrite, calls = os.pwrite, []

    def once(handle: int, data: memoryview, position: int) -> int:
        calls.append(position)
        if len(calls) > 1:
            raise OSError(errno.EINVAL, "Invalid argument")
        return pwrite(handle, data[:BLOCK], position)

    monkeypatch.setattr(os, "pwrite", once)
    write_in(tmp_path / "out", [8 * BLOCK] * 3)
    assert (tmp_path / "out").read_bytes() == DATA
    assert calls == [0, BLOCK]


@pytest.mark.usefixtures("direct")
def test_a_full_disk_is_no_matter_of_alignment(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    (tmp_path / "out").touch()
    with DirectFile(tmp_path / "out") as file, pytest.raises(OSError, match="No space"):
        file.write(0, pages(DATA[:BLOCK]))
