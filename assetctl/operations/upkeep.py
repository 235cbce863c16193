"""Upkeep: what takes how much space, and what can go."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.errors import NotFoundError
from assetctl.files.disk import is_gone
from assetctl.operations.discarding import discard
from assetctl.store.leftovers import find_leftovers, find_strangers, held, sweep

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.store.leftovers import Leftover, Stranger
    from assetctl.store.trash import Entry
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Usage:
    """How many assets of a kind and family there are, and their bytes; `stored` are those in the store."""

    kind: str
    family: str | None
    count: int
    size: int
    stored: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """What can go.

    Attributes:
        leftovers: What assetctl left in the store.
        strangers: What somebody else put there: shown, and left alone.
        missing: Assets whose files are gone.
    """

    leftovers: tuple[Leftover, ...]
    strangers: tuple[Stranger, ...]
    missing: tuple[Asset, ...]

    @property
    def size(self) -> int:
        """Bytes that go."""
        return sum(leftover.size for leftover in self.leftovers)


def usage(workspace: Workspace) -> list[Usage]:
    """Space by kind and family, largest first."""
    return [Usage(*row) for row in workspace.catalog.read.usage()]


def plan_pruning(workspace: Workspace, *, missing: bool = False) -> Pruning:
    """Say what `prune` would remove; assets whose files are gone only if `missing` is asked for.

    A disk that is not mounted makes assets seem to be gone: nobody but the person can know.

    Raises:
        StorageError: The store cannot be read.
    """
    read = workspace.catalog.read
    known = read.known_files()
    leftovers = tuple(find_leftovers(workspace.store, known))
    strangers = tuple(find_strangers(workspace.store, known, leftovers))
    gone = [asset for asset in read.assets() if _is_missing(workspace, asset)] if missing else []
    return Pruning(leftovers, strangers, tuple(gone))


def _is_missing(workspace: Workspace, asset: Asset) -> bool:
    """Whether nothing is left of an asset, not even a copy."""
    return is_gone(asset.path) and all(is_gone(file.path) for file in workspace.catalog.read.files(asset))


def prune(workspace: Workspace, pruning: Pruning, *, now: bool = False) -> list[Entry]:
    """Do it, but for what some process has gone on with meanwhile.

    Returns:
        What went into the trash: if it is to be `now`, what a killed process had placed alone.

    Raises:
        StorageError: Something could not be moved there; what stands before it was.
    """
    entries = []
    useless = {
        leftover.path: leftover for leftover in find_leftovers(workspace.store, workspace.catalog.read.known_files())
    }
    for planned in pruning.leftovers:
        leftover = useless.get(planned.path)
        if leftover is None:
            continue
        with held(workspace.store, leftover) as is_ours:
            if is_ours:
                folder = leftover.path if leftover.path.is_dir() else None
                name = leftover.path.name
                # A file that is still called ours may have been written to, with its time put back: it can come back.
                for_good = leftover.what == "unfinished" and (now or leftover.path.name.startswith(".assetctl-"))
                entries.append(
                    discard(workspace, leftover.files, name=name, reason="prune", folder=folder, now=for_good)
                )
    # What was said of an asset can come back: with its file it is whole again.
    for asset in pruning.missing:
        with contextlib.suppress(NotFoundError):  # somebody has changed it meanwhile
            if _is_missing(workspace, asset):
                entries.append(discard(workspace, (), name=asset.name, reason="prune", asset=asset, now=now))
    with workspace.reserve():
        sweep(workspace.store)
    return [entry for entry in entries if entry is not None]
