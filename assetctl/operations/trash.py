"""The trash: what is in it, how it comes back, and how it goes for good."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import AmbiguousNameError, StorageError, UsageError
from assetctl.store.trash import followed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.store.trash import Entry, Trashed
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back.

    Attributes:
        name: The asset's, or the file's.
        paths: Where its files lie again.
        missing: Where files lay that are in the trash no more.
        asset: The asset, as the catalog has it again; `None` for what was none.
    """

    name: str
    paths: tuple[Path, ...]
    missing: tuple[Path, ...]
    asset: Asset | None


def trash_entries(workspace: Workspace, names: Sequence[str] = (), *, older_than: int | None = None) -> list[Entry]:
    """What is in the trash, latest first: all of it, or what goes by these ids and names.

    Args:
        workspace: The home.
        names: Ids or names; a name stands for every entry that has it.
        older_than: Only what was deleted before so many days.

    Raises:
        NotFoundError: A name.
        UsageError: A number of days that is none.
    """
    trash = workspace.trash
    found = {entry.id: entry for name in names for entry in trash.find(name)} if names else None
    entries = trash.entries() if found is None else list(found.values())
    if older_than is None:
        return entries
    if not 0 <= older_than <= _MOST_DAYS:
        raise UsageError(f"{older_than} is no number of days.", f"Write a number from 0 to {_MOST_DAYS}.")
    moment = (datetime.now(UTC) - timedelta(days=older_than)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [entry for entry in entries if entry.deleted_at <= moment]


_MOST_DAYS = 36_500


def unreadable_trash(workspace: Workspace) -> list[Path]:
    """Folders in the trash that do not say what they hold."""
    return workspace.trash.unreadable()


def empty_trash(workspace: Workspace, entries: Sequence[Entry]) -> None:
    """Delete entries for good.

    Raises:
        StorageError: The disk refused; what stands before it is gone.
    """
    for entry in entries:
        workspace.trash.drop(entry)
    workspace.trash.tidy()


def restore(workspace: Workspace, name: str) -> Restored:
    """Put an entry of the trash back where it lay, and into the catalog with all that was known of it.

    Raises:
        NotFoundError, AmbiguousNameError: The name.
        StorageError: Something else lies there by now, or the disk refused; the entry is as it was.
        CatalogError: What the entry says of its asset makes no sense.
    """
    trash = workspace.trash
    entries = trash.find(name)
    if len(entries) > 1:
        listed = [f"{entry.id} (deleted {entry.deleted_at})" for entry in entries]
        message = f"{len(entries)} entries of the trash are called {name}: {', '.join(listed)}."
        raise AmbiguousNameError(message, "Name one by its id.", [entry.id for entry in entries])
    (entry,) = entries
    if entry.asset is None:
        trash.bring_back(entry)
        trash.drop(entry)
        return Restored(entry.name, *_paths(entry), None)
    document = _followed(entry, workspace.models)
    row = document["asset"] if isinstance(document.get("asset"), dict) else {}
    there = workspace.catalog.read.at_path(row["path"]) if isinstance(row.get("path"), str) else None
    if there is None:
        return _put_back(workspace, entry, document, str(row.get("path")))
    if (there.sha256, there.added_at) != (row.get("sha256"), row.get("added_at")):
        hint = f"`assetctl rm {there.typed}` forgets that one; then try again."
        raise StorageError(f"{entry.name} cannot be restored: {there.path} is the asset {there.name} by now.", hint)
    trash.bring_back(entry)  # a process was killed before the catalog could forget it, or once it knew it again
    trash.drop(entry)
    return Restored(there.name, *_paths(entry), there)


def _put_back(workspace: Workspace, entry: Entry, document: dict[str, Any], path: str) -> Restored:
    """Files first, then the catalog, and the entry goes last: a kill loses nothing, and restoring again goes on."""
    trash = workspace.trash
    moved: list[Trashed] = []
    try:
        with workspace.reserve(), workspace.catalog.write() as writer:
            number = writer.put_back(document)
            writer.flush()
            moved = trash.bring_back(entry)
    except BaseException:
        if workspace.catalog.read.at_path(path) is None:  # else it is known again already
            trash.send_again(moved)
        raise
    trash.drop(entry)
    asset = workspace.catalog.read.by_id(number)
    return Restored(asset.name, *_paths(entry), asset)


def _paths(entry: Entry) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """What lies where it lay, and what does not."""
    back = tuple(file.path for file in entry.files if os.path.lexists(file.path))
    return back, tuple(file.path for file in entry.files if file.path not in back)


def _followed(entry: Entry, store: Path) -> dict[str, Any]:
    """What an entry says of its asset, with paths in the store of now."""
    document = dict(entry.asset or {})

    def moved(row: object) -> object:
        if not isinstance(row, dict) or not isinstance(row.get("path"), str):
            return row
        return row | {"path": str(followed(Path(row["path"]), entry.store, store))}

    document["asset"] = moved(document.get("asset"))
    files = document.get("files")
    document["files"] = [moved(row) for row in files] if isinstance(files, list) else files
    return document
