"""Hashing many files in threads while the caller goes on; results come in batches."""

from __future__ import annotations

import os
import queue
import shlex
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from assetctl.catalog import FileHashes
from assetctl.errors import AssetctlError, HashMismatchError, StorageError
from assetctl.files.hashing import hash_file, tree_sha256
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, AssetFile

#: How often results are handed over, in seconds: what an interruption may lose.
INTERVAL = 1.0

#: Bytes of an asset that are hashed where nobody asked for it: they take no time that one would notice.
AT_ONCE = 64 * 2**20


class HashRun:
    """SHA256 of files, computed by as many threads as there are cores; leaving the block stops them.

    Attributes:
        failures: Files that could not be read, each with its error.
    """

    def __init__(self, report: Callable[[FetchProgress], None]) -> None:
        self.failures: list[tuple[str, AssetctlError]] = []
        self._report = report
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="hash")
        self._jobs: dict[Future[str], str] = {}
        self._done: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._total = 0
        self._bytes = 0

    def submit(self, path: str, size: int) -> None:
        """Start on one more file."""
        self._total += size
        job = self._pool.submit(self._hash, path)
        self._jobs[job] = path
        job.add_done_callback(self._done.put)

    def batches(self) -> Iterator[list[tuple[str, str]]]:
        """Path and SHA256 of what is done, once a second, until all is done or someone interrupts."""
        batch: list[tuple[str, str]] = []
        left, due = len(self._jobs), time.monotonic() + INTERVAL
        try:
            while left:
                job = self._next(due)
                if job is not None:
                    left -= 1
                    self._take(job, batch)
                if time.monotonic() >= due:
                    if batch:
                        yield batch
                    batch, due = [], time.monotonic() + INTERVAL
        except KeyboardInterrupt:
            yield batch
            raise
        if batch:
            yield batch

    def _next(self, due: float) -> Future[str] | None:
        try:
            return self._done.get(timeout=max(0.0, due - time.monotonic()))
        except queue.Empty:
            return None

    def _take(self, job: Future[str], batch: list[tuple[str, str]]) -> None:
        try:
            batch.append((self._jobs[job], job.result()))
        except AssetctlError as error:
            self.failures.append((self._jobs[job], error))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _hash(self, path: str) -> str:
        digests = hash_file(Path(path), frozenset({"sha256"}), on_bytes=self._count, cancelled=self._stop.is_set)
        return str(digests.sha256)

    def _count(self, number: int) -> None:
        with self._lock:
            self._bytes += number
            self._report(FetchProgress("hashing", self._bytes, self._total))


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


def with_all_hashes(
    asset: Asset, files: Sequence[AssetFile], report: Callable[[FetchProgress], None] = lambda _: None
) -> list[AssetFile]:
    """Those of an asset's main files that lack a hash, with all three; the others are left out.

    Raises:
        HashMismatchError: The file is not the one that was registered.

    SHA256 comes with registration; AutoV3 and BLAKE3 cost another pass over the bytes, and are
    computed when they are first asked for.
    """
    completed = []
    lacking = lacking_hashes(asset, files)
    done, total = 0, sum(file.size for file in lacking)

    def count(number: int) -> None:
        nonlocal done
        done += number
        report(FetchProgress("hashing", done, total))

    for file in lacking:
        digests = hash_file(Path(file.path), on_bytes=count)
        if file.sha256 is not None and digests.sha256 != file.sha256:
            raise HashMismatchError(
                f"{file.path} holds other bytes than it did when {asset.name} was registered.",
                f"`assetctl import {shlex.quote(file.path)}` registers what it holds now; or fetch it anew.",
            )
        completed.append(replace(file, sha256=digests.sha256, autov3=digests.autov3, blake3=digests.blake3))
    return completed


def learn_hashes(
    workspace: Workspace, asset: Asset, report: Callable[[FetchProgress], None] = lambda _: None
) -> tuple[AssetFile, ...]:
    """All files of an asset, with the hashes that they lacked; kept, unless the catalog can not be written.

    Raises:
        FileError: The main file is gone, damaged, or not the one that was registered.
        StorageError: It can not be read.
    """
    files = workspace.catalog.read.files(asset)
    completed = {file.path: file for file in with_all_hashes(asset, files, report)}
    if completed:
        with suppress(StorageError), workspace.catalog.write() as writer:
            writer.set_hashes(
                [FileHashes(each.path, each.sha256, each.autov3, each.blake3) for each in completed.values()]
            )
    return tuple(completed.get(file.path, file) for file in files)
