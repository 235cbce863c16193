"""Downloads that go on where they stopped, even after the process was killed.

One plain stream with a `Range`, whose bytes are hashed as they arrive, so that a model is not read a second time. (The
Hub's own client writes to a file with a random name and removes it when it fails; Xet's fetches in pieces of its own:
neither goes on across processes.)
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Self

import httpx2

from assetctl.errors import HashMismatchError, RefusedFileError, SourceError
from assetctl.files.disk import storage_errors
from assetctl.files.sniff import MODEL_SUFFIXES, sniff
from assetctl.sources.base import FetchProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from contextlib import AbstractContextManager
    from io import FileIO
    from pathlib import Path

    from assetctl.sources.base import RemoteFile, Report

#: Seconds to wait before each further try that follows one which brought nothing.
PAUSES = (0.5, 1.0, 2.0)

#: Longest wait, in seconds, that a server may ask for with `Retry-After`.
LONGEST_WAIT = 60.0

_TRANSIENT = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)
_TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (?P<start>\d+)-\d+/(?P<total>\d+|\*)", re.ASCII)
_READ = 2**20

#: Bytes that are written and hashed at a time, and pieces that may wait to be hashed.
_PIECE, _AHEAD = 2**19, 16

#: Seconds after which less is written too: what a kill may lose of a slow download.
_SLOW = 0.2
_FETCH_AGAIN = "Run the command again to fetch it anew; if that does not help, report it to its owner."
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


@dataclass(frozen=True, slots=True)
class Way:
    """How to ask for one file.

    Attributes:
        what: The file's name for messages, without secrets.
        url: Its address.
        headers: What to send; `Authorization` goes to the address's own host alone.
        session: The client that asks.
        check: Raises the source's own error for an answer that is none.
        errors: Turns what `check` and the network raise into our errors, given `what`.
        timeout: Seconds without a byte that count as a stall.
    """

    what: str
    url: str
    headers: Callable[[], Mapping[str, str]]
    session: Callable[[], httpx2.Client]
    check: Callable[[httpx2.Response], None]
    errors: Callable[[str], AbstractContextManager[None]]
    timeout: float = 30.0


class _Digest:
    """A hash computed in a thread of its own, while the next bytes come."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes) -> None:
        if len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._digest.update, data))

    def hexdigest(self) -> str:
        while self._waiting:
            self._waiting.popleft().result()
        return self._digest.hexdigest()


class _Promise:
    """The size and hash that were promised for a file, fed with its bytes as they come."""

    def __init__(self, file: RemoteFile) -> None:
        self._file = file
        self.reset()

    def reset(self) -> None:
        self.done = 0
        self._is_blob = self._file.sha256 is None and self._file.git_oid is not None and self._file.size is not None
        self._digest = _Digest(hashlib.sha1(usedforsecurity=False) if self._is_blob else hashlib.sha256())
        if self._is_blob:  # a git blob's name is the SHA1 of a short header and the content
            self._digest.update(b"blob %d\0" % (self._file.size or 0))

    def feed(self, data: bytes) -> None:
        self._digest.update(data)
        self.done += len(data)

    def feed_file(self, path: Path) -> None:
        with path.open("rb") as file:
            while data := file.read(_READ):
                self.feed(data)

    @property
    def too_long(self) -> bool:
        return self._file.size is not None and self.done > self._file.size

    def broken(self) -> str | None:
        """How the bytes differ from what was promised, or `None`."""
        if self._file.size is not None and self.done != self._file.size:
            return f"has {self.done} bytes where {self._file.size} were promised"
        wanted = self._file.git_oid if self._is_blob else self._file.sha256
        found = self._digest.hexdigest()
        if wanted is not None and found != wanted:
            return f"has the hash {found} where {wanted} was promised"
        return None

    def sha256(self) -> str | None:
        """The hash of all bytes, unless another one was promised."""
        return None if self._is_blob else self._digest.hexdigest()


def is_there(path: Path, file: RemoteFile) -> bool:
    """Whether `path` holds the bytes that were promised for `file`."""
    with storage_errors(f"read {path}"):
        if not path.is_file() or file.size not in (None, path.stat().st_size):
            return False
        promise = _Promise(file)
        promise.feed_file(path)
    return promise.broken() is None


