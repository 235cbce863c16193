"""What the disk refuses, said plainly; and copies that share their bytes where the filesystem can."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from contextlib import contextmanager
from io import FileIO
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, StorageError
from assetctl.files.regular import open_regular

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import IO

COPY_CHUNK = 2**20

#: Linux's request to share extents between two files: see `man 2 ioctl_ficlone`.
_FICLONE = 0x40049409

_FULL = ("the disk is full", "Free some space and run the command again: what was fetched so far is kept.")
_DENIED = ("permission denied", "Check who owns the folder, or set ASSETCTL_MODELS to one that you may write.")
_READ_ONLY = ("the disk is read-only", "Set ASSETCTL_MODELS to a folder on a disk that can be written.")
_TOO_LARGE = (
    "the file is too large for this disk",
    "Set ASSETCTL_MODELS to a folder on another disk: FAT ends at 4 GB.",
)
_REASONS = {
    errno.EFBIG: _TOO_LARGE,
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: _READ_ONLY,
}


@contextmanager
def storage_errors(doing: str) -> Iterator[None]:
    """Turn what the disk refuses inside the block into a `StorageError`; `doing` completes "Can not …".

    No network call belongs in the block: those errors are `OSError`s too.
    """
    try:
        yield
    except OSError as error:
        otherwise = (error.strerror or "the disk failed", "Check the disk and the path.")
        reason, hint = _REASONS.get(error.errno or 0, otherwise)
        raise StorageError(f"Can not {doing}: {reason}.", hint) from error


def copy_file(source: Path, target: Path, on_bytes: Callable[[int], None] | None = None) -> None:
    """Copy the bytes of `source` to `target`, sharing them on filesystems that copy on write.

    Args:
        source: Followed if it is a link.
        target: Created, or overwritten.
        on_bytes: Told of every piece by its length.

    Raises:
        CorruptFileError: `source` changed meanwhile.
        OSError: The disk refused.
    """
    with source.open("rb") as reading, target.open("wb") as writing:
        before = os.fstat(reading.fileno())
        if sys.platform != "win32":  # what only its owner may read stays so
            os.fchmod(writing.fileno(), os.fstat(writing.fileno()).st_mode & before.st_mode & 0o777)
        if _clone(reading, writing):
            if on_bytes:
                on_bytes(before.st_size)
        else:
            _copy_bytes(reading, writing, on_bytes)
        after = os.fstat(reading.fileno())
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        target.unlink()
        raise CorruptFileError(f"{source} changed while it was copied.", "Wait until it is complete; then try again.")


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files hold the same bytes, read whole; nobody may have written to either meanwhile.

    Raises:
        OSError: One of them can not be read, or is no regular file.
    """
    with _opened(one) as first, _opened(other) as second:
        before = [_state(file) for file in (first, second)]
        if before[0][0] != before[1][0]:
            return False
        while chunk := first.read(COPY_CHUNK):
            if chunk != second.read(len(chunk)):
                return False
        return [_state(file) for file in (first, second)] == before


def _opened(path: Path) -> FileIO:
    descriptor, _ = open_regular(path)
    return FileIO(descriptor)


def _state(file: FileIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def link_or_copy(source: Path, target: Path) -> None:
    """Make `target` another name of the same bytes, or a copy where the filesystem has no hard links.

    Raises:
        OSError: The disk refused, or `target` exists.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        shutil.copyfile(source, target)


#: What filesystems say that have no hard links, or none from there to here.
NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS})


def write_text(path: Path, text: str) -> None:
    """Write a file, whole or not at all: beside its place, and then under its name.

    Raises:
        OSError: The disk refused.
    """
    incoming = path.with_name(f".{path.name}.{os.getpid()}.incoming")
    try:
        incoming.write_text(text, "utf-8")
        incoming.replace(path)
    finally:
        incoming.unlink(missing_ok=True)


def write_all(opened: FileIO, data: bytes | memoryview) -> None:
    """Write all of `data`: an unbuffered file may take only some of it when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[opened.write(rest) :]


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut, where the system can sync folders."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_bytes(reading: IO[bytes], writing: IO[bytes], on_bytes: Callable[[int], None] | None) -> None:
    while chunk := reading.read(COPY_CHUNK):
        writing.write(chunk)
        if on_bytes:
            on_bytes(len(chunk))


def _clone(reading: IO[bytes], writing: IO[bytes]) -> bool:
    if sys.platform != "linux":
        return False
    import fcntl  # noqa: PLC0415 - exists on Unix alone

    try:
        fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
    except OSError:
        return False
    return True
