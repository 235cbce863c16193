"""Discarding: files leave for the trash, or for good, and the catalog forgets whose they were; both, or neither."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from assetctl.files.disk import storage_errors
from assetctl.store.store import remove_empty_folders

if TYPE_CHECKING:
    from collections.abc import Sequence
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
) -> Entry | None:
    """Move `files` to the trash, and let the catalog forget `asset`.

    Args:
        workspace: The home.
        files: Files, links and folders; missing ones are passed over.
        name: What the entry in the trash goes by.
        reason: The command.
        asset: Whose they are.
        folder: Removed as well, with those in it, once it is empty.
        now: Delete them for good. They go by way of the trash all the same: if the catalog cannot forget the asset, all
            is put back.

    Returns:
        The entry, which holds what the catalog knew of the asset as well; `None` if there was nothing to move, or if it
        was to be for good.

    Raises:
        StorageError: The disk refused, or the catalog could not be written; everything is as it was.
    """
    trash, settings = workspace.trash, workspace.settings
    with workspace.reserve(), contextlib.ExitStack() as undo:
        document = None
        with contextlib.ExitStack() as transaction:
            if asset is not None:
                writer = transaction.enter_context(workspace.catalog.write())
                document = writer.record(asset.id)
                writer.remove(asset.id)
                writer.flush()
            entry = trash.put(
                files, name=name, reason=reason, kind=None if asset is None else asset.kind, asset=document
            )
            undo.callback(trash.restore, entry)
        undo.pop_all()  # the catalog has forgotten it: what was moved stays moved
        if folder is not None:
            with storage_errors(f"remove {folder}"):
                remove_empty_folders(folder)
        if now or (asset is None and not entry.files):
            trash.drop(entry)
            return None
        trash.expire(settings.trash_days, settings.trash_gigabytes * 10**9, keep=entry)
    return entry
