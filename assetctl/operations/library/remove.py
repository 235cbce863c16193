"""Remove: forget an asset, and put into the trash what assetctl owns of it; and whether it could be fetched again."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, FileError, NotFoundError, StorageError, UsageError
from assetctl.files.hashing import hash_file
from assetctl.files.paths import absolute
from assetctl.operations.library.ingest import is_as_it_was, is_intact
from assetctl.operations.library.trash import discard
from assetctl.sources import is_source
from assetctl.store.placement import companion, is_behind_link, own_files, state_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.store.placement import State
    from assetctl.store.trash import Entry
    from assetctl.types import Asset, AssetFile


def is_recoverable(workspace: Workspace, asset: Asset) -> bool:
    """Whether nothing would be lost with an asset's files.

    What was changed since it came could not be fetched again, nor what a person moved into the store or sent to a
    server: of a file that was copied, the original must still hold its bytes. What is not there is lost already, unless
    its folder is not there either, whose disk may not be mounted.
    """
    read = workspace.catalog.read
    if not os.path.lexists(asset.path):
        return Path(asset.path).parent.is_dir()
    origin = read.origin(asset)
    if origin is None or not is_intact(workspace, asset):
        return False
    own = [file for file in read.files(asset) if file.role != "copy"]
    if origin.source == "path":
        return all(_is_at(origin.reference, asset, file) for file in own)
    return is_source(origin.source, workspace.settings)


def _is_at(reference: str, asset: Asset, file: AssetFile) -> bool:
    """Whether the original of an asset's file still holds its bytes."""
    try:
        original = absolute(reference) / os.path.relpath(file.path, asset.path)
        if not original.is_file() or original.samefile(file.path):
            return False
        return hash_file(Path(original), frozenset({"sha256"})).sha256 == file.sha256
    except (OSError, FileError, StorageError, UsageError):
        return False


@dataclass(frozen=True, slots=True)
class Removal:
    """What removing an asset means.

    Attributes:
        asset: The asset.
        generations: How many recorded pictures were made with it.
        deletes: Files that go.
        keeps: A person's own files, which stay, and what lies behind a link in the asset's folder.
        changed: Of these, what somebody wrote into the store in a file's place.
        linked: Of these, what lies behind such a link.
        is_owned: Whether the store has the asset's bytes.
        is_final: Whether what goes cannot be downloaded again: a person's own file, or what only the store has.
        removed: Whether it was done.
        trash: The entry of the trash that came of it.
    """

    asset: Asset
    generations: int
    deletes: tuple[Path, ...]
    keeps: tuple[Path, ...]
    changed: tuple[Path, ...]
    linked: tuple[Path, ...]
    is_owned: bool
    is_final: bool
    removed: bool = False
    trash: str | None = None

    @property
    def deletes_bytes(self) -> bool:
        """Whether something goes that is there now."""
        return any(os.path.lexists(path) for path in self.deletes)

    @property
    def folder(self) -> Path | None:
        """The folder of an asset that is one, or the companion of a file; what else lies in it stays."""
        path = Path(self.asset.path)
        return path if self.asset.format == "diffusers" else companion(path) if self.is_owned else None


def plan_removal(workspace: Workspace, name: str, *, delete_files: bool = False) -> Removal:
    """Say what `remove` would do; `delete_files` includes a person's own files.

    Of a folder, the files go that make the asset: what else lies in it, or behind a link in it, is none of its own.

    Raises:
        NotFoundError, AmbiguousNameError: The name.
        UsageError: One of several files was named, and all would be deleted.
    """
    read = workspace.catalog.read
    asset = read.find(name)
    files = read.files(asset)
    _see_that_it_was_named(asset, files, name, delete_files=delete_files)
    copies = [Path(file.path) for file in files if file.role == "copy"]
    is_owned = asset.in_store and workspace.store.owns(Path(asset.path))
    own, linked = _own(asset, files)
    changed = _changed(file for file in files if Path(file.path) in own) if is_owned else own
    owned = _with_companion([path for path in own if path not in changed])
    others = changed + copies
    deletes = owned + others if delete_files else owned
    kept = [] if delete_files else (changed if is_owned else [Path(asset.path)]) + copies
    linked = [path for path in linked if os.path.lexists(path)] if is_owned or delete_files else []
    is_final = bool(delete_files and others) or (is_owned and not is_recoverable(workspace, asset))
    keeps = (*(path for path in kept if os.path.lexists(path)), *linked)
    return Removal(
        asset,
        read.generations_with(asset),
        tuple(deletes),
        keeps,
        tuple(changed) if is_owned else (),
        tuple(linked),
        is_owned,
        is_final,
    )


