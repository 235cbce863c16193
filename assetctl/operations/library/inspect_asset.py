"""Inspect: everything that is known of one asset."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import FileError, StorageError
from assetctl.files.headers import read_any_header
from assetctl.operations.library.verify import learn_hashes, may_hash, problem_outside

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset, AssetDetails, AssetFile


def inspect_asset(
    workspace: Workspace,
    name: str,
    *,
    hashes: bool | None = None,
    run: Run,
) -> AssetDetails:
    """All that the catalog knows of an asset, with its file's own metadata.

    What is wrong with the file is told, and does not keep the rest from being shown.

    Args:
        workspace: The home.
        name: The asset.
        hashes: Whether hashes that were left for later are computed now, and kept where that can be; of small files
            alone where nothing is said.
        run: Told how far that is.

    Raises:
        NotFoundError, AmbiguousNameError: The name.
    """
    read = workspace.catalog.read
    asset = read.find(name)
    files = read.files(asset)
    problem = next(filter(None, map(_problem, files)), None)
    if problem is None and may_hash(asset, files, hashes):  # a file that has changed has hashes of its own
        try:
            files = learn_hashes(workspace, asset, run)
        except (FileError, StorageError) as error:
            problem = error.message
    main = next((file for file in files if file.role == "main"), None)
    if main is not None:
        asset = replace(asset, sha256=main.sha256, autov3=main.autov3)
    return replace(read.details(asset), files=files, metadata=_metadata(asset), problem=problem)


def _problem(file: AssetFile) -> str | None:
    """What is wrong with a file of the asset, seen from outside; a copy elsewhere may be gone."""
    problem, _ = (None, None) if file.role == "copy" else problem_outside(file)
    return None if problem is None else f"{file.path} is not as it was: {problem[1]}."


def _metadata(asset: Asset) -> dict[str, str]:
    """The header's own metadata: read from the file, because they can be larger than the whole catalog."""
    if asset.format == "diffusers":
        return {}
    try:
        return dict(read_any_header(Path(asset.path)).metadata)
    except (FileError, StorageError):
        return {}
