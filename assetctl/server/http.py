"""HTTP over sockets that are open: uvicorn, with an end to whoever holds a connection and sends or reads nothing."""

from __future__ import annotations

import contextlib
import socket
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11
import orjson
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from assetctl.server.safety import MOST_CONNECTIONS, OWNER

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

#: Seconds in which the head of a request must have come, whole; and in which some of an answer must have been read.
HEAD_PATIENCE, READING_PATIENCE = 10.0, 30.0

#: Seconds for which a connection stays open without a request.
_IDLE = 15

#: Seconds in which a connection that is closed hears no more, so that its last answer is read before it breaks.
_LINGERING = 2.0

#: Bytes of a request's head, and how many are looked at in a row where they may be of heads: several may have come.
_LARGEST_HEAD, _SLICE = 16 * 2**10, 4 * 2**10

#: Seconds that answers at work have when the server ends.
_FAREWELL = 3


class Connection(H11Protocol):
    """One connection, watched: a head must come in time, an answer must be read, and a body must say its length."""

    _watch: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    _deaf = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody has called."""
        super().connection_made(transport)
        own = transport.get_extra_info("socket")
        is_owner = own.family == getattr(socket, "AF_UNIX", None)
        self.app_state = {**self.app_state, OWNER: is_owner}
        if not is_owner:  # asyncio does so only for sockets that were made with their protocol's number
            own.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._await_head()
        if len(self.connections) > MOST_CONNECTIONS:
            self._make_room()

    def _make_room(self) -> None:
        waiting = [each for each in self.connections if isinstance(each, Connection) and each.waits]
        oldest = min(waiting, key=lambda each: each.since)
        if oldest is self:
            self._turn_away(503, "There are too many connections.")
        else:
            oldest.transport.abort()

    @property
    def waits(self) -> bool:
        """Whether no request is here that would have to be answered."""
        cycle: Any = self.cycle  # which none is until the first request
        return cycle is None or cycle.response_complete

    @property
    def since(self) -> float:
        """When it will have waited long enough."""
        timers = [each.when() for each in (self._watch, self.timeout_keep_alive_task) if each is not None]
        return min(timers, default=0.0)

    def data_received(self, data: bytes) -> None:
        """Something came: a head, whole or a part, or some of a body."""
        start = 0
        while start < len(data) and not (self._deaf or self.transport.is_closing()):
            of_body = getattr(getattr(self.conn, "_reader", None), "_remaining", 0)  # as h11 counts down its length
            end = start + max(_SLICE, of_body)
            super().data_received(data[start:end])
            start = end

    def handle_events(self) -> None:
        """See what has come."""
        super().handle_events()
        if self.conn.their_state is h11.IDLE:
            self._await_head()
            return
        _stop(self._watch)
        self._watch = None
        if self.conn.their_state is h11.SEND_BODY and any(name == b"transfer-encoding" for name, _ in self.headers):
            self._deaf = True  # it is refused by the guard; what a thousand small chunks say is not taken apart

    def _await_head(self) -> None:
        if self._watch is None and not self.transport.is_closing():
            self._watch = self.loop.call_later(HEAD_PATIENCE, self._head_is_late)

    def _head_is_late(self) -> None:
        self._watch = None
        if self.waits:
            self._turn_away(408, "The request took too long to come.")

    def send_400_response(self, _msg: str) -> None:
        """What came is no HTTP."""
        self._turn_away(400, "This is no HTTP request, or its head is too large.")

    def _turn_away(self, status: int, message: str) -> None:
        """Answer what is no request, and close."""
        self._deaf = True
        body = orjson.dumps({"version": 1, "error": {"code": "usage", "message": message, "hint": None}})
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        with contextlib.suppress(h11.LocalProtocolError):  # an answer is on its way already
            head = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase.encode())
            self.transport.write(b"".join(self.conn.send(each) or b"" for each in (head, h11.Data(data=body))))
        with contextlib.suppress(OSError, RuntimeError):
            self.transport.write_eof()
        self.loop.call_later(_LINGERING, self.transport.abort)

    def on_response_complete(self) -> None:
        """An answer has gone out."""
        super().on_response_complete()
        if self.transport.is_closing():  # with what is left of the answer, which must be read in time
            self._reading = self._reading or self.loop.call_later(READING_PATIENCE, self.transport.abort)
        elif self._deaf:
            self.loop.call_later(_LINGERING, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing more was asked for."""
        super().timeout_keep_alive_handler()
        self._reading = self._reading or self.loop.call_later(READING_PATIENCE, self.transport.abort)

    def pause_writing(self) -> None:
        """More is to be read than has been."""
        super().pause_writing()
        self._reading = self._reading or self.loop.call_later(READING_PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        """It was read."""
        super().resume_writing()
        if not self.transport.is_closing():
            _stop(self._reading)
            self._reading = None

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        _stop(self._watch, self._reading)
        self._watch = self._reading = None
        self._unset_keepalive_if_required()
        super().connection_lost(exc)


def _stop(*timers: asyncio.TimerHandle | None) -> None:
    for timer in timers:
        if timer is not None:
            timer.cancel()


class _Server(uvicorn.Server):
    """Tells when it can be called."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object] | None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._ready is not None:
            self._ready()


def make_server(app: Any, *, ready: Callable[[], object] | None = None) -> uvicorn.Server:  # noqa: ANN401 - of ASGI
    """A server for `app`: `run(sockets)` answers until its `should_exit` is set.

    Args:
        app: What `make_app` returned.
        ready: Called once it can be called.
    """
    _make_room_for_connections()
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_IDLE,
        timeout_graceful_shutdown=_FAREWELL,
        h11_max_incomplete_event_size=_LARGEST_HEAD,
        backlog=1024,
    )
    return _Server(config, ready)


def _make_room_for_connections() -> None:
    """Let this process have as many files open as it may have connections, and some; many systems begin with 256."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource  # noqa: PLC0415 - which Windows has not, nor such a limit

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = 2 * MOST_CONNECTIONS
        if resource.RLIM_INFINITY != soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard < 0 else min(wanted, hard), hard))


def serve(app: Any, sockets: Sequence[socket.socket], *, ready: Callable[[], object] | None = None) -> None:  # noqa: ANN401
    """Answer on sockets that are bound, until Ctrl-C or SIGTERM.

    Args:
        app: What `make_app` returned.
        sockets: Of any family; they are closed at the end.
        ready: Called once it can be called.
    """
    make_server(app, ready=ready).run(list(sockets))
