"""One run of an operation: what it tells whoever listens, and how it is stopped.

An operation is handed a `Run`. It tells it what happens, as the events below, and thereby hears whether it is to end:
every call that tells something raises `Cancelled` once somebody has called `cancel`. Progress bars, `--json`, a
stream of events and a queue of jobs are listeners.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.errors import AssetctlError


#: Seconds after which a wait sees that the run was cancelled.
_LOOK = 0.1


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
        self._whole: Run | None = None  # that this is a part of
        self.failure: Exception | None = None  # what a listener raised first

    def cancel(self) -> None:
        """Have the run end at its next event or check."""
        self._cancelled.set()

    @property
    def is_cancelled(self) -> bool:
        """Whether it is to end."""
        return self._cancelled.is_set() or (self._whole is not None and self._whole.is_cancelled)

    def part(self) -> Run:
        """A run of a part of the work: those who listen to this one hear it, and it ends with this one, or before."""
        part = Run(self._deliver)
        part._whole = self
        return part

    def check(self) -> None:
        """Go on, or end.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        if self.is_cancelled:
            raise Cancelled

    def wait(self, seconds: float) -> None:
        """Wait, unless the run is to end meanwhile.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        end = time.monotonic() + seconds
        while not self.is_cancelled and (left := end - time.monotonic()) > 0:
            self._cancelled.wait(min(left, _LOOK) if self._whole is not None else left)
        self.check()

    def tell(self, event: Event) -> None:
        """Let everybody know.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        self.check()
        self._deliver(event)
        self.check()

    def _deliver(self, event: Event) -> None:
        with self._telling:
            for listener in self._listeners:
                try:
                    listener(event)
                except Exception as error:  # noqa: BLE001 - it is no failure of what the operation does
                    self.failure = self.failure or error
                    self.cancel()

    @contextmanager
    def task(self, name: str, stage: str, total: int | None = None) -> Iterator[None]:
        """Tell that a task began, and how it ended, whatever ended it."""
        self.tell(Started(task=name, stage=stage, total=total))
        try:
            yield
        except BaseException as error:
            if name and getattr(error, "reference", name) is None:
                error.reference = name  # type: ignore[attr-defined]  # one of ours, which does not say yet
            code = getattr(error, "code", "internal") if isinstance(error, Exception) else "interrupted"
            self._deliver(Finished(task=name, error=code))
            raise
        self.tell(Finished(task=name))

    @contextmanager
    def holding(self, lock: threading.Lock) -> Iterator[None]:
        """Hold a lock in the block; the wait for it ends when the run is cancelled.

        Raises:
            Cancelled: Somebody has cancelled the run, or a listener failed.
        """
        while not lock.acquire(timeout=_LOOK):
            self.check()
        try:
            yield
        finally:
            lock.release()

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


class running:  # noqa: N801 - used as a function; a generator could not let a StopIteration out
    """The run that an operation is handed, or a silent one; what a listener raised comes out as it was raised."""

    def __init__(self, run: Run | None) -> None:
        self._run = run or silent()

    def __enter__(self) -> Run:
        return self._run

    def __exit__(self, kind: object, stop: BaseException | None, trace: object) -> None:
        failure = self._run.failure
        if isinstance(stop, Cancelled) and failure is not None:
            failure.done = stop.done  # type: ignore[attr-defined]  # whatever it is, it says what was finished
            raise failure from stop


@contextmanager
def gathering(results: list[Any]) -> Iterator[None]:
    """As `leaving` with a list of results; one that was whole when the block was cancelled is added to it."""
    try:
        yield
    except Cancelled as stop:
        results += [] if stop.done is None else [stop.done]
        stop.done = results
        raise


@contextmanager
def leaving(done: Callable[[], object]) -> Iterator[None]:
    """Let whoever hears that the block was cancelled hear what was finished before."""
    try:
        yield
    except Cancelled as stop:
        stop.done = done()
        raise
