"""Paths as people write them, and what lies below them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator


def absolute(path: str | Path) -> Path:
    """`path` made absolute, `~` expanded; links in it are kept, so that a person recognises it.

    Raises:
        UsageError: No path can be written like that.
    """
    try:
        expanded = Path(path).expanduser()
        str(expanded).encode("utf-8")
    except (RuntimeError, UnicodeEncodeError) as error:
        shown = ascii(str(path))
        raise UsageError(
            f"{shown} can not be used as a path: {error}.", "Name another path, or rename the file."
        ) from error
    if "\0" in str(expanded):
        raise UsageError("A path can not hold a null character.", "Check what wrote it.")
    return Path(os.path.abspath(expanded))  # noqa: PTH100 - `resolve` would follow links


def below(folder: Path) -> Iterator[Path]:
    """All files, links and folders below a folder, however deep they nest, each after the folder it lies in.

    Links are not followed, and what may not be looked into is passed over; missing is fine.
    """
    left = [folder]
    while left:
        place = left.pop()
        with contextlib.suppress(PermissionError, FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            for entry in entries:
                path = place / entry.name
                if entry.is_dir(follow_symlinks=False):
                    left.append(path)
                yield path
