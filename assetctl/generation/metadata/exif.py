"""The few EXIF tags that hold generation parameters: read from any picture, and written into ours.

Format: a TIFF structure (byte order, then directories of 12-byte entries), CIPA DC-008 (Exif 2.32), sections 4.5
and 4.6. `UserComment` starts with eight bytes that name its encoding. A1111 writes it as piexif does: `UNICODE`
and UTF-16, high byte first, whatever the byte order of the structure. `MakerNote` is free for whoever writes the
file: assetctl's record goes there, behind its name.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from assetctl.generation.metadata.values import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

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
