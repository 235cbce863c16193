"""The trash: what was deleted lies here until it is restored, emptied, or too old."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import NotFoundError, StorageError
from assetctl.files.disk import same_bytes, storage_errors, sync_folder, write_text
from assetctl.store.placement import move, remove_any
from assetctl.store.store import remove_empty_folders
from assetctl.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from filelock import FileLock

#: What an entry says of itself.
_NOTE = "entry.json"

#: The longest note that is read, in bytes.
_LONGEST_NOTE = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Trashed:
    """One file, link or folder in the trash.

    Attributes:
        path: Where it lay.
        place: Where it lies now.
        size: In bytes.
    """

    path: Path
    place: Path
    size: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What was deleted together.

    Attributes:
        id: What it goes by, beside its name.
        name: The asset's, or the file's.
        kind: The asset's; `None` for what was none.
        reason: The command that deleted it: `rm`, `prune` or `sync`.
        deleted_at: When, ISO 8601 in UTC.
        files: What lies in it.
        asset: All that the catalog knew of it, to be put back; `None` for what was no asset.
        folder: Where it lies.
    """

    id: str
    name: str
    kind: str | None
    reason: str
    deleted_at: str
    files: tuple[Trashed, ...]
    asset: dict[str, Any] | None
    folder: Path

    @property
    def size(self) -> int:
        """Bytes that become free when it is emptied."""
        return sum(file.size for file in self.files)


class Trash:
    """The trash of a home.

    Args:
        home: The folder in the home.
        store: A second one in the store, for a store on another disk than the home: there, nothing need be copied.
    """

    def __init__(self, home: Path, store: Path) -> None:
        self._roots = (home, store)

    @cached_property
    def _alone(self) -> FileLock:
        """Held by whoever changes what is in the trash, against other processes and threads."""
        from filelock import FileLock  # noqa: PLC0415 - 7 ms that only those who delete something pay

        self._roots[0].mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileLock(self._roots[0] / ".lock")

    def put(
        self, files: Sequence[Path], *, name: str, reason: str, kind: str | None = None, asset: object = None
    ) -> Entry:
        """Move files, links and folders into the trash; missing ones are passed over.

        What lies on another disk is copied and compared before it is deleted.

        Raises:
            StorageError: The disk refused; everything is where it was.
        """
        there = [path for path in files if os.path.lexists(path)]
        with storage_errors("move files to the trash"), self._alone:
            root = self._root_for(there)
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            entry = _new_entry(root, there, name=name, reason=reason, kind=kind, asset=asset)
            moved: list[Trashed] = []
            try:
                for file in entry.files:
                    file.place.parent.mkdir(mode=0o700)
                    _move_anywhere(file.path, file.place)
                    moved.append(file)
            except BaseException:
                for file in reversed(moved):
                    _move_anywhere(file.place, file.path)
                self.drop(entry)
                raise
            sync_folder(root)
        return entry

    def entries(self) -> list[Entry]:
        """What is in the trash, latest first."""
        found = (_read(folder) for root in self._roots for folder in _children(root))
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.deleted_at, reverse=True)

    def unreadable(self) -> list[Path]:
        """Folders in the trash that do not say what they hold: somebody else's, or damaged."""
        return [folder for root in self._roots for folder in _children(root) if folder.is_dir() and not _read(folder)]

    def find(self, name: str) -> list[Entry]:
        """The entries that go by an id or a name, latest first.

        Raises:
            NotFoundError: There is none.
        """
        entries = self.entries()
        found = [entry for entry in entries if entry.id == name] or [
            entry for entry in entries if entry.name.lower() == name.lower()
        ]
        if not found:
            raise NotFoundError(f"Nothing in the trash is called {name}.", "`assetctl trash` lists what is there.")
        return found

    def restore(self, entry: Entry) -> list[Path]:
        """Move everything of an entry back to where it lay, and forget the entry.

        Raises:
            StorageError: Something else lies there by now, or the disk refused; the entry is as it was.
        """
        lying = [file for file in entry.files if os.path.lexists(file.place)]
        for file in lying:
            if os.path.lexists(file.path):
                raise StorageError(
                    f"{entry.name} cannot be restored: something else lies at {file.path} now.",
                    "Move that away, and try again.",
                )
        back: list[Trashed] = []
        with storage_errors(f"restore {entry.name}"), self._alone:
            try:
                for file in lying:
                    file.path.parent.mkdir(parents=True, exist_ok=True)
                    _move_anywhere(file.place, file.path)
                    back.append(file)
            except BaseException:
                for file in reversed(back):
                    _move_anywhere(file.path, file.place)
                raise
            self.drop(entry)
        return [file.path for file in back]

    def drop(self, entry: Entry) -> None:
        """Delete what an entry holds, for good; what somebody else put into its folder stays.

        Raises:
            StorageError: The disk refused.
        """
        with storage_errors(f"delete {entry.folder}"), self._alone:
            for file in entry.files:
                remove_any(file.place)
            (entry.folder / _NOTE).unlink(missing_ok=True)
            remove_empty_folders(entry.folder)

    def expire(self, days: int, size: int, keep: Entry) -> list[Entry]:
        """Delete what is older than so many days, then the oldest until the rest has at most `size` bytes.

        Raises:
            StorageError: The disk refused.
        """
        oldest = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        total, gone = keep.size, []
        with self._alone:
            for entry in self.entries():
                if entry.id == keep.id:
                    continue
                total += entry.size
                if entry.deleted_at < oldest or total > size:
                    self.drop(entry)
                    gone.append(entry)
        return gone

    def _root_for(self, files: Sequence[Path]) -> Path:
        """The trash on the disk where most is to be moved from; else that of the home."""
        devices = {path.lstat().st_dev for path in files[:1]}
        near = (root for root in self._roots if _device(root) in devices)
        return next(near, self._roots[0])


