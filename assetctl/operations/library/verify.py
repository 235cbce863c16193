"""Verify: whether every file is still there, and still what it was."""

from __future__ import annotations

import contextlib
import shlex
import stat
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assetctl.catalog import FileHashes
from assetctl.errors import FileError, GenerationError, HashMismatchError, StorageError
from assetctl.files.hashing import hash_file, tree_sha256
from assetctl.operations.workspace import needs_vocabulary
from assetctl.run import Hashed, leaving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from assetctl.files.hashing import Digests
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset, AssetFile


Status = Literal["ok", "missing", "changed", "unreadable", "unsupported"]


def problem_outside(file: AssetFile) -> tuple[tuple[Status, str] | None, int | None]:
    """What is wrong with a file without opening it, and when it was written, where that is another time."""
    try:
        status = Path(file.path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return ("missing", "the file is gone"), None
    except OSError as error:
        return ("unreadable", str(error.strerror)), None
    if not stat.S_ISREG(status.st_mode):
        return ("unreadable", "it is not a regular file"), None
    if status.st_size != file.size:
        return ("changed", f"it has {status.st_size} bytes and had {file.size}"), None
    return None, None if status.st_mtime_ns == file.mtime_ns else status.st_mtime_ns


#: Bytes of an asset that are hashed where nobody asked for it: they take no time that one would notice.
AT_ONCE = 64 * 2**20


def folder_hash(folder: str, files: Iterable[AssetFile]) -> str | None:
    """The hash of a diffusers folder from those of its files, or `None` while one is missing."""
    entries = [(Path(file.path).relative_to(folder).as_posix(), file.sha256) for file in files if file.role == "part"]
    hashed = [(path, sha256) for path, sha256 in entries if sha256 is not None]
    return tree_sha256(hashed) if len(hashed) == len(entries) else None


def lacking_hashes(asset: Asset, files: Iterable[AssetFile]) -> list[AssetFile]:
    """Those of an asset's main files that lack a hash."""
    return [
        file
        for file in files
        if file.role == "main"
        and (file.sha256 is None or file.blake3 is None or (file.autov3 is None and asset.format == "safetensors"))
    ]


def may_hash(asset: Asset, files: Iterable[AssetFile], wanted: bool | None) -> bool:  # noqa: FBT001 - said or not
    """Whether to compute what is lacking: as it is `wanted`, or if it is little where nothing was said."""
    return sum(file.size for file in lacking_hashes(asset, files)) <= AT_ONCE if wanted is None else wanted


def with_all_hashes(asset: Asset, files: Sequence[AssetFile], run: Run) -> list[AssetFile]:
    """Those of an asset's main files that lack a hash, with all three; the others are left out.

    Raises:
        HashMismatchError: The file is not the one that was registered.

    SHA256 comes with registration; AutoV3 and BLAKE3 cost another pass over the bytes, and are
    computed when they are first asked for.
    """
    completed = []
    for file in lacking_hashes(asset, files):
        digests = hash_file(Path(file.path), on_bytes=run.counter(asset.name, file.path, file.size))
        if file.sha256 is not None and digests.sha256 != file.sha256:
            raise HashMismatchError(
                f"{file.path} has changed since {asset.name} was registered.",
                f"`assetctl import {shlex.quote(file.path)}` registers what it holds now; or fetch it again.",
            )
        completed.append(replace(file, sha256=digests.sha256, autov3=digests.autov3, blake3=digests.blake3))
    return completed


def learn_hashes(workspace: Workspace, asset: Asset, run: Run) -> tuple[AssetFile, ...]:
    """All files of an asset, with the hashes that they lacked; kept, unless the catalog cannot be written.

    Raises:
        FileError: The main file is gone, damaged, or not the one that was registered.
        StorageError: It cannot be read.
    """
    files = workspace.catalog.read.files(asset)
    completed = {file.path: file for file in with_all_hashes(asset, files, run)}
    if completed:
        with suppress(StorageError), workspace.catalog.write() as writer:
            writer.set_hashes(
                [FileHashes(each.path, each.sha256, each.autov3, each.blake3) for each in completed.values()]
            )
    return tuple(completed.get(file.path, file) for file in files)


@dataclass(frozen=True, slots=True)
class Verification:
    """The state of one file.

    Attributes:
        name: Its asset's name.
        path: The file.
        status: `ok`, `missing`, `changed` (another size, other bytes or, where no hash is asked, another time),
            `unreadable`, or `unsupported`: what generation needs besides the file is not here.
        detail: What exactly differs, for a person.
    """

    name: str
    path: str
    status: Status
    detail: str


def verify(workspace: Workspace, names: Sequence[str] = (), *, quick: bool = False, run: Run) -> list[Verification]:
    """Compare the files of the named assets, or of all, with what the catalog knows.

    Sizes come first, then all hashes, or the times of writing if it is to be `quick`. Hashes that were not known yet
    are kept, where that can be. Where all is verified, so is the catalog itself.

    Raises:
        CatalogError: It is damaged.
        NotFoundError, AmbiguousNameError: A name.
    """
    read = workspace.catalog.read
    if not names and not quick:
        read.see_that_it_is_whole()
    assets = [read.find(name) for name in names] if names else read.assets()
    files = {asset.id: read.files(asset) for asset in assets}
    total = None if quick else sum(file.size for group in files.values() for file in group)
    results: list[Verification] = []
    with leaving(lambda: results), run.task("", "check" if quick else "hash", total):
        for asset in assets:
            for result in _verify(workspace, asset, files[asset.id], run, quick=quick):
                results.append(result)
                run.check()
        results += _unsupported(workspace, assets)
    return results


def _unsupported(workspace: Workspace, assets: Sequence[Asset]) -> Iterator[Verification]:
    """Single-file checkpoints that lack the vocabulary of their text encoder."""
    for asset in assets:
        if needs_vocabulary(asset):
            try:
                workspace.tokenizer_of(asset)
            except GenerationError as error:
                yield Verification(asset.name, asset.path, "unsupported", f"{error.message} {error.hint}")


def _verify(
    workspace: Workspace, asset: Asset, files: Sequence[AssetFile], run: Run, *, quick: bool
) -> Iterator[Verification]:
    learnt: list[FileHashes] = []
    touched: dict[str, int] = {}
    try:
        for file in files:
            problem, written = problem_outside(file)
            digests = None
            if problem is None and written is not None and quick:
                problem = "changed", "it was changed since it was registered"
            if problem is None and not quick:
                problem, digests = _hash_problem(asset, file, run)
            if problem is not None and problem[0] == "changed" and not quick:
                touched[file.path] = 0  # whoever asks later must not believe its size and time
            if digests is not None:
                learnt.append(FileHashes(file.path, digests.sha256, digests.autov3, digests.blake3))
            if digests is not None and written is not None and file.sha256 is not None:
                touched[file.path] = written
            looked_at = (
                "size and time" if quick else "size; hashed for the first time" if not file.sha256 else "size and hash"
            )
            status, detail = problem or ("ok", looked_at)
            yield Verification(asset.name, file.path, status, detail)
            if digests is not None:
                run.tell(Hashed(task=asset.name, path=file.path, sha256=str(digests.sha256)))
    finally:
        if learnt or touched:
            with contextlib.suppress(StorageError):  # a home that cannot be written can be verified all the same
                _keep(workspace, asset, learnt, touched)


def _keep(workspace: Workspace, asset: Asset, learnt: Sequence[FileHashes], touched: Mapping[str, int]) -> None:
    """Keep hashes, and when files were written that hold what they held: nobody need ask again."""
    with workspace.catalog.write() as writer:
        writer.set_hashes(learnt)
        writer.set_times(touched)
        if asset.format == "diffusers" and asset.sha256 is None:
            writer.set_folder_hash(asset.id, folder_hash(asset.path, writer.files(asset)))


def _hash_problem(asset: Asset, file: AssetFile, run: Run) -> tuple[tuple[Status, str] | None, Digests | None]:
    try:
        digests = hash_file(Path(file.path), on_bytes=run.counter(asset.name, file.path, file.size))
    except (FileError, StorageError) as error:
        return ("unreadable", error.message), None
    if file.sha256 is not None and digests.sha256 != file.sha256:
        return ("changed", f"its SHA256 is {digests.sha256} and was {file.sha256}"), None
    return None, digests
