"""Where pictures are saved: in which format, in which folder, under which free names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count as counted
from typing import TYPE_CHECKING

from assetctl.errors import NameTakenError, StorageError, UsageError
from assetctl.files.paths import absolute

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Suffixes of what pictures can be saved as, and the format of each.
FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}

#: What a person may take for a format of ours, and would find as the name of a folder.
_OTHERS = (".avif", ".bmp", ".gif", ".heic", ".jxl", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Target:
    """A folder for pictures, or the name of the first one.

    Attributes:
        folder: Where they go; it may have to be made.
        name: The first picture's name without its suffix, if a person gave one.
        suffix: `.png`, `.jpg`, `.jpeg` or `.webp`.
        force: Whether a file that a person named is replaced.
    """

    folder: Path
    name: str | None
    suffix: str
    force: bool = False

    def require_free(self, count: int) -> None:
        """Refuse names that a person gave and that are taken.

        Raises:
            UsageError: One of so many pictures would have the name of something that is there.
        """
        if self.name is None:
            return
        for number in range(1, count + 1):
            path = self._named(number)
            if path.is_dir():
                raise UsageError(f"{path} is a folder.", "Choose another name with --out.")
            if os.path.lexists(path) and not self.force:
                raise UsageError(f"{path} exists already.", "Choose another --out, or replace it with --force.")

    def made(self) -> Target:
        """The same, once the folder is there and can be written.

        Raises:
            StorageError: It can not be made or written.
        """
        _make(self.folder)
        return self

    def save(self, number: int, seed: int, write: Callable[[Path, bool], None]) -> Path:
        """Have the picture of this number written under the name that a person gave, or else under a free one.

        Args:
            number: Counted from 1.
            seed: It is part of names that nobody gave.
            write: Told a path, and whether to replace what is there; it raises `NameTakenError` otherwise.

        Raises:
            NameTakenError: The name was free before and is taken now.
        """
        if self.name is not None:
            path = self._named(number)
            write(path, self.force)
            return path
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        for again in counted(1):
            path = self.folder / f"{stamp}-{seed}{'' if again == 1 else f'-{again}'}{self.suffix}"
            if not os.path.lexists(path):
                try:
                    write(path, False)
                except NameTakenError:
                    continue  # someone was faster
                return path
        raise AssertionError  # there is no end of numbers

    def after(self, number: int) -> Path | None:
        """The name of the picture after so many, where a person named the first."""
        return None if self.name is None else self._named(number + 1)

    def _named(self, number: int) -> Path:
        return self.folder / f"{self.name}{'' if number == 1 else f'-{number}'}{self.suffix}"


def find_target(
    out: Path,
    format: str | None = None,  # noqa: A002 - what it is called everywhere
    *,
    count: int = 1,
    force: bool = False,
) -> Target:
    """Where `out` leads: found wanting now rather than when the picture is done. Nothing is made or written.

    Args:
        out: A folder, or a picture's name.
        format: `png`, `jpg` or `webp`; what the name says unless given, and else `png`.
        count: How many pictures there will be.
        force: Replace what has the very name that `out` gives.

    Raises:
        UsageError: It is no format of ours, another than the name says, or the name is taken.
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
        found = Target(target.parent, target.name[: -len(suffix)], target.suffix, force)
        found.require_free(count)
        return found
    return Target(target, None, f".{wanted or 'png'}")


def _format(text: str) -> str:
    found = FORMATS.get("." + text.lower().lstrip("."))
    if found is None:
        raise UsageError(f"{text!r} is no format for pictures.", "Choose one of: png, jpg, webp.")
    return found


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Name a folder that can be written with --out."
        raise StorageError(f"The folder {folder} can not be made: {error.strerror}.", hint) from error
    if not os.access(folder, os.W_OK):
        raise StorageError(f"The folder {folder} can not be written.", "Name another one with --out.")