def download(way: Way, file: RemoteFile, target: Path, partial: Path, report: Report) -> str | None:
    """Download `file` to `target`, going on with what lies in the folder `partial`.

    Returns:
        Its SHA256, computed on the way; `None` for one that is known by git's hash.

    Raises:
        HashMismatchError: The bytes are not those that were promised; they are removed.
        RefusedFileError: A web page or the like came instead.
        SourceError: The source failed; what came so far is kept.
        StorageError: The disk refused.
    """
    # Named by content where that is known, so that what another revision left is never gone on with.
    key = file.sha256 or file.git_oid or hashlib.sha256(way.url.encode()).hexdigest()
    part = partial / f"{key}.part"
    transfer = _Transfer(way, part, file, report)
    with storage_errors(f"write to {partial}"):
        partial.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        transfer.take_up()
    if not transfer.complete:
        with way.errors(way.what):
            _persist(transfer)
    broken = transfer.promise.broken()
    with storage_errors(f"write {target}"):
        if broken:
            transfer.remove()
            raise HashMismatchError(f"{way.what} {broken}.", _FETCH_AGAIN)
        part.replace(target)
        transfer.remove()
    return transfer.promise.sha256()


def _persist(transfer: _Transfer) -> None:
    """Try until the stream ends; give up after several tries in a row that brought nothing."""
    failures = 0
    while True:
        before = transfer.promise.done
        try:
            return transfer.stream()
        except (*_TRANSIENT, _BusyError) as error:
            failures = 0 if transfer.promise.done > before else failures + 1
            if failures > len(PAUSES):
                if isinstance(error, _BusyError):
                    raise error.told(transfer.what) from error
                raise
            wait = error.wait if isinstance(error, _BusyError) else 0.0
        time.sleep(max(wait, PAUSES[max(0, failures - 1)]))


class _BusyError(Exception):
    """An answer that may be another one soon."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status = response.status_code
        said = response.headers.get("retry-after", "")
        self.wait = min(float(said), LONGEST_WAIT) if said.isdecimal() else 0.0

    def told(self, what: str) -> SourceError:
        hint = "Try again in a few minutes." if self.status == HTTPStatus.TOO_MANY_REQUESTS else _TRY_LATER
        return SourceError(f"{what}: the server answered with status {self.status}.", hint)


def _write_all(opened: FileIO, data: bytes) -> None:
    """Write all of `data`: an unbuffered file may take only some of it when the disk is nearly full."""
    rest = memoryview(data)
    while rest:
        rest = rest[opened.write(rest) :]


class _Writing:
    """Writes in a thread of its own, while the next bytes come; leaving the block waits until all is written."""

    def __init__(self, opened: FileIO, part: Path) -> None:
        self._opened, self._part = opened, part
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()

    def write(self, data: bytes) -> None:
        self._wait(_AHEAD)
        self._waiting.append(self._thread.submit(_write_all, self._opened, data))

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


class _Transfer:
    """One file on its way to its partial file."""

    def __init__(self, way: Way, part: Path, file: RemoteFile, report: Report) -> None:
        self.promise = _Promise(file)
        self.what = way.what
        self._way = way
        self._part = part
        self._state = part.with_suffix(".etag")  # which state of the file the bytes are of
        self._file = file
        self._report = report

    @property
    def complete(self) -> bool:
        """Whether all bytes are there already."""
        return self._file.size is not None and self.promise.done == self._file.size

    def take_up(self) -> None:
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

    def stream(self) -> None:
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
            if response.status_code in _TRANSIENT_STATUS:
                raise _BusyError(response)
            self._way.check(response)
            announced = self._agree(response)
            self._note_state(response)
            self._append(response)
        if announced is None and self._file.size is not None and self.promise.done < self._file.size:
            raise httpx2.RemoteProtocolError("The stream ended early.")

    def _agree(self, response: httpx2.Response) -> int | None:
        """Begin where the server begins; the whole length it announces, if it does."""
        match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
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
                f"{self._file.path} has {announced} bytes where {self._file.size} were promised.", _FETCH_AGAIN
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
            except _TRANSIENT:
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
        found = sniff(start[:4096], len(start)) if self._file.path.lower().endswith(MODEL_SUFFIXES) else None
        if found in _INSTEAD:
            with storage_errors(f"remove {self._part}"):
                self.remove()
            other, hint = _INSTEAD[found]
            where = response.url.host
            raise RefusedFileError(f"{self.what}: {where} sent {other} instead of the file.", hint)

    def _start_over(self) -> None:
        with storage_errors(f"write {self._part}"):
            self._part.write_bytes(b"")
            self._state.unlink(missing_ok=True)
        self.promise.reset()
