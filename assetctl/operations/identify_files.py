"""Identify: say what files are, with no catalog at all; and do so again for assets of the catalog."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError
from assetctl.operations.hearsay import with_hearsay
from assetctl.operations.identifying import identified
from assetctl.operations.scanning import Scan
from assetctl.types import Identification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from assetctl.operations.scanning import Candidate
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Identified:
    """One path and what it is, or why that can not be said; `named` by the person, or found in a folder."""

    path: str
    identification: Identification
    error: AssetctlError | None = None
    named: bool = False


def identify_files(paths: Sequence[Path]) -> list[Identified]:
    """What lies at `paths`: files, diffusers folders, or folders full of either; a path that fails has its error."""
    candidates: list[Candidate] = []
    failed: list[Identified] = []
    for path in paths:
        try:
            found = Scan([path])
            candidates += list(found)
        except AssetctlError as error:
            failed.append(Identified(str(path), Identification(), error, named=True))
            continue
        failed += [Identified(folder, Identification(), error) for folder, error in found.unreadable]
    results = _identify([candidate.path for candidate in candidates])
    return [replace(each, named=one.named) for each, one in zip(results, candidates, strict=True)] + failed


def identify_again(
    workspace: Workspace, names: Sequence[str] = (), *, failed: Callable[[AssetctlError], None] = lambda _: None
) -> list[Asset]:
    """Identify the named assets, or all, once more, and keep the result; what a person set stays on top.

    Those that can not be identified any more, for their files are gone or broken, stay as they were; `failed` is told.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
    """
    read = workspace.catalog.read
    assets = [read.find(name) for name in names] if names else read.assets()
    origins = {asset.id: read.origin(asset) for asset in assets}
    results = _identify([asset.path for asset in assets])
    with workspace.catalog.write() as writer:
        for asset, result in zip(assets, results, strict=True):
            if result.error is not None:
                failed(result.error)
            else:
                found = with_hearsay(result.identification, origins[asset.id])
                writer.set_identification(asset.id, found)
    return read.by_ids(asset.id for asset in assets)


def _identify(paths: Sequence[str]) -> list[Identified]:
    with identified(paths) as results:
        return [
            Identified(path, Identification(), found) if isinstance(found, AssetctlError) else Identified(path, found)
            for path, found in zip(paths, results, strict=True)
        ]
