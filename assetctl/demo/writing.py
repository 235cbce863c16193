"""Placing a file in one step."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from assetctl.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


def write_file(path: Path, content: bytes) -> None:
    """Make `path` hold `content`: all of it or, if that fails, what it held before.

    Raises:
        StorageError: The folder can not be written.
    """
    # A name of our own instead of a temporary file, whose mode would stay private to the user.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        if path.is_file() and path.read_bytes() == content:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(content)
            os.replace(part, path)  # noqa: PTH105 - the name says that an existing file gives way
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(
            f"{path} can not be written: {error.strerror}.", "Check the folder's permissions and the free space."
        ) from error
