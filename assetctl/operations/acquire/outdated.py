"""Outdated: which assets have a newer version where they came from, of the same base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, OfflineError, SourceNotFoundError
from assetctl.sources import capable
from assetctl.sources.base import Versioned, cancellable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.sources.base import Newest
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Newer:
    """An asset, the version that is here and the one that is there, and what to pull; or why nobody can say."""

    asset: Asset
    here: str
    there: str | None = None
    reference: str | None = None
    problem: str | None = None


def outdated(workspace: Workspace, names: Sequence[str], run: Run) -> list[Newer]:
    """Ask the sources of the named assets, or of all that came from one. Nothing is fetched.

    A commit of the Hub that was named by its hash is what was wanted, and is not asked about. A newer version that is
    here already, as another asset, is no news.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        OfflineError: The network is off.
        SourceError: Not one asset could be asked about.
        Cancelled: The run is.
    """
    read = workspace.catalog.read
    if workspace.settings.offline:
        raise OfflineError("Sources cannot be asked: the network is switched off.", "Unset ASSETCTL_OFFLINE.")
    sources = capable(Versioned, workspace.settings)
    found: list[Newer] = []
    failures: list[AssetctlError] = []
    asked = 0
    for asset in [read.find(name) for name in names] if names else read.assets():
        origin = read.origin(asset)
        source = next((each for each in sources if origin is not None and each.follows(origin)), None)
        if origin is None or source is None:
            continue
        asked += 1
        try:
            with run.task(asset.name, "check"), cancellable(run):
                newest = source.newest(origin)
        except AssetctlError as error:  # what one page says must not keep the others from being asked
            found.append(Newer(asset, origin.revision or "", problem=error.message))
            failures += [error] if not isinstance(error, SourceNotFoundError) else []  # that it is gone is an answer
            continue
        if newest is not None and not _is_here(workspace, source, newest):
            found.append(Newer(asset, newest.here, newest.there, newest.reference))
    if failures and len(failures) == asked:
        raise type(failures[0])(f"None of {asked} assets could be looked up: {failures[0]}", failures[0].hint)
    return found


def _is_here(workspace: Workspace, source: Versioned, newest: Newest) -> bool:
    """Whether an asset has the bytes of a version, or came from there."""
    read = workspace.catalog.read
    if newest.sha256 is not None and read.by_sha256(newest.sha256) is not None:
        return True
    origins = (read.origin(asset) for asset in read.assets())
    return any(origin is not None and source.version(origin) == newest.version is not None for origin in origins)
