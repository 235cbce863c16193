"""One plain stream with a `Range`, which goes on where an earlier one stopped."""

from __future__ import annotations

import os
import shutil
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from assetctl.errors import HashMismatchError, StorageError
from assetctl.files.disk import DirectFile, storage_errors
from assetctl.sources import _local
from assetctl.sources._download.promise import (
    CONTENT_RANGE,
    FETCH_AGAIN,
    SLOTS,
    TRANSIENT,
    TRANSIENT_STATUS,
    BusyError,
    Flow,
    Patience,
    Promise,
    instead,
)
from assetctl.sources._web import length_of, refuse_packed
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.sources._download.promise import Way
    from assetctl.sources.base import RemoteFile, Report


#: How much of what is free may go to a file of which nobody says how large it is.
_OF_THE_DISK = 0.9

#: Limit on what tells one state of a file from another, in bytes.
_LONGEST_STATE = 1000


class Stream:
    """One file on its way to its partial file, by one stream from its beginning or from where it stopped.

    The bytes are hashed as they arrive, so that a model is not read a second time.
    """

    def __init__(self, way: Way, part: Path, file: RemoteFile, report: Report) -> None:
        with storage_errors(f"see how much space is free in {part.parent}"):
            self._room = _room(part)
        self.promise = Promise(file, min(way.most, self._room))
        self._way = way
        self._part = part
        self._state = part.with_suffix(".etag")  # which state of the file the bytes are of
        self._file = file
        self._report = report
        self._told = 0

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            SourceError, HashMismatchError, RefusedFileError, StorageError: As `download` does.
        """
        with storage_errors(f"write to {self._part.parent}"):
            self._take_up()
        if not self._complete:
            with SLOTS, self._way.errors(self._way.what):
                Patience(self._way.what).persist(self._attempt, lambda: self.promise.done)
        self._see_room()

    @property
    def _complete(self) -> bool:
        """Whether all bytes are there already."""
        return self._file.size is not None and self.promise.done == self._file.size

    def _see_room(self) -> None:
        """See that it was not the disk that ended it; what nobody knows the end of is no use in part.

        Raises:
            StorageError: It was.
        """
        if self._file.size is None and self._room < self._way.most and self.promise.too_long:
            with storage_errors(f"remove {self._part}"):
                self.remove()
            raise StorageError(
                f"{self._way.what} has more than the {self._room} bytes that the disk has room for.",
                "Free some space, or set ASSETCTL_MODELS to a folder on another disk.",
            )

    def _take_up(self) -> None:
        """Go on with the bytes of an earlier try."""
        _local.keep_file(self._part)
        if not self._pinned and not self._known_state():
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
            if state := self._known_state():
                headers["if-range"] = state
        with self._way.ask(headers) as response:
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and self.promise.done:
                self._start_over()
                raise httpx2.RemoteProtocolError("The range was refused.")
            if response.status_code in TRANSIENT_STATUS:
                raise BusyError(response)
            self._way.check(response)
            refuse_packed(response, self._way.what)
            announced = self._agree(response)
            self._note_state(response)
            self._append(response)
        whole = self._file.size if announced is None else announced
        if whole is not None and self.promise.done < whole and not self.promise.too_long:
            raise httpx2.RemoteProtocolError("The stream ended early.")

    def _agree(self, response: httpx2.Response) -> int | None:
        """Begin where the server begins; the whole length it announces, if it does."""
        match = CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        if response.status_code == HTTPStatus.PARTIAL_CONTENT:
            if match is None or int(match["start"]) != self.promise.done or self._is_other(response):
                self._start_over()
                raise httpx2.RemoteProtocolError("Another range came than was asked for.")
            total = match["total"]
        else:
            if self.promise.done:  # the server does not do ranges
                self._start_over()
            total = response.headers.get("content-length", "")
        announced = length_of(total)
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
            opened = DirectFile(self._part)

        def write(position: int, data: memoryview, _fed: bool) -> None:  # noqa: FBT001 - a flow's word
            with storage_errors(f"write {self._part}"):
                opened.write(position, data)

        with opened, Flow(lambda _, data: self.promise.feed(data), write) as flow:
            flow.begin(self.promise.done)
            pieces = response.iter_bytes()
            try:
                if not self.promise.done:
                    start = next(pieces, b"")
                    self._refuse_other(start, response)
                    flow.take(start)
                for piece in pieces:
                    flow.take(piece)
                    self._tell()
                    if self.promise.too_long:
                        return
            except TRANSIENT:
                flow.flush()
                self._tell()
                raise
            flow.flush()
            self._tell()

    def _tell(self) -> None:
        if self.promise.done != self._told:
            self._told = self.promise.done
            self._report(FetchProgress(self._file.path, self._told, self._file.size))

    def _note_state(self, response: httpx2.Response) -> None:
        """Keep what tells this state of the file from another."""
        state = _state_of(response)
        if not self._pinned and state:
            with storage_errors(f"write {self._state}"):
                _local.write(self._state, state)

    def _known_state(self) -> str:
        """What tells the state of the file that the bytes are of, or ""."""
        with storage_errors(f"read {self._state}"):
            state = _local.text_of(self._state, _LONGEST_STATE)
        return state if state.isprintable() else ""

    def _is_other(self, response: httpx2.Response) -> bool:
        """Whether a range is of another state of the file than what is there: some servers do not ask `If-Range`."""
        state = _state_of(response)
        return bool(state) and self._known_state() not in ("", state)

    def _refuse_other(self, start: bytes, response: httpx2.Response) -> None:
        """Refuse what cannot be the file, before it takes up the disk."""
        refusal = instead(self._file.path, start, self._way, response.url.host)
        if refusal is not None:
            with storage_errors(f"remove {self._part}"):
                self.remove()
            raise refusal

    def _start_over(self) -> None:
        with storage_errors(f"write {self._part}"):
            _local.make_empty(self._part)
            self._state.unlink(missing_ok=True)
        self.promise.reset()


def _room(part: Path) -> int:
    """How many bytes of unknown number a file may have, with those that are there already.

    A server that never ends leaves something of the disk to others.
    """
    there = part.lstat().st_size if os.path.lexists(part) else 0
    return there + int(shutil.disk_usage(part.parent).free * _OF_THE_DISK)


def _state_of(response: httpx2.Response) -> str:
    """What tells one state of a file from another, or ""; a weak ETag cannot."""
    etag = response.headers.get("etag", "")
    state = etag if etag[:1] == '"' else response.headers.get("last-modified", "")
    return state if state.isascii() and state.isprintable() and len(state) <= _LONGEST_STATE else ""
