"""Large files in chunks, several at once, by `Range`: one connection rarely fills a line."""

from __future__ import annotations

import functools
import threading
import time
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from assetctl.files.disk import DirectFile, storage_errors
from assetctl.sources import _download, _partial
from assetctl.sources._download import (
    CONTENT_RANGE,
    TRANSIENT,
    TRANSIENT_STATUS,
    BusyError,
    Patience,
    ask,
    instead,
    partial_file,
    settled,
    slot,
)
from assetctl.sources._partial import SUFFIX, Flow, Journal, Promise
from assetctl.sources._web import AS_IT_IS, refuse_packed
from assetctl.sources.base import cancellable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future
    from io import FileIO
    from pathlib import Path

    from assetctl.run import Run
    from assetctl.sources._partial import Tell
    from assetctl.sources.base import RemoteFile, Way

#: A file is fetched in chunks of so many bytes, by up to so many connections; a chunk is filled by whole pieces of a
#: flow.
CHUNK, CONNECTIONS = 32 * 2**20, 4

#: A further connection is opened where those that there are brought less than so many bytes a second, looked at after
#: so many seconds. One that brings more keeps the disk and the hash busy alone.
FAST, LOOK = 100 * 2**20, 0.5

#: Chunks that a connection as fast as that asks for at once.
AT_ONCE = 8

#: Seconds that workers who have nothing left to do get to end.
_GRACE = 5.0

#: Seconds between two reports.
_TELL = 0.1

_READ = 2**20


def download(way: Way, file: RemoteFile, target: Path, partial: Path, run: Run, tell: Tell) -> str | None:
    """Download a large file of known hash by ranges, if no stream has brought any of it yet and the server knows them.

    Else it comes by one stream; see `_download.download`.
    """
    part = partial_file(way, file, target, partial)
    if part.with_suffix(SUFFIX).is_file() or not (part.is_file() and part.stat().st_size):
        ranges = Ranges(way, part, file, run, tell)
        try:
            ranges.run()
        except NoRangesError:
            _partial.forget(part)
        else:
            return settled(ranges.promise, way, part, target)
    return _download.download(way, file, target, partial, run, tell)


class NoRangesError(Exception):
    """The server does not give parts of this file, or gives another file's."""


class _StoppedError(Exception):
    """Nobody waits for the file any more."""


