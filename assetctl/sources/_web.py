"""Asking web servers: one client, and their refusals in our words.

Below it, one transport for all connections: where a redirect may lead, how long a read may take, and how much may come.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import threading
import time
from contextlib import contextmanager
from enum import Enum
from functools import cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import inet_aton, inet_ntoa
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import orjson
import urllib3
from urllib3 import exceptions as broken
from urllib3.connection import HTTPConnection, HTTPSConnection

from assetctl.errors import SourceError, SourceNotFoundError, UnauthorizedError, UsageError
from assetctl.files.paths import NAMELESS, safe_name
from assetctl.sources import find_token
from assetctl.sources.base import current_run
from assetctl.text import parts_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping
    from ipaddress import IPv4Network, IPv6Network

    from assetctl.run import Run


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


class Zone(Enum):
    """How far away a machine is."""

    PUBLIC = "the internet"
    PRIVATE = "a private network"
    LINK = "the nearest network alone"
    HERE = "this machine"


#: Networks that are near. Source: IANA's registries of special-purpose addresses, for IPv4 and IPv6; but 198.18.0.0/15,
#: from which some proxies give all names numbers.
_NEAR = (
    (Zone.HERE, ("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")),
    (Zone.LINK, ("169.254.0.0/16", "fe80::/10", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32")),
    (Zone.PRIVATE, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24",
                    "192.0.2.0/24", "192.88.99.0/24", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
                    "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7",
                    "fec0::/10", "64:ff9b:1::/48", "2001::/32")),
)  # fmt: skip
_NETWORKS: tuple[tuple[Zone, IPv4Network | IPv6Network], ...] = tuple(
    (zone, ip_network(network)) for zone, networks in _NEAR for network in networks
)

#: IPv6 addresses that stand for an IPv4 address, which is their last bits.
_TRANSLATED = (ip_network("64:ff9b::/96"), ip_network("::/96"), ip_network("::ffff:0:0:0/96"))

#: The same within one network; it may write them otherwise too.
_TRANSLATED_HERE = ip_network("64:ff9b:1::/48")

#: An IPv4 address in any form that programs take, or a name that is none.
_NUMBERS = re.compile(r"[0-9a-fx]{1,20}(\.[0-9a-fx]{1,20}){0,3}", re.ASCII)
_LOCAL_NAMES = ("localhost", "ip6-localhost", "localhost.localdomain")


def zone_of_address(address: str) -> Zone:
    """How far away an IP address is.

    Raises:
        ValueError: It is none.
    """
    number = _plain(ip_address(address.partition("%")[0]))
    return _zone_of_number(number)


def _zone_of_number(number: IPv4Address | IPv6Address) -> Zone:
    if number in _TRANSLATED_HERE and (inside := _zone_of_number(_last_bits(number))) is not Zone.PUBLIC:
        return inside
    return next((zone for zone, network in _NETWORKS if number in network), Zone.PUBLIC)


def _last_bits(number: IPv4Address | IPv6Address) -> IPv4Address:
    return IPv4Address(int(number) & 0xFFFFFFFF)


def zone_of_host(host: str) -> Zone | None:
    """How far away a host of an address is, as far as that can be told without asking for its name: `None` if not."""
    host = unquote(host).strip("[]").rstrip(".").lower()
    if _NUMBERS.fullmatch(host):
        host = _plain_numbers(host)
    if host in _LOCAL_NAMES or host.endswith(".localhost"):
        return Zone.HERE
    try:
        return zone_of_address(host)
    except ValueError:
        return None


def _plain_numbers(host: str) -> str:
    """The usual form of an IPv4 address that is written as one number, in fewer parts, to the base of 16 or 8."""
    try:
        return inet_ntoa(inet_aton(host))
    except OSError:
        return host


def may_lead(named: Zone | None, to: Zone) -> bool:
    """Whether what lies in one zone may lead to another host in another zone.

    To the web from anywhere. Else only from a machine that could go there itself, and is as near: from one port of this
    machine to another, from one machine of a private network to another.
    """
    return to is Zone.PUBLIC or (to is named and to in (Zone.HERE, Zone.PRIVATE))


def _plain(number: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(number, IPv4Address):
        return number
    if inside := number.ipv4_mapped or number.sixtofour:
        return inside
    if any(number in network for network in _TRANSLATED) and int(number) > 1:
        return _last_bits(number)
    return number


#: Seconds that one read may take in all: an answer's headers, or its next bytes.
LONGEST_READ = 90.0

#: Seconds between two looks.
_LOOK = 0.25

#: Looks without any read, after which the thread ends.
_IDLE = 40


class Watch:
    """Watches over the reads of all connections; its thread lives as long as there are any."""

    def __init__(self) -> None:
        self._reads: dict[int, tuple[float, socket.socket, Run | None]] = {}
        self._changed = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, connection: socket.socket | None) -> Iterator[None]:
        """Cut the connection off, if the block takes too long, or the run that it belongs to is cancelled.

        Raises:
            Cancelled: The run is.
            TimeoutError: The connection was cut off, and what the block saw was no end.
        """
        if connection is None:
            yield
            return
        key, run = threading.get_ident(), current_run()
        self._reads[key] = (time.monotonic() + LONGEST_READ, connection, run)
        if self._thread is None or not self._thread.is_alive():  # it ended, or stayed behind at a fork
            self._begin()
        try:
            yield
        finally:
            is_cut = self._reads.pop(key, None) is None
            if is_cut and run is not None:
                run.check()
        if is_cut:
            raise TimeoutError

    def _begin(self) -> None:
        with self._changed:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look, daemon=True, name="watch")
                self._thread.start()

    def _look(self) -> None:
        idle = 0
        while True:
            time.sleep(min(_LOOK, LONGEST_READ / 4))
            self._cut(time.monotonic())
            idle = 0 if self._reads else idle + 1
            with self._changed:
                if idle > _IDLE and not self._reads:
                    self._thread = None
                    return

    def _cut(self, now: float) -> None:
        for key, (deadline, connection, run) in tuple(self._reads.items()):
            if (now > deadline or (run is not None and run.is_cancelled)) and self._reads.pop(key, None) is not None:
                with contextlib.suppress(OSError):  # it is gone already
                    # Below what encrypts: the thread that reads needs that part as it is.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


WATCH = Watch()


#: Bytes that are asked of a connection at a time; what is there is taken, so that a slow one does not wait to be full.
_READ = 2**20

#: Connections to one host that are kept for the next request.
_KEPT = 8

#: Seconds of waiting after which it is looked at how much came, and bytes a second that are too few to wait for.
WINDOW, SLOWEST = 60.0, 1024

#: Bytes of a redirect's body that are read, for the sake of the connection; nobody wants them.
_REDIRECT_BODY = 2**16

#: Name of the extension of a request that says which address a person named, where that is another than is asked.
NAMED = "assetctl.named"

#: What is named for who must not be led to what is near: from there, all ways lead to the internet alone.
ANYBODY = "http://anybody.invalid/"
_ENCRYPTED = "assetctl.encrypted"

for _library in ("urllib3", "httpx2"):  # what they tell holds whole addresses
    logging.getLogger(_library).setLevel(logging.ERROR)


class AstrayError(httpx2.TransportError):
    """A server sends to where nobody is to be led; the message says where, as the end of a sentence."""


class SlowError(httpx2.ReadTimeout):
    """Bytes come, and too few to wait for."""


class _Guard(NamedTuple):
    """Where connections may lead: to the host that was named (`host`), or where one from `zone` may be led."""

    zone: Zone | None = None
    named: bool = False


class Wire(httpx2.BaseTransport):
    """A transport of httpx2's by urllib3's connections; it honours the environment's proxies.

    No redirect leads from encryption to none, nor from afar to what is near: see `may_lead`.
    """

    def __init__(self) -> None:
        self._managers: dict[tuple[str | None, bool, _Guard], urllib3.PoolManager] = {}
        self._zones: dict[str, Zone] = {}  # of hosts that were named, as they were first met

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, and answer with a body that is still to be read."""
        guard = self._guard(request)
        url = str(request.url)
        with _translated(request):
            response = self._manager(url, guard).urlopen(
                request.method,
                url,
                body=request.read() or None,
                headers={name.title(): value for name, value in request.headers.items()},  # as urllib3 writes its own
                timeout=_timeout(request),
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=False,
            )
            headers = [
                (name.encode("latin-1", "replace"), value.encode("latin-1", "replace"))
                for name, value in response.headers.iteritems()
            ]
            if response.status // 100 == 3 and "location" in response.headers:
                _finish(response)
                return httpx2.Response(response.status, headers=headers, stream=httpx2.ByteStream(b""))
        return httpx2.Response(response.status, headers=headers, stream=_Body(response, request))

    def close(self) -> None:
        """Let go of all connections."""
        for manager in self._managers.values():
            manager.clear()

    def _guard(self, request: httpx2.Request) -> _Guard:
        """Where the connection for a request may lead; a redirect's request has the extensions of the one before.

        Raises:
            AstrayError: Not to its address, as far as that can be told from it.
        """
        extensions = request.extensions
        named = httpx2.URL(extensions.setdefault(NAMED, str(request.url)))
        host, zone = request.url.host, zone_of_host(request.url.host)
        was_encrypted = extensions.get(_ENCRYPTED, False) or named.scheme == "https"
        extensions[_ENCRYPTED] = was_encrypted or request.url.scheme == "https"
        if was_encrypted and request.url.scheme != "https" and zone is not Zone.HERE:
            raise AstrayError(f"{host} without encryption", request=request)
        is_anybody = extensions[NAMED] == ANYBODY
        if host == named.host and not is_anybody:
            return _Guard(named=True)
        guard = _Guard(None if is_anybody else zone_of_host(named.host) or self._zones.get(named.host))
        if zone is not None:
            _refuse(guard, host, zone)
        return guard

    def _manager(self, url: str, guard: _Guard) -> urllib3.PoolManager:
        proxy = _proxy(url)
        encrypted = url.startswith("https:") or (proxy or "").startswith("https:")
        known = self._managers.get((proxy, encrypted, guard))
        if known is None:
            trust = httpx2.create_ssl_context() if encrypted else None  # takes 25 ms
            known = self._managers[proxy, encrypted, guard] = _connections(proxy, trust)
            known.pool_classes_by_scheme = _pools(self._meeting(guard) if proxy is None else None, named=guard.named)
        return known

    def _meeting(self, guard: _Guard) -> Callable[[str, str], None]:
        """What is told of a host and its address; a proxy looks for itself."""

        def meet(host: str, address: str) -> None:
            zone = zone_of_address(address)
            if not guard.named:
                _refuse(guard, host, zone)
            elif zone is not (met := self._zones.setdefault(host, zone)):  # its name means something else by now
                _refuse(_Guard(met), host, zone)

        return meet