def _new_entry(root: Path, files: Sequence[Path], *, name: str, reason: str, kind: str | None, asset: object) -> Entry:
    number = secrets.token_hex(4)
    folder = root / number
    folder.mkdir(mode=0o700)
    trashed = tuple(Trashed(path, folder / str(n) / path.name, _size(path)) for n, path in enumerate(files))
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    document = {
        "version": 1,
        "name": name,
        "kind": kind,
        "reason": reason,
        "deleted_at": now,
        "files": [{"path": str(file.path), "size": file.size} for file in trashed],
        "asset": asset,
    }
    try:
        write_text(folder / _NOTE, json.dumps(document))
    except BaseException:
        folder.rmdir()
        raise
    return Entry(number, name, kind, reason, now, trashed, asset if isinstance(asset, dict) else None, folder)


def _read(folder: Path) -> Entry | None:
    """The entry in a folder of the trash; `None` for what is none of ours."""
    note = folder / _NOTE
    try:
        if note.lstat().st_size > _LONGEST_NOTE:
            return None
        document: Any = json.loads(note.read_bytes())
        files = tuple(
            Trashed(_absolute(file["path"]), folder / str(n) / Path(file["path"]).name, int(file["size"]))
            for n, file in enumerate(document["files"])
        )
        name, reason, deleted_at = (_text(document[key]) for key in ("name", "reason", "deleted_at"))
        kind, asset = document["kind"], document["asset"]
        asset = asset if isinstance(asset, dict) else None
        return Entry(folder.name, name, kind and _text(kind), reason, deleted_at, files, asset, folder)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _text(value: object) -> str:
    """A text that can be written anywhere, without what nobody sees: the name of a person's file may hold such.

    Raises:
        TypeError: It is something else.
        ValueError: It holds half a character.
    """
    if not isinstance(value, str):
        raise TypeError(value)
    value.encode()
    return visible(value)


def _absolute(path: str) -> Path:
    found = Path(path)
    if not found.is_absolute() or ".." in found.parts or not found.name:
        raise ValueError(path)
    return found


def _move_anywhere(source: Path, target: Path) -> None:
    """Move a file, link or folder, also to another disk: there it is copied and compared first.

    Raises:
        OSError: The disk refused, or `target` exists; nothing was done.
    """
    try:
        move(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy_over(source, target)


def _copy_over(source: Path, target: Path) -> None:
    try:
        if source.is_dir() and not source.is_symlink():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
        _compare(source, target)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_any(target)
        raise
    remove_any(source)


def _compare(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        for child in source.iterdir():
            _compare(child, target / child.name)
    elif not (source.readlink() == target.readlink() if source.is_symlink() else same_bytes(source, target)):
        raise OSError(errno.EIO, "the copy has other bytes")


def _children(root: Path) -> Iterable[Path]:
    return sorted(root.iterdir()) if root.is_dir() and not root.is_symlink() else ()


def _device(root: Path) -> int:
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    return there.stat().st_dev


def _size(path: Path) -> int:
    if path.is_symlink() or not path.is_dir():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if not file.is_dir())