class Ranges:
    """One file on its way to its partial file, with a journal of what has come.

    Workers take chunks in the file's order. What comes at the place where the hash has got to is hashed from memory;
    the thread that runs this hashes the rest from the file, close behind. Only for files whose hash is known: it tells
    that all chunks were of one file.
    """

    def __init__(self, way: Way, part: Path, file: RemoteFile, run: Run, tell: Tell) -> None:
        self.promise = Promise(file, way.most)
        self._size = file.size or 0
        self._way, self._part, self._file, self._run, self._tell = way, part, file, run, tell
        self._journal = Journal(part.with_suffix(SUFFIX), self._size, CHUNK)
        self._patience = Patience(way.what, run, len(self._journal.got))
        self._changed = threading.Condition()
        self._hashing = threading.Lock()  # whoever has it feeds the promise
        self._workers: list[threading.Thread] = []
        self._taken: set[int] = set()
        self._writing = 0
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._direct: str | None = None  # where the way's address redirects to, for as long as that is good
        self._redirect_lasts = True

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            NoRangesError: The server does not do it.
            SourceError, HashMismatchError, RefusedFileError, StorageError: As `download` does.
        """
        with storage_errors(f"write {self._part}"):
            _partial.keep_file(self._part)
            self._journal.open(self._part.stat().st_size)
        self._hire()
        try:
            self._hash_along()
        finally:
            self._stop()
        for worker in self._workers:  # all is there: they let go of the file, which some systems want before it moves
            worker.join(_GRACE)

    def _stop(self) -> None:
        """Let nobody write any more; workers that wait for a server end with the process, or when it answers."""
        with self._changed:
            self._stopped.set()
            self._changed.wait_for(lambda: not self._writing)
            self._journal.close()

    def _hire(self) -> None:
        """Open one more connection."""
        worker = threading.Thread(target=self._work, daemon=True, name="range")
        self._workers.append(worker)
        worker.start()

    def _hash_along(self) -> None:
        """Hash what has come without a gap, as far as nobody has, until that is all."""
        had, since = sum(self._journal.got), time.monotonic()
        with _partial.reading(self._part) as reading:  # a buffer would read ahead of what has come
            while self.promise.done < self._size or sum(self._journal.got) < self._size:
                with self._changed:
                    if self._front() <= self.promise.done and self._error is None:
                        self._changed.wait(min(_TELL, LOOK))
                    if self._error is not None:
                        raise self._error
                    done, front = sum(self._journal.got), self._front()
                self._tell(done)
                with self._hashing:
                    self._catch_up(reading, front)
                if (took := time.monotonic() - since) >= LOOK:
                    if done - had < FAST * took and len(self._workers) < CONNECTIONS:
                        self._hire()
                    had, since = done, time.monotonic()

    def _catch_up(self, reading: FileIO, front: int) -> None:
        """Hash from the file what nobody hashed from memory."""
        while self.promise.done < front:
            reading.seek(self.promise.done)
            self.promise.feed(reading.read(min(_READ, front - self.promise.done)))

    def _front(self) -> int:
        """How many bytes have come from the file's beginning on, without a gap."""
        number = self.promise.done // CHUNK
        while number < len(self._journal.got) and self._journal.got[number] == self._journal.length(number):
            number += 1
        return number * CHUNK + self._journal.got[number] if number < len(self._journal.got) else self._size

    def _work(self) -> None:
        """Fetch chunks until there are no more, or something is wrong."""
        most = 1
        try:
            with (
                cancellable(self._run),
                DirectFile(self._part) as file,
                Flow(self._feed, functools.partial(self._write, file)) as flow,
            ):
                while chunks := self._take(most):
                    since = time.monotonic()
                    self._fetch(chunks, flow)
                    most = AT_ONCE if len(chunks) * CHUNK > FAST * (time.monotonic() - since) else 1
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _take(self, most: int) -> range:
        """The next chunks that nobody fetches: one that has begun, or up to so many that follow each other."""
        got, length = self._journal.got, self._journal.length
        with self._changed:
            wanted = (number for number, count in enumerate(got) if count < length(number))
            first = next((number for number in wanted if number not in self._taken), len(got))
            if self._stopped.is_set() or first == len(got):
                return range(0)
            end = first + 1
            while end < min(first + most, len(got)) and end not in self._taken and not got[end]:
                end += 1
            self._taken.update(range(first, end))
            return range(first, end)

    def _fetch(self, chunks: range, flow: Flow) -> None:
        with slot(self._run), self._way.errors(self._way.what):
            self._patience.persist(lambda: self._attempt(chunks, flow), lambda: self._got(chunks))

    def _got(self, chunks: range) -> int:
        """How many bytes have come of chunks that are fetched one after the other."""
        return sum(self._journal.got[number] for number in chunks)

    def _attempt(self, chunks: range, flow: Flow) -> None:
        """Ask for the rest of some chunks, and write what comes."""
        start, end = chunks.start * CHUNK + self._got(chunks), min(chunks.stop * CHUNK, self._size)
        if self._stopped.is_set():
            raise _StoppedError
        direct = self._direct
        headers = dict(self._way.headers()) if direct is None else dict(AS_IT_IS)
        headers["range"] = f"bytes={start}-{end - 1}"
        with ask(self._way, headers, direct) as response:
            if response.status_code in TRANSIENT_STATUS:
                raise BusyError(response)
            if direct is not None and response.status_code != HTTPStatus.PARTIAL_CONTENT:
                self._direct, self._redirect_lasts = None, False  # it has run out: ask for each chunk
                raise httpx2.RemoteProtocolError("The address is no longer valid.")
            self._agree(response, start)
            flow.begin(start)
            try:
                self._take_body(response, start, end, flow)
            except TRANSIENT:
                flow.flush()
                flow.wait()  # the next try goes on behind what is written
                raise

    def _agree(self, response: httpx2.Response, start: int) -> None:
        """See that what was asked for comes; what has come already is not given up for an answer that may be a whim."""
        if response.status_code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            self._way.check(response)
            refuse_packed(response, self._way.what)
        match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            match = None
        if match is None or int(match["start"]) != start or match["total"] not in ("*", str(self._size)):
            if any(self._journal.got) and not self._is_whole(response):
                raise httpx2.RemoteProtocolError("Another range came than was asked for.")
            raise NoRangesError
        if response.history and self._redirect_lasts:
            self._direct = str(response.url)

    def _is_whole(self, response: httpx2.Response) -> bool:
        """Whether the whole file comes where a range was asked for, and not a page that says why it does not.

        Raises:
            RefusedFileError: It is such a page.
        """
        if response.status_code != HTTPStatus.OK:
            return False
        start = next(response.iter_bytes(), b"")
        refusal = instead(self._file.path, start, self._way, response.url.host)
        if refusal is not None:
            raise refusal
        return response.headers.get("content-length") == str(self._size)

    def _take_body(self, response: httpx2.Response, start: int, end: int, flow: Flow) -> None:
        """Take what comes; what is more than was asked for is not kept."""
        position = start
        for data in response.iter_bytes():
            if position == 0:
                refusal = instead(self._file.path, data, self._way, response.url.host)
                if refusal is not None:
                    raise refusal
            flow.take(data[: end - position])
            position = min(end, position + len(data))
            if position == end:
                break
        if position < end:
            raise httpx2.RemoteProtocolError("The range ended early.")
        flow.flush()

    def _feed(self, position: int, data: memoryview) -> Future[None] | None:
        """Hash a piece from memory, if it is the next to be hashed."""
        if not self._hashing.acquire(blocking=False):
            return None
        try:
            return self.promise.feed(data) if position == self.promise.done else None
        finally:
            self._hashing.release()

    def _write(self, file: DirectFile, position: int, data: memoryview, hashed: bool) -> None:  # noqa: FBT001
        """Write a piece, then its line in the journal; what is still to be hashed stays in the cache for that."""
        with self._at_work(), storage_errors(f"write {self._part}"):
            file.write(position, data, cached=not hashed)
        with self._changed, storage_errors(f"write {self._journal.path}"):
            if not self._stopped.is_set():
                self._journal.add(position // CHUNK, len(data))
            if not hashed or position + len(data) == self._size:
                self._changed.notify_all()  # there is something to do for the thread that waits

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        """Whoever stops all waits for the end of the block."""
        with self._changed:
            if self._stopped.is_set():
                raise _StoppedError
            self._writing += 1
        try:
            yield
        finally:
            with self._changed:
                self._writing -= 1
                if self._stopped.is_set():
                    self._changed.notify_all()
