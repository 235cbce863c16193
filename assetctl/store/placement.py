"""Moves that never overwrite, and leave either everything or nothing; each is noted before it is made."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import stat
import uuid
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError
from assetctl.files.disk import NO_LINKS, copy_file, incoming, same_bytes, sync_folder
from assetctl.files.paths import below

if TYPE_CHECKING:
    from collections.abc import Iterable


SUFFIX = ".placing"

#: Disk, number, size, time of writing: what no two files have in common.
_Identity = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Note:
    """What one process was putting into the store.

    Attributes:
        path: The asset's file or folder, at its final place.
        files: Every file of it and of its companion, at its final place.
    """

    path: Path
    files: dict[Path, _Identity]

    @classmethod
    def of(cls, near: Path, final: Path, beside: Path | None) -> Note:
        """What moving `near` to `final`, and its companion `beside` along with it, will put there."""
        moves = [(near, final)]
        if beside is not None:
            moves.append((beside, final.with_name(f"{final.stem}.config")))
        files: dict[Path, _Identity] = {}
        for source, target in moves:
            own = [path for path in below(source) if not path.is_dir()] if source.is_dir() else [source]
            files |= {target / path.relative_to(source): _identity(path.lstat()) for path in own}
        return cls(final, files)

    def proven(self) -> list[Path]:
        """The noted files that lie there, behind no link, and are the very files that were noted."""
        place = self.path.parent
        return [
            path for path, identity in self.files.items() if _is(path, identity) and not is_behind_link(path, place)
        ]

    def is_whole(self) -> bool:
        """Whether all of them do, and in the asset's folder lies nothing else."""
        if len(self.proven()) < len(self.files):
            return False
        return not self.path.is_dir() or all(path in self.files for path in below(self.path) if not path.is_dir())

    def write(self, place: Path, root: Path) -> None:
        """Keep it at `place`, with paths below `root`.

        Raises:
            OSError: The disk refused.
        """
        files = [[os.path.relpath(path, root), *identity] for path, identity in self.files.items()]
        with incoming(place, lasting=False) as file:  # after a power cut, what it tells of is a stranger
            file.write(json.dumps({"path": os.path.relpath(self.path, root), "files": files}).encode())


def read_note(place: Path, root: Path) -> Note | None:
    """The note at `place`; `None` if there is none, or none that assetctl wrote."""
    try:
        document: Any = json.loads(place.read_bytes())
        files = {_below(root, row[0]): _numbers(row[1:]) for row in document["files"]}
        return Note(_below(root, document["path"]), files)
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _below(root: Path, relative: str) -> Path:
    path = root / relative
    if ".." in path.parts or not path.is_relative_to(root):
        raise ValueError(relative)
    return path


def _numbers(row: Iterable[int]) -> _Identity:
    device, number, size, written = row
    return device, number, size, written


def _identity(status: os.stat_result) -> _Identity:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _is(path: Path, identity: _Identity) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return not stat.S_ISDIR(status.st_mode) and _identity(status) == identity


#: What a rename says of a taken name.
_TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR})


def companion(file: Path) -> Path:
    """The folder `NAME.config` beside a single file: its configuration in diffusers' form."""
    return file.with_name(f"{file.stem}.config")


def has_companion(path: Path) -> bool:
    """Whether `path` is a file with a companion; folders have none."""
    return path.is_file() and companion(path).is_dir()


def is_behind_link(path: Path, folder: Path) -> bool:
    """Whether a link leads to `path` from a folder that it seems to lie in: what is there is another's, or a person's.

    Args:
        path: The file; it may be a link itself.
        folder: Where the asset lies. Links above it are a matter of whoever made them.
    """
    if not path.is_relative_to(folder):
        return True
    place = os.path.join(os.path.realpath(folder), path.parent.relative_to(folder))  # noqa: PTH118 - strings
    return os.path.normcase(os.path.realpath(path.parent)) != os.path.normcase(os.path.normpath(place))


def sign_companion(folder: Path) -> None:
    """Note in a companion what assetctl puts there: whatever else it holds later on is a person's.

    Raises:
        OSError: The disk refused.
    """
    files = [path for path in below(folder) if path.is_file() and not path.is_symlink() and path.name != _SIGNED]
    rows = {path.relative_to(folder).as_posix(): _written(path) for path in files}
    with incoming(folder / _SIGNED, lasting=False) as file:
        file.write(json.dumps(rows).encode())


def own_files(folder: Path) -> list[Path]:
    """The files of a companion that assetctl put there, and that are as it put them."""
    signature = folder / _SIGNED
    try:
        if folder.is_symlink() or signature.stat().st_size > _LONGEST_SIGNATURE:
            return []
        rows = json.loads(signature.read_bytes())
        known = {folder / name: written for name, written in rows.items() if ".." not in Path(name).parts}
        own = [
            path for path, written in known.items() if not is_behind_link(path, folder) and _written(path) == written
        ]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        return []
    return [*own, signature]


