"""Asking web servers: one client, and their refusals in our words."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx2
import orjson

from assetctl.errors import SourceError, SourceNotFoundError, UnauthorizedError
from assetctl.files.names import NAMELESS, safe_name
from assetctl.sources._tokens import find_token
from assetctl.sources._wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TIMEOUT = 30.0

#: Limit on an answer of an API.
_LARGEST = 16 * 2**20

#: Parameters of an address that let in whoever has them.
_SECRET = re.compile(r"token|key|secret|sig|auth|pass|credential|x-amz-|expires", re.IGNORECASE)

_ASK_AGAIN = "Check your connection and proxy, and run the command again."
_AGAIN = "Run the command again: what was fetched so far is kept, and it goes on from there."


@cache
def client() -> httpx2.Client:
    """The one client of this process; it honours proxies of the environment, and keeps no cookies between hosts."""
    return httpx2.Client(
        transport=Wire(),
        timeout=TIMEOUT,
        follow_redirects=True,
        max_redirects=10,
        headers={"user-agent": "assetctl"},
    )


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
        client().stream("GET", url, headers=dict(headers)) as response,
    ):
        check(response)
        content = b""
        for piece in response.iter_bytes():
            content += piece
            if len(content) > _LARGEST:
                raise SourceError(f"{what}: the answer is larger than any should be.", "Check the address.")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        host = urlsplit(url).netloc
        raise SourceError(
            f"{what}: {host} does not answer as it should.", "Check the address, and your proxy."
        ) from error


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
        raise _refusal(what, login, error.response, again, source) from error
    except httpx2.TooManyRedirects as error:
        raise SourceError(f"{what}: the server sends in circles.", "Check the address in a browser.") from error
    except httpx2.TimeoutException as error:
        raise SourceError(f"{what}: the server did not answer in time.", again) from error
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as error:
        raise SourceError(
            f"{what}: the server sends to an address that can not be used.", "Check the address."
        ) from error
    except (httpx2.HTTPError, httpx2.StreamError) as error:
        raise SourceError(f"{what}: the connection failed.", again) from error


def without_secrets(address: str) -> str:
    """An address as it may be shown and kept: without a password, and without parameters that let in."""
    parts = urlsplit(address)
    query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True) if not _SECRET.search(key)]
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(query), ""))


def file_name(suggested: str) -> str:
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
