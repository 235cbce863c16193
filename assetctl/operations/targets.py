"""Where pictures are saved: in which format, in which folder, under which free names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assetctl.errors import StorageError, UsageError
from assetctl.files.paths import absolute

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

#: Suffixes of what pictures can be saved as, and the format of each.
FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}

#: What a person may take for a format of ours, and would find as the name of a folder.
_OTHERS = (".avif", ".bmp", ".gif", ".heic", ".jxl", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Target:
    """A folder for pictures, or the name of the first one.

    Attributes:
        folder: It exists, and can be written.
        name: The first picture's name without its suffix, if a person gave one.
        suffix: `.png`, `.jpg`, `.jpeg` or `.webp`.
    """

    folder: Path
    name: str | None
    suffix: str

    def paths(self, seeds: Sequence[int]) -> Iterator[Path]:
        """Free names for the pictures, each asked for only when its picture is there."""
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        for number, seed in enumerate(seeds, 1):
            if self.name is None:
                yield self._free(f"{stamp}-{seed}")
            else:
                yield self._free(self.name if number == 1 else f"{self.name}-{number}")

    def _free(self, name: str) -> Path:
        path, number = self.folder / (name + self.suffix), 1
        while path.exists():
            number += 1
            path = self.folder / f"{name}-{number}{self.suffix}"
        return path


def is_file_name(out: Path) -> bool:
    """Whether `out` names a picture rather than a folder of pictures."""
    return out.suffix.lower() in FORMATS


def find_target(out: Path, format: str | None = None) -> Target:  # noqa: A002 - what it is called everywhere
    """Where `out` leads, with its folder made: found wanting now rather than when the picture is done.

    Args:
        out: A folder, or a picture's name.
        format: `png`, `jpg` or `webp`; what the name says unless given, and else `png`.

    Raises:
        UsageError: It is no format of ours, or another than the name says.
        StorageError: The folder can not be made or written.
    """
    target = absolute(out)
    suffix = target.suffix.lower()
    if suffix in _OTHERS:
        raise UsageError(
            f"{out.name} would be a {suffix[1:].upper()} file.", "Pictures are saved as PNG, JPEG or WebP."
        )
    wanted = None if format is None else _format(format)
    if suffix in FORMATS:
        if wanted not in (None, FORMATS[suffix]):
            raise UsageError(f"{out.name} is no name for a {wanted} file.", "Leave --format out, or name a folder.")
        return Target(_made(target.parent), target.name[: -len(suffix)], target.suffix)
    return Target(_made(target), None, f".{wanted or 'png'}")


def _format(text: str) -> str:
    found = FORMATS.get("." + text.lower().lstrip("."))
    if found is None:
        raise UsageError(f"{text!r} is no format for pictures.", "Choose one of: png, jpg, webp.")
    return found


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Name a folder that can be written with --out."
        raise StorageError(f"The folder {folder} can not be made: {error.strerror}.", hint) from error
    if not os.access(folder, os.W_OK):
        raise StorageError(f"The folder {folder} can not be written.", "Name another one with --out.")
    return folder
