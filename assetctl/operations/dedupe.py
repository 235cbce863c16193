"""Dedupe: files with the same bytes share them on disk."""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assetctl.errors import HashMismatchError, StorageError
from assetctl.files.disk import same_bytes, storage_errors
from assetctl.files.sharing import bytes_alone, share_bytes

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace

#: How two files share their bytes: by a reflink they stay two files, by a hard link they become one.
How = Literal["reflink", "hard link"]


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two files with the same bytes.

    Attributes:
        asset: The asset whose bytes they are.
        path: The one file.
        copy: The other, which takes space of its own.
        size: How many bytes the disk would get back.
        owned: Whether both are assetctl's: a person's own file may lie in the store too.
        shared: How they share their bytes by now; `None` if they do not.
        freed: Bytes that the disk got back.
    """

    asset: str
    path: Path
    copy: Path
    size: int
    owned: bool
    shared: How | None = None
    freed: int = 0


def find_duplicates(workspace: Workspace) -> list[Duplicate]:
    """Files that take space twice, as the catalog knows them: no links, and nothing whose bytes are shared already."""
    read = workspace.catalog.read
    owned = {Path(asset.path) for asset in read.assets() if asset.in_store}
    places: dict[int, dict[Path, None]] = {}
    for number, *both, _ in read.copies():
        places.setdefault(number, {}).update(dict.fromkeys(map(Path, both)))
    names = {asset.id: asset.name for asset in read.by_ids(places)}
    found: list[Duplicate] = []
    for number, paths in places.items():
        first, *others = sorted((path for path in paths if _is_file(path)), key=lambda path: path not in owned) or [
            Path()
        ]
        found += [
            Duplicate(names[number], first, copy, gain, {first, copy} <= owned)
            for copy in others
            if (gain := _gain(first, copy))
        ]
    return found


def share_duplicate(workspace: Workspace, duplicate: Duplicate, *, hard_links: bool = False) -> Duplicate:
    """Let two files share their bytes, once both were read and seen to be the same.

    A reflink leaves them two files. With `hard_links`, where the disk has no reflinks, they become one file by two
    names: what is written into the one shows in the other.

    Raises:
        HashMismatchError: They are not the same any more.
        StorageError: The disk can do neither, or `hard_links` was not asked for.
    """
    path, copy = duplicate.path, duplicate.copy
    with storage_errors(f"let {copy} share its bytes with {path}"):
        gain = bytes_alone(copy)
        before = copy.lstat()
        if not (_is_file(path) and _is_file(copy) and same_bytes(path, copy)):
            raise HashMismatchError(f"{copy} holds other bytes than {path} by now.", "`assetctl import` takes that in.")
        if share_bytes(path, copy):
            return replace(duplicate, shared="reflink", freed=gain - bytes_alone(copy))
        if not hard_links:
            hint = "`--hard-links` makes them one file by two names: what is written into the one shows in the other."
            raise StorageError(f"{copy} and {path} are left alone: their disk cannot share bytes between files.", hint)
        _link(path, copy, before)
    with workspace.catalog.write() as writer:  # a link has the time of what it leads to, and nobody wrote to it
        writer.set_times({str(copy): path.stat().st_mtime_ns})
    return replace(duplicate, shared="hard link", freed=gain)


def _link(path: Path, copy: Path, before: os.stat_result) -> None:
    """Make `copy` a hard link to `path`, if nobody has written to it since `before`, and nobody gains rights by it."""
    one = path.lstat()
    if (one.st_mode, one.st_uid, one.st_gid) != (before.st_mode, before.st_uid, before.st_gid):
        raise StorageError(
            f"{copy} and {path} are left alone: one file cannot have the permissions of both.",
            "Give both the same owner and permissions first.",
        )
    incoming = copy.with_name(f".assetctl-{secrets.token_hex(16)}")
    os.link(path, incoming, follow_symlinks=False)
    try:
        now = copy.lstat()
        if (now.st_ino, now.st_size, now.st_mtime_ns) != (before.st_ino, before.st_size, before.st_mtime_ns):
            raise HashMismatchError(f"{copy} was written to meanwhile.", "Try again when nothing writes to it.")
        incoming.replace(copy)
    finally:
        incoming.unlink(missing_ok=True)


def _is_file(path: Path) -> bool:
    """Whether it is a file itself, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def _gain(path: Path, copy: Path) -> int:
    try:
        return 0 if path.samefile(copy) else bytes_alone(copy)
    except OSError:  # it may not be read: then it cannot be compared either
        return 0
