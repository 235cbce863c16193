"""Downloads that go on where they stopped, even after the process was killed: one stream with a `Range`.

Large files come by several connections, see `_ranges`. (The Hub's own client writes to a file with a random name and
removes it when it fails; Xet's fetches in pieces of its own: neither goes on across processes.)
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import threading
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from assetctl.errors import HashMismatchError, RefusedFileError, SourceError, StorageError
from assetctl.files.disk import DirectFile, storage_errors
from assetctl.files.safetensors import MODEL_SUFFIXES, sniff
from assetctl.sources import _partial
from assetctl.sources._partial import Flow, Promise
from assetctl.sources._web import NAMED, length_of, refuse_packed
from assetctl.sources.base import need_network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from assetctl.run import Run
    from assetctl.sources._partial import Tell
    from assetctl.sources.base import RemoteFile, Way


def download(way: Way, file: RemoteFile, target: Path, partial: Path, run: Run, tell: Tell) -> str | None:
    """Download `file` to `target`, going on with what lies in the folder `partial`, which lies where `target` does.

    Returns:
        Its SHA256, computed on the way; `None` for one that is known by another digest.

    Raises:
        HashMismatchError: The bytes are not those that were promised; they are removed.
        RefusedFileError: A web page or the like came instead.
        SourceError: The source failed; what came so far is kept.
        StorageError: The disk refused.
        Cancelled: The run is; what came so far is kept.
    """
    part = partial_file(way, file, target, partial)
    stream = Stream(way, part, file, run, tell)
    stream.run()
    return settled(stream.promise, way, part, target)


def partial_file(way: Way, file: RemoteFile, target: Path, partial: Path) -> Path:
    """Where the bytes of a file are gathered; nothing is in its way, nor in that of `target`.

    Raises:
        OfflineError: The network is switched off.
        StorageError: The disk refused.
    """
    need_network(way.what, offline=way.offline)
    # Named by content where that is known, so that what another revision left is never gone on with.
    key = file.digests[0].value if file.digests else hashlib.sha256(way.url.encode()).hexdigest()
    part = partial / f"{key}.part"
    with storage_errors(f"write to {partial}"):
        _partial.clear(partial.parent, part)
        _partial.clear(partial.parent, target)
    return part


def settled(promise: Promise, way: Way, part: Path, target: Path) -> str | None:
    """Hold what came against what was promised, and give it its name; its SHA256 if that was computed."""
    broken = promise.broken()
    with storage_errors(f"write {target}"):
        if broken is None:
            part.replace(target)
        _partial.forget(part)
    if broken:
        raise HashMismatchError(f"{way.what} {broken}.", FETCH_AGAIN)
    return promise.sha256()


#: Seconds to wait before each further try that follows one which brought nothing.
PAUSES = (0.5, 1.0, 2.0)

#: Bytes that must have come since the last such try, for the next one to count as the first again: a server that gives
#: a byte at a time, or takes back what it gave, is not asked for ever.
ENOUGH = 2**16

#: Tries in all for one file, beyond one for each of its chunks: running the command again goes on from there.
MOST_TRIES = 1000

#: Longest wait, in seconds, that a server may ask for with `Retry-After`.
LONGEST_WAIT = 60.0

#: Connections at a time, of all downloads of this process.
_SLOTS = threading.BoundedSemaphore(8)


@contextmanager
def slot(run: Run) -> Iterator[None]:
    """One of the connections, once it is free.

    Raises:
        Cancelled: The run is.
    """
    while not _SLOTS.acquire(timeout=0.2):
        run.check()
    try:
        yield
    finally:
        _SLOTS.release()


TRANSIENT = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
CONTENT_RANGE = re.compile(r"bytes (?P<start>\d{1,15})-(?P<end>\d{1,15})/(?P<total>\d{1,15}|\*)", re.ASCII)
FETCH_AGAIN = "Run the command again to fetch it afresh; if that does not help, report it to its owner."
_TRY_LATER = "Run the command again: what was fetched so far is kept, and it goes on from there."

#: What comes instead of a model when something went wrong, and what is to be done.
_INSTEAD = {
    "html": (
        "a web page",
        "It may want you to log in or to accept terms; or the link is not to the file itself.",
    ),
    "lfs-pointer": ("a Git LFS pointer", "The link is not to the file itself: look for the download link on its page."),
    "json": ("an error message", "Look at the file's page in a browser."),
}


def ask(way: Way, headers: Mapping[str, str], url: str | None = None) -> AbstractContextManager[httpx2.Response]:
    """Ask for a file, or for it at the address that its own led to."""
    return way.session().stream(
        "GET",
        url or way.url,
        headers=dict(headers),
        timeout=way.timeout,
        follow_redirects=True,
        extensions={NAMED: way.named or way.url},
    )


class BusyError(Exception):
    """An answer that may be another one soon; `wait` is how many seconds the server asks for."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        said = response.headers.get("retry-after", "")
        self.wait = min(float(said), LONGEST_WAIT) if said.isascii() and said.isdecimal() else 0.0

    def told(self, what: str) -> SourceError:
        """What it is when it stays so."""
        hint = "Try again in a few minutes." if self.status == HTTPStatus.TOO_MANY_REQUESTS else _TRY_LATER
        return SourceError(f"{what}: the server answered with status {self.status}.", hint)


