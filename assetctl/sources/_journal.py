"""What has come of a file that is fetched in chunks: a text file beside it, to which each piece adds a line.

The first line holds the file's size and that of a chunk; each other one the number of a chunk, and how many bytes of it
have come. A line is written after its bytes; one that was cut off by a kill counts for nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.files.disk import write_all
from assetctl.files.paths import below
from assetctl.sources import _own

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

SUFFIX = ".chunks"

#: Limit on a journal, in bytes, and on the chunks of a file.
_LARGEST, _MOST_CHUNKS = 64 * 2**20, 2**20
_NUMBER = re.compile(r"\d{1,15}", re.ASCII)


class Journal:
    """The journal of one file.

    Attributes:
        got: Bytes of each chunk that have come, from its beginning on.
    """

    def __init__(self, path: Path, size: int, chunk: int) -> None:
        self.path = path
        self._size, self._chunk = size, chunk
        self.got = [0] * -(-size // chunk)
        self._opened: FileIO | None = None

    def length(self, number: int) -> int:
        """Bytes of a whole chunk."""
        return min(self._chunk, self._size - number * self._chunk)

    def open(self, there: int) -> None:
        """Read what an earlier run wrote, as far as a file of `there` bytes can bear it out, and get ready to go on."""
        head = f"{self._size} {self._chunk}\n"
        lines = _own.text_of(self.path, _LARGEST).splitlines(keepends=True)
        for line in lines[1:] if lines[:1] == [head] else ():
            self._read(line)
        self.got = [min(count, max(0, there - number * self._chunk)) for number, count in enumerate(self.got)]
        # Written anew, in one step: lines of a long download do not pile up over its runs.
        text = head + "".join(f"{number} {count}\n" for number, count in enumerate(self.got) if count)
        _own.write(self.path, text)
        self._opened = _own.appending(self.path)

    def add(self, number: int, count: int) -> None:
        """So many more bytes of a chunk are in the file."""
        self.got[number] += count
        if self._opened is not None:
            write_all(self._opened, f"{number} {self.got[number]}\n".encode())

    def close(self) -> None:
        """Write no more."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _read(self, line: str) -> None:
        number, _, count = line.rstrip("\n").partition(" ")
        if not line.endswith("\n") or not (_NUMBER.fullmatch(number) and _NUMBER.fullmatch(count)):
            return
        if int(number) < len(self.got) and int(count) <= self.length(int(number)):
            self.got[int(number)] = max(self.got[int(number)], int(count))


def fetched_bytes(folder: Path) -> int:
    """How many bytes of files lie in a staging folder, whole or not: a file in chunks has holes."""
    total = 0
    for path in below(folder):
        if not path.is_symlink() and path.is_file() and path.suffix not in (SUFFIX, ".etag", ".fresh"):
            journal = path.with_suffix(SUFFIX)
            total += _of_chunks(journal) if journal.is_file() else path.stat().st_size
    return total


def _of_chunks(path: Path) -> int:
    head, *lines = _own.text_of(path, _LARGEST).splitlines() or [""]
    size, _, chunk = head.partition(" ")
    if not (_NUMBER.fullmatch(size) and _NUMBER.fullmatch(chunk)):
        return 0
    if int(chunk) == 0 or int(size) > int(chunk) * _MOST_CHUNKS:
        return 0
    journal = Journal(path, int(size), int(chunk))
    for line in lines:
        journal._read(f"{line}\n")  # noqa: SLF001 - its own module
    return sum(journal.got)
