"""Upkeep: what takes how much space, what can go, and which files could share their bytes."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assetctl.errors import HashMismatchError, NotFoundError, StorageError
from assetctl.files.disk import is_gone, same_bytes, storage_errors
from assetctl.files.sharing import bytes_alone, share_bytes
from assetctl.operations.library.previews import size_of, thumbnails
from assetctl.operations.library.trash import discard
from assetctl.run import leaving
from assetctl.store.leftovers import find_leftovers, find_strangers, held, sweep

if TYPE_CHECKING:
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.store.leftovers import Leftover, Stranger
    from assetctl.store.trash import Entry
    from assetctl.types import Asset


@dataclass(frozen=True, slots=True)
class Usage:
    """How many assets of a kind and family there are, and their bytes; `stored` are those in the store."""

    kind: str
    family: str | None
    count: int
    size: int
    stored: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """What can go.

    Attributes:
        leftovers: What assetctl left in the store.
        strangers: What somebody else put there: shown, and left alone.
        missing: Assets whose files are gone.
        removed: Whether all of that was done.
        trash: Entries of the trash that came of it.
        thumbnails: Bytes of small copies of pictures, which are made again when they are looked at.
    """

    leftovers: tuple[Leftover, ...]
    strangers: tuple[Stranger, ...]
    missing: tuple[Asset, ...]
    removed: bool = False
    trash: tuple[str, ...] = ()
    thumbnails: int = 0

    @property
    def size(self) -> int:
        """Bytes that go."""
        return sum(leftover.size for leftover in self.leftovers)


def usage(workspace: Workspace) -> list[Usage]:
    """Space by kind and family, largest first."""
    found = [Usage(*row) for row in workspace.catalog.read.usage()]
    small = thumbnails(workspace.settings.home)
    return [*found, Usage("thumbnails", None, len(small), size_of(small), 0)] if small else found


def plan_pruning(workspace: Workspace, *, missing: bool = False) -> Pruning:
    """Say what `prune` would remove; assets whose files are gone only if `missing` is asked for.

    A disk that is not mounted makes assets seem to be gone: nobody but the person can know.

    Raises:
        StorageError: The store cannot be read.
    """
    read = workspace.catalog.read
    known = read.known_files()
    leftovers = tuple(find_leftovers(workspace.store, known))
    strangers = tuple(find_strangers(workspace.store, known, leftovers))
    gone = [asset for asset in read.assets() if _is_missing(workspace, asset)] if missing else []
    return Pruning(leftovers, strangers, tuple(gone), thumbnails=size_of(thumbnails(workspace.settings.home)))


def _is_missing(workspace: Workspace, asset: Asset) -> bool:
    """Whether nothing is left of an asset, not even a copy."""
    return is_gone(asset.path) and all(is_gone(file.path) for file in workspace.catalog.read.files(asset))


def prune(workspace: Workspace, pruning: Pruning, run: Run, *, now: bool = False) -> list[Entry]:
    """Do it, but for what some process has gone on with meanwhile.

    Only what assetctl can show to be its own goes: see `Note.proven` and `find_leftovers`.

    Returns:
        What went into the trash: if it is to be `now`, what a killed process had placed alone.

    Raises:
        StorageError: Something could not be moved there; what stands before it was.
    """
    entries: list[Entry | None] = []
    with leaving(lambda: [entry for entry in entries if entry is not None]):
        _discard_all(workspace, pruning, entries, run, now=now)
    for path in thumbnails(workspace.settings.home) if pruning.thumbnails else ():
        with storage_errors(f"remove {path}"):
            path.unlink(missing_ok=True)
    with workspace.reserve():
        sweep(workspace.store)
    return [entry for entry in entries if entry is not None]


def _discard_all(workspace: Workspace, pruning: Pruning, entries: list[Entry | None], run: Run, *, now: bool) -> None:
    unwanted = {
        leftover.path: leftover for leftover in find_leftovers(workspace.store, workspace.catalog.read.known_files())
    }
    for planned in pruning.leftovers:
        run.check()
        leftover = unwanted.get(planned.path)
        if leftover is None:
            continue
        with held(workspace.store, leftover) as is_ours:
            if is_ours:
                folder = leftover.path if leftover.path.is_dir() else None
                name = leftover.path.name
                # A file that is still called ours may have been written to, with its time put back: it can come back.
                for_good = leftover.what == "unfinished" and (now or leftover.path.name.startswith(".assetctl-"))
                entries.append(
                    discard(workspace, leftover.files, name=name, reason="prune", folder=folder, now=for_good)
                )
    # What was said of an asset can come back: with its file it is whole again.
    for asset in pruning.missing:
        run.check()
        with contextlib.suppress(NotFoundError):  # somebody has changed it meanwhile
            if _is_missing(workspace, asset):
                entries.append(discard(workspace, (), name=asset.name, reason="prune", asset=asset, now=now))


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

    @property
    def linked(self) -> bool:
        """Whether they share their bytes by now."""
        return self.shared is not None


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


def share_duplicate(workspace: Workspace, duplicate: Duplicate, run: Run, *, hard_links: bool = False) -> Duplicate:
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
        kept, before = path.lstat(), copy.lstat()
        count = run.counter(duplicate.asset, str(copy), before.st_size)
        if not (_is_file(path) and _is_file(copy) and same_bytes(path, copy, count)):
            raise HashMismatchError(
                f"{copy} no longer holds the same bytes as {path}.", "`assetctl import` takes that in."
            )
        if share_bytes(path, copy):
            return replace(duplicate, shared="reflink", freed=gain - bytes_alone(copy))
        if not hard_links:
            hint = "`--hard-links` makes them one file with two names: a change to one shows in the other."
            raise StorageError(f"{copy} and {path} are left alone: their disk cannot share bytes between files.", hint)
        _link(path, kept, copy, before)
    with workspace.catalog.write() as writer:  # a link has the time of what it leads to, and nobody wrote to it
        writer.set_times({str(copy): path.stat().st_mtime_ns})
    return replace(duplicate, shared="hard link", freed=gain)


def _link(path: Path, kept: os.stat_result, copy: Path, before: os.stat_result) -> None:
    """Make `copy` a hard link to `path`, if both are as they were, and nobody gains rights by it."""
    if _rights(kept) != _rights(before):
        raise StorageError(
            f"{copy} and {path} are left alone: one file cannot have the permissions of both.",
            "Give both the same owner and permissions first.",
        )
    incoming = copy.with_name(f".assetctl-{secrets.token_hex(16)}")
    os.link(path, incoming, follow_symlinks=False)
    try:
        for place, named, was in ((incoming, path, kept), (copy, copy, before)):
            if _state(place.lstat()) != _state(was):
                raise HashMismatchError(f"{named} was changed meanwhile.", "Try again when nothing writes to it.")
        incoming.replace(copy)
    finally:
        incoming.unlink(missing_ok=True)


def _rights(status: os.stat_result) -> tuple[int, ...]:
    return status.st_mode, status.st_uid, status.st_gid


def _state(status: os.stat_result) -> tuple[int, ...]:
    """What tells whether a file is the same, and nobody has written to it or given it away."""
    return status.st_ino, status.st_size, status.st_mtime_ns, *_rights(status)


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
