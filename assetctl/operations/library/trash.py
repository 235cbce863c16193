"""The trash: how files get there, what is in it, how it comes back, and how it goes for good."""

from __future__ import annotations

import contextlib
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import AmbiguousNameError, NotFoundError, StorageError, UsageError
from assetctl.files.disk import storage_errors
from assetctl.operations.library.previews import kept_pictures, move_pictures
from assetctl.run import leaving
from assetctl.store.placement import State, move, remove_any, state_of
from assetctl.store.store import remove_empty_folders
from assetctl.store.trash import followed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assetctl.catalog.writing import Writer
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.store.trash import Entry, Trashed
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
            pictures = [] if asset is None else kept_pictures(workspace.settings.home, asset.id)
            _delete(workspace, [*files, *pictures], asset, seen or {})
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
        raise StorageError(f"{written} was changed meanwhile; nothing was removed.", "Run the command again.")
    if asset is None:
        _remove_all(files, seen)
        return
    aside: dict[Path, Path] = {}
    try:
        with workspace.catalog.write() as writer:
            _forget(writer, asset)
            _step_aside(files, seen, aside)
    except StorageError:
        try:
            if not any(_on_one_disk(path, workspace.settings.home) for path in (*files, *aside.values())):
                raise
            _step_aside(files, seen, aside)
        except BaseException:
            _names_back(aside)
            raise
        _remove_all(aside.values(), {})  # the disk is full, and that makes room on it
        _forget_what_is_gone(workspace, asset)
        return
    except BaseException:
        _names_back(aside)
        raise
    _remove_all(aside.values(), {})