class Patience:
    """How often the server of one file is asked, by all its connections together.

    Args:
        what: The file, for messages.
        run: What ends the waiting.
        chunks: In how many parts it is asked for.
    """

    def __init__(self, what: str, run: Run, chunks: int = 1) -> None:
        self._what, self._run = what, run
        self._left = iter(range(MOST_TRIES + chunks))

    def persist(self, attempt: Callable[[], None], done: Callable[[], int]) -> None:
        """Try until `attempt` ends; give up after several tries in a row that brought next to nothing.

        Args:
            attempt: Raises `BusyError` or one of `TRANSIENT` for what may be different soon.
            done: How many bytes there are.

        Raises:
            SourceError: The server stayed busy, or was asked too often.
            httpx2.HTTPError: The connection stayed bad.
            Cancelled: The run is.
        """
        failures, best = 0, done()
        for _ in self._left:
            try:
                return attempt()
            except (*TRANSIENT, BusyError) as error:
                failures += 1
                if done() >= best + ENOUGH:
                    failures, best = 0, done()
                if failures > len(PAUSES):
                    if isinstance(error, BusyError):
                        raise error.told(self._what) from None
                    raise
                wait = error.wait if isinstance(error, BusyError) else 0.0
            self._run.wait(max(wait, PAUSES[max(0, failures - 1)]))
        raise SourceError(f"{self._what}: the server broke off {MOST_TRIES} times.", _TRY_LATER)


def instead(path: str, start: bytes, way: Way, host: str) -> RefusedFileError | None:
    """The error for something that begins so and cannot be the model `path`: a web page and the like."""
    found = sniff(start[:4096], len(start)) if path.lower().endswith(MODEL_SUFFIXES) else None
    if found not in _INSTEAD:
        return None
    other, hint = _INSTEAD[found]
    return RefusedFileError(f"{way.what}: {host} sent {other} instead of the file.", hint)


#: How much of what is free may go to a file of which nobody says how large it is.
_OF_THE_DISK = 0.9

#: Limit on what tells one state of a file from another, in bytes.
_LONGEST_STATE = 1000


class Stream:
    """One file on its way to its partial file, by one stream from its beginning or from where it stopped.

    The bytes are hashed as they arrive, so that a model is not read a second time.
    """

    def __init__(self, way: Way, part: Path, file: RemoteFile, run: Run, tell: Tell) -> None:
        with storage_errors(f"see how much space is free in {part.parent}"):
            self._room = _room(part)
        self.promise = Promise(file, min(way.most, self._room))
        self._way = way
        self._part = part
        self._state = part.with_suffix(".etag")  # which state of the file the bytes are of
        self._file = file
        self._run, self._tell, self._told = run, tell, 0

    def run(self) -> None:
        """Fetch what is missing.

        Raises:
            SourceError, HashMismatchError, RefusedFileError, StorageError: As `download` does.
        """
        with storage_errors(f"write to {self._part.parent}"):
            self._take_up()
        if not self._complete:
            with slot(self._run), self._way.errors(self._way.what):
                Patience(self._way.what, self._run).persist(self._attempt, lambda: self.promise.done)
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
                _partial.forget(self._part)
            raise StorageError(
                f"{self._way.what} has more than the {self._room} bytes that the disk has room for.",
                "Free some space, or set ASSETCTL_MODELS to a folder on another disk.",
            )

    def _take_up(self) -> None:
        """Go on with the bytes of an earlier try."""
        _partial.keep_file(self._part)
        if not self._pinned and not self._known_state():
            self._start_over()  # nobody can tell whether more of the same would come
        self.promise.feed_file(self._part, self._run)
        if self.promise.too_long:
            self._start_over()

    @property
    def _pinned(self) -> bool:
        """Whether a hash will tell that all pieces are of one file."""
        return bool(self._file.digests)

    def _attempt(self) -> None:
        """Append what is missing, as far as the connection lasts."""
        headers = dict(self._way.headers())
        if self.promise.done:
            headers["range"] = f"bytes={self.promise.done}-"
            if state := self._known_state():
                headers["if-range"] = state
        with ask(self._way, headers) as response:
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
                _partial.forget(self._part)
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
                    self._say()
                    if self.promise.too_long:
                        return
            except TRANSIENT:
                flow.flush()
                self._say()
                raise
            flow.flush()
            self._say()

    def _say(self) -> None:
        self._run.check()
        if self.promise.done != self._told:
            self._told = self.promise.done
            self._tell(self._told)

    def _note_state(self, response: httpx2.Response) -> None:
        """Keep what tells this state of the file from another."""
        state = _state_of(response)
        if not self._pinned and state:
            with storage_errors(f"write {self._state}"):
                _partial.write(self._state, state)

    def _known_state(self) -> str:
        """What tells the state of the file that the bytes are of, or ""."""
        with storage_errors(f"read {self._state}"):
            state = _partial.text_of(self._state, _LONGEST_STATE)
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
                _partial.forget(self._part)
            raise refusal

    def _start_over(self) -> None:
        with storage_errors(f"write {self._part}"):
            _partial.make_empty(self._part)
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
