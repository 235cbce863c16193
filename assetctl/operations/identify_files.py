"""Identify: say what files are, with no catalog at all; and do so again for assets of the catalog."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, StorageError
from assetctl.identify import identify
from assetctl.operations.scanning import scan
from assetctl.types import Identification

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Identified:
    """One path and what it is, or why that can not be said."""

    path: str
    identification: Identification
    error: AssetctlError | None = None


def identify_files(paths: Sequence[Path]) -> list[Identified]:
    """What lies at `paths`: files, diffusers folders, or folders full of either.

    Raises:
        NotFoundError: A path does not exist.
    """
    found = scan(paths)
    results = [_identify(candidate.path) for candidate in found.candidates]
    return results + [_identify(path) for path in found.pickles]


def identify_again(workspace: Workspace, names: Sequence[str] = ()) -> list[Asset]:
    """Identify the named assets, or all, once more, and keep the result; what a person set stays on top.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
    """
    read = workspace.catalog.read
    assets = [read.find(name) for name in names] if names else read.assets()
    results = [(asset, _identify(Path(asset.path))) for asset in assets]
    with workspace.catalog.write() as writer:
        for asset, result in results:
            if result.error is None:
                writer.set_identification(asset.id, result.identification)
    return read.by_ids(asset.id for asset, _ in results)


def _identify(path: Path) -> Identified:
    try:
        return Identified(str(path), identify(path))
    except AssetctlError as error:
        return Identified(str(path), Identification(), error)
    except FileNotFoundError as error:
        return Identified(
            str(path), Identification(), StorageError(f"{path}: {error.strerror}.", "Run `assetctl verify`.")
        )
