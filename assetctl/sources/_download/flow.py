"""What one connection brings, on its way to the disk: gathered in large pieces, written while the next ones come."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from mmap import mmap
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes that are written and hashed at a time, and how many such pieces one connection has on their way.
PIECE, PIECES = 2**20, 8

#: Seconds after which less is written too: what a kill may lose of a slow download.
SLOW = 0.2


class Flow:
    """Gathers bytes into pieces that end at multiples of their size, so that they can go straight to the disk.

    Leaving the block waits until all that was handed on is written; after a piece that could not be, none is.

    Args:
        feed: Told of each piece by its position, at once; the future of what it does with it, or `None`.
        write: Writes a piece, in a thread of its own, in turn; told besides whether `feed` had a use for it.
    """

    def __init__(
        self,
        feed: Callable[[int, memoryview], Future[None] | None],
        write: Callable[[int, memoryview, bool], None],
    ) -> None:
        self._feed, self._write = feed, write
        self._broken = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._pieces: deque[tuple[memoryview, list[Future[None]]]] = deque()
        self._piece = _fresh()
        self._filled, self._since = 0, 0.0
        self.position = 0

    def begin(self, position: int) -> None:
        """What comes next belongs at `position`; what came before is flushed."""
        self.position, self._since = position, time.monotonic()

    def take(self, data: bytes) -> None:
        """Take what comes next, in pieces of whatever size.

        Raises:
            What `write` or what was fed raised.
        """
        rest = memoryview(data)
        while rest:
            room = PIECE - self.position % PIECE - self._filled
            some = rest[:room]
            self._piece[self._filled : self._filled + len(some)] = some
            self._filled += len(some)
            if len(some) == room or time.monotonic() - self._since > SLOW:
                self.flush()
            rest = rest[len(some) :]

    def flush(self) -> None:
        """Hand on what was gathered."""
        self._since = time.monotonic()
        if not self._filled:
            return
        data = self._piece[: self._filled]
        fed = self._feed(self.position, data)
        written = self._thread.submit(self._write_next, self.position, data, fed is not None)
        self._pieces.append((self._piece, [written] if fed is None else [written, fed]))
        self.position += self._filled
        self._filled = 0
        _, uses = self._pieces[0]
        idle = len(self._pieces) == PIECES or all(use.done() for use in uses)
        self._piece = self._oldest() if idle else _fresh()

    def wait(self) -> None:
        """Wait until all that was handed on is written.

        Raises:
            What `write` or what was fed raised.
        """
        while self._pieces:
            self._oldest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._thread.shutdown(cancel_futures=True)

    def _write_next(self, position: int, data: memoryview, fed: bool) -> None:  # noqa: FBT001 - as `write` has it
        """Write a piece, unless one before it could not be written: what is there must have no holes."""
        if self._broken:
            return
        try:
            self._write(position, data, fed)
        except BaseException:
            self._broken = True
            raise

    def _oldest(self) -> memoryview:
        """The buffer of the piece that was handed on first, once nobody needs it any more."""
        piece, uses = self._pieces.popleft()
        for use in uses:
            use.result()
        return piece


def _fresh() -> memoryview:
    return memoryview(mmap(-1, PIECE))  # its own pages, as the disk wants them
