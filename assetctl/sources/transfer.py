"""One way for all files of all sources: from where a source says that they are, verified, into a folder of ours."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from assetctl.errors import HashMismatchError
from assetctl.files.disk import copy_file, link_or_copy, storage_errors
from assetctl.run import Bytes, Hashed, all_of
from assetctl.sources import _partial
from assetctl.sources._partial import fetched_bytes
from assetctl.sources.base import NamesFolders, cancellable, need_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.run import Run
    from assetctl.sources.base import RemoteFile, Resolution, Source, Way

__all__ = ["Transferred", "fetched", "fetched_bytes", "transfer"]

#: Files of a folder that are fetched at a time.
_FILES = 4

#: Files of at least so many bytes come in chunks.
LARGE = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Transferred:
    """What came.

    Attributes:
        path: The file or folder.
        hashes: SHA256 of its files, by their paths in the folder, where they are known by now.
    """

    path: Path
    hashes: Mapping[str, str]


def transfer(source: Source, resolution: Resolution, into: Path, run: Run, task: str = "") -> Transferred:
    """Bring the files of an asset into the folder `into`, verified; what an earlier try left there is gone on with.

    Args:
        source: Says where each file can be had.
        resolution: What it said that the asset consists of.
        into: The folder; nobody else uses it meanwhile.
        run: Told how far each file is.
        task: What the events belong to.

    Raises:
        HashMismatchError: The bytes are not those that were promised; they are gone.
        RefusedFileError: Something that is no model came, or files that do not belong to a folder.
        CorruptFileError: A file changed while it was copied.
        NotFoundError: A file of this machine is gone.
        SourceError: The source failed; what came so far is kept.
        StorageError: The disk refused.
        Cancelled: The run is; what came so far is kept.
    """
    return _Transfer(source, resolution, into, task).carry_out(run)


def fetched(way: Way, most: int, longest: float, run: Run) -> bytes:
    """What a small file holds, which nobody promised anything of.

    Args:
        way: To it.
        most: Bytes that it may have.
        longest: Seconds that it may take.
        run: What ends the waiting.

    Raises:
        SourceError: The source failed, or it is larger, or takes longer.
        Cancelled: The run is.
    """
    from assetctl.sources import _download, _web  # noqa: PLC0415 - the network's clients are slow to import

    need_network(way.what, offline=way.offline)
    with cancellable(run), way.errors(way.what), _download.ask(way, way.headers()) as response:
        way.check(response)
        _web.refuse_packed(response, way.what)
        return _web.read(response, way.what, most, longest)


class _Transfer:
    """The files of one asset on their way."""

    def __init__(self, source: Source, resolution: Resolution, into: Path, task: str) -> None:
        self._source, self._resolution, self._into, self._task = source, resolution, into, task
        self._is_folder = resolution.format == "diffusers"
        self._name, self._variant = _named(source, resolution)
        self._asset, self._partial = into / "asset", into / "partial"
        self._hashes: dict[str, str] = {}
        # Files of the same content have the same partial file: one comes after the other.
        self._alone = {file.digests: threading.Lock() for file in resolution.files if file.digests}

    def carry_out(self, run: Run) -> Transferred:
        with storage_errors(f"write to {self._into}"):
            _partial.clear(self._into, self._partial / "any")
            for left in self._partial.glob("*.incoming"):  # by a copy that was killed
                left.unlink()
        files = self._resolution.files
        if self._is_folder:
            files = self._see_index(run)
        all_of(files, self._bring, _FILES, run)
        with storage_errors(f"tidy {self._asset}"):
            _partial.prune_staged(self._asset, {self._place(file) for file in self._resolution.files})
        return Transferred(self._asset / self._name, self._hashes)

    def _see_index(self, run: Run) -> tuple[RemoteFile, ...]:
        """Bring the index of a folder before any weights, and see that it asks for the others; those."""
        from assetctl.sources._choose import INDEX, LARGEST_INDEX, see_chosen  # noqa: PLC0415 - most are single files

        files = self._resolution.files
        all_of([file for file in files if file.path == INDEX], self._bring, 1, run)
        path = self._asset / self._name / INDEX
        with storage_errors(f"read {path}"), _partial.reading(path) as opened:
            content = opened.read(LARGEST_INDEX)
        see_chosen(content, [file.path for file in files], self._resolution.reference, self._variant)
        return tuple(file for file in files if file.path != INDEX)

    def _place(self, file: RemoteFile) -> str:
        """Where a file comes to lie, below the asset's folder."""
        if self._is_folder:
            return f"{self._name}/{file.path}"
        return self._name if file is self._resolution.files[0] else file.path

    def _bring(self, file: RemoteFile, run: Run) -> None:
        """Bring one file, unless it lies there already, or in the cache of the Hub's own client."""
        place = self._asset / self._place(file)

        def tell(done: int) -> None:
            run.tell(Bytes(task=self._task, file=file.path, done=done, total=file.size))

        run.check()
        with cancellable(run), self._alone.get(file.digests, nullcontext()):
            with storage_errors(f"write {place}"):
                _partial.clear(self._into, place)
            way = self._source.way(self._resolution, file)
            sha256 = file.sha256
            if isinstance(way, Path):
                sha256 = _copy(way, place, self._partial, file, run, tell)
            elif not _is_there(place, file, run) and not _from_hub_cache(file, place, run):
                sha256 = _download(way, file, place, self._partial, run, tell)
        tell(place.stat().st_size)
        if sha256:
            self._hashes[file.path if self._is_folder else self._place(file)] = sha256
            run.tell(Hashed(task=self._task, path=file.path, sha256=sha256))


