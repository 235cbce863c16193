"""A server on the loopback that answers byte by byte what a test wants: for answers that no library would send."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from patience import fair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Answer = Callable[[bytes], Iterable[bytes]]


class Scripted:
    """Its address, and the requests that came: each whole, up to the blank line."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.requests: list[bytes] = []
        #: How many bytes went out to the last client before it had enough.
        self.sent = 0


def answer(body: bytes = b"", status: str = "200 OK", **headers: object) -> bytes:
    """An answer with its length; underscores in names of headers stand for dashes."""
    given = {"content_length": len(body), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in given.items() if value is not None]
    return "\r\n".join([f"HTTP/1.1 {status}", "connection: close", *lines, "", ""]).encode("utf-8") + body


@contextmanager
def scripted(respond: Answer) -> Iterator[Scripted]:
    """Run a server as long as the block lasts; `respond` makes the pieces of each answer from the request."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = Scripted(f"http://127.0.0.1:{listening.getsockname()[1]}")

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := connection.recv(65536)):
                    return
                head += data
            server.requests.append(head)
            server.sent = 0
            for piece in respond(head):
                connection.sendall(piece)
                server.sent += len(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(fair(5))
