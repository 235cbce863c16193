"""Asking web servers: one client, and their refusals in our words."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx2
import orjson

from assetctl.errors import SourceError, SourceNotFoundError, UnauthorizedError, UsageError
from assetctl.files.paths import NAMELESS, safe_name
from assetctl.sources import find_token
from assetctl.sources._wire import SLOWEST, AstrayError, SlowError, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


TIMEOUT = 30.0

#: Limit on an answer of an API, unpacked.
LARGEST = 16 * 2**20

#: Seconds that an answer of an API may take in all.
_LONGEST = 300.0

#: How answers of APIs may be packed: what unpacks them does so piece by piece.
_PACKED = {"accept-encoding": "gzip"}

#: Headers of a download: its bytes as they are, since a packed answer cannot be gone on with.
AS_IT_IS = {"accept-encoding": "identity"}

_LENGTH = re.compile(r"[0-9]{1,15}", re.ASCII)
_ASK_AGAIN = "Check your connection and proxy, and run the command again."
_AGAIN = "Run the command again: what was fetched so far is kept, and it goes on from there."


class TooLargeError(SourceError):
    """More comes than any such answer should have."""


@cache
def client() -> httpx2.Client:
    """The one client of this process; it honours proxies of the environment, and keeps no cookies between hosts."""
    return httpx2.Client(
        transport=Wire(),
        timeout=TIMEOUT,
        follow_redirects=True,  # httpx2 leaves `Authorization` out where that leads to another host
        max_redirects=10,
        headers={"user-agent": "assetctl"},
    )


def see_address(address: str, shown: str) -> None:
    """See that an address which a person gave can be asked for.

    Raises:
        UsageError: It cannot.
    """
    try:
        httpx2.URL(address)
    except (httpx2.InvalidURL, ValueError):
        raise UsageError(f"{shown[:200]!r} is not the address of a file.", "Write https://HOST/PATH.") from None


def check(response: httpx2.Response) -> None:
    """Raise `httpx2.HTTPStatusError` for a refusal."""
    response.raise_for_status()


def get_json(url: str, headers: Mapping[str, str], what: str, login: str, *, source: str | None = None) -> Any:  # noqa: ANN401 - from outside
    """The JSON at an address.

    Raises:
        SourceError: Of the kind that fits.
    """
    with (
        errors(what, login, again=_ASK_AGAIN, source=source),
        client().stream("GET", url, headers={**_PACKED, **headers}) as response,
    ):
        check(response)
        content = read(response, what)
    return parsed(content, what, urlsplit(url).hostname or "")


def read(response: httpx2.Response, what: str, most: int = LARGEST, longest: float = _LONGEST) -> bytes:
    """The body of an answer of an API, unpacked; never more than `most` bytes are held, whatever comes.

    It may take `longest` seconds in all.

    Raises:
        TooLargeError: It is larger.
        httpx2.HTTPError: It broke, or took longer than any should.
    """
    content, since = bytearray(), time.monotonic()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > most:
            raise TooLargeError(f"{what}: the answer is too large.", "Check the address.")
        if time.monotonic() - since > longest:
            raise SlowError("Too slow.", request=response.request)
    return bytes(content)


def parsed(content: bytes, what: str, host: str) -> Any:  # noqa: ANN401 - from outside
    """The JSON of an answer; numbers in it are finite, and it is nested no deeper than a thousand times.

    Raises:
        SourceError: It is none.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        raise SourceError(
            f"{what}: {host} does not answer as it should.", "Check the address, and your proxy."
        ) from None


def length_of(text: str) -> int | None:
    """A length as headers have it, in bytes; `None` for what is none, or longer than any file."""
    return int(text) if _LENGTH.fullmatch(text) else None


def refuse_packed(response: httpx2.Response, what: str) -> None:
    """Refuse a file that comes packed, though its bytes were wanted as they are: nobody promised what it unpacks to.

    Raises:
        SourceError: It is.
    """
    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed not in ("", "identity"):
        message = f"{what}: the server packs the file ({packed[:40]!r}), though it was asked not to."
        raise SourceError(message, "Download it in a browser, and `assetctl import` it.")


@contextmanager
def errors(what: str, login: str, *, again: str = _AGAIN, source: str | None = None) -> Iterator[None]:
    """Say in our words what a server or the way to it refuses; servers' own words are not passed on.

    Args:
        what: What was asked for.
        login: What to do where a token is missing.
        again: What to do where trying again may help.
        source: Whose token is sent, where there is one.

    Raises:
        UnauthorizedError: A token is missing, or may not.
        SourceNotFoundError: There is no such thing.
        SourceError: Anything else.
    """
    try:
        yield
    except httpx2.HTTPStatusError as error:
        raise _refusal(what, login, error.response, again, source) from None
    except (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError) as error:
        raise failed(what, error, again) from None


def failed(what: str, error: Exception, again: str = _AGAIN, to: str = "") -> SourceError:
    """Our error for an answer that did not come, or not whole; the connection was `to` somewhere, if that helps."""
    match error:
        case AstrayError():
            hint = "If you trust it, ask for that address itself."
            return SourceError(f"{what}: the server sends to {error}: assetctl does not follow it there.", hint)
        case httpx2.TooManyRedirects():
            return SourceError(f"{what}: the server redirects in circles.", "Check the address in a browser.")
        case SlowError():
            return SourceError(f"{what}: the server sends less than {SLOWEST} bytes a second.", again)
        case httpx2.TimeoutException():
            return SourceError(f"{what}: the server did not answer in time.", again)
        case httpx2.InvalidURL() | httpx2.UnsupportedProtocol():
            return SourceError(f"{what}: the server redirects to an address that cannot be used.", "Check the address.")
        case _:
            return SourceError(f"{what}: the connection{to} failed.", again)


def name_of_download(suggested: str) -> str:
    """A file's name as somebody else wants it, fit for any disk; "" if nothing is left of it."""
    last = re.split(r"[/\\]", suggested)[-1].strip(" .")
    stem, dot, suffix = last.rpartition(".")
    name = safe_name(stem if dot else last)
    return "" if name == NAMELESS else f"{name}.{safe_name(suffix)}" if dot and len(suffix) <= 20 else name


def sent_token(response: httpx2.Response, source: str) -> str | None:
    """Where the token is from that was sent to whoever answers so; `None` if none was."""
    asked = (each.request for each in (*response.history, response))
    found = find_token(source) if any("authorization" in request.headers for request in asked) else None
    return None if found is None else found[1]


def _refusal(what: str, login: str, response: httpx2.Response, again: str, source: str | None) -> SourceError:
    status = response.status_code
    if status in (401, 403):
        where = source and sent_token(response, source)
        if where:
            return UnauthorizedError(f"{what}: the token of {where} was sent, and refused (status {status}).", login)
        return UnauthorizedError(f"{what} is not for everyone, or the token may not have it (status {status}).", login)
    if status in (404, 410):
        return SourceNotFoundError(f"There is no {what}.", "Check the address: it may have been deleted.")
    hint = "Try again in a few minutes." if status == 429 else again
    return SourceError(f"{what}: the server answered with status {status}.", hint)
