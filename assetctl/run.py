"""One run of an operation: what it tells whoever listens, and how it is stopped.

An operation is handed a `Run`. It tells it what happens, as the events below, and thereby hears whether it is to end:
every call that tells something raises `Cancelled` once somebody has called `cancel`. Progress bars, `--json`, a
stream of events and a queue of jobs are listeners. Several things at once are parts of one run: `at_once`, `all_of` and
`each_of` work on them in threads that end soon when nobody waits for them any more.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, Queue
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from assetctl.errors import AssetctlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


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
        total: Bytes of all its files; where they are known only after it began, it is told once more.
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
    """What a picture looks like at a step, roughly: the bytes of a small PNG, for runs that want previews."""

    picture: int
    step: int
    image: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved(Event):
    """A file was written under its final name, or an asset was recorded; `number` is a picture's in the history."""

    path: str
    number: int | None = None


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
        previews: Whether they want to see what pictures look like on their way, as a `Preview` now and then.
    """

    def __init__(self, *listeners: Callable[[Event], None], previews: bool = False) -> None:
        self._listeners = listeners
        self.wants_previews = previews
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

    @contextmanager
    def heard_by(self, listener: Callable[[Event], None]) -> Iterator[None]:
        """Have somebody more told of all that happens in the block."""
        self._listeners = (*self._listeners, listener)
        try:
            yield
        finally:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

    def part(self, said: Callable[[Event], Event] | None = None) -> Run:
        """A run of a part of the work: those who listen to this one hear it, and it ends with this one, or before.

        Args:
            said: Makes of what the part tells what those hear.
        """
        tell = self._deliver if said is None else lambda event: self._deliver(said(event))
        part = Run(tell, previews=self.wants_previews)
        part._whole = self
        return part

    def one_of_all(self, number: int, pictures: int) -> Run:
        """A run of one picture, which is heard as that of this number among so many; see `part`."""

        def renumbered(event: Event) -> Event:
            if isinstance(event, Step):
                return replace(event, picture=number, pictures=pictures)
            return replace(event, picture=number) if isinstance(event, Preview) else event

        return self.part(renumbered)

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


#: Seconds that whoever was interrupted gives the threads to end.
_GRACE = 1.0


def at_once(
    items: Sequence[Item], work: Callable[[Item, Run], Result], most: int, run: Run | None = None
) -> Iterator[tuple[int, Result | BaseException]]:
    """Do `work` for every item, for at most so many at a time; each one's number with its result, or its error.

    They come as they end. Who stops asking for them, as one who is interrupted does, lets no further one begin; those
    that are at work hear of that from the run that they get besides the item, which tells all to `run`.

    Raises:
        Cancelled: The run is; those at work end at their next step.
    """
    crew = _Crew(items, work, run or Run())
    crew.start(min(most, len(items)))
    left = len(items)
    try:
        while left:
            with contextlib.suppress(Empty):
                one = crew.ended.get(timeout=0 if crew.run.is_cancelled else _LOOK)
                left -= 1
                yield one
                continue
            crew.run.check()
    except Cancelled:
        crew.dismiss()
        while left and not crew.ended.empty():  # those at work came to their end meanwhile
            left -= 1
            yield crew.ended.get()
        raise
    finally:
        crew.dismiss()


class _Crew(Generic[Item, Result]):
    """The threads of one `at_once`."""

    def __init__(self, items: Sequence[Item], work: Callable[[Item, Run], Result], run: Run) -> None:
        self.run = run
        self.ended: Queue[tuple[int, Result | BaseException]] = Queue()
        self._items, self._work = items, work
        self._waiting: deque[int] = deque(range(len(items)))
        self._own = run.part()
        self._threads: list[threading.Thread] = []

    def start(self, number: int) -> None:
        self._threads = [threading.Thread(target=self._run, daemon=True, name="at-once") for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def dismiss(self) -> None:
        """Let nobody begin anything more, and those at work end at their next step."""
        self._own.cancel()
        end = time.monotonic() + _GRACE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        while not self._own.is_cancelled:
            try:
                number = self._waiting.popleft()
            except IndexError:
                return
            try:
                self.ended.put((number, self._work(self._items[number], self._own)))
            except BaseException as error:  # noqa: BLE001 - it is theirs who asked, and they wait for it
                self.ended.put((number, error))


def each_of(
    items: Sequence[Item], work: Callable[[Item, Run], Result], most: int, run: Run | None = None
) -> list[Result | AssetctlError]:
    """What became of each item, in their order: what one fails by keeps no other; see `at_once`.

    Raises:
        Cancelled: The run is; its `done` has the results that there are.
    """
    outcomes: dict[int, Result | AssetctlError] = {}
    try:
        for number, outcome in at_once(items, work, most, run):
            if isinstance(outcome, Cancelled):
                if outcome.done is not None:
                    outcomes[number] = cast("Result", outcome.done)
            elif isinstance(outcome, BaseException) and not isinstance(outcome, AssetctlError):
                raise outcome
            else:
                outcomes[number] = outcome
        if run is not None:
            run.check()
    except Cancelled as cancelled:
        ended = (outcomes[number] for number in sorted(outcomes))
        cancelled.done = [outcome for outcome in ended if not isinstance(outcome, AssetctlError)]
        raise
    return [outcomes[number] for number in range(len(items))]


def all_of(
    items: Sequence[Item], work: Callable[[Item, Run], Result], most: int, run: Run | None = None
) -> list[Result]:
    """The results in the items' order; see `at_once`.

    Raises:
        Cancelled: The run is.
        BaseException: The error of the first item that had one, once all have ended.
    """
    outcomes = dict(at_once(items, work, most, run))
    if run is not None:
        run.check()
    results = []
    for number in range(len(items)):
        outcome = outcomes[number]
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results
