"""How a file is asked for, what was promised of it, and its bytes on their way to the disk."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from mmap import mmap
from typing import TYPE_CHECKING, Self

import httpx2

from assetctl.errors import RefusedFileError, SourceError
from assetctl.files.disk import LARGEST_FILE, storage_errors
from assetctl.files.safetensors import MODEL_SUFFIXES, sniff
from assetctl.sources._local import reading
from assetctl.sources._wire import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from assetctl.sources.base import RemoteFile


_READ = 2**20

#: Pieces that may wait to be hashed.
_AHEAD = 16


class _Digest:
    """A hash computed in a thread of its own, while the next bytes come."""

    def __init__(self, digest: hashlib._Hash) -> None:
        self._digest = digest
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="digest")
        self._waiting: deque[Future[None]] = deque()

    def update(self, data: bytes | memoryview) -> Future[None]:
        if len(self._waiting) >= _AHEAD:
            self._waiting.popleft().result()
        done = self._thread.submit(self._digest.update, data)
        self._waiting.append(done)
        return done

    def hexdigest(self) -> str:
        while self._waiting:
            self._waiting.popleft().result()
        return self._digest.hexdigest()


class Promise:
    """The size and hash that were promised for a file, fed with its bytes as they come.

    Args:
        file: What was promised.
        most: Limit on its bytes, where no size was promised.
    """

    def __init__(self, file: RemoteFile, most: int = LARGEST_FILE) -> None:
        self._file = file
        self._most = most if file.size is None else file.size
        self.reset()

    def reset(self) -> None:
        self.done = 0
        self._is_blob = self._file.sha256 is None and self._file.git_oid is not None and self._file.size is not None
        self._digest = _Digest(hashlib.sha1(usedforsecurity=False) if self._is_blob else hashlib.sha256())
        if self._is_blob:  # a git blob's name is the SHA1 of a short header and the content
            self._digest.update(b"blob %d\0" % (self._file.size or 0))

    def feed(self, data: bytes | memoryview) -> Future[None]:
        """Count and hash what comes next; `data` is needed until the future is done."""
        self.done += len(data)
        return self._digest.update(data)

    def feed_file(self, path: Path) -> None:
        with reading(path) as file:
            while data := file.read(_READ):
                self.feed(data)

    @property
    def too_long(self) -> bool:
        return self.done > self._most

    def broken(self) -> str | None:
        """How the bytes differ from what was promised, or `None`."""
        if self._file.size is not None and self.done != self._file.size:
            return f"has {self.done} bytes where {self._file.size} were promised"
        if self.too_long:
            return f"has more than {self._most} bytes"
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
        promise = Promise(file)
        promise.feed_file(path)
    return promise.broken() is None


#: Bytes that are written and hashed at a time, and how many such pieces one connection has on their way.
PIECE, PIECES = 2**20, 8

#: Seconds after which less is written too: what a kill may lose of a slow download.
SLOW = 0.2


class Flow:
    """Gathers bytes into pieces that end at multiples of their size, so that they can go straight to the disk.

    Leaving the block waits until all that was handed on is written; after a piece that could not be, none is.

    Args:
        feed: Told of each piece by its position, at once; the future of what it does with it, or `None`.
        write: Writes a piece, in a thread of its own, in turn; told besides whether `feed` had a use for it.
    """

    def __init__(
        self,
        feed: Callable[[int, memoryview], Future[None] | None],
        write: Callable[[int, memoryview, bool], None],
    ) -> None:
        self._feed, self._write = feed, write
        self._broken = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._pieces: deque[tuple[memoryview, list[Future[None]]]] = deque()
        self._piece = _fresh()
        self._filled, self._since = 0, 0.0
        self.position = 0

    def begin(self, position: int) -> None:
        """What comes next belongs at `position`; what came before is flushed."""
        self.position, self._since = position, time.monotonic()

    def take(self, data: bytes) -> None:
        """Take what comes next, in pieces of whatever size.

        Raises:
            What `write` or what was fed raised.
        """
        rest = memoryview(data)
        while rest:
            room = PIECE - self.position % PIECE - self._filled
            some = rest[:room]
            self._piece[self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            if len(some) == room or time.monotonic() - self._since > SLOW:
                self.flush()
            rest = rest[len(some) :]

    def flush(self) -> None:
        """Hand on what was gathered."""
        self._since = time.monotonic()
        if not self._filled:
            return
        data = self._piece[: self._filled]
        fed = self._feed(self.position, data)
        written = self._thread.submit(self._write_next, self.position, data, fed is not None)
        self._pieces.append((self._piece, [written] if fed is None else [written, fed]))
        self.position += self._filled
        self._filled = 0
        _, uses = self._pieces[0]
        idle = len(self._pieces) == PIECES or all(use.done() for use in uses)
        self._piece = self._oldest() if idle else _fresh()

    def wait(self) -> None:
        """Wait until all that was handed on is written.

        Raises:
            What `write` or what was fed raised.
        """
        while self._pieces:
            self._oldest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _write_next(self, position: int, data: memoryview, fed: bool) -> None:  # noqa: FBT001 - as `write` has it
        """Write a piece, unless one before it could not be written: what is there must have no holes."""
        if self._broken:
            return
        try:
            self._write(position, data, fed)
        except BaseException:
            self._broken = True
            raise

    def _oldest(self) -> memoryview:
        """The buffer of the piece that was handed on first, once nobody needs it any more."""
        piece, uses = self._pieces.popleft()
        for use in uses:
            use.result()
        return piece


def _fresh() -> memoryview:
    return memoryview(mmap(-1, PIECE))  # its own pages, as the disk wants them


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
SLOTS = threading.BoundedSemaphore(8)

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
        named: The address that a person named, where `url` is one that a server gave.
        most: Limit on its bytes, where no size is promised.
    """

    what: str
    url: str
    headers: Callable[[], Mapping[str, str]]
    session: Callable[[], httpx2.Client]
    check: Callable[[httpx2.Response], None]
    errors: Callable[[str], AbstractContextManager[None]]
    timeout: float = 30.0
    named: str | None = None
    most: int = LARGEST_FILE

    def ask(self, headers: Mapping[str, str], url: str | None = None) -> AbstractContextManager[httpx2.Response]:
        """Ask for the file, or for it at the address that its own led to."""
        return self.session().stream(
            "GET",
            url or self.url,
            headers=dict(headers),
            timeout=self.timeout,
            follow_redirects=True,
            extensions={NAMED: self.named or self.url},
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
        chunks: In how many parts it is asked for.
    """

    def __init__(self, what: str, chunks: int = 1) -> None:
        self._what = what
        self._left = iter(range(MOST_TRIES + chunks))

    def persist(self, attempt: Callable[[], None], done: Callable[[], int]) -> None:
        """Try until `attempt` ends; give up after several tries in a row that brought next to nothing.

        Args:
            attempt: Raises `BusyError` or one of `TRANSIENT` for what may be different soon.
            done: How many bytes there are.

        Raises:
            SourceError: The server stayed busy, or was asked too often.
            httpx2.HTTPError: The connection stayed bad.
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
            time.sleep(max(wait, PAUSES[max(0, failures - 1)]))
        raise SourceError(f"{self._what}: the server broke off {MOST_TRIES} times.", _TRY_LATER)


def instead(path: str, start: bytes, way: Way, host: str) -> RefusedFileError | None:
    """The error for something that begins so and cannot be the model `path`: a web page and the like."""
    found = sniff(start[:4096], len(start)) if path.lower().endswith(MODEL_SUFFIXES) else None
    if found not in _INSTEAD:
        return None
    other, hint = _INSTEAD[found]
    return RefusedFileError(f"{way.what}: {host} sent {other} instead of the file.", hint)
