"""Moves that never overwrite, and leave either everything or nothing."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

from assetctl.files.disk import NO_LINKS, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: What a rename says of a taken name.
_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})


def companion(file: Path) -> Path:
    """The folder `NAME.config` beside a single file: its configuration in diffusers' form."""
    return file.with_name(f"{file.stem}.config")


def has_companion(path: Path) -> bool:
    """Whether `path` is a file with a companion; folders have none."""
    return path.is_file() and companion(path).is_dir()


def move(source: Path, target: Path) -> None:
    """Move a file or folder within one filesystem.

    Raises:
        FileExistsError: `target` exists; nothing was done.
        OSError: The disk refused; nothing was done.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        if source.is_dir():
            source.rename(target)  # onto a folder with content, or a file, this fails
        else:
            _move_file(source, target)
    except OSError as error:
        if error.errno in _TAKEN:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        raise


def _move_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)  # unlike a rename, a link never replaces what is there
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        target.touch(exist_ok=False)  # no hard links here: claim the name, then replace our own claim
        try:
            source.replace(target)
        except OSError:
            target.unlink()
            raise
        return
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


@contextmanager
def brought_near(staged: Path, folder: Path) -> Iterator[Path]:
    """`staged` itself, or a copy in `folder` where that lies on another disk; gone after the block."""
    if staged.stat().st_dev == folder.stat().st_dev:
        yield staged
        return
    mark = hashlib.sha256(os.fsencode(staged)).hexdigest()[:16]
    near = folder / f".incoming-{mark}" / staged.name  # the same at the next try, so leftovers do not pile up
    shutil.rmtree(near.parent, ignore_errors=True)
    try:
        near.parent.mkdir()
        copy_any(staged, near)
        if has_companion(staged):
            copy_any(companion(staged), companion(near))
        yield near
        remove_any(staged)
    finally:
        shutil.rmtree(near.parent, ignore_errors=True)


def settle(path: Path, mode: int) -> None:
    """Leave no file of `path` more permissions than `mode`, and have the disk keep them."""
    for file in [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]:
        status = file.stat()
        if status.st_nlink == 1 and status.st_mode & 0o777 & ~mode:  # another name of the bytes: not ours alone
            file.chmod(status.st_mode & 0o777 & mode)
        with file.open("rb") as opened:
            os.fsync(opened.fileno())


def usual_mode(folder: Path) -> int:
    """Permissions that a new file in `folder` gets: what the umask leaves, asked without changing it."""
    probe = folder / f".mode-{uuid.uuid4().hex}"
    probe.touch(exist_ok=False)
    try:
        return probe.stat().st_mode & 0o777
    finally:
        probe.unlink()


def copy_any(source: Path, target: Path) -> None:
    """Copy a file or a folder."""
    if source.is_dir():
        shutil.copytree(source, target, copy_function=shutil.copyfile)
    else:
        shutil.copyfile(source, target)


def remove_any(path: Path) -> None:
    """Remove a file, a link (never what it points to) or a folder; missing is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def place_companion(staged: Path, final: Path) -> None:
    """Put the companion of `staged` beside `final`, before that appears: a file is never seen without it."""
    if not has_companion(staged):
        return
    incoming = companion(final).with_name(f".{companion(final).name}.incoming")
    remove_any(incoming)
    try:
        copy_any(companion(staged), incoming)
        move(incoming, companion(final))
    finally:
        remove_any(incoming)
    sync_folder(companion(final))


def put_in_place(near: Path, final: Path) -> Path | None:
    """Move `near` to `final`, and what lies there aside; a companion that is there already stays.

    Returns:
        Where what lay there is now; `None` if nothing lay there.

    Raises:
        OSError: The disk refused; what lay there is back.
    """
    aside = _step_aside(final) if os.path.lexists(final) else None
    try:
        if not os.path.lexists(companion(final)):
            place_companion(near, final)
        move(near, final)
    except OSError:
        if aside is not None:
            move(aside, final)
        raise
    return aside


def _step_aside(path: Path) -> Path:
    stem, suffix = (path.name, "") if path.is_dir() else (path.stem, path.suffix)
    for number in count(1):
        aside = path.with_name(f"{stem}.changed-{number}{suffix}")
        try:
            move(path, aside)
        except FileExistsError:
            continue
        return aside
    raise AssertionError  # pragma: no cover - numbers do not end
