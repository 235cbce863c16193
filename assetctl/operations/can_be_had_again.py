"""Whether an asset of the store could be had again, once it is removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import FileError, StorageError, UsageError
from assetctl.files.hashing import hash_file
from assetctl.files.paths import absolute
from assetctl.operations.arrival import is_intact

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, AssetFile


def can_be_had_again(workspace: Workspace, asset: Asset) -> bool:
    """Whether nothing would be lost with an asset's files.

    What was changed since it came could not be fetched again, nor what a person moved into the store: of a file that
    was copied, the original must still hold its bytes.
    """
    read = workspace.catalog.read
    if not os.path.lexists(asset.path):
        return True
    origin = read.origin(asset)
    if origin is None or not is_intact(workspace, asset):
        return False
    own = [file for file in read.files(asset) if file.role != "copy"]
    return origin.source != "path" or all(_is_at(origin.reference, asset, file) for file in own)


def _is_at(reference: str, asset: Asset, file: AssetFile) -> bool:
    """Whether the original of an asset's file still holds its bytes."""
    try:
        original = absolute(reference) / os.path.relpath(file.path, asset.path)
        if not original.is_file() or original.samefile(file.path):
            return False
        return hash_file(Path(original), frozenset({"sha256"})).sha256 == file.sha256
    except (OSError, FileError, StorageError, UsageError):
        return False