def _refuse(guard: _Guard, host: str, zone: Zone) -> None:
    """Raise `AstrayError`, if nobody is to be led there."""
    if not may_lead(guard.zone, zone):
        raise AstrayError(f"{host}, which is on {zone.value}")


def _connections(proxy: str | None, trust: ssl.SSLContext | None) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(maxsize=_KEPT, ssl_context=trust)
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    headers = urllib3.make_headers(proxy_basic_auth=login)
    return urllib3.ProxyManager(proxy, maxsize=_KEPT, ssl_context=trust, proxy_ssl_context=trust, proxy_headers=headers)


def _pools(meet: Callable[[str, str], None] | None, *, named: bool) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Pools whose connections tell `meet` whom they meet, and are watched over while they wait for an answer.

    Who was not `named` is looked up before as well: nobody near is to be asked for a connection, even.
    """

    class Watched(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            if meet is None:
                return super()._new_conn()
            if not named:
                self._look_up(meet)
            made = super()._new_conn()
            try:
                meet(self.host, str(made.getpeername()[0]))  # a name may mean something else by now
            except AstrayError:
                made.close()
                raise
            return made

        def _look_up(self, meet: Callable[[str, str], None]) -> None:
            with contextlib.suppress(OSError):  # that is told where the connection is made
                for *_, place in socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM):
                    meet(self.host, str(place[0]))

        def getresponse(self) -> urllib3.HTTPResponse:  # type: ignore[override]  # as the class above has it
            connection = self.sock
            with WATCH.over(connection):
                response = super().getresponse()
            cast("Any", response).connected_by = connection
            return response

    class WatchedEncrypted(Watched, HTTPSConnection):
        pass

    class Pool(urllib3.HTTPConnectionPool):
        ConnectionCls = Watched

    class EncryptedPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = WatchedEncrypted

    return {"http": Pool, "https": EncryptedPool}


def _finish(response: urllib3.BaseHTTPResponse) -> None:
    """Read what is left of an answer, so that its connection can be used again; or end that, if it is much."""
    left = _REDIRECT_BODY
    with WATCH.over(getattr(response, "connected_by", None)):
        while left > 0 and (data := response.read1(_READ)):
            left -= len(data)
    if left <= 0:
        response.close()


class _Body(httpx2.SyncByteStream):
    """What comes behind an answer's headers, as it comes."""

    def __init__(self, response: urllib3.BaseHTTPResponse, request: httpx2.Request) -> None:
        self._response, self._request = response, request
        self._connection: socket.socket | None = getattr(response, "connected_by", None)

    def __iter__(self) -> Iterator[bytes]:
        waited, came = 0.0, 0
        with _translated(self._request):
            while True:
                since = time.monotonic()
                with WATCH.over(self._connection):
                    data = self._response.read1(_READ)
                if not data:
                    return
                waited, came = waited + time.monotonic() - since, came + len(data)
                if waited >= WINDOW:
                    if came < SLOWEST * waited:
                        raise SlowError("Too slow.", request=self._request)
                    waited, came = 0.0, 0
                yield data

    def close(self) -> None:
        """End the connection, unless all was read and it waits for the next request already."""
        self._response.close()


@contextmanager
def _translated(request: httpx2.Request) -> Iterator[None]:
    """urllib3's errors as httpx2's, without their words: those can hold addresses."""
    try:
        yield
    except (broken.NewConnectionError, broken.ProxyError, broken.SSLError):
        raise httpx2.ConnectError("No connection.", request=request) from None
    except broken.ConnectTimeoutError:
        raise httpx2.ConnectTimeout("No connection in time.", request=request) from None
    except TimeoutError:
        raise SlowError("Too slow.", request=request) from None
    except broken.TimeoutError:
        raise httpx2.ReadTimeout("No answer in time.", request=request) from None
    except (broken.LocationValueError, broken.URLSchemeUnknown, ValueError):  # or a header that cannot be sent
        raise httpx2.UnsupportedProtocol("No address that can be used.", request=request) from None
    except (broken.HTTPError, OSError):
        raise httpx2.RemoteProtocolError("The connection broke.", request=request) from None


def _timeout(request: httpx2.Request) -> urllib3.Timeout:
    wanted = request.extensions.get("timeout", {})
    return urllib3.Timeout(connect=wanted.get("connect"), read=wanted.get("read"))


def _proxy(url: str) -> str | None:
    """The proxy that the environment wants for an address."""
    parts = parts_of(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
