"""How files lie on disk now, seen from outside, against what the catalog knows of them."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from assetctl.types import AssetFile

Status = Literal["ok", "missing", "changed", "unreadable", "unsupported"]


def problem_outside(file: AssetFile) -> tuple[tuple[Status, str] | None, int | None]:
    """What is wrong with a file without opening it, and when it was written, where that is another time."""
    try:
        status = Path(file.path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return ("missing", "there is no such file any more"), None
    except OSError as error:
        return ("unreadable", str(error.strerror)), None
    if not stat.S_ISREG(status.st_mode):
        return ("unreadable", "it is no regular file"), None
    if status.st_size != file.size:
        return ("changed", f"it has {status.st_size} bytes and had {file.size}"), None
    return None, None if status.st_mtime_ns == file.mtime_ns else status.st_mtime_ns
