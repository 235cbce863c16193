"""The texts inside a PNG, JPEG or WebP file, found without decoding a pixel and within fixed limits.

Formats: PNG (https://www.w3.org/TR/png-3/, chunks `tEXt`, `zTXt`, `iTXt`, `eXIf`); JPEG (ITU-T T.81, annex B,
segments APP1 and COM); WebP (RFC 9649, chunk `EXIF`). Pixels, checksums and XMP are passed over.
"""

from __future__ import annotations

import stat
import zlib
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from assetctl.errors import CorruptFileError, FileError, StorageError
from assetctl.generation.metadata.exif import HEADER, MAX_BLOCK, exif_texts
from assetctl.generation.metadata.values import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    _Reader = Callable[[BinaryIO, int], Iterator[tuple[str, str]]]

#: Limits: chunks or segments of a file, texts that are kept, characters of all of them.
MAX_CHUNKS = 50_000
MAX_TEXTS = 256
MAX_CHARACTERS = 4 * MAX_TEXT

#: Attempts to decompress that one file is given; their results share `MAX_CHARACTERS`.
MAX_INFLATIONS = 64

_BLOCK = 2**20


class _DamagedError(Exception):
    """What is wrong with a picture's structure."""


def read_texts(path: Path) -> dict[str, str]:
    """Every text in a picture by its name: PNG keywords, EXIF tags, `Comment` for JPEG's own.

    The format is told by content, not by suffix. Of two texts of one name the first counts; texts that are too
    long, or can not be decompressed, are left out.

    Raises:
        CorruptFileError: The picture is damaged or cut short.
        FileError: It is no PNG, JPEG or WebP picture.
        StorageError: It can not be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its other end
            raise FileError(f"{path} is no regular file.", "Name a PNG, JPEG or WebP picture.")
        with path.open("rb") as file:
            return _collect(_reader(path, file, status.st_size)(file, status.st_size))
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(f"{path} can not be read: {why}.", "Check the path and its permissions.") from error
    except _DamagedError as error:
        raise CorruptFileError(f"{path} is a damaged picture: {error}.", "Fetch or copy it again.") from error


def _reader(path: Path, file: BinaryIO, size: int) -> _Reader:
    if size == 0:
        raise CorruptFileError(f"{path} is empty.", "Fetch or copy it again.")
    start = file.read(12)
    file.seek(0)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png
    if start.startswith(b"\xff\xd8\xff"):
        return _jpeg
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return _webp
    raise FileError(f"{path} is no PNG, JPEG or WebP picture.", "Save or convert it as one of these first.")


def _collect(found: Iterator[tuple[str, str]]) -> dict[str, str]:
    texts: dict[str, str] = {}
    characters = 0
    for name, text in islice(found, MAX_TEXTS):
        characters += len(text)
        if len(text) <= MAX_TEXT and characters <= MAX_CHARACTERS:
            texts.setdefault(name, text)
    return texts


def _png(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    inflated = _Inflater()
    place = 8
    for number in range(MAX_CHUNKS):
        file.seek(place)
        head = file.read(8)
        length, kind = int.from_bytes(head[:4]), head[4:]
        place += 12 + length
        if len(head) < 8 or place > size:
            raise _DamagedError("it is cut short")
        if number == 0 and kind != b"IHDR":
            raise _DamagedError("it lacks its header")
        if kind == b"IEND":
            return
        if kind in (b"tEXt", b"zTXt", b"iTXt") and length <= MAX_TEXT + 1024:
            yield from _png_text(kind, file.read(length), inflated)
        elif kind == b"eXIf" and length <= MAX_BLOCK:
            yield from exif_texts(file.read(length))


def _png_text(kind: bytes, chunk: bytes, inflated: _Inflater) -> Iterator[tuple[str, str]]:
    """One text, unless it is malformed or too long."""
    keyword, _, rest = chunk.partition(b"\0")
    text: bytes | None
    if kind == b"tEXt":
        text = rest
    elif kind == b"zTXt":
        text = inflated(rest[1:])
    else:
        text = rest[2:].split(b"\0", 2)[-1]
        text = inflated(text) if rest[:1] == b"\x01" else text
    if text is not None:
        yield keyword.decode("latin-1"), text.decode("utf-8" if kind == b"iTXt" else "latin-1", "replace")


class _Inflater:
    """Decompresses the texts of one file, within limits on attempts and bytes of all of them, vain ones included."""

    def __init__(self) -> None:
        self._attempts, self._bytes = MAX_INFLATIONS, MAX_CHARACTERS

    def __call__(self, data: bytes) -> bytes | None:
        """The text, or `None` if it is damaged, too long, or more than this file is given."""
        limit = min(MAX_TEXT, self._bytes)
        if self._attempts == 0 or limit == 0:
            return None
        self._attempts -= 1
        try:
            text = zlib.decompressobj().decompress(data, limit + 1)
        except zlib.error:
            return None
        self._bytes -= min(len(text), self._bytes)
        return text if len(text) <= limit else None


def _jpeg(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    place = 2
    for _ in range(MAX_CHUNKS):
        file.seek(place)
        head = file.read(4)
        if len(head) < 4:
            raise _DamagedError("it is cut short")
        if head[0] != 0xFF:
            raise _DamagedError("its segments do not follow each other")
        kind = head[1]
        if kind in (0xFF, 0x01) or 0xD0 <= kind <= 0xD7:  # padding, and markers without a segment
            place += 1 if kind == 0xFF else 2
            continue
        if kind in (0xD9, 0xDA):
            _check_end(file, place)
            return
        length = int.from_bytes(head[2:])
        place += 2 + length
        if length < 2 or place > size:
            raise _DamagedError("it is cut short")
        if kind == 0xFE:
            yield "Comment", file.read(length - 2).rstrip(b"\0").decode("utf-8", "replace")
        elif kind == 0xE1 and file.read(len(HEADER)) == HEADER:
            yield from exif_texts(file.read(length - 2 - len(HEADER)))


def _check_end(file: BinaryIO, place: int) -> None:
    """Look for the end marker, which pixels can not contain; programs may append other data behind it."""
    file.seek(place)
    last = b""
    while block := file.read(_BLOCK):
        if b"\xff\xd9" in last + block:
            return
        last = block[-1:]
    raise _DamagedError("it is cut short")


def _webp(file: BinaryIO, size: int) -> Iterator[tuple[str, str]]:
    end = 8 + int.from_bytes(file.read(8)[4:], "little")
    if end > size:
        raise _DamagedError("it is cut short")
    place = 12
    for _ in range(MAX_CHUNKS):
        if place + 8 > end:
            break
        file.seek(place)
        head = file.read(8)
        length = int.from_bytes(head[4:], "little")
        place += 8 + length + length % 2
        if place > end + 1:  # some writers leave the last padding byte out
            raise _DamagedError("one of its chunks reaches past its end")
        if head[:4] == b"EXIF" and length <= MAX_BLOCK:
            yield from exif_texts(file.read(length))
    if place == 12:
        raise _DamagedError("there is nothing in it")
