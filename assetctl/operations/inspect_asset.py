"""Inspect: everything that is known of one asset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.catalog import FileHashes
from assetctl.errors import FileError, StorageError
from assetctl.files.headers import read_any_header
from assetctl.operations.hashing import with_all_hashes

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, AssetDetails


def inspect_asset(workspace: Workspace, name: str, *, hashes: bool = True) -> AssetDetails:
    """All that the catalog knows of an asset, with its file's own metadata.

    Hashes that were left for later are computed now, and kept, unless `hashes` is false.

    Raises:
        NotFoundError, AmbiguousNameError: The name.
    """
    read = workspace.catalog.read
    asset = read.find(name)
    problem = _complete_hashes(workspace, asset) if hashes else None
    details = read.details(read.by_id(asset.id))
    return replace(details, metadata=_metadata(asset), problem=problem)


def _complete_hashes(workspace: Workspace, asset: Asset) -> str | None:
    """Compute what is lacking; what is wrong with the file is told, and does not keep the rest from being shown."""
    try:
        completed = with_all_hashes(asset, workspace.catalog.read.files(asset))
    except (FileError, StorageError) as error:
        return error.message
    if completed:
        with workspace.catalog.write() as writer:
            writer.set_hashes([FileHashes(file.path, file.sha256, file.autov3, file.blake3) for file in completed])
    return None


def _metadata(asset: Asset) -> dict[str, str]:
    """The header's own metadata: read from the file, because they can be larger than the whole catalog."""
    if asset.format == "diffusers":
        return {}
    try:
        return dict(read_any_header(Path(asset.path)).metadata)
    except (FileError, StorageError):
        return {}
