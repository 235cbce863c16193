"""The way bytes take from a server: urllib3's connections below httpx2's client.

httpx2 knows redirects, and which header may follow them; its own connections hand a body on in pieces of 64 KiB through
a parser in Python, which takes longer than hashing them. urllib3's read from the socket into large pieces.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2
import urllib3
from urllib3 import exceptions as broken

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

#: Bytes that are asked of a connection at a time; what is there is taken, so that a slow one does not wait to be full.
_READ = 2**20

#: Connections to one host that are kept for the next request.
_KEPT = 8


class Wire(httpx2.BaseTransport):
    """A transport of httpx2's by urllib3's connections; it honours the environment's proxies."""

    def __init__(self) -> None:
        self._managers: dict[tuple[str | None, bool], urllib3.PoolManager] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request, and answer with a body that is still to be read."""
        url = str(request.url)
        with _translated(request):
            response = self._manager(url).urlopen(
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
        return httpx2.Response(
            response.status, headers=list(response.headers.iteritems()), stream=_Body(response, request)
        )

    def close(self) -> None:
        """Let go of all connections."""
        for manager in self._managers.values():
            manager.clear()

    def _manager(self, url: str) -> urllib3.PoolManager:
        proxy = _proxy(url)
        encrypted = url.startswith("https:") or (proxy or "").startswith("https:")
        known = self._managers.get((proxy, encrypted))
        if known is None:
            trust = httpx2.create_ssl_context() if encrypted else None  # takes 25 ms
            known = self._managers[proxy, encrypted] = _connections(proxy, trust)
        return known


def _connections(proxy: str | None, trust: ssl.SSLContext | None) -> urllib3.PoolManager:
    if proxy is None:
        return urllib3.PoolManager(maxsize=_KEPT, ssl_context=trust)
    parts = urlsplit(proxy)
    login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    headers = urllib3.make_headers(proxy_basic_auth=login)
    return urllib3.ProxyManager(proxy, maxsize=_KEPT, ssl_context=trust, proxy_ssl_context=trust, proxy_headers=headers)


class _Body(httpx2.SyncByteStream):
    """What comes behind an answer's headers, as it comes."""

    def __init__(self, response: urllib3.BaseHTTPResponse, request: httpx2.Request) -> None:
        self._response, self._request = response, request

    def __iter__(self) -> Iterator[bytes]:
        with _translated(self._request):
            while data := self._response.read1(_READ):
                yield data

    def close(self) -> None:
        """End the connection, unless all was read and it waits for the next request already."""
        self._response.close()


@contextmanager
def _translated(request: httpx2.Request) -> Iterator[None]:
    """urllib3's errors as httpx2's, without their words: those can hold addresses."""
    try:
        yield
    except (broken.NewConnectionError, broken.ProxyError, broken.SSLError) as error:
        raise httpx2.ConnectError("No connection.", request=request) from error
    except broken.ConnectTimeoutError as error:
        raise httpx2.ConnectTimeout("No connection in time.", request=request) from error
    except broken.TimeoutError as error:
        raise httpx2.ReadTimeout("No answer in time.", request=request) from error
    except (broken.LocationValueError, broken.URLSchemeUnknown, ValueError):  # or a header that can not be sent
        raise httpx2.UnsupportedProtocol("No address that can be used.", request=request) from None
    except (broken.HTTPError, OSError) as error:
        raise httpx2.RemoteProtocolError("The connection broke.", request=request) from error


def _timeout(request: httpx2.Request) -> urllib3.Timeout:
    wanted = request.extensions.get("timeout", {})
    return urllib3.Timeout(connect=wanted.get("connect"), read=wanted.get("read"))


def _proxy(url: str) -> str | None:
    """The proxy that the environment wants for an address."""
    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