def remove(workspace: Workspace, removal: Removal, *, reason: str = "rm", now: bool = False) -> Entry | None:
    """Do it: the catalog forgets the asset, and its files go into the trash, or for good if it is to be `now`.

    What turns out to hold other bytes than the catalog says goes into the trash in any case.

    Returns:
        The entry in the trash; `None` where nothing went there.

    Raises:
        StorageError: A file cannot be moved there; everything is as it was.
    """
    asset, folder = removal.asset, removal.folder
    known = {Path(file.path): file for file in workspace.catalog.read.files(asset)}
    copies = [path for path, file in known.items() if file.role == "copy"]
    own, _ = _own(asset, list(known.values()))  # a folder may have become a link since
    beside = own_files(companion(Path(asset.path)))  # and a person may have written to these
    meant = [path for path in removal.deletes if path in {*own, *beside, *copies}]
    seen: dict[Path, State] = {}
    for path in meant if now else ():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            seen[path] = state_of(path)
    doubtful = [path for path in meant if now and not _holds(path, known.get(path))]
    files = [path for path in meant if path not in doubtful]
    entry = discard(workspace, files, name=asset.name, reason=reason, asset=asset, folder=folder, now=now, seen=seen)
    return discard(workspace, doubtful, name=doubtful[0].name, reason=reason, folder=folder) if doubtful else entry


def _holds(path: Path, known: AssetFile | None) -> bool:
    """Whether a file holds the bytes that it was named for: its hash tells or, if it has none, size and time."""
    if not os.path.lexists(path) or path.is_symlink():
        return True
    if known is None:  # a companion's file was just seen to be as it was put there
        return not path.is_dir()
    try:
        if known.sha256 is not None:
            return hash_file(path, frozenset({"sha256"})).sha256 == known.sha256
        status = path.stat()
    except (AssetctlError, OSError):  # it cannot be read, or is written to just now
        return False
    return (status.st_size, status.st_mtime_ns) == (known.size, known.mtime_ns)


def _changed(files: Iterable[AssetFile]) -> list[Path]:
    """Files of the store in whose place something else lies than assetctl put there."""
    own = (file for file in files if file.role != "copy" and os.path.lexists(file.path))
    return [Path(file.path) for file in own if not Path(file.path).is_symlink() and not is_as_it_was(file)]


def _see_that_it_was_named(asset: Asset, files: Sequence[AssetFile], name: str, *, delete_files: bool) -> None:
    """See that a person meant this asset, and all of its files.

    Raises:
        NotFoundError: It is found by what one of its files is called, and has another name.
        UsageError: One of several files was named, and all would be deleted.
    """
    path = str(absolute(name))
    if path in {asset.path, *(file.path for file in files)}:
        if delete_files and asset.format != "diffusers" and len(files) > 1:
            raise UsageError(
                f"{path} is one of {len(files)} places of {asset.name}, and all of them would be deleted.",
                f"`assetctl rm {asset.typed} --delete-files` deletes all; else delete the one file yourself.",
            )
        return
    wanted = unicodedata.normalize("NFC", name).lower()
    hashes = {asset.sha256, *(digest for file in files for digest in (file.sha256, file.autov3, file.blake3))}
    if unicodedata.normalize("NFC", asset.name).lower() != wanted and not any(
        digest is not None and digest.startswith(wanted) for digest in hashes
    ):
        hint = f"`assetctl rm {asset.typed}` removes that one."
        raise NotFoundError(f"No asset is called {name}; {asset.name} is known by it as well.", hint)


def _own(asset: Asset, files: Sequence[AssetFile]) -> tuple[list[Path], list[Path]]:
    """The files that make the asset, a link in its place being one; and those that lie behind a link in its folder."""
    place = Path(asset.path)
    if asset.format != "diffusers" or place.is_symlink():
        return [place], []
    parts = [Path(file.path) for file in files if file.role != "copy"]
    linked = [path for path in parts if is_behind_link(path, place)]
    return [path for path in parts if path not in linked], linked


def _with_companion(own: list[Path]) -> list[Path]:
    """A single file's configuration goes along, as far as assetctl put it there."""
    return own + (own_files(companion(own[0])) if len(own) == 1 and not own[0].is_dir() else [])
