"""Two files that share their bytes on disk, and stay two files: what is written into the one never shows in the other.

Linux alone is asked, by the requests that `man 2 ioctl_fideduperange` and the kernel's `fiemap` page describe.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FIDEDUPERANGE = 0xC0189436
_FS_IOC_FIEMAP = 0xC020660B

#: The most that one request may compare, in bytes.
_AT_A_TIME = 16 * 2**20

#: Request: offset, length, how many, two that are reserved; then file, offset, bytes shared, status, reserved.
_DEDUPE = struct.Struct("=QQHHI" + "qQQiI")

#: Start, length, flags, mapped, how many fit, reserved.
_MAP = struct.Struct("=QQIIII")

#: Logical, physical, length, two reserved, flags, three reserved.
_EXTENT = struct.Struct("=QQQQQIIII")
_LAST, _SHARED = 0x1, 0x2000
_EXTENTS = 256


def share_bytes(source: Path, copy: Path) -> bool:
    """Let `copy` share the bytes of `source` on disk; the kernel compares them itself.

    Name, time, permissions and content of both stay as they are.

    Returns:
        Whether all of them are shared now: not every filesystem can, and the two may have come to differ.

    Raises:
        OSError: One of them cannot be opened, or is a link.
    """
    if sys.platform != "linux":
        return False
    with _descriptor(source, os.O_RDONLY) as first, _descriptor(copy, os.O_RDWR) as second:
        size = os.fstat(second).st_size
        return os.fstat(first).st_size == size and all(
            _share(first, second, position, min(_AT_A_TIME, size - position)) for position in range(0, size, _AT_A_TIME)
        )


def bytes_alone(path: Path) -> int:
    """How many bytes on disk a file shares with no other: so many become free where it goes.

    Raises:
        OSError: It cannot be opened, or is a link.
    """
    status = path.lstat()
    if status.st_nlink > 1:
        return 0
    if sys.platform != "linux":
        return status.st_size
    with _descriptor(path, os.O_RDONLY) as descriptor:
        os.fsync(descriptor)  # what is not on the disk yet has no place there
        mapped = _mapped(descriptor)
    return status.st_blocks * 512 if mapped is None else mapped


@contextlib.contextmanager
def _descriptor(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _share(source: int, copy: int, position: int, length: int) -> bool:
    while length:
        request = bytearray(_DEDUPE.pack(position, length, 1, 0, 0, copy, position, 0, 0, 0))
        if not _ask(source, _FIDEDUPERANGE, request):
            return False
        *_, shared, status, _ = _DEDUPE.unpack(request)
        if status != 0 or not shared:
            return False
        position, length = position + shared, length - shared
    return True


def _mapped(descriptor: int) -> int | None:
    """Bytes of the extents that are the file's alone; `None` where the filesystem does not say."""
    start, total = 0, 0
    while True:
        room = bytes(_EXTENTS * _EXTENT.size)
        request = bytearray(_MAP.pack(start, 2**64 - 1 - start, 0, 0, _EXTENTS, 0) + room)
        if not _ask(descriptor, _FS_IOC_FIEMAP, request):
            return None
        count = _MAP.unpack_from(request)[3]
        flags = _LAST
        for number in range(count):
            logical, _, length, _, _, flags, *_ = _EXTENT.unpack_from(request, _MAP.size + number * _EXTENT.size)
            total += 0 if flags & _SHARED else length
            start = logical + length
        if flags & _LAST:
            return total


def _ask(descriptor: int, what: int, request: bytearray) -> bool:
    """Whether the system could do what is asked; its answer is in `request` then."""
    import fcntl  # noqa: PLC0415 - exists on Unix alone

    try:
        fcntl.ioctl(descriptor, what, request)
    except OSError:
        return False
    return True
