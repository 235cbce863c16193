"""Taking in: files on this machine go into the store, as copies or for good."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, CorruptFileError, NoRoomError, StorageError
from assetctl.files.disk import is_gone, is_written_to, same_bytes, storage_errors
from assetctl.files.hashing import hash_file
from assetctl.files.paths import absolute
from assetctl.identify import identify
from assetctl.operations.acquire.pull import pull
from assetctl.operations.library.identify_files import Scan
from assetctl.operations.library.ingest import checked_words
from assetctl.run import gathering, leaving
from assetctl.store.store import remove_empty_folders

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assetctl.operations.acquire.pull import PullResult
    from assetctl.operations.library.identify_files import Candidate
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset, AssetFile


@dataclass(slots=True)
class AddedToStore:
    """What taking in came to.

    Attributes:
        results: What is in the store, new or known.
        refused: Files inside folders that are no assets, each with its reason; they were passed over.
        others: Pickles inside folders that hold no model that is known; they were passed over.
        doubles: Files that were moved and whose bytes the store had, each with the asset that has them; they are gone.
        failed: Why a file that was named is not in the store, or why nothing after it is.
    """

    results: list[PullResult] = field(default_factory=list)
    refused: list[tuple[str, AssetctlError]] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    doubles: list[tuple[str, str]] = field(default_factory=list)
    failed: list[AssetctlError] = field(default_factory=list)


def add_to_store(
    workspace: Workspace,
    paths: Sequence[Path],
    run: Run,
    *,
    move: bool = False,
    tags: Iterable[str] = (),
) -> AddedToStore:
    """Pull every asset found at `paths`; when moving, delete an original once its bytes are safe in the store.

    What is refused does not keep the others out; a disk that is full, or an original that cannot be deleted, ends it.

    Raises:
        NotFoundError: A path does not exist.
        StorageError: A folder that was named cannot be read.
        Cancelled: The run is; each asset that is in the store is whole, and its original is there or in the store.
    """
    labels = checked_words(tags)
    found = Scan(paths)
    candidates = list(found)
    taken = AddedToStore(refused=found.unreadable)
    moved: set[str] = set()
    named = [absolute(path) for path in paths]
    roots = [os.path.realpath(path) if path.is_dir() else _place(str(path)) for path in named]
    roots += [_place(str(path)) for path in named if path.is_dir()]
    with leaving(lambda: taken), gathering(taken.results):
        for candidate in candidates:
            if os.path.realpath(candidate.path) in moved and is_gone(candidate.path):
                continue  # it was named twice, or a link leads to it
            try:
                if not candidate.named and _is_no_model(candidate):
                    taken.others.append(Path(candidate.path))
                    continue
                if move and any(is_written_to(Path(file.path)) for file in candidate.files):
                    raise _still_written(candidate.path)
                result = pull(workspace, candidate.path, run, tags=labels, given=move)
                taken.results.append(result)
                if move and result.asset.in_store and not workspace.store.contains(Path(candidate.path)):
                    if result.known and _has_rotted(workspace, candidate, result.asset):
                        taken.results[-1] = result = pull(workspace, candidate.path, run, tags=labels)
                    gone = _move_out(workspace, candidate, result, roots)
                    moved |= set(map(_place, gone))
                    taken.doubles += [(path, result.asset.name) for path in gone if result.known]
            except AssetctlError as error:
                error.reference = error.reference or candidate.path
                if isinstance(error, StorageError) and not isinstance(error, NoRoomError):
                    taken.failed.append(error)
                    break
                if candidate.named:
                    taken.failed.append(error)
                else:
                    taken.refused.append((candidate.path, error))
    return taken


def _is_no_model(candidate: Candidate) -> bool:
    """Whether it is a pickle of something else: an optimizer's state, a list.

    Raises:
        FileError: It is refused or corrupt.
    """
    found = identify(Path(candidate.path))
    return found.format == "pickle" and found.kind == "unknown"


def _still_written(path: str) -> CorruptFileError:
    return CorruptFileError(f"{path} is being written to by another program.", "Wait until it is complete.")


def _is_below(path: str, roots: Sequence[str]) -> bool:
    """Whether something lies where a person named it, and not behind a link that led out of there."""
    place = _place(path)
    return any(place == root or place.startswith(root + os.sep) for root in roots)


def _place(path: str) -> str:
    """Where something lies, links above it followed."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118 - strings


