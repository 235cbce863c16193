"""Who may ask: nobody but this machine's own programs, or who has the token; and no site in somebody's browser."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import orjson

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

#: What a browser on this machine calls it.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

#: What a connection's state says of one that came over the home's own socket, which only its owner can open.
OWNER = "owner"

#: What a body may be, in bytes, where its endpoint says nothing else.
LARGEST_BODY = 2**20

#: Connections at a time. The one beyond ends that which has waited longest without a request, or is turned away.
MOST_CONNECTIONS = 600

#: Seconds in which a body must have come, whole; and how many bytes each second buys one that is larger.
_PATIENCE, _PACE = 30.0, 64 * 2**10

#: Seconds for which a body that is refused is still heard, and thrown away: a client that writes reads no answer.
_HEARING = 2.0

#: Bytes of an answer that are sent in a row.
_PIECE = 2**18

#: What changes nothing.
_READING = frozenset({"GET", "HEAD", "OPTIONS"})

#: What a form, or a page's script without leave, cannot send as; the last is for an API of which we say that it is not.
_OURS = ("application/json", "application/octet-stream", "image/png", "image/jpeg", "image/webp", "multipart/form-data")

#: Headers that decide; one that comes twice could be read in two ways.
_ONCE = ("host", "origin", "content-type", "content-length", "authorization", "sec-fetch-site", "sec-fetch-mode")

#: What each answer says to browsers.
_SAID = (
    (b"x-content-type-options", b"nosniff"), (b"x-frame-options", b"DENY"), (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in.

    Attributes:
        hosts: Names by which the server is asked, without the port; empty for any, which only a token makes safe.
        token: What everybody must show, as `Authorization: Bearer …`, or as the password of `Basic`, which browsers
            ask for by themselves; `None` on the loopback.
    """

    hosts: frozenset[str] = LOOPBACK
    token: str | None = None


class _Refusal(NamedTuple):
    status: int
    code: str
    message: str
    hint: str | None = None


class Guard:
    """Turns away, before anything is read, what must not come in; a socket of the home's owner is let in.

    Args:
        app: What is behind it.
        access: Who is let in.
        larger: How large a body may be, by method and path, where it may be larger than others.
    """

    def __init__(
        self,
        app: Callable[[Scope, Receive, Send], Awaitable[None]],
        access: Access,
        larger: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self._app, self._access, self._larger = app, access, larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, or answer why not."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        largest = self._larger.get((scope["method"], scope["path"]), LARGEST_BODY)
        refusal = _unreadable(scope, headers, largest)
        if refusal is None and not scope.get("state", {}).get(OWNER):
            refusal = self._stranger(scope["method"], scope["path"], headers)
        if refusal is not None:
            await _refuse(refusal, headers, receive, send)
            return
        await self._app(scope, Bounded(receive, largest), _told(_in_pieces(send)))

    def _stranger(self, method: str, path: str, headers: Mapping[str, str]) -> _Refusal | None:
        """Why one who is not known to be the owner is not let in."""
        host = _host(headers.get("host", ""))
        if self._access.hosts and host not in self._access.hosts:
            hint = "Ask it by the address that `assetctl serve` printed."
            return _Refusal(403, "forbidden", f"This server does not go by the name {host!r:.60}.", hint)
        origin = headers.get("origin")
        foreign = origin is not None and _place(origin) != headers.get("host", "").lower()
        if foreign or _is_from_a_page(method, path, headers):
            return _Refusal(403, "forbidden", "A page of another site asked.", "Only pages of this server may.")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if method not in _READING and kind not in _OURS and (kind or headers.get("content-length", "0") != "0"):
            hint = "Send JSON as application/json, and a file as application/octet-stream."
            return _Refusal(415, "usage", "The body is of no type that is read here.", hint)
        if self._access.token is not None and not self._knows(headers.get("authorization", ""), self._access.token):
            return _Refusal(401, "unauthorized", "A token is needed.", "Send it as `Authorization: Bearer TOKEN`.")
        return None

    @staticmethod
    def _knows(shown: str, token: str) -> bool:
        scheme, _, said = shown.partition(" ")
        said = said.strip()
        if scheme.lower() == "basic":
            try:
                said = base64.b64decode(said, validate=True).decode().partition(":")[2]
            except (binascii.Error, ValueError):
                return False
        elif scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(said.encode(), token.encode())


def _unreadable(scope: Scope, headers: Mapping[str, str], largest: int) -> _Refusal | None:
    """Why a request is not read, whoever sends it."""
    names = [name for name, _ in scope["headers"]]
    twice = next((each for each in _ONCE if names.count(each.encode()) > 1), None)
    if twice is not None:
        return _Refusal(400, "usage", f"The header {twice} came twice.", "Send it once.")
    if "transfer-encoding" in headers:  # one way to say how long a body is leaves no two readings of it
        return _Refusal(411, "usage", "The body does not say how long it is.", "Send a Content-Length.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        return _Refusal(415, "usage", "The body is packed, and nothing is unpacked here.", "Send it as it is.")
    if len(scope["path"]) + len(scope["query_string"]) > 4096 or "\0" in scope["path"]:
        return _Refusal(414, "usage", "The path is no path of this server.", "What there is, is at /docs.")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()) or len(length) > 15 or int(length) > largest:
        return _Refusal(413, "usage", f"The body is larger than {largest // 2**20} MB.")
    return None


def _is_from_a_page(method: str, path: str, headers: Mapping[str, str]) -> bool:
    """Whether a browser says that another site's page asked; a person who follows a link from there to a page may."""
    if headers.get("sec-fetch-site") not in ("cross-site", "same-site"):
        return False
    shown = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (method == "GET" and shown and not path.startswith(_APIS))


#: Where answers are for programs, and parts of pages; asking some of them costs something.
_APIS = ("/v1/", "/sdapi/", "/internal/", "/queue/", "/page/")

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]@/\s]+)(:[0-9]{1,5})?")