def _step_aside(files: Sequence[Path], seen: Mapping[Path, State], aside: dict[Path, Path]) -> None:
    """Give files another name beside their own, by which they are deleted once the catalog has forgotten them.

    Whatever then fails, nothing is lost; `aside` has the names. One that was written to since it was `seen` stays.

    Raises:
        StorageError: The disk refused.
    """
    for path in files:
        other = path.with_name(f".assetctl-{secrets.token_hex(16)}")
        with storage_errors(f"delete {path}"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if not _was_written_to(path, seen):
                path.rename(other)
                aside[path] = other


def _names_back(aside: Mapping[Path, Path]) -> None:
    for path, other in aside.items():
        with storage_errors(f"put {path} back"):
            move(other, path)


def _forget_what_is_gone(workspace: Workspace, asset: Asset) -> None:
    try:
        with workspace.catalog.write() as writer:
            _forget(writer, asset)
    except StorageError as error:
        raise StorageError(
            f"The files of {asset.name} are deleted, and the catalog could not be told: it is listed as missing.",
            "Free some space, then run the same command again.",
        ) from error


def _forget(writer: Writer, asset: Asset) -> None:
    there = writer.at_path(asset.path)
    _see_it_is_the_same({} if there is None else _identity(there), _identity(asset), asset)
    writer.remove(asset.id)


def _remove_all(files: Iterable[Path], seen: Mapping[Path, State]) -> None:
    for path in files:
        with storage_errors(f"delete {path}"):
            if not _was_written_to(path, seen):
                remove_any(path)


def _was_written_to(path: Path, seen: Mapping[Path, State]) -> bool:
    try:
        return path in seen and state_of(path) != seen[path]
    except (FileNotFoundError, NotADirectoryError):  # it is gone: somebody else may remove it too
        return False


def _on_one_disk(one: Path, other: Path) -> bool:
    return os.path.lexists(one) and one.lstat().st_dev == other.stat().st_dev


def _move(workspace: Workspace, files: Sequence[Path], asset: Asset | None, *, name: str, reason: str) -> Entry | None:
    trash, settings = workspace.trash, workspace.settings
    document = None if asset is None else _document(workspace, asset)
    kind = None if asset is None else asset.kind
    entry = trash.prepare(files, name=name, reason=reason, kind=kind, asset=document)  # may copy for long
    pictures = [] if asset is None else kept_pictures(settings.home, asset.id)
    was_there, forgotten = True, False
    try:
        if asset is None:
            was_there = trash.take(entry)
        else:
            with workspace.catalog.write() as writer:
                _see_it_is_the_same(writer.record(asset.id), document, asset)
                writer.remove(asset.id)
                forgotten = True
                trash.take(entry)
                move_pictures(pictures, entry.pictures)
    except BaseException:
        # an asset that somebody else forgot has an entry of theirs; one that we forgot for good keeps this one
        if asset is None or not forgotten or workspace.catalog.read.at_path(asset.path) is not None:
            if asset is not None:
                move_pictures(entry.pictures, pictures)
            trash.undo(entry)
        raise
    if not was_there:
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


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back.

    Attributes:
        name: The asset's, or the file's.
        paths: Where its files lie again.
        missing: Where files lay that are in the trash no more.
        asset: The asset, as the catalog has it again; `None` for what was none.
        is_asset: Whether it is one.
        restored: Whether it is back, or would be.
    """

    name: str
    paths: tuple[Path, ...]
    missing: tuple[Path, ...]
    asset: Asset | None
    is_asset: bool = False
    restored: bool = True


@dataclass(frozen=True, slots=True)
class Emptied:
    """What of the trash is gone for good, or would be if it is not `emptied`."""

    entries: tuple[Entry, ...]
    emptied: bool

    @property
    def size(self) -> int:
        """Bytes that are free by that."""
        return sum(entry.size for entry in self.entries)


def planned_restoration(entry: Entry) -> Restored:
    """What would come back."""
    paths = tuple(file.path for file in entry.files)
    return Restored(entry.name, paths, (), None, is_asset=entry.asset is not None, restored=False)


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
        raise UsageError(f"{older_than} is not a number of days.", f"Write a number from 0 to {_MOST_DAYS}.")
    moment = (datetime.now(UTC) - timedelta(days=older_than)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [entry for entry in entries if entry.deleted_at <= moment]


_MOST_DAYS = 36_500


def unreadable_trash(workspace: Workspace) -> list[Path]:
    """Folders in the trash that do not say what they hold."""
    return workspace.trash.unreadable()


def empty_trash(workspace: Workspace, entries: Sequence[Entry], run: Run) -> None:
    """Delete entries for good.

    Raises:
        StorageError: The disk refused; what stands before it is gone.
    """
    gone: list[Entry] = []
    with leaving(lambda: gone):
        for entry in entries:
            run.check()
            workspace.trash.drop(entry)
            gone.append(entry)
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
    asset = _put_back(workspace, entry, document, row)
    trash.drop(entry)
    return Restored(asset.name, *_paths(entry), asset, is_asset=True)


def _put_back(workspace: Workspace, entry: Entry, document: dict[str, Any], row: dict[str, Any]) -> Asset:
    """Files first, then the catalog, and the entry goes last: a kill loses nothing, and restoring again goes on."""
    trash, path = workspace.trash, str(row.get("path"))
    moved: list[Trashed] = []
    try:
        with workspace.reserve(), workspace.catalog.write() as writer:
            there = _there_again(writer, entry, row)
            # one that is there: a process was killed before the catalog could forget it, or once it knew it again
            asset = writer.by_id(writer.put_back(document)) if there is None else there
            moved = trash.bring_back(entry)
    except BaseException:
        if workspace.catalog.read.at_path(path) is None:  # else it is known again already
            trash.send_again(moved)
        raise
    move_pictures(entry.pictures, kept_pictures(workspace.settings.home, asset.id))  # its number is a new one
    return asset


def _there_again(writer: Writer, entry: Entry, row: dict[str, Any]) -> Asset | None:
    """The asset of an entry where the catalog has it.

    Raises:
        StorageError: It has another in its place.
    """
    there = writer.at_path(str(row.get("path")))
    if there is not None and (there.sha256, there.added_at) != (row.get("sha256"), row.get("added_at")):
        hint = f"`assetctl rm {there.typed}` forgets that one; then try again."
        raise StorageError(f"{entry.name} cannot be restored: {there.path} is the asset {there.name} by now.", hint)
    return there


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
