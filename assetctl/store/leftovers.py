"""What lies in a store and is of no use: downloads that nobody went on with, and files that no asset names."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from filelock import FileLock, Timeout

from assetctl.files.disk import storage_errors
from assetctl.store.placement import companion, remove_any
from assetctl.store.store import DIFFUSERS, FOLDERS, OTHER, STAGING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from assetctl.store.store import Store

What = Literal["unfinished", "unnamed"]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A file or folder, its size in bytes, and why it is of no use."""

    path: Path
    size: int
    what: What


def find_leftovers(store: Store, known: Collection[str]) -> Iterator[Leftover]:
    """What can go from a store whose assets have the paths `known`.

    A download that some process is at is none. Folders that are links to another place are left alone: what lies there
    may be somebody else's.
    """
    with storage_errors(f"look into {store.root}"):
        for folder in _children(store.root / STAGING):
            if folder.is_dir() and _is_idle(folder):
                yield Leftover(folder, _size(folder), "unfinished")
        for name in (*FOLDERS.values(), DIFFUSERS, OTHER):
            place = store.root / name
            if not place.is_symlink():
                yield from _unnamed(place, known)


def remove_leftover(leftover: Leftover) -> None:
    """Remove it; missing is fine.

    Raises:
        StorageError: The disk refused.
    """
    with storage_errors(f"remove {leftover.path}"):
        if leftover.what == "unnamed" or _is_idle(leftover.path):
            remove_any(leftover.path)


def _unnamed(place: Path, known: Collection[str]) -> Iterator[Leftover]:
    children = _children(place)
    start = f"{place}{os.sep}"
    names = {path[len(start) :].partition(os.sep)[0] for path in known if path.startswith(start)}
    kept = {child for child in children if child.name in names}
    companions = {companion(child) for child in kept if child.is_file()}
    for child in children:
        if child not in kept and child not in companions:
            yield Leftover(child, _size(child), "unnamed")


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