def _place(origin: str) -> str | None:
    """The host and port in an Origin header; `None` where it is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _host(header: str) -> str:
    """The name in a Host header, without its port; nothing where it is none."""
    found = _HOST.fullmatch(header.strip().lower())
    return found[1].strip("[]") if found else ""


def _told(send: Send) -> Send:
    """Likewise, with what every answer says to browsers."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            said = {name.lower() for name, _ in message["headers"]}
            more = [each for each in _SAID if each[0] not in said]
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sent


def _in_pieces(send: Send) -> Send:
    """Likewise, what is large bit by bit, as it is read: others have their turn between."""

    async def sent(message: MutableMapping[str, Any]) -> None:
        body = message.get("body", b"")
        if len(body) <= _PIECE:
            await send(message)
            return
        view = memoryview(body)
        for start in range(0, len(body), _PIECE):
            more = message.get("more_body", False) or start + _PIECE < len(body)
            await send({**message, "body": view[start : start + _PIECE], "more_body": more})
            await asyncio.sleep(0)

    return sent


class TooSlowError(Exception):
    """A body did not come in time."""


class TooLargeError(Exception):
    """A body is larger than was said, or than any may be."""


class Bounded:
    """What is received, bounded in bytes and in time: a large body may take longer, as long as it keeps coming."""

    def __init__(self, receive: Receive, largest: int) -> None:
        self._receive, self._largest, self._size = receive, largest, 0
        self._start: float | None = None
        self._whole = False

    async def __call__(self) -> MutableMapping[str, Any]:
        """The next message.

        Raises:
            TooSlowError: It does not come in time.
            TooLargeError: There is more than may be.
        """
        if self._whole:  # what follows is the end of the connection, which may be waited for
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._start = self._start or now
        left = self._start + _PATIENCE + self._size / _PACE - now
        try:
            message = await asyncio.wait_for(self._receive(), min(max(left, 0.001), _PATIENCE))
        except TimeoutError as error:
            raise TooSlowError from error
        self._size += len(message.get("body", b""))
        if self._size > self._largest:
            raise TooLargeError
        self._whole = not message.get("more_body", False)
        return message


async def _refuse(refusal: _Refusal, headers: Mapping[str, str], receive: Receive, send: Send) -> None:
    """Answer with an error as the documents have it, and close the connection."""
    error = {"code": refusal.code, "message": refusal.message, "hint": refusal.hint}
    body = orjson.dumps({"version": 1, "error": error})
    said = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"), *_SAID]  # fmt: skip
    if refusal.status == 401:
        said += [(b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="assetctl"')]
    await send({"type": "http.response.start", "status": refusal.status, "headers": said})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
        await hear_out(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def hear_out(receive: Receive) -> None:
    """Throw away what still comes, for a moment: closing at once would take the answer from who is still writing."""
    with_end = asyncio.get_running_loop().time() + _HEARING
    while (left := with_end - asyncio.get_running_loop().time()) > 0:
        try:
            message = await asyncio.wait_for(receive(), left)
        except TimeoutError:
            return
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return
