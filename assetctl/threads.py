"""Several things at once, in threads that end soon when nobody waits for them any more."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from queue import Empty, Queue
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from assetctl.errors import AssetctlError
from assetctl.run import Cancelled, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds after which it is seen that the run was cancelled, or interrupted where waiting is not.
_LOOK = 0.1

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