#: What tells, in a companion, which of its files assetctl put there.
_SIGNED = ".placed-by-assetctl"

#: The longest such note that is read, in bytes.
_LONGEST_SIGNATURE = 2**20


def _written(path: Path) -> list[int]:
    """Size and time of a regular file; nothing of what is none, or is gone."""
    try:
        status = path.lstat()
    except OSError:
        return []
    return [status.st_size, status.st_mtime_ns] if stat.S_ISREG(status.st_mode) else []


def move(source: Path, target: Path) -> None:
    """Move a file, a link or a folder within one filesystem.

    Raises:
        FileExistsError: `target` exists; nothing was done.
        OSError: The disk refused; nothing was done.
    """
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        if source.is_dir() or source.is_symlink():  # a hard link would be one of what the link leads to
            source.rename(target)  # onto a folder with content, or a file, that of a folder fails
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
        if error.errno not in NO_LINKS or error.errno == errno.EXDEV:
            raise
        target.touch(exist_ok=False)  # no hard links here: claim the name, then replace our own claim
        try:
            source.replace(target)
        except BaseException:
            if os.path.lexists(source):
                target.unlink(missing_ok=True)
            raise
        return
    try:
        source.unlink()
    except OSError:
        target.unlink()
        raise


def move_with_companion(source: Path, target: Path) -> None:
    """Move a file and its companion, or a folder; the companion comes first: a file is never seen without it.

    A companion that `target` has already stays, and that of `source` where it is.

    Raises:
        FileExistsError: `target` exists; nothing was done.
        OSError: The disk refused; nothing was done.
    """
    comes_along = has_companion(source) and not os.path.lexists(companion(target))
    if comes_along:
        move(companion(source), companion(target))
    try:
        move(source, target)
    except OSError:
        if comes_along:
            move(companion(target), companion(source))
        raise
    if comes_along:
        sync_folder(companion(target))


def settle(path: Path, mode: int) -> None:
    """Leave no file of `path` more permissions than `mode`, and have the disk keep them."""
    for file in [path] if path.is_file() else [p for p in below(path) if p.is_file()]:
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


#: Number, size, time of writing and of change, by path.
State = dict[Path, tuple[int, ...]]


def state_of(path: Path) -> State:
    """What tells whether anybody has written to a file, or to those of a folder, since.

    Raises:
        OSError: It is not there, or may not be asked for.
    """
    paths = [path, *below(path)] if path.is_dir() and not path.is_symlink() else [path]
    return {
        each: (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        for each in paths
        if not stat.S_ISDIR((status := each.lstat()).st_mode)
    }


def copy_whole(source: Path, target: Path) -> None:
    """Copy a file, a link or a folder, with its permissions and times, to `target`, which appears once it is whole.

    Every file is compared with what it was copied from; what the disk was told to keep, it has.

    Raises:
        FileExistsError: `target` exists; nothing was done.
        OSError: The disk refused, or something was written to meanwhile; nothing was done.
    """
    begun = target.with_name(f".assetctl-{secrets.token_hex(16)}")
    try:
        _copy(source, begun)
        move(begun, target)
    except BaseException:
        with contextlib.suppress(OSError):
            remove_any(begun)
        raise
    sync_folder(target.parent)


def _copy(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
    elif source.is_dir():
        target.mkdir(mode=0o700)
        for child in source.iterdir():
            _copy(child, target / child.name)
        shutil.copystat(source, target)
    else:
        _copy_file(source, target)


def _copy_file(source: Path, target: Path) -> None:
    try:
        copy_file(source, target)
    except CorruptFileError as error:
        raise OSError(errno.EIO, error.message) from error
    if not same_bytes(source, target):
        raise OSError(errno.EIO, "the copy has other bytes")
    shutil.copystat(source, target)
    with target.open("rb") as opened:
        os.fsync(opened.fileno())


def move_anywhere(source: Path, target: Path) -> None:
    """Move a file, link or folder, also to another disk: there the original goes once its copy is whole.

    Raises:
        FileExistsError: `target` exists; nothing was done.
        OSError: The disk refused. `target` is whole then, or is not there; of a folder, `source` may lack some.
    """
    try:
        move(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy_whole(source, target)
        remove_any(source)


def remove_any(path: Path) -> None:
    """Remove a file, a link (never what it points to) or a folder; missing is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def step_aside(path: Path) -> Path:
    """Move a file or folder to the first free name `STEM.changed-1`, and so on, beside it; where it lies now."""
    stem, suffix = (path.name, "") if path.is_dir() else (path.stem, path.suffix)
    for number in count(1):
        aside = path.with_name(f"{stem}.changed-{number}{suffix}")
        try:
            move(path, aside)
        except FileExistsError:
            continue
        return aside
    raise AssertionError  # pragma: no cover - numbers do not end
