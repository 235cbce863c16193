"""One plain stream with a `Range`, which goes on where an earlier one stopped."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import httpx2

from assetctl.errors import HashMismatchError
from assetctl.files.disk import storage_errors, write_all
from assetctl.sources._download.asking import (
    CONTENT_RANGE,
    FETCH_AGAIN,
    SLOTS,
    TRANSIENT,
    TRANSIENT_STATUS,
    BusyError,
    instead,
    persist,
)
from assetctl.sources._download.promise import Promise
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from concurrent.futures import Future
    from io import FileIO
    from pathlib import Path

    from assetctl.sources._download.asking import Way
    from assetctl.sources.base import RemoteFile, Report

#: Bytes that are written and hashed at a time, and pieces that may wait to be written.
_PIECE, _AHEAD = 2**19, 16

#: Seconds after which less is written too: what a kill may lose of a slow download.
_SLOW = 0.2


class _Writing:
    """Writes in a thread of its own, while the next bytes come; leaving the block waits until all is written."""

    def __init__(self, opened: FileIO, part: Path) -> None:
        self._opened, self._part = opened, part
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()

    def write(self, data: bytes) -> None:
        self._wait(_AHEAD)
        self._waiting.append(self._thread.submit(write_all, self._opened, data))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._wait(0)
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _wait(self, most: int) -> None:
        with storage_errors(f"write {self._part}"):
            while len(self._waiting) > most:
                self._waiting.popleft().result()


class Stream:
    """One file on its way to its partial file, by one stream from its beginning or from where it stopped.

    The bytes are hashed as they arrive, so that a model is not read a second time.
    """

    def __init__(self, way: Way, part: Path, file: RemoteFile, report: Report) -> None:
        self.promise = Promise(file)
        self._way = way
        self._part = part
        self._state = part.with_suffix(".etag")  # which state of the file the bytes are of
        self._file = file
        self._report = report

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            SourceError, HashMismatchError, RefusedFileError, StorageError: As `download` does.
        """
        with storage_errors(f"write to {self._part.parent}"):
            self._take_up()
        if not self._complete:
            with SLOTS, self._way.errors(self._way.what):
                persist(self._way.what, self._attempt, lambda: self.promise.done)

    @property
    def _complete(self) -> bool:
        """Whether all bytes are there already."""
        return self._file.size is not None and self.promise.done == self._file.size

    def _take_up(self) -> None:
        """Go on with the bytes of an earlier try."""
        self._part.touch()
        if not self._pinned and not self._state.is_file():
            self._start_over()  # nobody can tell whether more of the same would come
        self.promise.feed_file(self._part)
        if self.promise.too_long:
            self._start_over()

    def remove(self) -> None:
        """Forget what came."""
        self._part.unlink(missing_ok=True)
        self._state.unlink(missing_ok=True)

    @property
    def _pinned(self) -> bool:
        """Whether a hash will tell that all pieces are of one file."""
        return bool(self._file.sha256 or self._file.git_oid)

    def _attempt(self) -> None:
        """Append what is missing, as far as the connection lasts."""
        headers = dict(self._way.headers())
        if self.promise.done:
            headers["range"] = f"bytes={self.promise.done}-"
            if self._state.is_file():
                headers["if-range"] = self._state.read_text("ascii")
        with self._way.session().stream(
            "GET", self._way.url, headers=headers, timeout=self._way.timeout, follow_redirects=True
        ) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.promise.done:
                self._start_over()
                raise httpx2.RemoteProtocolError("The range was refused.")
            if response.status_code in TRANSIENT_STATUS:
                raise BusyError(response)
            self._way.check(response)
            announced = self._agree(response)
            self._note_state(response)
            self._append(response)
        if announced is None and self._file.size is not None and self.promise.done < self._file.size:
            raise httpx2.RemoteProtocolError("The stream ended early.")

    def _agree(self, response: httpx2.Response) -> int | None:
        """Begin where the server begins; the whole length it announces, if it does."""
        match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            if match is None or int(match["start"]) != self.promise.done:
                self._start_over()
                raise httpx2.RemoteProtocolError("Another range came than was asked for.")
            total = match["total"]
        else:
            if self.promise.done:  # the server does not do ranges
                self._start_over()
            total = response.headers.get("content-length", "")
        announced = int(total) if total.isdecimal() and "content-encoding" not in response.headers else None
        if None not in (announced, self._file.size) and announced != self._file.size:
            self._refuse_other(next(response.iter_bytes(), b""), response)
            with storage_errors(f"remove {self._part}"):
                self.remove()
            raise HashMismatchError(
                f"{self._file.path} has {announced} bytes where {self._file.size} were promised.", FETCH_AGAIN
            )
        return announced

    def _append(self, response: httpx2.Response) -> None:
        """Write what comes, in large pieces; a connection that breaks loses nothing of what came."""
        with storage_errors(f"write {self._part}"):
            opened = self._part.open("ab", buffering=0)
        piece, since = bytearray(), time.monotonic()
        with opened, _Writing(opened, self._part) as writing:
            try:
                for chunk in response.iter_bytes():
                    if not self.promise.done and not piece:
                        self._refuse_other(chunk, response)
                    piece += chunk
                    if len(piece) >= _PIECE or time.monotonic() - since > _SLOW:
                        self._keep(writing, bytes(piece))
                        piece, since = bytearray(), time.monotonic()
                        if self.promise.too_long:
                            return
            except TRANSIENT:
                self._keep(writing, bytes(piece))
                raise
            self._keep(writing, bytes(piece))

    def _keep(self, writing: _Writing, piece: bytes) -> None:
        writing.write(piece)
        self.promise.feed(piece)
        self._report(FetchProgress(self._file.path, self.promise.done, self._file.size))

    def _note_state(self, response: httpx2.Response) -> None:
        """Keep what tells this state of the file from another; a weak ETag can not."""
        etag = response.headers.get("etag", "")
        state = etag if etag.isascii() and etag[:1] == '"' else response.headers.get("last-modified", "")
        if not self._pinned and state.isascii() and state.isprintable() and state:
            with storage_errors(f"write {self._state}"):
                self._state.write_text(state, "ascii")

    def _refuse_other(self, start: bytes, response: httpx2.Response) -> None:
        """Refuse what can not be the file, before it takes up the disk."""
        refusal = instead(self._file.path, start, self._way, response.url.host)
        if refusal is not None:
            with storage_errors(f"remove {self._part}"):
                self.remove()
            raise refusal

    def _start_over(self) -> None:
        with storage_errors(f"write {self._part}"):
            self._part.write_bytes(b"")
            self._state.unlink(missing_ok=True)
        self.promise.reset()
