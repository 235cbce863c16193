"""What lies in a store and belongs to no asset: what assetctl left there, and what strangers put there."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from assetctl.files.disk import storage_errors
from assetctl.files.paths import below
from assetctl.store.store import DIFFUSERS, FOLDERS, OTHER, STAGING, release, remove_empty_folders

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from assetctl.store.placement import Note
    from assetctl.store.store import Store

What = Literal["unfinished", "unregistered"]

#: Disk and number of a file or folder: the same by whatever name it is reached.
_Identity = tuple[int, int]

#: How assetctl names the folders that it gets something ready in, and what stepped aside.
_OWN_STAGING = re.compile(r"[0-9a-f]{32}")
_ASIDE = re.compile(r"\.changed-\d+(\.|$)")
_OWN_TEMPORARY = re.compile(r"\.assetctl-[0-9a-f]{32}")


#: Seconds after which nobody is still writing a note.
_CUT_SHORT = 86_400


@dataclass(frozen=True, slots=True)
class Leftover:
    """What assetctl itself wrote, and no asset needs.

    Attributes:
        path: The file or folder.
        size: Its bytes.
        what: `unfinished` (a download, or a copy to another disk) or `unregistered` (placed by a process that was
            killed before the catalog knew of it).
        files: What goes: of an unregistered folder, the files that assetctl placed.
        lock: What is held by whoever is at it.
    """

    path: Path
    size: int
    what: What
    files: tuple[Path, ...]
    lock: Path


@dataclass(frozen=True, slots=True)
class Stranger:
    """What somebody else put into the store: it is shown, and left alone."""

    path: Path
    size: int


def find_leftovers(store: Store, known: Collection[str]) -> Iterator[Leftover]:
    """What assetctl left in a store, where the catalog knows the files `known`, by whatever names.

    What some process is at is none.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"look into {store.root}"):
        for path in _children(store.root / STAGING):
            if _is_staging(path) and not _is_empty(path) and _is_idle(path):
                yield Leftover(path, _size(path), "unfinished", (path,), path)
        for place in _places(store):
            for path in _children(place):
                lock = store.staging_of(f"place {place.name}")
                if _is_temporary(path) and _is_idle(lock):
                    yield Leftover(path, _size(path), "unfinished", (path,), lock)
        named = _identities(known)
        for place, note in store.notes():
            leftover = _unregistered(place, note)
            if leftover is not None and _identity(note.path) not in named and _is_idle(place):
                yield leftover


@contextlib.contextmanager
def held(store: Store, leftover: Leftover) -> Iterator[bool]:
    """Hold a leftover against processes that would go on with it; whether it is one still."""
    lock = FileLock(leftover.lock.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield leftover.what == "unfinished" or leftover == _unregistered(leftover.lock, store.note(leftover.lock))
    finally:
        release(lock)


def _unregistered(place: Path, note: Note | None) -> Leftover | None:
    """What the note at `place` proves to be ours."""
    files = () if note is None else tuple(note.proven())
    return Leftover(note.path, sum(map(_size, files)), "unregistered", files, place) if note and files else None


def find_strangers(store: Store, known: Collection[str], leftovers: Collection[Leftover]) -> Iterator[Stranger]:
    """Files and folders of the store that no asset names, and that assetctl did not put there.

    What is called like an asset is its own: a preview, a note, a companion. Folders that are links to another place are
    not looked into: what lies there is a matter of that place.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"look into {store.root}"):
        named = _identities(known)
        own = {leftover.path for leftover in leftovers}
        for place in _places(store):
            if not place.is_symlink():
                yield from _strangers(place, named, own)


def sweep(store: Store) -> None:
    """Remove the files of locks that nobody holds, notes of what is not there any more, and empty folders of ours.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"tidy {store.root / STAGING}"):
        for path in _children(store.root / STAGING):
            if _is_staging(path) and _is_empty(path) and _is_idle(path):
                remove_empty_folders(path)
        for path, note in store.notes():
            if not note.proven() and _is_idle(path):
                path.unlink(missing_ok=True)
        for path in (store.root / STAGING).glob(".*.incoming"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime > _CUT_SHORT:
                    path.unlink()
        for path in (store.root / STAGING).glob("*.lock"):  # whoever waits for one takes a new one
            with contextlib.suppress(Timeout, PermissionError), FileLock(path, timeout=0):  # Windows keeps held ones
                path.unlink(missing_ok=True)


def _is_staging(path: Path) -> bool:
    return _OWN_STAGING.fullmatch(path.name) is not None and path.is_dir() and not path.is_symlink()


def _is_empty(folder: Path) -> bool:
    return all(path.is_dir() and not path.is_symlink() for path in below(folder))


def _is_temporary(path: Path) -> bool:
    """Whether assetctl was copying something there, or giving it another name: what nobody could have named so."""
    if not _OWN_TEMPORARY.fullmatch(path.name) or path.is_symlink():
        return False
    return path.is_dir() or path.is_file()


def _places(store: Store) -> list[Path]:
    """The folders of the store in which assets lie."""
    return [store.root / name for name in (*FOLDERS.values(), DIFFUSERS, OTHER)]


def _strangers(place: Path, named: Collection[_Identity], own: Collection[Path]) -> Iterator[Stranger]:
    children = [child for child in _children(place) if child not in own and not _is_temporary(child)]
    kept = {child for child in children if _identity(child) in named}
    stems = tuple(
        f"{child.name if child.is_dir() else child.stem}." for child in (*kept, *own) if child.parent == place
    )
    for child in children:
        if child not in kept and (not child.name.startswith(stems) or _ASIDE.search(child.name)):
            yield Stranger(child, _size(child))


def _identities(known: Collection[str]) -> set[_Identity]:
    """Which files and folders these paths are or lie in: a path is one of many names."""
    files = [Path(path) for path in known]
    folders = {folder for parent in {file.parent for file in files} for folder in (parent, *parent.parents)}
    found = (_identity(path) for path in (*files, *folders))
    return {identity for identity in found if identity is not None}


def _identity(path: Path) -> _Identity | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _children(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _is_idle(staging: Path) -> bool:
    """Whether no process is at what is got ready, or noted, by this name."""
    lock = FileLock(staging.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        return False
    release(lock)
    return True


def _size(path: Path) -> int:
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(file.lstat().st_size for file in below(path) if not file.is_dir())
    except FileNotFoundError:  # somebody has removed it since
        return 0
