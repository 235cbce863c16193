"""Verify: whether every file is still there, and still what it was."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.catalog import FileHashes
from assetctl.errors import FileError, GenerationError, StorageError
from assetctl.files.hashing import hash_file
from assetctl.operations.hashing import folder_hash
from assetctl.operations.on_disk import problem_outside
from assetctl.operations.tokenizers import find_tokenizer, needs_vocabulary
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from assetctl.files.hashing import Digests
    from assetctl.operations.on_disk import Status
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, AssetFile


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


def verify(
    workspace: Workspace,
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    report: Callable[[FetchProgress], None] = lambda _: None,
) -> list[Verification]:
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
    progress = _Progress(report, sum(file.size for group in files.values() for file in group))
    results = [
        result for asset in assets for result in _verify(workspace, asset, files[asset.id], progress, quick=quick)
    ]
    return [*results, *_unsupported(workspace, assets)]


class _Progress:
    """Adds up the bytes of all files."""

    def __init__(self, report: Callable[[FetchProgress], None], total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def advance(self, number: int) -> None:
        self._done += number
        self._report(FetchProgress("verifying", self._done, self._total))


def _unsupported(workspace: Workspace, assets: Sequence[Asset]) -> Iterator[Verification]:
    """Single-file checkpoints that lack the vocabulary of their text encoder."""
    for asset in assets:
        if needs_vocabulary(asset):
            try:
                find_tokenizer(workspace, asset)
            except GenerationError as error:
                yield Verification(asset.name, asset.path, "unsupported", f"{error.message} {error.hint}")


def _verify(
    workspace: Workspace, asset: Asset, files: Sequence[AssetFile], progress: _Progress, *, quick: bool
) -> Iterator[Verification]:
    learnt: list[FileHashes] = []
    touched: dict[str, int] = {}
    for file in files:
        problem, written = problem_outside(file)
        digests = None
        if problem is None and written is not None and quick:
            problem = "changed", "it was written to since it was registered"
        if problem is None and not quick:
            problem, digests = _hash_problem(file, progress)
        if digests is not None:
            learnt.append(FileHashes(file.path, digests.sha256, digests.autov3, digests.blake3))
        if digests is not None and written is not None and file.sha256 is not None:
            touched[file.path] = written
        looked_at = (
            "size and time" if quick else "size; hashed for the first time" if not file.sha256 else "size and hash"
        )
        status, detail = problem or ("ok", looked_at)
        yield Verification(asset.name, file.path, status, detail)
    if learnt:
        with contextlib.suppress(StorageError):  # a home that can not be written can be verified all the same
            _keep(workspace, asset, learnt, touched)


def _keep(workspace: Workspace, asset: Asset, learnt: Sequence[FileHashes], touched: Mapping[str, int]) -> None:
    """Keep hashes, and when files were written that hold what they held: nobody need ask again."""
    with workspace.catalog.write() as writer:
        writer.set_hashes(learnt)
        writer.set_times(touched)
    if asset.format == "diffusers" and asset.sha256 is None:
        whole = folder_hash(asset.path, workspace.catalog.read.files(asset))
        with workspace.catalog.write() as writer:
            writer.set_folder_hash(asset.id, whole)


def _hash_problem(file: AssetFile, progress: _Progress) -> tuple[tuple[Status, str] | None, Digests | None]:
    try:
        digests = hash_file(Path(file.path), on_bytes=progress.advance)
    except (FileError, StorageError) as error:
        return ("unreadable", error.message), None
    if file.sha256 is not None and digests.sha256 != file.sha256:
        return ("changed", f"its SHA256 is {digests.sha256} and was {file.sha256}"), None
    return None, digests
