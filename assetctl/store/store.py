"""The store: where assets lie that assetctl fetched or was given."""

from __future__ import annotations

import hashlib
import os
import shutil
from contextlib import contextmanager
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from assetctl.errors import StorageError
from assetctl.files.disk import storage_errors, sync_folder
from assetctl.files.names import safe_name
from assetctl.store.placement import (
    brought_near,
    companion,
    has_companion,
    move,
    place_companion,
    put_in_place,
    remove_any,
    settle,
    usual_mode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Folder of each kind, as ComfyUI names it, so that other tools can read the store in place.
FOLDERS = {
    "checkpoint": "checkpoints",
    "lora": "loras",
    "embedding": "embeddings",
    "vae": "vae",
    "controlnet": "controlnet",
    "diffusion-model": "diffusion_models",
    "text-encoder": "text_encoders",
    "image-encoder": "clip_vision",
    "ip-adapter": "ipadapter",
    "upscaler": "upscale_models",
}
DIFFUSERS = "diffusers"
CONFIGS = "configs"
OTHER = "other"

_LAYOUT = (*FOLDERS.values(), DIFFUSERS, CONFIGS, OTHER)
STAGING = ".staging"


class Store:
    """The folder tree below `root`. It is created as it is needed.

    Attributes:
        root: The store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, kind: str, format: str) -> Path:  # noqa: A002 - the field's word for it
        """Where assets of this kind and format lie."""
        return self.root / (DIFFUSERS if format == "diffusers" else FOLDERS.get(kind, OTHER))

    def staging(self, key: str) -> Path:
        """The folder in which `key` is got ready: the same every time, so that an interrupted download goes on.

        Raises:
            StorageError: It can not be created.
        """
        folder = self.staging_of(key)
        with storage_errors(f"create {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def discard(self, key: str) -> None:
        """Remove the staging folder of `key`; missing is fine.

        Raises:
            StorageError: It can not be removed.
        """
        with storage_errors(f"remove {self.staging_of(key)}"):
            remove_any(self.staging_of(key))

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Hold `key` against other threads and processes; waits for whoever holds it.

        Raises:
            StorageError: The lock can not be created.
        """
        from filelock import FileLock  # noqa: PLC0415 - 7 ms that only those who place something pay

        path = self.staging_of(key).with_suffix(".lock")
        lock = FileLock(path)
        with storage_errors(f"lock {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def place(
        self,
        staged: Path,
        kind: str,
        format: str,  # noqa: A002 - the field's word for it
        name: str,
        claimed: frozenset[str] = frozenset(),
    ) -> Path:
        """Move a ready file or folder to its final place; if its name is taken it becomes `NAME-2`, and so on.

        A folder `STEM.config` beside a staged file moves along under the file's new name.

        Args:
            staged: The file or folder; gone afterwards.
            kind: Its kind.
            format: Its format.
            name: What to call it, without suffix; made safe.
            claimed: Paths that count as taken although nothing lies there.

        Returns:
            Where it lies now.

        Raises:
            StorageError: The disk refused; the store is as it was, and `staged` is still there.
        """
        folder = self.folder(kind, format)
        leftovers = [companion(staged)] if has_companion(staged) else []
        with self.lock(f"place {folder.name}"), storage_errors(f"put {name} into {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            with brought_near(staged, folder) as near:
                settle(near, usual_mode(folder))
                final = _take_name(near, folder, safe_name(name), claimed)
            for leftover in leftovers:
                remove_any(leftover)
            sync_folder(folder)
        return final

    @contextmanager
    def replaced(self, staged: Path, final: Path) -> Iterator[Path | None]:
        """Move a ready file or folder to `final`, an asset's place in the store; undone if the block raises.

        What lies there steps aside as `STEM.changed-1`, and so on: whatever it is, nobody said that it may go.

        Yields:
            Where that lies now; `None` if the place was empty.

        Raises:
            StorageError: The disk refused; the store is as it was, and `staged` is still there.
        """
        folder = final.parent
        leftovers = [companion(staged)] if has_companion(staged) else []
        with self.lock(f"place {folder.name}"), storage_errors(f"put {final.name} into {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            with brought_near(staged, folder) as near:
                settle(near, usual_mode(folder))
                aside = put_in_place(near, final)
            for leftover in leftovers:
                remove_any(leftover)
            sync_folder(folder)
        try:
            yield aside
        except BaseException:
            with self.lock(f"place {folder.name}"), storage_errors(f"put {final.name} back"):
                self._throw_away(final)
                if aside is not None:
                    move(aside, final)
            raise

    def contains(self, path: Path) -> bool:
        """Whether `path` lies in one of the store's own folders; a link in the store counts, its target does not."""
        return self._place_of(path) is not None

    def owns(self, path: Path) -> bool:
        """Whether `path` is an asset's place in the store: directly in one of its own folders."""
        return self._place_of(path) == 0

    def remove(self, path: Path) -> None:
        """Remove an asset from the store, and its companion folder; missing is fine.

        Raises:
            StorageError: `path` is no asset's place in the store, or can not be removed.
        """
        if not self.owns(path):
            raise StorageError(
                f"{path} is not an asset in the store {self.root}, and is left alone.",
                "Only what assetctl fetched or was given is ever removed.",
            )
        with self.lock(f"place {path.parent.name}"), storage_errors(f"remove {path}"):
            is_file = not path.is_dir()
            self._throw_away(path)
            if is_file:
                self._throw_away(companion(path))

    def free_space_check(self, needed: int) -> None:
        """See that `needed` bytes fit on the store's disk.

        Raises:
            StorageError: They do not.
        """
        there = next(folder for folder in (self.root.absolute(), *self.root.absolute().parents) if folder.exists())
        with storage_errors(f"see how much space is free in {there}"):
            free = shutil.disk_usage(there).free
        if needed > free:
            raise StorageError(
                f"{_readable(needed)} of free space are needed in {self.root}, and {_readable(free)} are there.",
                "Free some space, or set ASSETCTL_MODELS to a folder on another disk.",
            )

    def staging_of(self, key: str) -> Path:
        """Where that folder is, or would be."""
        return self.root / STAGING / hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    @cached_property
    def _folders(self) -> tuple[str, ...]:
        """The real paths of the store's own folders: each may be a link to another disk."""
        return tuple(os.path.realpath(self.root / name) for name in _LAYOUT)

    def _place_of(self, path: Path) -> int | None:
        """How many folders `path` lies below one of the store's own folders, or `None` if it lies in none."""
        if path.name in ("", "..", "."):
            return None
        parent = os.path.realpath(path.parent)
        for folder in self._folders:
            if parent == folder:
                return 0
            if parent.startswith(folder + os.sep):
                return parent.removeprefix(folder).count(os.sep)
        return None

    def _throw_away(self, path: Path) -> None:
        """Remove a file or folder in one step for whoever looks: a folder is first moved out of sight."""
        if path.is_dir() and not path.is_symlink():
            hidden = path.with_name(f".removed-{path.name}")
            remove_any(hidden)
            path.rename(hidden)
            path = hidden
        remove_any(path)


def _take_name(near: Path, folder: Path, stem: str, claimed: frozenset[str]) -> Path:
    """Move `near` and its companion to the first name that is free."""
    is_file = near.is_file()
    suffix = near.suffix.lower() if is_file else ""
    for number in count(1):
        final = folder / f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
        if str(final) in claimed or os.path.lexists(final) or (is_file and os.path.lexists(companion(final))):
            continue
        if _move_to(near, final):
            return final
    raise AssertionError  # pragma: no cover - numbers do not end


def _move_to(near: Path, final: Path) -> bool:
    """Whether `near` and its companion now lie at `final`; the name may have been taken meanwhile."""
    has_one = has_companion(near)
    try:
        place_companion(near, final)
    except FileExistsError:
        return False
    try:
        move(near, final)
    except OSError as error:
        if has_one:
            remove_any(companion(final))
        if isinstance(error, FileExistsError):
            return False
        raise
    return True


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
