"""The field's hashes of a file, in one pass; one hash for a folder; and those of many files, in threads."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from assetctl.errors import AssetctlError, CorruptFileError, StorageError
from assetctl.files.paths import open_regular
from assetctl.files.safetensors import MAX_HEADER, SPACE
from assetctl.run import Cancelled, Hashed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from assetctl.run import Run

    Update = Callable[[memoryview, int], None]

ALL = frozenset({"sha256", "autov3", "blake3"})

#: Bytes read at a time: large enough that threads pay, small enough to stay near the processor.
CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Digests:
    """Hashes of one file, lower-case hex; `None` for what was not wanted or does not exist.

    Attributes:
        sha256: The identity of a file.
        autov3: First 12 digits of the SHA256 of what follows a safetensors header, as A1111 has it.
        blake3: As Civitai lists it.
    """

    sha256: str | None = None
    autov3: str | None = None
    blake3: str | None = None


def hash_file(
    path: Path,
    wanted: frozenset[str] = ALL,
    data_start: int | None = None,
    on_bytes: Callable[[int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Digests:
    """Compute the `wanted` digests of `path` in one pass; each has its own thread.

    Args:
        path: The file.
        wanted: Some of `sha256`, `autov3`, `blake3`.
        data_start: Where the tensors begin, if known; found in the file otherwise.
        on_bytes: Told of every piece by its length.
        cancelled: Asked at every piece; `True` ends the work with `KeyboardInterrupt`.

    Raises:
        CorruptFileError: The file changed meanwhile.
        StorageError: It cannot be read.
    """
    try:
        descriptor, before = open_regular(path)
        with FileIO(descriptor) as file:
            if "autov3" in wanted and data_start is None:
                data_start = _data_start(file, before.st_size)
            digests = _Digests(wanted, data_start)
            _feed(file, before.st_size, digests.updates, on_bytes, cancelled)
        after = path.stat()
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if _identity(before) != _identity(after):
        raise CorruptFileError(f"{path} changed while it was read.", "Wait until it is complete; then try again.")
    return digests.result()


def tree_sha256(entries: Iterable[tuple[str, str]]) -> str:
    """Identity of a folder: the SHA256 of its sorted lines `SHA256  RELATIVE/PATH`.

    Args:
        entries: Relative path (with `/`) and SHA256 of every file.
    """
    lines = sorted(f"{sha256}  {path}\n" for path, sha256 in entries)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> object: ...

    def hexdigest(self) -> str: ...


class _Digests:
    """The hashes under way."""

    def __init__(self, wanted: frozenset[str], data_start: int | None) -> None:
        self._hashes: dict[str, _Hash] = {}
        self.updates: list[Update] = []
        if "sha256" in wanted:
            self._add("sha256", hashlib.sha256())
        if "autov3" in wanted and data_start is not None:
            self._add("autov3", hashlib.sha256(), data_start)
        if "blake3" in wanted:
            from blake3 import blake3  # noqa: PLC0415 - costs 13 ms and is seldom wanted

            self._add("blake3", blake3())

    def _add(self, name: str, digest: _Hash, start: int = 0) -> None:
        self._hashes[name] = digest

        def update(data: memoryview, position: int) -> None:
            digest.update(data[max(0, start - position) :])

        self.updates.append(update)

    def result(self) -> Digests:
        found = {name: digest.hexdigest() for name, digest in self._hashes.items()}
        autov3 = found.get("autov3")
        return Digests(found.get("sha256"), autov3 and autov3[:12], found.get("blake3"))


def _feed(
    file: FileIO,
    size: int,
    updates: list[Update],
    on_bytes: Callable[[int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Hand every piece to every digest, each in a thread of its own if there are several."""
    file.seek(0)
    if len(updates) == 1:
        (update,) = updates
        buffer = memoryview(bytearray(CHUNK))
        position = 0
        while (length := file.readinto(buffer)) and position <= size:
            if cancelled and cancelled():
                raise KeyboardInterrupt
            update(buffer[:length], position)
            position += length
            if on_bytes:
                on_bytes(length)
        return
    _feed_threads(file, size, updates, on_bytes, cancelled)


def _feed_threads(
    file: FileIO,
    size: int,
    updates: list[Update],
    on_bytes: Callable[[int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> None:
    """Read the next piece while the threads hash the last one: two buffers take turns."""
    position = 0
    with ThreadPoolExecutor(max(1, len(updates))) as pool:
        pending: list[Future[None]] = []
        for buffer in cycle([memoryview(bytearray(CHUNK)) for _ in range(2)]):
            length = file.readinto(buffer)
            for future in pending:
                future.result()
            if not length or position > size:  # a file that grows as fast as it is read would never end
                return
            if cancelled and cancelled():
                raise KeyboardInterrupt
            pending = [pool.submit(update, buffer[:length], position) for update in updates]
            position += length
            if on_bytes:
                on_bytes(length)


def _data_start(file: FileIO, size: int) -> int | None:
    """Where the tensors of a safetensors file begin, or `None` for another file."""
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    is_header = start[8:].lstrip(SPACE) in (b"{", b"") and 2 <= length <= min(size - 8, MAX_HEADER)
    return 8 + length if is_header else None


def _identity(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


#: How often results are handed over, in seconds: what an interruption may lose.
INTERVAL = 1.0


class HashRun:
    """SHA256 of files, computed by as many threads as there are cores; leaving the block stops them.

    Attributes:
        failures: Files that could not be read, each with its error.
    """

    def __init__(self, run: Run) -> None:
        self.failures: list[tuple[str, AssetctlError]] = []
        self._run = run
        self._pool = ThreadPoolExecutor(max_workers=os.cpu_count() or 1, thread_name_prefix="hash")
        self._jobs: dict[Future[str], tuple[str, str]] = {}
        self._done: queue.SimpleQueue[Future[str]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._total = 0

    def submit(self, task: str, path: str, size: int) -> None:
        """Start on one more file, which belongs to `task`."""
        self._total += size
        job = self._pool.submit(self._hash, task, path, size)
        self._jobs[job] = task, path
        job.add_done_callback(self._done.put)

    def batches(self) -> Iterator[list[tuple[str, str]]]:
        """Path and SHA256 of what is done, once a second, until all is done or someone ends it."""
        batch: list[tuple[str, str]] = []
        left, due = len(self._jobs), time.monotonic() + INTERVAL
        try:
            with self._run.task("", "hash", self._total):
                while left:
                    job = self._next(due)
                    if job is not None:
                        left -= 1
                        self._take(job, batch)
                    self._run.check()
                    if time.monotonic() >= due:
                        if batch:
                            yield batch
                        batch, due = [], time.monotonic() + INTERVAL
        except (KeyboardInterrupt, Cancelled):
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
        task, path = self._jobs[job]
        try:
            sha256 = job.result()
        except AssetctlError as error:
            self.failures.append((path, error))
            return
        batch.append((path, sha256))
        self._run.tell(Hashed(task=task, path=path, sha256=sha256))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown(cancel_futures=True)

    def _hash(self, task: str, path: str, size: int) -> str:
        count = self._run.counter(task, path, size)
        return str(hash_file(Path(path), frozenset({"sha256"}), on_bytes=count, cancelled=self._stop.is_set).sha256)
