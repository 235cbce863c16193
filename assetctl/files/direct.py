"""Files that are written in large pieces, past the page cache where the system can.

A model is written once and read much later. Through the cache its bytes are copied once more, push out what others
read, and still have to reach the disk in the end.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Self

from assetctl.files.disk import NO_LINK, write_all

if TYPE_CHECKING:
    from pathlib import Path

#: What positions, lengths and buffers are multiples of when they go straight to a disk.
BLOCK = 4096


class DirectFile:
    """A file that exists and is no link, open for writing anywhere in it; not for several threads at a time."""

    def __init__(self, path: Path) -> None:
        self._plain = open(path, "r+b", buffering=0, opener=_opened)  # noqa: SIM115 - closed below
        self._direct = _open_direct(path)

    def write(self, position: int, data: memoryview, *, cached: bool = False) -> None:
        """Write all of `data` at `position`; keep it in the cache if it will be read again soon.

        Whole blocks from the beginning of a page of memory on (as an `mmap` has them) go past the cache, else.

        Raises:
            OSError: The disk refused.
        """
        done = 0
        if not cached and self._direct is not None and data and not (position % BLOCK or len(data) % BLOCK):
            done = self._write_direct(position, data)
        if done < len(data):
            self._plain.seek(position + done)
            write_all(self._plain, data[done:])

    def close(self) -> None:
        """Let go of the file."""
        self._plain.close()
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write_direct(self, position: int, data: memoryview) -> int:
        """How much of `data` went past the cache; the rest may not go so: a disk can say that late."""
        done = 0
        while done < len(data) and done % BLOCK == 0 and self._direct is not None:
            try:
                done += os.pwrite(self._direct, data[done:], position + done)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                os.close(self._direct)
                self._direct = None
        return done


def _opened(path: str, flags: int) -> int:
    return os.open(path, flags | NO_LINK)


def _open_direct(path: Path) -> int | None:
    flag = getattr(os, "O_DIRECT", None)  # Linux has it, and there some filesystems have it not
    if flag is None:
        return None
    try:
        return os.open(path, os.O_WRONLY | flag | NO_LINK)
    except OSError:
        return None
