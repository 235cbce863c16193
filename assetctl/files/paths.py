"""Paths as people write them."""

from __future__ import annotations

import os
from pathlib import Path

from assetctl.errors import UsageError


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
