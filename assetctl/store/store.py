"""The store: where assets lie that assetctl fetched or was given."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
from contextlib import contextmanager, suppress
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING

from assetctl.errors import NoRoomError
from assetctl.files.disk import storage_errors, sync_folder
from assetctl.files.paths import below, safe_name
from assetctl.store.placement import (
    SUFFIX,
    Note,
    companion,
    copy_whole,
    has_companion,
    move,
    move_with_companion,
    read_note,
    remove_any,
    settle,
    sign_companion,
    step_aside,
    usual_mode,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from filelock import FileLock

    from assetctl.run import Run

#: Seconds between two looks whether to go on waiting.
_LOOK = 0.2

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

#: What the files are called that a download leaves while it is not done, and what it knows of them.
PARTIAL = frozenset({".part", ".chunks", ".etag", ".fresh", ".incoming"})


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
            StorageError: It cannot be created.
        """
        folder = self.staging_of(key)
        with storage_errors(f"create {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def clear_staging(self, key: str, staged: Path | None = None) -> None:
        """Remove what assetctl put into the staging folder of `key`; missing is fine.

        Args:
            key: What the folder is found by.
            staged: What was got ready in it and is not wanted; its companion goes with it.

        Raises:
            StorageError: It cannot be removed.
        """
        folder = self.staging_of(key)
        with storage_errors(f"remove {folder}"):
            if staged is not None:
                if has_companion(staged):
                    remove_any(companion(staged))
                remove_any(staged)
            for path in below(folder):
                if path.suffix in PARTIAL and not path.is_dir():
                    path.unlink(missing_ok=True)
            remove_empty_folders(folder)

    @contextmanager
    def lock(self, key: str, run: Run | None = None) -> Iterator[None]:
        """Hold `key` against other threads and processes; waits for whoever holds it, until `run` is cancelled.

        Raises:
            StorageError: The lock cannot be created.
            Cancelled: The run is.
        """
        from filelock import FileLock, Timeout  # noqa: PLC0415 - 7 ms that only those who place something pay

        path = self.staging_of(key).with_suffix(".lock")
        lock = FileLock(path)
        with storage_errors(f"lock {path}"):
            path.parent.mkdir(parents=True, exist_ok=True)
            while not (lock.is_locked and path.exists()):  # whoever held it before has removed it
                lock.release()
                try:
                    lock.acquire(timeout=-1 if run is None else _LOOK)
                except Timeout:
                    if run is not None:
                        run.check()
        try:
            yield
        finally:
            release(lock)

    def place(
        self,
        staged: Path,
        kind: str,
        format: str,  # noqa: A002 - the field's word for it
        name: str,
        claimed: frozenset[str] = frozenset(),
        *,
        key: str,
    ) -> Path:
        """Move a ready file or folder to its final place; if its name is taken it becomes `NAME-2`, and so on.

        A folder `STEM.config` beside a staged file moves along under the file's new name. A note of it stays until
        `registered` or `take_back`, so that after a kill it is known whose the file is.

        Args:
            staged: The file or folder; gone afterwards.
            kind: Its kind.
            format: Its format.
            name: What to call it, without suffix; made safe.
            claimed: Paths that count as taken although nothing lies there.
            key: What the note is found by; its lock is held by the caller.

        Returns:
            Where it lies now.

        Raises:
            StorageError: The disk refused; the store is as it was, and `staged` is still there.
        """
        folder = self.folder(kind, format)
        with self._brought_near(staged, folder, name) as near:
            return self._take_name(near, folder, safe_name(name), claimed, self._note(key))

    def registered(self, key: str) -> None:
        """The catalog knows what was placed for `key`: its note goes.

        Raises:
            StorageError: It cannot be removed.
        """
        with storage_errors(f"remove {self._note(key)}"):
            self._note(key).unlink(missing_ok=True)

    def placed_before(self, key: str) -> Path | None:
        """What a killed process placed for `key` and did not come to register; `None` if that is not whole."""
        note = read_note(self._note(key), self.root)
        return note.path if note is not None and note.is_whole() else None

    def take_back(self, key: str, staged: Path | None = None) -> None:
        """Take away what was placed for `key` and is not to be; what else lies there stays.

        Args:
            key: What its note is found by.
            staged: Where it was got ready, and is put back to if it is whole: a download need not come again.

        Raises:
            StorageError: It cannot be removed.
        """
        note = read_note(self._note(key), self.root)
        if note is not None:
            with self.lock(f"place {note.path.parent.name}"), storage_errors(f"remove {note.path}"):
                if staged is not None and note.is_whole() and not os.path.lexists(staged):
                    staged.parent.mkdir(parents=True, exist_ok=True)
                    _put_back(note, staged)
                remove_noted(note)
        self.registered(key)

    @contextmanager
    def replaced(self, staged: Path, final: Path) -> Iterator[Path | None]:
        """Move a ready file or folder to `final`, an asset's place in the store; undone if the block raises.

        What lies there steps aside as `STEM.changed-1`, and so on: whatever it is, nobody said that it may go.

        Yields:
            Where that lies now; `None` if the place was empty.

        Raises:
            StorageError: The disk refused; the store is as it was, and `staged` is still there.
        """
        with self._brought_near(staged, final.parent, final.name) as near:
            comes_along = has_companion(near) and not os.path.lexists(companion(final))
            own = Note.of(near, final, companion(near) if comes_along else None)
            aside = step_aside(final) if os.path.lexists(final) else None
            try:
                move_with_companion(near, final)
            except OSError:
                if aside is not None:
                    move(aside, final)
                raise
        try:
            yield aside
        except BaseException:
            with self.lock(f"place {final.parent.name}"), storage_errors(f"put {final.name} back"):
                remove_noted(own)
                if aside is not None:
                    move(aside, final)
            raise

    def contains(self, path: Path) -> bool:
        """Whether `path` lies in one of the store's own folders; a link in the store counts, its target does not."""
        return self._place_of(path) is not None

    def owns(self, path: Path) -> bool:
        """Whether `path` is an asset's place in the store: directly in one of its own folders."""
        return self._place_of(path) == 0

    def free_space_check(self, needed: int) -> None:
        """See that `needed` bytes fit on the store's disk.

        Raises:
            NoRoomError: They do not.
        """
        there = next(folder for folder in (self.root.absolute(), *self.root.absolute().parents) if folder.exists())
        with storage_errors(f"see how much space is free in {there}"):
            free = shutil.disk_usage(there).free
        if needed > free:
            raise NoRoomError(
                f"{_readable(needed)} of free space are needed in {self.root}, and only {_readable(free)} are free.",
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

    def notes(self) -> Iterator[tuple[Path, Note]]:
        """The notes of what is being placed, or was when a process was killed."""
        for path in sorted((self.root / STAGING).glob(f"*{SUFFIX}")):
            note = read_note(path, self.root)
            if note is not None and self.contains(note.path):
                yield path, note

    def note(self, place: Path) -> Note | None:
        """The note at `place`; `None` if there is none, or none that assetctl wrote."""
        return read_note(place, self.root)

    def _note(self, key: str) -> Path:
        return self.staging_of(key).with_suffix(SUFFIX)

    @contextmanager
    def _brought_near(self, staged: Path, folder: Path, name: str) -> Iterator[Path]:
        """`staged` itself, or a copy on the disk of `folder`, to be moved to its place there while the block lasts.

        Raises:
            StorageError: The disk refused, in the block too.
        """
        with self.lock(f"place {folder.name}"), storage_errors(f"put {name} into {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            left = [companion(staged)] if has_companion(staged) else []
            for each in left:
                sign_companion(each)
            if _is_near(staged.parent, folder):
                for each in (staged, *left):
                    settle(each, usual_mode(staged.parent))
                yield staged
            else:
                with self._temporary(folder) as temporary:
                    for each in (staged, *left):
                        copy_whole(each, temporary / each.name)
                        settle(temporary / each.name, usual_mode(temporary))
                    yield temporary / staged.name
                left.append(staged)
            for path in left:
                remove_any(path)
            sync_folder(folder)

    @contextmanager
    def _temporary(self, folder: Path) -> Iterator[Path]:
        """A new folder in `folder`, gone after the block; one that a kill leaves is known by its name."""
        temporary = folder / f".assetctl-{secrets.token_hex(16)}"
        temporary.mkdir(mode=0o700)
        try:
            yield temporary
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def _take_name(self, near: Path, folder: Path, stem: str, claimed: frozenset[str], note: Path) -> Path:
        """Move `near` and its companion to the first name that is free, noting which before."""
        is_file = near.is_file()
        suffix = near.suffix.lower() if is_file else ""
        beside = companion(near) if has_companion(near) else None
        for number in count(1):
            final = folder / f"{stem}{'' if number == 1 else f'-{number}'}{suffix}"
            if str(final) in claimed or os.path.lexists(final) or (is_file and os.path.lexists(companion(final))):
                continue
            note.parent.mkdir(parents=True, exist_ok=True)
            Note.of(near, final, beside).write(note, self.root)
            try:
                move_with_companion(near, final)
            except FileExistsError:  # the name was taken meanwhile
                continue
            except OSError:
                note.unlink()
                raise
            return final
        raise AssertionError  # pragma: no cover - numbers do not end


def release(lock: FileLock) -> None:
    """Let go of a lock, and remove its file: whoever waits for it makes a new one."""
    with suppress(OSError):  # Windows keeps the file of one that is held
        os.unlink(lock.lock_file)  # noqa: PTH108 - a text
    lock.release()


def _is_near(one: Path, other: Path) -> bool:
    """Whether files can be moved from one folder to the other: of one disk, some may be mounted twice."""
    if one.stat().st_dev != other.stat().st_dev:
        return False
    name = f".assetctl-{secrets.token_hex(16)}"
    probe = one / name
    probe.touch(exist_ok=False)
    try:
        probe.rename(other / name)
    except OSError:
        return False
    finally:
        for folder in (one, other):
            (folder / name).unlink(missing_ok=True)
    return True


def _put_back(note: Note, staged: Path) -> None:
    """Move what was placed to where it was got ready; on another disk it stays, to be removed."""
    with suppress(OSError):
        move_with_companion(note.path, staged)


def remove_noted(note: Note) -> None:
    """Remove the files that a note proves to be ours, and folders that are empty then.

    Raises:
        OSError: The disk refused.
    """
    for path in note.proven():
        path.unlink()
    for folder in {companion(note.path), note.path}:
        remove_empty_folders(folder)


def remove_empty_folders(folder: Path) -> None:
    """Remove the folders below `folder`, and itself, in which nothing is left; missing is fine.

    Raises:
        OSError: The disk refused.
    """
    if not folder.is_dir() or folder.is_symlink():
        return
    for path in (*sorted((path for path in below(folder) if path.is_dir()), reverse=True), folder):
        try:
            if not path.is_symlink() and not any(path.iterdir()):
                path.rmdir()
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # something was put there just now
                raise


def _readable(size: int) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
