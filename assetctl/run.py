"""One run of an operation: what it tells whoever listens, and how it is stopped.

An operation is handed a `Run`. It tells it what happens, as the events below, and thereby hears whether it is to end:
every call that tells something raises `Cancelled` once somebody has called `cancel`. Progress bars, `--json`, a
stream of events and a queue of jobs are listeners.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.errors import AssetctlError


class Cancelled(BaseException):
    """Raised in an operation that somebody has cancelled; no `except Exception` on its way takes it for a failure.

    Attributes:
        done: What was finished before, as the operation's result has it; `None` where nothing was.
    """

    def __init__(self) -> None:
        super().__init__("The run was cancelled.")
        self.done: object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        task: What it belongs to, as the person named it: a reference, an asset's name; "" for the run itself.
    """

    task: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """A task began; `stage` is `fetch`, `hash`, `scan`, `identify`, `load`, `sample`, `copy` or `check`.

    Attributes:
        total: Bytes of all its files, where they are known beforehand.
    """

    stage: str
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes(Event):
    """How far one file is: fetched, copied or hashed. `total` is `None` where nobody knows it."""

    file: str
    done: int
    total: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed(Event):
    """The SHA256 of a file is known."""

    path: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Event):
    """One denoising step was made; pictures and steps count from 1."""

    picture: int
    pictures: int
    step: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(Event):
    """What a picture looks like at a step: the bytes of a small PNG."""

    picture: int
    step: int
    image: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Event):
    """A file was written under its final name, or an asset was recorded."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """What a person should know, with what to do about it; `error` is what went wrong, where something did."""

    message: str
    hint: str | None = None
    error: AssetctlError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished(Event):
    """A task has ended; `error` is the code of what ended it, `None` where it went well."""

    error: str | None = None


class Run:
    """One run of an operation. Any thread may tell it something, and any may cancel it.

    Args:
        listeners: Each is called with every event, one event at a time. What one raises ends the run, and comes out
            of the operation as it was raised.
    """

    def __init__(self, *listeners: Callable[[Event], None]) -> None:
        self._listeners = listeners
        self._telling = threading.RLock()
        self._cancelled = threading.Event()
        self.failure: Exception | None = None  # what a listener raised first

    def cancel(self) -> None:
        """Have the run end at its next event or check."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether it is to end."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Go on, or end.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        if self._cancelled.is_set():
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Wait, unless the run is to end meanwhile.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        self._cancelled.wait(seconds)
        self.check()

    def tell(self, event: Event) -> None:
        """Let everybody know.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        self.check()
        with self._telling:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - it is no failure of what the operation does
                    self.failure = self.failure or error
                    self.cancel()
        self.check()

    @contextmanager
    def task(self, name: str, stage: str, total: int | None = None) -> Iterator[None]:
        """Tell that a task began, and how it ended."""
        self.tell(Started(task=name, stage=stage, total=total))
        try:
            yield
        except Exception as error:
            self.tell(Finished(task=name, error=getattr(error, "code", "internal")))
            raise
        self.tell(Finished(task=name))

    def counter(self, task: str, file: str, total: int | None) -> Callable[[int], None]:
        """What wants to know of each further bytes of a file how many they are, and tells how far it is."""
        done = 0

        def count(number: int) -> None:
            nonlocal done
            done += number
            self.tell(Bytes(task=task, file=file, done=done, total=total))

        return count


def silent() -> Run:
    """A run that nobody listens to."""
    return Run()


@contextmanager
def running(run: Run | None) -> Iterator[Run]:
    """The run that an operation is handed, or a silent one; what a listener raised comes out as it was raised."""
    run = run or silent()
    try:
        yield run
    except Cancelled as stop:
        if run.failure is not None:
            raise run.failure from stop
        raise


@contextmanager
def leaving(done: Callable[[], object]) -> Iterator[None]:
    """Let whoever hears that the block was cancelled hear what was finished before."""
    try:
        yield
    except Cancelled as stop:
        stop.done = done()
        raise
