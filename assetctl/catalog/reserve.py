"""Room kept for the catalog: a full disk must not keep what frees space from being written down.

SQLite needs room to forget an asset: its journal grows before anything shrinks. So a file of zeros lies beside the
catalog, which is given back to the disk while something is removed, and made again afterwards.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Bytes that are kept: SQLite's journal is written back once it has grown to 4 MB.
SIZE = 6 * 2**20

#: A disk with less than this free, in bytes, keeps its last room to itself.
PLENTY = 64 * 2**20

#: How the file begins; zeros follow. A file that begins otherwise is somebody else's.
_FIRST_LINE = b"assetctl: room for the catalog, to be used when the disk is full. It holds nothing.\n"

_FLAGS = getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_CHUNK = 2**20
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def reserve_of(catalog: Path) -> Path:
    """Where the room for a catalog is kept."""
    return catalog.with_name(f"{catalog.name}.reserve")


def keep_room(catalog: Path, *, free: int = PLENTY) -> None:
    """Make the file, unless it is there, something else is, or the disk has less than `free` bytes.

    What the disk refuses is no failure: nobody asked for the file.
    """
    path = reserve_of(catalog)
    with contextlib.suppress(OSError):
        if _size(path) == SIZE or shutil.disk_usage(catalog.parent).free < free:
            return
        if os.path.lexists(path):
            if not _is_ours(path):
                return
            path.unlink()  # cut short: whoever made it was killed
        _make(path)


@contextlib.contextmanager
def room_given_back(catalog: Path) -> Iterator[None]:
    """While the block runs, a full disk has the room that was kept; it is kept again where the disk is full no more."""
    given = _give_back(catalog)
    try:
        yield
    finally:
        if given:
            keep_room(catalog, free=2 * SIZE)


def _give_back(catalog: Path) -> bool:
    """Give the room back to a disk that is full; whether that was done."""
    path = reserve_of(catalog)
    try:
        if _has_room(catalog.parent) or not _is_ours(path):
            return False
        path.unlink()
    except FileNotFoundError:  # another process was faster, and makes it again
        return False
    except OSError:
        return False
    return True


def _has_room(folder: Path) -> bool:
    """Whether the disk takes as much as is kept; beside its own free space, quotas may have a say."""
    if shutil.disk_usage(folder).free < SIZE:
        return False
    if not hasattr(os, "O_TMPFILE") or not hasattr(os, "posix_fallocate"):
        return True
    try:
        handle = os.open(folder, os.O_TMPFILE | os.O_RDWR | _FLAGS, 0o600)  # a file without a name, gone when closed
    except OSError:
        return True
    try:
        os.posix_fallocate(handle, 0, SIZE)
    except OSError as error:
        return error.errno not in _NO_ROOM
    finally:
        os.close(handle)
    return True


def _size(path: Path) -> int | None:
    """The size of a regular file, which is no link."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def _is_ours(path: Path) -> bool:
    """Whether this is the file that `_make` makes, whole or cut short: a person's own file is left alone."""
    size = _size(path)
    if size is None or not len(_FIRST_LINE) <= size <= SIZE or path.lstat().st_nlink != 1:
        return False
    with open(os.open(path, os.O_RDONLY | _FLAGS), "rb") as opened:  # noqa: PTH123 - no link is followed
        if opened.read(len(_FIRST_LINE)) != _FIRST_LINE:
            return False
        while chunk := opened.read(_CHUNK):
            if chunk.count(0) != len(chunk):
                return False
    return True


def _make(path: Path) -> None:
    """Write the file so that its bytes are really taken.

    Raises:
        OSError: The disk refused, and there is no file; or one was there.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644)
    try:
        with open(handle, "wb", buffering=0) as opened:  # noqa: PTH123 - as above
            opened.write(_FIRST_LINE)
            _allocate(handle)
    except OSError:
        path.unlink()
        raise


def _allocate(handle: int) -> None:
    if hasattr(os, "posix_fallocate"):
        with contextlib.suppress(OSError):  # some filesystems can not
            os.posix_fallocate(handle, 0, SIZE)
            return
    left = SIZE - len(_FIRST_LINE)
    while left:
        left -= os.write(handle, bytes(min(left, _CHUNK)))
