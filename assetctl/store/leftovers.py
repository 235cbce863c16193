"""What lies in a store and is of no use: downloads that nobody went on with, and files that no asset names."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from assetctl.files.disk import storage_errors
from assetctl.store.placement import remove_any
from assetctl.store.store import DIFFUSERS, FOLDERS, OTHER, STAGING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from assetctl.store.store import Store

What = Literal["unfinished", "unnamed"]

#: Disk and number of a file or folder: the same by whatever name it is reached.
_Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder, its size in bytes, and why it is of no use."""

    path: Path
    size: int
    what: What


def find_leftovers(store: Store, known: Collection[str]) -> Iterator[Leftover]:
    """What can go from a store, where the catalog knows the files `known`, by whatever names.

    A download that some process is at is none. Folders that are links to another place are left alone: what lies there
    may be somebody else's.
    """
    with storage_errors(f"look into {store.root}"):
        named = _identities(known)
        for folder in _children(store.root / STAGING):
            if folder.is_dir() and _is_idle(folder):
                yield Leftover(folder, _size(folder), "unfinished")
        for name in (*FOLDERS.values(), DIFFUSERS, OTHER):
            place = store.root / name
            if not place.is_symlink():
                yield from _unnamed(place, named)


def remove_leftover(leftover: Leftover) -> None:
    """Remove it; missing is fine.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"remove {leftover.path}"):
        if leftover.what == "unnamed" or _is_idle(leftover.path):
            remove_any(leftover.path)


def sweep_locks(store: Store) -> None:
    """Remove the files of locks that nobody holds; whoever waits for one takes a new one.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"tidy {store.root / STAGING}"):
        for path in (store.root / STAGING).glob("*.lock"):
            with contextlib.suppress(Timeout, PermissionError), FileLock(path, timeout=0):  # Windows keeps held ones
                path.unlink(missing_ok=True)


def _unnamed(place: Path, named: Collection[_Identity]) -> Iterator[Leftover]:
    children = _children(place)
    kept = {child for child in children if _identity(child) in named}
    stems = tuple(f"{child.name if child.is_dir() else child.stem}." for child in kept)
    for child in children:
        if child not in kept and not child.name.startswith(stems):  # previews, notes and companions of what is kept
            yield Leftover(child, _size(child), "unnamed")


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
    """Whether no process is at a staging folder."""
    lock = FileLock(staging.with_suffix(".lock"), timeout=0)
    try:
        with lock:
            return True
    except Timeout:
        return False


def _size(path: Path) -> int:
    if path.is_symlink() or path.is_file():
        return path.lstat().st_size
    return sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
