"""Ends connections that keep whoever reads waiting for ever, though bytes may come: endless headers, endless trailers.

A time limit on a socket is for each of its bytes; one that gets a byte a minute never runs out.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that one read may take in all: an answer's headers, or its next bytes.
LONGEST_READ = 90.0

#: Seconds between two looks.
_LOOK = 1.0

#: Looks without any read, after which the thread ends.
_IDLE = 10


class Watch:
    """Watches over the reads of all connections; its thread lives as long as there are any."""

    def __init__(self) -> None:
        self._reads: dict[int, tuple[float, socket.socket]] = {}
        self._changed = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, connection: socket.socket | None) -> Iterator[None]:
        """Cut the connection off, if the block takes too long.

        Raises:
            TimeoutError: That was done, and what the block saw was no end.
        """
        if connection is None:
            yield
            return
        key = threading.get_ident()
        self._reads[key] = (time.monotonic() + LONGEST_READ, connection)
        if self._thread is None or not self._thread.is_alive():  # it ended, or stayed behind at a fork
            self._begin()
        try:
            yield
        finally:
            is_cut = self._reads.pop(key, None) is None
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
        for key, (deadline, connection) in tuple(self._reads.items()):
            if now > deadline and self._reads.pop(key, None) is not None:
                with contextlib.suppress(OSError):  # it is gone already
                    # Below what encrypts: the thread that reads needs that part as it is.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)


WATCH = Watch()
