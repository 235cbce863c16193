"""How a file is asked for: its way, second tries, and what is no answer."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

import httpx2

from assetctl.errors import RefusedFileError, SourceError
from assetctl.files.disk import LARGEST_FILE
from assetctl.files.sniff import MODEL_SUFFIXES, sniff
from assetctl.sources._wire import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

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
FETCH_AGAIN = "Run the command again to fetch it anew; if that does not help, report it to its owner."
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
    """The error for something that begins so and can not be the model `path`: a web page and the like."""
    found = sniff(start[:4096], len(start)) if path.lower().endswith(MODEL_SUFFIXES) else None
    if found not in _INSTEAD:
        return None
    other, hint = _INSTEAD[found]
    return RefusedFileError(f"{way.what}: {host} sent {other} instead of the file.", hint)
