"""Large files in chunks, several at once, by `Range`: one connection rarely fills a line."""

from __future__ import annotations

import threading
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from assetctl.files.disk import storage_errors, write_all
from assetctl.sources._download.asking import (
    CONTENT_RANGE,
    SLOTS,
    TRANSIENT,
    TRANSIENT_STATUS,
    BusyError,
    instead,
    persist,
)
from assetctl.sources._download.promise import Promise
from assetctl.sources._journal import SUFFIX, Journal
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

    from assetctl.sources._download.asking import Way
    from assetctl.sources.base import RemoteFile, Report

#: Files of at least so many bytes are fetched in chunks of so many, by so many connections.
LEAST, CHUNK, CONNECTIONS = 64 * 2**20, 32 * 2**20, 4

#: Bytes that are written at a time, and seconds after which less is written too: what a kill may lose of a chunk.
_PIECE, _SLOW = 2**19, 0.2

_READ = 2**20


class NoRangesError(Exception):
    """The server does not give parts of this file, or gives another file's."""


class _StoppedError(Exception):
    """Nobody waits for the file any more."""


class Ranges:
    """One file on its way to its partial file, with a journal of what has come.

    Workers take chunks in the file's order, so that the hash can follow close behind; the thread that runs this hashes
    and reports. Only for files whose hash is known: it tells that all chunks were of one file.
    """

    def __init__(self, way: Way, part: Path, file: RemoteFile, report: Report) -> None:
        self.promise = Promise(file)
        self._size = file.size or 0
        self._way, self._part, self._file, self._report = way, part, file, report
        self._journal = Journal(part.with_suffix(SUFFIX), self._size, CHUNK)
        self._changed = threading.Condition()
        self._taken: set[int] = set()
        self._writing = 0
        self._error: BaseException | None = None
        self._stopped = False
        self._direct: str | None = None  # where the way's address redirects to, for as long as that is good
        self._redirect_lasts = True

    @staticmethod
    def suit(part: Path, file: RemoteFile) -> bool:
        """Whether to fetch so: a large file of known hash, of which one stream has brought nothing yet."""
        if file.sha256 is None or file.size is None or file.size < LEAST:
            return False
        return part.with_suffix(SUFFIX).is_file() or not (part.is_file() and part.stat().st_size)

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            NoRangesError: The server does not do it.
            SourceError, HashMismatchError, RefusedFileError, StorageError: As `download` does.
        """
        with storage_errors(f"write {self._part}"):
            self._part.touch()
            self._journal.open(self._part.stat().st_size)
        workers = [threading.Thread(target=self._work, daemon=True, name="range") for _ in range(CONNECTIONS)]
        for worker in workers:
            worker.start()
        try:
            self._hash_along()
        finally:
            self._stop()

    def remove(self) -> None:
        """Forget what came."""
        self._part.unlink(missing_ok=True)
        self._journal.path.unlink(missing_ok=True)

    def _stop(self) -> None:
        """Let nobody write any more; workers that wait for a server end with the process, or when it answers."""
        with self._changed:
            self._stopped = True
            self._changed.wait_for(lambda: not self._writing)
            self._journal.close()

    def _hash_along(self) -> None:
        """Hash what has come without a gap, until that is all."""
        with self._part.open("rb", buffering=0) as reading:  # a buffer would read ahead of what has come
            while self.promise.done < self._size:
                with self._changed:
                    front = self._front()
                    if front == self.promise.done and self._error is None:
                        self._changed.wait(1.0)
                    if self._error is not None:
                        raise self._error
                    done = sum(self._journal.got)
                self._report(FetchProgress(self._file.path, done, self._size))
                while self.promise.done < front:
                    self.promise.feed(reading.read(min(_READ, front - self.promise.done)))

    def _front(self) -> int:
        """How many bytes have come from the file's beginning on, without a gap."""
        number = self.promise.done // CHUNK
        while number < len(self._journal.got) and self._journal.got[number] == self._journal.length(number):
            number += 1
        return number * CHUNK + self._journal.got[number] if number < len(self._journal.got) else self._size

    def _work(self) -> None:
        """Fetch chunks until there are no more, or something is wrong."""
        try:
            with self._part.open("r+b", buffering=0) as writing:
                while (number := self._take()) is not None:
                    self._fetch_chunk(number, writing)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            with self._changed:
                self._error = self._error or error
                self._changed.notify_all()

    def _take(self) -> int | None:
        with self._changed:
            for number, count in enumerate(self._journal.got):
                if not self._stopped and number not in self._taken and count < self._journal.length(number):
                    self._taken.add(number)
                    return number
        return None

    def _fetch_chunk(self, number: int, writing: FileIO) -> None:
        with SLOTS, self._way.errors(self._way.what):
            persist(self._way.what, lambda: self._attempt(number, writing), lambda: self._journal.got[number])

    def _attempt(self, number: int, writing: FileIO) -> None:
        """Ask for the rest of a chunk, and write what comes."""
        start, end = number * CHUNK + self._journal.got[number], number * CHUNK + self._journal.length(number)
        if self._stopped:
            raise _StoppedError
        direct = self._direct
        headers = dict(self._way.headers()) if direct is None else {"accept-encoding": "identity"}
        headers["range"] = f"bytes={start}-{end - 1}"
        with self._way.session().stream(
            "GET", direct or self._way.url, headers=headers, timeout=self._way.timeout, follow_redirects=True
        ) as response:
            if response.status_code in TRANSIENT_STATUS:
                raise BusyError(response)
            if direct is not None and response.status_code != HTTPStatus.PARTIAL_CONTENT:
                self._direct, self._redirect_lasts = None, False  # it has run out: ask for each chunk
                raise httpx2.RemoteProtocolError("The address is good no longer.")
            self._agree(response, start)
            self._write_chunk(response, number, end, writing)
        if self._journal.got[number] < self._journal.length(number):
            raise httpx2.RemoteProtocolError("The chunk ended early.")

    def _agree(self, response: httpx2.Response, start: int) -> None:
        """See that what was asked for comes."""
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise NoRangesError
        self._way.check(response)
        match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code != HTTPStatus.PARTIAL_CONTENT or match is None:
            raise NoRangesError
        if int(match["start"]) != start or match["total"] not in ("*", str(self._size)):
            raise NoRangesError
        if response.history and self._redirect_lasts:
            self._direct = str(response.url)

    def _write_chunk(self, response: httpx2.Response, number: int, end: int, writing: FileIO) -> None:
        piece, since = bytearray(), time.monotonic()
        try:
            for data in response.iter_bytes():
                piece += data
                if len(piece) >= _PIECE or time.monotonic() - since > _SLOW:
                    self._keep(piece, number, end, writing, response)
                    piece, since = bytearray(), time.monotonic()
        except TRANSIENT:
            self._keep(piece, number, end, writing, response)
            raise
        self._keep(piece, number, end, writing, response)

    def _keep(self, piece: bytearray, number: int, end: int, writing: FileIO, response: httpx2.Response) -> None:
        """Write a piece of a chunk, then its line in the journal; what is more than was asked for is not kept."""
        start = number * CHUNK + self._journal.got[number]
        data = bytes(piece[: end - start])
        if not data:
            return
        refusal = instead(self._file.path, data, self._way, response.url.host) if start == 0 else None
        if refusal is not None:
            raise refusal
        with self._changed:
            if self._stopped:
                raise _StoppedError
            self._writing += 1
        try:
            with storage_errors(f"write {self._part}"):
                writing.seek(start)
                write_all(writing, data)
        finally:
            with self._changed:
                self._writing -= 1
                self._changed.notify_all()
        with self._changed, storage_errors(f"write {self._journal.path}"):
            if not self._stopped:
                self._journal.add(number, len(data))
            self._changed.notify_all()
