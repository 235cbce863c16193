"""The trash: what was deleted lies here until it is restored, emptied, or too old."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import NotFoundError, StorageError
from assetctl.files.disk import same_bytes, storage_errors, sync_folder, write_text
from assetctl.files.paths import below
from assetctl.store.placement import State, copy_whole, move_anywhere, remove_any, state_of
from assetctl.store.store import remove_empty_folders
from assetctl.text import model_path, visible, without_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

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
        store: Where the store lay then.
        home: The trash of the home that it came from.
    """

    id: str
    name: str
    kind: str | None
    reason: str
    deleted_at: str
    files: tuple[Trashed, ...]
    asset: dict[str, Any] | None
    folder: Path
    store: Path
    home: str

    @property
    def size(self) -> int:
        """Bytes that become free when it is emptied."""
        return sum(file.size for file in self.files)

    @property
    def pictures(self) -> list[Path]:
        """Where the pictures lie by which the asset was shown, if it had any: what was chosen, and its source's."""
        return [self.folder / ".assetctl-chosen", self.folder / ".assetctl-fetched"]


class Trash:
    """The trash of a home.

    Args:
        home: The folder in the home.
        store: The store's folder. A second trash lies in it, for a store on another disk than the home: there, nothing
            need be copied. What lay in a store that was moved since comes back into the store of now.

    Attributes:
        expired: What was deleted for good since this was opened, for its age or to make room.
    """

    def __init__(self, home: Path, store: Path) -> None:
        self._store = store
        self._roots = (home, store / ".trash")
        self._kept: list[Entry] | None = None
        self._locks: dict[Path, FileLock] = {}
        self._copied: dict[Path, State] = {}  # what was copied from where, as it was then
        self._taken: set[Path] = set()
        self._notes: dict[Path, str] = {}
        self.expired: list[Entry] = []

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes what is in the trash meanwhile: neither in the home's, nor in one that homes share."""
        from filelock import FileLock  # noqa: PLC0415 - 7 ms that only those who delete something pay

        self._roots[0].mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as held:
            for root in self._roots:
                if root.is_dir():
                    lock = self._locks.setdefault(root, FileLock(root / ".lock"))
                    held.enter_context(lock)
            yield

    def prepare(
        self, files: Sequence[Path], *, name: str, reason: str, kind: str | None = None, asset: object = None
    ) -> Entry:
        """Make an entry for files, links and folders; what lies on another disk is copied there already.

        Missing ones are passed over. `take` is to follow, or `undo`.

        Raises:
            StorageError: The disk refused; nothing was done.
        """
        try:
            with storage_errors("move files to the trash"):
                self._root_for(_there(files)).mkdir(mode=0o700, parents=True, exist_ok=True)
            with storage_errors("move files to the trash"), self._alone():
                there = _there(files)  # whoever had the trash before may have moved some of them
                root = self._root_for(there)
                entry = self._new_entry(root, there, name=name, reason=reason, kind=kind, asset=asset)
                try:
                    for file in entry.files:
                        with contextlib.suppress(FileNotFoundError):
                            self._copy_from_another_disk(file, entry)
                    sync_folder(entry.folder)
                    sync_folder(root)
                except BaseException:
                    self.drop(entry)
                    raise
        except StorageError as error:
            error.hint = "With --now files are deleted for good, and need no room in the trash."
            raise
        return entry

    def _copy_from_another_disk(self, file: Trashed, entry: Entry) -> None:
        if file.path.lstat().st_dev != entry.folder.lstat().st_dev:
            self._copied[file.place] = state_of(file.path)
            copy_whole(file.path, file.place)

    def take(self, entry: Entry) -> bool:
        """Move the files of an entry into the trash, and say whether any was there: somebody may have been faster.

        Raises:
            StorageError: The disk refused; `undo` puts back what was moved.
        """
        with storage_errors("move files to the trash"), self._alone():
            if not (entry.folder / _NOTE).exists():  # another process has emptied the trash meanwhile
                self._make(entry, self._notes[entry.folder])
            there = [file for file in entry.files if os.path.lexists(file.path)]
            for file in there:
                self._take(file)
            sync_folder(entry.folder.parent)
        return bool(there)

    def _make(self, entry: Entry, note: str) -> None:
        """The folder of an entry, with its note and a place for each file; copies that were in it are no more."""
        entry.folder.mkdir(mode=0o700)
        try:
            write_text(entry.folder / _NOTE, note)
        except BaseException:
            entry.folder.rmdir()
            raise
        self._notes[entry.folder] = note
        for file in entry.files:
            file.place.parent.mkdir(mode=0o700)
            self._copied.pop(file.place, None)

    def _take(self, file: Trashed) -> None:
        if file.place in self._copied:  # from another disk, and compared
            if state_of(file.path) != self._copied[file.place]:
                raise _written_to(file.path)
            self._taken.add(file.place)
            remove_any(file.path)
            return
        self._taken.add(file.place)
        with contextlib.suppress(FileNotFoundError):
            move_anywhere(file.path, file.place)

    def undo(self, entry: Entry) -> None:
        """Put everything of an entry back that is not where it lay, and forget the entry.

        Raises:
            StorageError: The disk refused; the entry stays, with what could not be put back.
        """
        with storage_errors(f"put {entry.name} back"), self._alone():
            for file in entry.files:
                if file.place in self._taken and os.path.lexists(file.place):
                    _give_back(file.place, file.path)
            self.drop(entry)

    def entries(self) -> list[Entry]:
        """What is in the trash, latest first."""
        found = (self._entry(folder) for root in self._roots for folder in _children(root))
        return sorted((entry for entry in found if entry is not None), key=lambda entry: entry.deleted_at, reverse=True)

    def _entry(self, folder: Path) -> Entry | None:
        """The entry in a folder; one of another home, in a store that may come from anywhere, keeps to that store."""
        entry = _read(folder, self._store)
        if entry is None or folder.parent == self._roots[0] or entry.home == str(self._roots[0]):
            return entry
        return entry if all(file.path.is_relative_to(self._store) for file in entry.files) else None

    def unreadable(self) -> list[Path]:
        """Folders in the trash that do not say what they hold: somebody else's, or damaged."""
        return [
            folder
            for root in self._roots
            for folder in _children(root)
            if folder.is_dir() and not _read(folder, self._store)
        ]

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

    def how_to_restore(self, name: str) -> str | None:
        """A hint on how an asset of this name comes back; `None` if there is none in the trash.

        Args:
            name: As somebody typed it, or a prompt has it: with or without folders and suffix.
        """
        parts = model_path(name)
        wanted = {name.casefold(), *(without_suffix(part).casefold() for part in parts[-1:])}
        found = [
            entry
            for entry in self.entries()
            if entry.asset is not None and wanted & {entry.name.casefold(), without_suffix(entry.name).casefold()}
        ]
        if not found:
            return None
        typed = shlex.quote(found[0].name if len(found) == 1 else found[0].id)
        return f"{found[0].name} is in the trash: `assetctl trash restore {typed}` brings it back."

    def bring_back(self, entry: Entry) -> list[Trashed]:
        """Move everything of an entry to where it lay; the entry stays, empty, until it is dropped.

        Returns:
            What was moved: nothing that an earlier, interrupted try had moved already.

        Raises:
            StorageError: Something else lies there by now, or the disk refused; all is in the trash.
        """
        with storage_errors(f"restore {entry.name}"), self._alone():
            lying = [file for file in entry.files if os.path.lexists(file.place)]
            if not lying and entry.files and not any(os.path.lexists(file.path) for file in entry.files):
                message = f"Nothing of {entry.name} is left in the trash: something else removed it."
                raise StorageError(message, f"`assetctl trash empty {entry.id}` forgets it.")
            taken = next((file.path for file in lying if not _fits(file.place, file.path)), None)
            if taken is not None:
                raise StorageError(
                    f"{entry.name} cannot be restored: something else lies at {taken} now.",
                    "Move that away, and try again.",
                )
            back: list[Trashed] = []
            for file in lying:
                if os.path.lexists(file.path) and not file.path.is_dir():
                    continue  # the same bytes: those in the trash go with the entry
                try:
                    file.path.parent.mkdir(parents=True, exist_ok=True)
                    back.append(file)
                    _give_back(file.place, file.path)
                except BaseException as error:
                    own = back[:-1] if isinstance(error, FileExistsError) and back[-1:] == [file] else back
                    self.send_again(own)
                    if isinstance(error, FileExistsError):
                        message = f"{entry.name} cannot be restored: something else is in the way of {file.path}."
                        raise StorageError(message, "Move that away, and try again.") from error
                    raise
        return back

    def send_again(self, moved: Sequence[Trashed]) -> None:
        """Move into the trash again what `bring_back` moved.

        Raises:
            StorageError: The disk refused.
        """
        with storage_errors("move files to the trash"), self._alone():
            for file in moved:
                if os.path.lexists(file.path):
                    _give_back(file.path, file.place)

    def drop(self, entry: Entry) -> None:
        """Delete what an entry holds, for good; what somebody else put into its folder stays.

        Raises:
            StorageError: The disk refused.
        """
        with storage_errors(f"delete {entry.folder}"), self._alone():
            self._notes.pop(entry.folder, None)
            for file in entry.files:
                remove_any(file.place)
            for path in (*entry.pictures, entry.folder / _NOTE):
                path.unlink(missing_ok=True)
            _clear(entry.folder)

    def tidy(self) -> None:
        """Remove what killed processes left: copies that were begun, notes that were not written to their end.

        Raises:
            StorageError: The disk refused.
        """
        with storage_errors("tidy the trash"):
            if not self.unreadable():
                return
            with self._alone():
                for folder in self.unreadable():
                    if _OWN.fullmatch(folder.name) and not folder.is_symlink() and not (folder / _NOTE).exists():
                        _clear(folder)

    def expire(self, days: int, size: int, latest: Entry) -> None:
        """Delete what is older than so many days, then the oldest until the rest has at most `size` bytes.

        The latest entry always stays. What the disk does not let go stays too: nobody asked for it.
        """
        with contextlib.suppress(StorageError), storage_errors("make room in the trash"), self._alone():
            self._expire(days, size, latest)

    def _expire(self, days: int, size: int, latest: Entry) -> None:
        if self._kept is None:  # read once: many things may be deleted by one command
            self._kept = [entry for entry in self.entries() if entry.home == str(self._roots[0])]
        self._kept = [latest, *(entry for entry in self._kept if entry.id != latest.id)]
        oldest = (datetime.now(UTC) - timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ")
        total, kept = 0, []
        for entry in self._kept:
            total += entry.size
            if entry is latest or (entry.deleted_at >= oldest and total <= size):
                kept.append(entry)
                continue
            with contextlib.suppress(StorageError):
                self.drop(entry)
                self.expired.append(entry)
        self._kept = kept

    def _new_entry(
        self, root: Path, files: Sequence[Path], *, name: str, reason: str, kind: str | None, asset: object
    ) -> Entry:
        number = secrets.token_hex(4)
        folder = root / f".{number}"  # no import of the home looks into it
        trashed = tuple(Trashed(path, folder / str(n) / path.name, _size(path)) for n, path in enumerate(files))
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        document = {
            "version": 1,
            "name": name,
            "kind": kind,
            "reason": reason,
            "deleted_at": now,
            "store": str(self._store),
            "home": str(self._roots[0]),
            "files": [{"path": str(file.path), "size": file.size} for file in trashed],
            "asset": asset,
        }
        known, home = asset if isinstance(asset, dict) else None, str(self._roots[0])
        entry = Entry(number, name, kind, reason, now, trashed, known, folder, self._store, home)
        self._make(entry, json.dumps(document))
        return entry

    def _root_for(self, files: Sequence[Path]) -> Path:
        """The trash on the disk of the first file; else that of the home."""
        devices = set[int]()
        with contextlib.suppress(FileNotFoundError):
            devices = {path.lstat().st_dev for path in files[:1]}
        return next((root for root in self._roots if _device(root) in devices), self._roots[0])


def _read(folder: Path, store: Path) -> Entry | None:
    """The entry in a folder of the trash; `None` for what is none of ours."""
    note = folder / _NOTE
    try:
        if note.lstat().st_size > _LONGEST_NOTE:
            return None
        document: Any = json.loads(note.read_bytes())
        former = _absolute(document["store"])
        if any(path.is_symlink() for path in (folder, *folder.iterdir())):
            return None  # what a link leads to is none of ours
        files = tuple(
            Trashed(followed(_absolute(file["path"]), former, store), folder / str(n) / name, _size_of(file["size"]))
            for n, file in enumerate(document["files"])
            if (name := Path(file["path"]).name)
        )
        name, reason, deleted_at, home = (_text(document[key]) for key in ("name", "reason", "deleted_at", "home"))
        kind, asset = document["kind"], document["asset"]
        asset = asset if isinstance(asset, dict) else None
        number = folder.name.removeprefix(".")
        return Entry(number, name, kind and _text(kind), reason, deleted_at, files, asset, folder, former, home)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def followed(path: Path, former: Path, store: Path) -> Path:
    """Where a path of a store that lay at `former` is, now that it lies at `store`."""
    return store / path.relative_to(former) if path.is_relative_to(former) else path


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


def _size_of(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < 2**63:
        raise ValueError(value)
    return value


def _absolute(path: str) -> Path:
    found = Path(path)
    path.encode("utf-8", "surrogateescape")  # a name may be of any bytes, and of no half characters
    if not found.is_absolute() or ".." in found.parts or not found.name:
        raise ValueError(path)
    return found


def _written_to(path: Path) -> StorageError:
    return StorageError(f"{path} was changed meanwhile; nothing was removed.", "Run the command again.")


def _clear(folder: Path) -> None:
    """Remove from an entry's folder what is ours and no file of the entry: its originals lie where they lay."""
    for path in list(below(folder)):
        if _BEGUN.fullmatch(path.name):
            remove_any(path)
    remove_empty_folders(folder)


#: How the folder of an entry is called, and what is begun in it.
_OWN = re.compile(r"\.[0-9a-f]{8}")
_BEGUN = re.compile(r"\.assetctl-[0-9a-f]{32}|\.entry\.json\.[0-9a-f]{16}\.incoming")


def _there(files: Sequence[Path]) -> list[Path]:
    """The files that are there, each once: folders have several names.

    Raises:
        OSError: It may not be asked whether one is.
    """
    found: dict[Path, Path] = {}
    for path in files:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()
            found.setdefault(Path(os.path.realpath(path.parent)) / path.name, path)
    return list(found.values())


def _fits(place: Path, path: Path) -> bool:
    """Whether what lies at `place` can be moved to `path`: of a folder a part may be there, if it is the same."""
    if not os.path.lexists(path):
        return True
    if place.is_symlink() or path.is_symlink():
        return False
    if place.is_dir() and path.is_dir():
        return all(_fits(child, path / child.name) for child in place.iterdir())
    if place.lstat().st_dev == path.lstat().st_dev and not place.samefile(path):
        return False  # a move leaves no two: somebody else put that there, and it stays theirs
    return place.is_file() and path.is_file() and same_bytes(place, path)


def _give_back(source: Path, target: Path) -> None:
    """Move what lies at `source` to `target`, of which a part may be there already: it was copied, and is the same.

    Raises:
        OSError: The disk refused.
    """
    if not os.path.lexists(target):
        move_anywhere(source, target)
    elif source.is_dir() and not source.is_symlink():
        for child in source.iterdir():
            _give_back(child, target / child.name)
        source.rmdir()
    elif not source.is_symlink() and same_bytes(source, target):
        source.unlink()
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))


def _children(root: Path) -> Iterable[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else ()


def _device(root: Path) -> int:
    there = next(folder for folder in (root, *root.parents) if folder.exists())
    return there.stat().st_dev


def _size(path: Path) -> int:
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(file.lstat().st_size for file in below(path) if not file.is_dir())
    except FileNotFoundError:  # somebody has removed it since
        return 0
