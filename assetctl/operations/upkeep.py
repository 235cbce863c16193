"""Upkeep: what takes how much space, and what can go."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import HashMismatchError, StorageError
from assetctl.files.disk import storage_errors
from assetctl.files.hashing import hash_file
from assetctl.store.leftovers import find_leftovers, remove_leftover, sweep_locks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.store.leftovers import Leftover
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
        leftovers: Files and folders of the store.
        missing: Assets whose files are gone.
    """

    leftovers: tuple[Leftover, ...]
    missing: tuple[Asset, ...]

    @property
    def size(self) -> int:
        """Bytes that become free."""
        return sum(leftover.size for leftover in self.leftovers)


def usage(workspace: Workspace) -> list[Usage]:
    """Space by kind and family, largest first."""
    return [Usage(*row) for row in workspace.catalog.read.usage()]


def plan_pruning(workspace: Workspace, *, missing: bool = False) -> Pruning:
    """Say what `prune` would remove; assets whose files are gone only if `missing` is asked for.

    A disk that is not mounted makes assets seem to be gone: nobody but the person can know. And where assets of the
    store are gone, files that no asset names may be what is looked for: these stay.

    Raises:
        StorageError: Assets of the store are gone, files that may be theirs are there, and `missing` is not asked for.
    """
    read = workspace.catalog.read
    gone = [asset for asset in read.assets() if not Path(asset.path).exists()]
    leftovers = tuple(find_leftovers(workspace.store, read.known_files()))
    lost = [asset for asset in gone if asset.in_store]
    unfinished = tuple(leftover for leftover in leftovers if leftover.what == "unfinished")
    if lost and leftovers != unfinished and not missing:
        raise _seems_moved(workspace, lost)
    return Pruning(unfinished if lost else leftovers, tuple(gone) if missing else ())


def _seems_moved(workspace: Workspace, lost: Sequence[Asset]) -> StorageError:
    names = ", ".join(asset.name for asset in lost[:3]) + (", …" if len(lost) > 3 else "")
    root = workspace.store.root
    return StorageError(
        f"The store seems to have moved: not where they were are {names}. Files in {root} that no asset names may be "
        "these, and nothing was removed.",
        f"`assetctl import {shlex.quote(str(root))}` finds them again; `assetctl prune --missing` forgets them.",
    )


def prune(workspace: Workspace, pruning: Pruning) -> None:
    """Do it, but for what has become an asset's meanwhile.

    Raises:
        StorageError: Something could not be removed; what stands before it is gone.
    """
    useless = {leftover.path for leftover in find_leftovers(workspace.store, workspace.catalog.read.known_files())}
    for leftover in pruning.leftovers:
        if leftover.path in useless:
            remove_leftover(leftover)
    sweep_locks(workspace.store)
    if pruning.missing:
        with workspace.catalog.write() as writer:
            for asset in pruning.missing:
                writer.remove(asset.id)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two files with the same bytes; `linked` says that they are one file by now."""

    asset: str
    path: Path
    copy: Path
    size: int
    linked: bool = False


def find_duplicates(workspace: Workspace) -> list[Duplicate]:
    """Files that take space twice, as the catalog knows them; those that are one file already are left out."""
    read = workspace.catalog.read
    rows = read.copies()
    names = {asset.id: asset.name for asset in read.by_ids({row[0] for row in rows})}
    pairs = (Duplicate(names[number], Path(path), Path(copy), size) for number, path, copy, size in rows)
    return [pair for pair in pairs if pair.path.is_file() and pair.copy.is_file() and not pair.path.samefile(pair.copy)]


def link_duplicate(workspace: Workspace, duplicate: Duplicate) -> Duplicate:
    """Make the copy a hard link to the other file, once both were read and seen to be the same.

    Raises:
        HashMismatchError: They are not.
        StorageError: They lie on different disks, or the disk knows no hard links.
    """
    path, copy = duplicate.path, duplicate.copy
    one, other = (hash_file(each, frozenset({"sha256"})).sha256 for each in (path, copy))
    if one != other:
        raise HashMismatchError(f"{copy} holds other bytes than {path} by now.", "`assetctl import` takes that in.")
    incoming = copy.with_name(f".{copy.name}.{os.getpid()}.incoming")
    with storage_errors(f"make {copy} a hard link to {path}"):
        try:
            incoming.hardlink_to(path)
            incoming.replace(copy)
        finally:
            incoming.unlink(missing_ok=True)
    with workspace.catalog.write() as writer:  # a link has the time of what it leads to, and nobody wrote to it
        writer.set_times({str(copy): path.stat().st_mtime_ns})
    return replace(duplicate, linked=True)
