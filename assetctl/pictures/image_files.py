"""The texts inside a PNG, JPEG or WebP file, EXIF included, its format and its size, found without decoding a pixel."""

from __future__ import annotations

import stat
import struct
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from assetctl.errors import CorruptFileError, FileError, StorageError
from assetctl.text import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    _Reader = Callable[[BinaryIO, int], Iterator[tuple[str, str]]]


COMMENT, RECORD = "UserComment", "assetctl"
HEADER = b"Exif\0\0"

#: The largest block that is looked into: UTF-16 of the longest text, and some more.
MAX_BLOCK = 3 * MAX_TEXT

_MAX_ENTRIES = 1000
_EXIF_POINTER, _VERSION, _MAKER_NOTE, _USER_COMMENT = 0x8769, 0x9000, 0x927C, 0x9286
_ASCII, _LONG, _UNDEFINED = 2, 4, 7
_TEXT_TAGS = {0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model", 0x0131: "Software"}
_SIGNATURE = RECORD.encode() + b"\0"


def exif_texts(block: bytes) -> Iterator[tuple[str, str]]:
    """Name and text of the tags that are known here; a damaged structure yields what could be read."""
    data = block.removeprefix(HEADER)
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None or len(data) < 8:
        return
    first = _entries(data, order, int(struct.unpack_from(order + "I", data, 4)[0]), {*_TEXT_TAGS, _EXIF_POINTER})
    for tag, value in first.items():
        if tag in _TEXT_TAGS:
            yield _TEXT_TAGS[tag], _plain(value)
    pointer = first.get(_EXIF_POINTER, b"")
    if len(pointer) != 4:
        return
    second = _entries(data, order, int(struct.unpack(order + "I", pointer)[0]), {_USER_COMMENT, _MAKER_NOTE})
    if _USER_COMMENT in second:
        yield COMMENT, _comment(second[_USER_COMMENT], order)
    note = second.get(_MAKER_NOTE, b"")
    if note.startswith(_SIGNATURE):
        yield RECORD, _plain(note.removeprefix(_SIGNATURE))


def exif_block(comment: str, record: bytes) -> bytes:
    """An EXIF block with a comment and assetctl's record, high byte first throughout."""
    values = (
        (_VERSION, b"0232"),
        (_MAKER_NOTE, _SIGNATURE + record),
        (_USER_COMMENT, b"UNICODE\0" + comment.encode("utf-16-be", "replace")),
    )
    start = 8 + 18  # past the header, and a first directory that only points to the second
    place = start + 2 + 12 * len(values) + 4
    entries, contents = b"", b""
    for tag, value in values:
        inline = len(value) <= 4
        held = value.ljust(4, b"\0") if inline else struct.pack(">I", place + len(contents))
        entries += struct.pack(">HHI", tag, _UNDEFINED, len(value)) + held
        contents += b"" if inline else value + b"\0" * (len(value) % 2)
    first = struct.pack(">HHHIII", 1, _EXIF_POINTER, _LONG, 1, start, 0)
    return (
        HEADER
        + b"MM\0*"
        + struct.pack(">I", 8)
        + first
        + struct.pack(">H", len(values))
        + entries
        + bytes(4)
        + contents
    )


def _entries(data: bytes, order: str, place: int, wanted: set[int]) -> dict[int, bytes]:
    """Bytes of one directory's wanted tags that are text, raw bytes or a pointer, and lie within the block.

    Entries may all name the same megabytes: of each tag only the first is copied.
    """
    found: dict[int, bytes] = {}
    if not 8 <= place <= len(data) - 2:
        return found
    count = struct.unpack_from(order + "H", data, place)[0]
    for number in range(min(count, _MAX_ENTRIES, (len(data) - place - 2) // 12)):
        at = place + 2 + 12 * number
        tag, kind, length = struct.unpack_from(order + "HHI", data, at)
        if tag not in wanted or tag in found:
            continue
        size = length * {_ASCII: 1, 1: 1, _UNDEFINED: 1, _LONG: 4}.get(kind, 0)
        begin = at + 8 if size <= 4 else struct.unpack_from(order + "I", data, at + 8)[0]
        if 0 < size <= len(data) - begin:
            found[tag] = data[begin : begin + size]
    return found


def _comment(content: bytes, order: str) -> str:
    code, text = content[:8], content[8:]
    if code == b"UNICODE\0":
        return _utf16(text, order)
    if code == b"JIS\0\0\0\0\0":
        return text.decode("iso2022_jp", "replace").rstrip("\0")
    if code in (b"ASCII\0\0\0", bytes(8)):
        return _plain(text)
    return _plain(content)  # some programs leave the code out


def _utf16(text: bytes, order: str) -> str:
    """UTF-16 of either byte order: the standard leaves it open, and writers differ.

    In texts with Latin letters or spaces the high bytes are mostly zero. Text without any zero is UTF-8 from
    programs that only wrote the code, where it is valid UTF-8 at all.
    """
    if text[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return text.decode("utf-16", "replace").rstrip("\0")
    if text and 0 not in text:
        try:
            return text.decode()
        except UnicodeDecodeError:
            pass
    high, low = text[0::2].count(0), text[1::2].count(0)
    big = high > low if high != low else order == ">"
    return text.decode("utf-16-be" if big else "utf-16-le", "replace").rstrip("\0")


def _plain(text: bytes) -> str:
    text = text.rstrip(b"\0 ")
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


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
    long, or cannot be decompressed, are left out.

    Raises:
        CorruptFileError: The picture is damaged or cut short.
        FileError: It is not a PNG, JPEG or WebP picture.
        StorageError: It cannot be read.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its other end
            raise FileError(f"{path} is not a regular file.", "Name a PNG, JPEG or WebP picture.")
        with path.open("rb") as file:
            return _collect(_reader(path, file, status.st_size)(file, status.st_size))
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(f"{path} cannot be read: {why}.", "Check the path and its permissions.") from error
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
    raise FileError(f"{path} is not a PNG, JPEG or WebP picture.", "Save or convert it as one of these first.")


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
    """Look for the end marker, which pixels cannot contain; programs may append other data behind it."""
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
        raise _DamagedError("it is empty")


#: JPEG: segments to pass over before the frame, and the markers of frames.
_MAX_SEGMENTS = 1000
_FRAMES = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A picture on disk.

    Attributes:
        format: `png`, `jpg` or `webp`; `None` where the content is none of them.
        width: In pixels, like `height`; `None` where the file does not say.
    """

    path: Path
    format: str | None
    width: int | None
    height: int | None


def look_at_picture(path: Path) -> PictureFile:
    """Format and size of the picture at `path`.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = _format(file.read(16))
            file.seek(0)
            width, height = _size_of(file, found)
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(f"{path} cannot be read: {why}.", "Check the path and its permissions.") from error
    return PictureFile(path, found, width, height)


def picture_format(path: Path) -> str | None:
    """`png`, `jpg` or `webp` by what the file begins with; `None` for anything else."""
    with path.open("rb") as file:
        return _format(file.read(16))


def _format(start: bytes) -> str | None:
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpg"
    return "webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def _size_of(file: BinaryIO, found: str | None) -> tuple[int | None, int | None]:
    if found == "jpg":
        return _jpeg_size(file)
    start = file.read(32)
    if len(start) < 32:
        return None, None
    if found == "png":
        return int.from_bytes(start[16:20]), int.from_bytes(start[20:24])
    return _webp_size(start) if found == "webp" else (None, None)


def _jpeg_size(file: BinaryIO) -> tuple[int | None, int | None]:
    file.seek(2)
    for _ in range(_MAX_SEGMENTS):
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        if head[1] in _FRAMES:
            frame = file.read(5)
            return (int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])) if len(frame) == 5 else (None, None)
        file.seek(max(int.from_bytes(head[2:4]) - 2, 0), 1)
    return None, None


def _webp_size(start: bytes) -> tuple[int | None, int | None]:
    if start[12:16] == b"VP8X":
        return int.from_bytes(start[24:27], "little") + 1, int.from_bytes(start[27:30], "little") + 1
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if start[12:16] == b"VP8 ":
        return int.from_bytes(start[26:28], "little") & 0x3FFF, int.from_bytes(start[28:30], "little") & 0x3FFF
    return None, None
