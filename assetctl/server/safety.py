"""Who may ask: nobody but this machine's own programs, or who has the token; and no site in somebody's browser."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from assetctl.server.endpoints import LARGEST_BODY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: What a browser on this machine calls it.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: Seconds in which a body must have come, whole.
_PATIENCE = 30.0

#: What changes nothing.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

#: What a form in a page of another site cannot send as.
_OURS = ("application/json", "multipart/form-data")


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in.

    Attributes:
        hosts: Names by which the server is asked, without the port; empty for any, which only a token makes safe.
        token: What everybody must show, as `Authorization: Bearer …`; `None` on the loopback.
    """

    hosts: frozenset[str] = LOOPBACK
    token: str | None = None


class Guard:
    """Turns away, before anything is read, what must not come in; a socket of the home's owner is let in.

    Args:
        app: What is behind it.
        access: Who is let in.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer why not."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = None if scope.get("client") is None else self._refusal(scope["method"], headers)
        if refusal is not None:
            await refuse(send, *refusal)
            return
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            await refuse(send, 413, "usage", f"The body is larger than {LARGEST_BODY // 2**20} MB.", None)
            return
        await self._app(scope, _Bounded(receive), send)

    def _refusal(self, method: str, headers: dict[str, str]) -> tuple[int, str, str, str | None] | None:
        """Status, code, message and hint of the answer to what is not let in."""
        host = _host(headers.get("host", ""))
        if self._access.hosts and host not in self._access.hosts:
            hint = "Ask it by the address that `assetctl serve` printed."
            return 403, "forbidden", f"This server does not go by the name {host!r:.60}.", hint
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
        if foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return 403, "forbidden", "A page of another site asked.", "Only pages of this server may."
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
        if method not in _READING and has_body and kind not in _OURS:
            return 415, "usage", "The body is of no type that is read here.", "Send it as application/json."
        if self._access.token is not None and not self._knows(headers):
            return 401, "unauthorized", "A token is needed.", "Send it as `Authorization: Bearer TOKEN`."
        return None

    def _knows(self, headers: dict[str, str]) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._access.token is not None:
            return hmac.compare_digest(shown.strip().encode(), self._access.token.encode())
        return False


def _host(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


class TooSlowError(Exception):
    """A body did not come in time."""


class TooLargeError(Exception):
    """A body is larger than was said, or than any may be."""


class _Bounded:
    """What is received, bounded in bytes and in time."""

    def __init__(self, receive: Receive) -> None:
        self._receive, self._size, self._end = receive, 0, asyncio.get_running_loop().time() + _PATIENCE
        self._whole = False

    async def __call__(self) -> MutableMapping[str, Any]:
        if self._whole:  # what follows is the end of the connection, which may be waited for
            return await self._receive()
        left = self._end - asyncio.get_running_loop().time()
        try:
            message = await asyncio.wait_for(self._receive(), max(left, 0.001))
        except TimeoutError as error:
            raise TooSlowError from error
        self._size += len(message.get("body", b""))
        if self._size > LARGEST_BODY:
            raise TooLargeError
        self._whole = not message.get("more_body", False)
        return message


async def refuse(send: Send, status: int, code: str, message: str, hint: str | None) -> None:
    """Answer with an error as the documents have it, and close the connection."""
    body = orjson.dumps({"version": 1, "error": {"code": code, "message": message, "hint": hint}})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
               (b"connection", b"close")]  # fmt: skip
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