def _download(way: Way, file: RemoteFile, target: Path, partial: Path, run: Run, tell: _partial.Tell) -> str | None:
    """Download a file, a large one by several connections; its SHA256, where that was computed."""
    if file.sha256 is not None and (file.size or 0) >= LARGE:
        from assetctl.sources._ranges import download as in_chunks  # noqa: PLC0415 - few files are large

        return in_chunks(way, file, target, partial, run, tell)
    from assetctl.sources._download import download  # noqa: PLC0415 - the client costs 60 ms

    return download(way, file, target, partial, run, tell)


def _named(source: Source, resolution: Resolution) -> tuple[str, str | None]:
    """What the file or folder is called, and the variant of its weights that was asked for."""
    if resolution.format != "diffusers":
        return PurePosixPath(resolution.files[0].path).name, None
    if isinstance(source, NamesFolders):
        return source.folder(resolution.reference)
    return resolution.name, None


def _copy(original: Path, target: Path, partial: Path, file: RemoteFile, run: Run, tell: _partial.Tell) -> str:
    """Copy a file of this machine; the SHA256 of what was copied."""
    done = 0

    def told(length: int) -> None:
        nonlocal done
        done += length
        tell(done)

    with storage_errors(f"copy {original} to {target}"), _partial.new_file(partial, target) as incoming:
        copy_file(original, incoming, told)
        found = _hashed(hashlib.sha256(), incoming, run)
        if file.sha256 not in (None, found):
            raise HashMismatchError(
                f"{original} has the SHA256 {found}, and {file.sha256} was wanted.", "Find the file it once was."
            )
    return found


def _is_there(path: Path, file: RemoteFile, run: Run) -> bool:
    """Whether `path` holds the bytes that were promised for `file`."""
    with storage_errors(f"read {path}"):
        if not file.digests or not path.is_file() or file.size not in (None, path.stat().st_size):
            return False
        digest = next((begun for each in file.digests if (begun := each.begun(file.size)) is not None), None)
        if digest is None:
            return False
        return _hashed(digest, path, run) in {each.value for each in file.digests}


def _hashed(digest: hashlib._Hash, path: Path, run: Run) -> str:
    with _partial.reading(path) as opened:
        while data := opened.read(2**20):
            run.check()
            digest.update(data)
    return digest.hexdigest()


def _from_hub_cache(file: RemoteFile, target: Path, run: Run) -> bool:
    """Take a file from the cache of the Hub's own client, which names a large one by its SHA256, whatever its source.

    No byte is stored twice where the disk has hard links.
    """
    if file.sha256 is None:
        return False
    found = (each.resolve() for each in _hub_cache().glob(f"models--*/blobs/{file.sha256}"))
    blob = next((each for each in found if _is_there(each, file, run)), None)
    if blob is None:
        return False
    with storage_errors(f"copy {blob}"):
        target.unlink(missing_ok=True)
        link_or_copy(blob, target)
    return True


def see_ways(source: Source, resolution: Resolution, staged: int) -> None:
    """See that files which are to come can, as far as this machine alone tells: paths are there, servers may be asked.

    Args:
        source: Says where each can be had.
        resolution: What is to come.
        staged: Bytes of it that an earlier try left.

    Raises:
        NotFoundError: A file of this machine is gone.
        RefusedFileError: It may not be taken.
        OfflineError: The network is switched off.
    """
    for file in resolution.files:
        way = source.way(resolution, file)
        if isinstance(way, Path) or not way.offline or 0 < resolution.size <= staged:
            continue
        if file.sha256 is None or not any(_hub_cache().glob(f"models--*/blobs/{file.sha256}")):
            need_network(way.what, offline=True)


def _hub_cache() -> Path:
    """Where the Hub's client keeps it. Source: the client's documentation of its environment variables."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(os.path.expanduser(named))  # noqa: PTH111 - leaves an unknown user's home as it is
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return Path(os.path.expanduser(home)) / "hub"  # noqa: PTH111 - likewise
