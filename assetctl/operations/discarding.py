"""Discarding: files leave for the trash, or for good, and the catalog forgets whose they were."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from assetctl.errors import NotFoundError, StorageError
from assetctl.files.disk import storage_errors
from assetctl.store.placement import State, remove_any, state_of
from assetctl.store.store import remove_empty_folders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from assetctl.operations.workspace import Workspace
    from assetctl.store.trash import Entry
    from assetctl.types import Asset


def discard(
    workspace: Workspace,
    files: Sequence[Path],
    *,
    name: str,
    reason: str,
    asset: Asset | None = None,
    folder: Path | None = None,
    now: bool = False,
    seen: Mapping[Path, State] | None = None,
) -> Entry | None:
    """Move `files` to the trash, and let the catalog forget `asset`.

    Args:
        workspace: The home.
        files: Files, links and folders; missing ones are passed over.
        name: What the entry in the trash goes by.
        reason: The command.
        asset: Whose they are.
        folder: Removed as well, with those in it, once it is empty.
        now: Delete them for good, without the trash.
        seen: How files were when they were looked at: one that was written to since is not deleted for good.

    Returns:
        The entry, which holds what the catalog knew of the asset as well; `None` if there was nothing to move, or if it
        was to be for good.

    Raises:
        StorageError: The disk refused, or the catalog could not be written. Everything is as it was; but what is
            deleted for good may be gone, and its asset is listed as missing then.
    """
    with workspace.reserve():
        if now:
            _delete(workspace, files, asset, seen or {})
            entry = None
        else:
            entry = _move(workspace, files, asset, name=name, reason=reason)
        if folder is not None:
            with storage_errors(f"remove {folder}"):
                remove_empty_folders(folder)
    return entry


def _delete(workspace: Workspace, files: Sequence[Path], asset: Asset | None, seen: Mapping[Path, State]) -> None:
    written = next((path for path in files if _was_written_to(path, seen)), None)
    if written is not None:
        raise StorageError(f"{written} was written to meanwhile, and nothing was removed.", "Run the command again.")
    if asset is not None:
        there = workspace.catalog.read.at_path(asset.path)
        found = {} if there is None else _identity(there)
        _see_it_is_the_same(found, _identity(asset), asset)
    if asset is None:
        _remove_all(files, seen)
        return
    try:
        with workspace.catalog.write() as writer:
            writer.remove(asset.id)
            writer.flush()
            _remove_all(files, seen)
    except StorageError:
        if not any(os.path.lexists(path) and _on_one_disk(path, workspace.settings.home) for path in files):
            raise
        _remove_all(files, seen)  # the disk is full, and that makes room on it
        with workspace.catalog.write() as writer:
            writer.remove(asset.id)


def _remove_all(files: Sequence[Path], seen: Mapping[Path, State]) -> None:
    for path in files:
        with storage_errors(f"delete {path}"):
            if not _was_written_to(path, seen):
                remove_any(path)


def _was_written_to(path: Path, seen: Mapping[Path, State]) -> bool:
    return path in seen and os.path.lexists(path) and state_of(path) != seen[path]


def _on_one_disk(one: Path, other: Path) -> bool:
    return one.lstat().st_dev == other.stat().st_dev


def _move(workspace: Workspace, files: Sequence[Path], asset: Asset | None, *, name: str, reason: str) -> Entry | None:
    trash, settings = workspace.trash, workspace.settings
    document = None if asset is None else _document(workspace, asset)
    kind = None if asset is None else asset.kind
    entry = trash.prepare(files, name=name, reason=reason, kind=kind, asset=document)  # may copy for long
    try:
        if asset is None:
            trash.take(entry)
        else:
            with workspace.catalog.write() as writer:
                _see_it_is_the_same(writer.record(asset.id), document, asset)
                writer.remove(asset.id)
                writer.flush()
                trash.take(entry)
    except BaseException:
        if asset is None or workspace.catalog.read.at_path(asset.path) is not None:  # else it was forgotten already
            trash.undo(entry)
        raise
    if asset is None and not entry.files:
        trash.drop(entry)
        return None
    trash.expire(settings.trash_days, settings.trash_gigabytes * 10**9, entry)
    return entry


def _document(workspace: Workspace, asset: Asset) -> dict[str, Any]:
    """All that the catalog knows of an asset, if it is still the one that was meant: numbers are given anew."""
    with workspace.catalog.write() as writer:
        document = writer.record(asset.id)
    own = _identity(asset)
    del own["id"]
    _see_it_is_the_same({key: document["asset"][key] for key in own}, own, asset)
    return document


def _identity(asset: Asset) -> dict[str, Any]:
    """What tells an asset from another that got its number or its place."""
    return {"id": asset.id, "path": asset.path, "added_at": asset.added_at, "sha256": asset.sha256}


def _see_it_is_the_same(found: dict[str, Any], known: dict[str, Any] | None, asset: Asset) -> None:
    if found != known:
        raise NotFoundError(f"{asset.name} was changed meanwhile, and is left alone.", "Run the command again.")
