"""A picture file from outside: its format and its size, from its first bytes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from assetctl.errors import StorageError
from assetctl.files.paths import absolute

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace


#: Suffixes of what pictures can be saved as, and the format of each.
FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}

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


def find_picture(workspace: Workspace, name: str) -> Path | None:
    """The picture that `name` is the path of, unless it is an asset; by content, or else by suffix."""
    if not name or "\0" in name:
        return None
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves an unknown user's home as it is
    try:
        if not path.is_file():
            return None
        is_picture = path.suffix.lower() in FORMATS or _format(_start(path)) is not None
    except OSError:
        return None
    path = absolute(path)
    return None if not is_picture or workspace.catalog.read.has_path(str(path)) else path


def look_at_picture(path: Path) -> PictureFile:
    """Format and size of the picture at `path`.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            found = _format(file.read(16))
            file.seek(0)
            width, height = _size(file, found)
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(f"{path} cannot be read: {why}.", "Check the path and its permissions.") from error
    return PictureFile(path, found, width, height)


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _format(start: bytes) -> str | None:
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if start.startswith(b"\xff\xd8\xff"):
        return "jpg"
    return "webp" if start[:4] == b"RIFF" and start[8:12] == b"WEBP" else None


def _size(file: BinaryIO, found: str | None) -> tuple[int | None, int | None]:
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
