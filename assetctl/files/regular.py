"""Opening what should be a file: a person's disk may have anything by that name by now."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

#: A pipe is opened without waiting for who writes to it.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> tuple[int, os.stat_result]:
    """A descriptor to read `path` by, which whoever asks closes, and what the system says of the file.

    Raises:
        OSError: It can not be opened, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, _READ)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor, status


def read_regular(path: Path, most: int) -> bytes:
    """All of a file that should be small.

    Args:
        path: The file.
        most: How many bytes it may have.

    Raises:
        OSError: It has more, can not be read, or is a folder, a pipe or a device.
    """
    descriptor, status = open_regular(path)
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(most + 1) if status.st_size <= most else b""
    if status.st_size > most or len(content) > most:  # it may have grown meanwhile
        raise OSError(errno.EFBIG, f"it has more than {most} bytes")
    return content