def _move_out(workspace: Workspace, candidate: Candidate, result: PullResult, roots: Sequence[str]) -> list[str]:
    """Delete what was taken in, and forget that it lay there; what is gone. Whatever else is there stays.

    Every file is compared with what the store has, byte by byte, before it goes.
    """
    inside = _is_below(candidate.path, roots)
    gone: list[str] = []
    try:
        _delete(candidate, _taken_from(workspace, candidate, result.asset) if inside else [], gone)
    finally:  # also what went before one that cannot be deleted
        _forget_copies(workspace, result.asset, gone)
    if not inside:
        result.warnings.append(f"{candidate.path} is behind a link: it was copied, and stays where it is.")
    elif Path(candidate.path).is_dir():
        result.warnings.append(f"{candidate.path} stays: it holds files that are not part of {result.asset.name}.")
    elif not gone and os.path.lexists(candidate.path):
        result.warnings.append(f"{candidate.path} stays: it was changed meanwhile, or is the store's own file.")
    return gone


def _forget_copies(workspace: Workspace, asset: Asset, gone: Sequence[str]) -> None:
    copies = [file.path for file in workspace.catalog.read.files(asset) if file.role == "copy"]
    if not set(copies).isdisjoint(gone):
        with workspace.catalog.write() as writer:
            for path in gone:
                writer.forget_file(path)


def _has_rotted(workspace: Workspace, candidate: Candidate, asset: Asset) -> bool:
    """Whether the store holds other bytes than it should, which their size and time hide; the catalog knows it then."""
    hashes = {file.path: file.sha256 for file in workspace.catalog.read.files(asset)}
    with storage_errors(f"compare {candidate.path} with {asset.path}"):
        differ = [
            stored
            for original, stored in _taken_from(workspace, candidate, asset)
            if not same_bytes(Path(original.path), Path(stored))
        ]
    rotten = [path for path in differ if hash_file(Path(path), frozenset({"sha256"})).sha256 != hashes[path]]
    if rotten:
        with workspace.catalog.write() as writer:
            writer.set_times(dict.fromkeys(rotten, 0))
    return bool(rotten)


def _taken_from(workspace: Workspace, candidate: Candidate, asset: Asset) -> list[tuple[AssetFile, str]]:
    """Those of a candidate's files that the store has, and where: of a folder, not all need belong to the asset."""
    own = {file.path: file.size for file in workspace.catalog.read.files(asset) if file.role != "copy"}
    taken = []
    for file in candidate.files:
        relative = os.path.relpath(file.path, candidate.path)
        stored = asset.path if relative == os.curdir else os.path.join(asset.path, relative)  # noqa: PTH118 - strings
        if own.get(stored) == file.size and os.path.realpath(stored) != os.path.realpath(file.path):
            taken.append((file, stored))
    return taken


def _was_not_written_to(file: AssetFile) -> bool:
    """Whether nobody has written to a file since it was found."""
    status = os.stat(file.path)  # noqa: PTH116 - a string
    return (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)


def _delete(candidate: Candidate, taken: Sequence[tuple[AssetFile, str]], gone: list[str]) -> None:
    """Delete the files whose bytes the store has, and folders of the candidate that are empty then.

    Args:
        candidate: Whose files they are.
        taken: The files, and where the store has them.
        gone: Gets the path of each that was deleted.

    Raises:
        StorageError: One cannot be deleted; those in `gone` are.
    """
    try:
        for file, stored in taken:
            path = Path(file.path)
            if _is_the_same_file(path, Path(stored)) or is_written_to(path):
                continue
            if same_bytes(path, Path(stored)) and _was_not_written_to(file):
                path.unlink()
                gone.append(file.path)
        place = Path(candidate.path)
        if place.is_dir() and not place.is_symlink():
            remove_empty_folders(place)
    except OSError as error:
        hint = "Its bytes are in the store; delete it yourself."
        raise StorageError(f"{candidate.path} cannot be deleted: {error.strerror}.", hint) from error


def _is_the_same_file(path: Path, stored: Path) -> bool:
    """Whether both are one file by its only name, or by one name that is reached in two ways; another name may go."""
    one, other = path.lstat(), stored.lstat()
    if (one.st_dev, one.st_ino) != (other.st_dev, other.st_ino):
        return False
    return one.st_nlink == 1 or (path.name == stored.name and path.parent.samefile(stored.parent))
