"""The queue: jobs in the catalog, handed one after the other to workers, and what is told of them meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from base64 import b64decode
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from assetctl.catalog.jobs import ELSEWHERE, MOST_WARNINGS, ON_DEVICE
from assetctl.errors import AssetctlError, InternalError, StoppedError
from assetctl.operations.make.queued import AtWork
from assetctl.server.plans import Foresight, clear_up, made_of
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from assetctl.catalog.jobs import Job
    from assetctl.registry import Registry
    from assetctl.request import Request

#: Seconds between two looks for jobs that another process added, and between two tries to write what became of one.
_LOOK = 0.5

#: Jobs after each of which those that ended long ago are forgotten.
_TIDYING = 100

#: How often a job is tried: a worker that dies over it twice does so again.
_TRIES = 2

#: Seconds that a command has to record what was painted for it, until its job ends without it.
_RECORDING = 2.0

#: Events that a slow listener may be behind; then it misses some.
_BEHIND = 1000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is.

    Attributes:
        fraction: From 0 to 1.
        step: Of `steps`, of the picture at work.
        picture: Counted from 1, of `pictures`.
        preview: The latest look of it, a small PNG.
        made: Pictures that are done with.
        files: Bytes of each file that came, and of how many, where that is known.
        announced: Bytes of all files, where there are several.
        begun: When it was begun, on the clock of `time.monotonic`.
    """

    fraction: float = 0.0
    step: int = 0
    steps: int = 0
    picture: int = 0
    pictures: int = 0
    preview: bytes | None = None
    made: int = 0
    files: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    announced: int | None = None
    begun: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """Bytes that came."""
        return sum(done for done, _ in self.files.values())

    @property
    def total(self) -> int | None:
        """Bytes in all, where they are known."""
        totals = [total for _, total in self.files.values()]
        return self.announced or (None if None in totals else sum(total or 0 for total in totals) or None)


class _End(NamedTuple):
    """What became of a job, as its worker told it."""

    status: str
    pictures: Sequence[int] = ()
    error: Mapping[str, Any] | None = None


class Queue:
    """Jobs of one home, and the workers that do them. Any thread may call it.

    There are two lanes: what makes pictures needs the device, and waits for nothing that is fetched meanwhile.

    Args:
        registry: The home.
        command: What starts a worker.
        patience: Seconds that a cancelled job has until its worker is killed: what it loads may be large, and tell
            nothing meanwhile.
    """

    def __init__(self, registry: Registry, command: list[str] | None = None, patience: float = 15.0) -> None:
        self._registry, self._patience = registry, patience
        home = str(registry.settings.home)
        command = command or [sys.executable, "-m", "assetctl.server.worker", home]
        self._changed = threading.Condition()
        self._adding = threading.Lock()  # while the catalog may be waited for: `_changed` is for moments
        self._listeners: dict[int, list[Callable[[Mapping[str, Any]], None]]] = {}
        self._warnings: dict[int, list[Mapping[str, Any]]] = {}  # of jobs at work; the others' are in the catalog
        self._progress: dict[int, Progress] = {}
        self._cancelled: set[int] = set()
        self._watched: set[int] = set()
        self._recorded: dict[int, int] = {}  # by commands that follow their job: of how many pictures they have told
        self._painted: dict[int, int] = {}  # for these: pictures that were passed on, which no other worker makes again
        self._closing = False
        self._foresight = Foresight(registry)
        self._lanes = [_Lane(command, kinds) for kinds in (ON_DEVICE, ELSEWHERE)]
        self._threads = [
            threading.Thread(target=self._serve, args=(lane,), name="lane", daemon=True) for lane in self._lanes
        ]

    # what faces ask

    def start(self) -> None:
        """Begin with what waits; what ran when the last server ended waits again.

        Raises:
            StorageError, CatalogError: The catalog cannot be written.
        """
        self._registry.jobs.resume()
        clear_up(self._registry)
        self._tidy()
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Stop the jobs at work, which wait again, and end the workers; whoever listens is told that it is over."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for lane in self._lanes:
            lane.kill()  # what is saved is found again, and what is not was no picture yet
        for number in list(self._listeners):
            self._publish(number, {"ended": "closing"})
        for thread in self._threads:
            if thread.is_alive():
                thread.join(20)

    def foresee(self, request: Request) -> None:
        """See that a request can work, before it becomes a job.

        Raises:
            AssetctlError: It cannot.
        """
        self._foresight.see(request)

    def submit(self, kind: str, request: Mapping[str, Any], priority: int = 0) -> Job:
        """Have something done after what waits already."""
        job = self._registry.jobs.add(kind, request, priority)
        with self._changed:
            self._changed.notify_all()
        return job

    def cancel(self, number: int) -> Job:
        """Stop a job that runs, at its next step; let one that waits not begin.

        Raises:
            NotFoundError: None has this number.
        """
        job = self._registry.jobs.get(number)
        job = self._registry.jobs.cancel(number, made_of(self._registry, job))
        if job.status == "running":
            with self._changed:
                is_first = number not in self._cancelled
                self._cancelled.add(number)
            for lane in self._lanes if is_first else ():  # each waits in a thread of its own
                lane.stop(number, self._patience)
        else:
            self._publish(number, {"ended": job.status})
        return job

    def progress(self, number: int, *, previews: bool = False) -> Progress:
        """How far a job is; nothing is known of one that does not run.

        Args:
            number: Of the job.
            previews: Whether somebody wants to see what it looks like: previews are made from then on.
        """
        if previews:
            self.watch(number)
        return self._progress.get(number, Progress())

    def watch(self, number: int) -> None:
        """Have previews made of a job from now on."""
        if number not in self._watched and (number in self.running or number in self._listeners):
            self._watched.add(number)
            for lane in self._lanes:
                lane.send(number, previews=number)

    @property
    def painting(self) -> int | None:
        """The number of the job that makes pictures."""
        return self._lanes[0].running

    @property
    def running(self) -> list[int]:
        """Numbers of the jobs at work."""
        return [number for lane in self._lanes if (number := lane.running) is not None]

    def at_work(self) -> dict[int, AtWork]:
        """How far the jobs at work are, by their numbers."""
        return {number: self._at(number) for number in self.running}

    def _at(self, number: int) -> AtWork:
        at, warnings = self.progress(number), tuple(self._warnings.get(number, ()))
        return AtWork(at.fraction, at.done, at.total, at.step, at.steps, at.picture, warnings)

    @contextmanager
    def listening(
        self, number: int, hear: Callable[[Mapping[str, Any]], None], *, previews: bool = False
    ) -> Iterator[None]:
        """Have `hear` called, in another thread, with all that happens to a job while the block runs.

        An `ended` says that it is worth a look at the job: it has ended, waits again, or the server is ending. Warnings
        from before are told first, of one at work.
        """
        with self._changed:
            for warning in self._warnings.get(number, ()):
                hear({"job": number, "event": warning})
            self._listeners.setdefault(number, []).append(hear)
        if previews:
            self.watch(number)
        try:
            yield
        finally:
            self._forget(number, hear)

    @contextmanager
    def following(
        self, kind: str, request: Mapping[str, Any], hear: Callable[[Mapping[str, Any]], None]
    ) -> Iterator[Job]:
        """Have something done, and `hear` called with all that happens to it, from the first moment on."""
        with self._adding:  # which a lane waits for, before it begins a job
            job = self._registry.jobs.add(kind, request)
            with self._changed:
                self._listeners.setdefault(job.id, []).append(hear)
                self._recorded[job.id] = 0
                self._changed.notify_all()
        try:
            yield job
        finally:
            self._forget(job.id, hear)
            with self._changed:
                del self._recorded[job.id]
                self._painted.pop(job.id, None)
                self._changed.notify_all()

    def recorded(self, number: int, pictures: Sequence[int]) -> None:
        """A command is done with one more of the pictures of its job: these are the numbers of all that it recorded."""
        self._registry.jobs.made(number, pictures)
        with self._changed:
            if number in self._recorded:
                self._recorded[number] += 1
                self._changed.notify_all()

    def _await_recorded(self, job: Job) -> None:
        """Give a command the moment that it takes to record what was painted for it, so that the job ends with all."""
        wanted = len(job.request.get("seeds", ()))
        with self._changed:
            self._changed.wait_for(
                lambda: self._closing or self._recorded.get(job.id, wanted) >= wanted, timeout=_RECORDING
            )

    def _forget(self, number: int, hear: Callable[[Mapping[str, Any]], None]) -> None:
        with self._changed:
            self._listeners[number].remove(hear)
            if not self._listeners[number]:
                del self._listeners[number]
                if number not in self.running:
                    self._watched.discard(number)

    async def events(
        self, number: int, *, previews: bool = True, steps: bool = True
    ) -> AsyncIterator[Mapping[str, Any]]:
        """What happens to a job from now on, until it ends, or that alone; of one that has ended, that.

        Yields:
            What `listening` has; at last how it `ended`, and the job as it then `was`.

        Raises:
            NotFoundError: None has this number.
            StoppedError: The server is ending; the job waits for the next one.
        """
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_BEHIND)

        with self.listening(number, _into(waiting, loop, steps=steps), previews=previews):
            is_news, heard = True, False
            while True:
                if is_news:
                    job = await loop.run_in_executor(None, self._registry.jobs.get, number)
                    if job.has_ended:
                        rest = [event for event in _all_of(waiting) if "ended" not in event]
                        if not heard and not any(map(_is_warning, rest)):  # who listens late
                            rest = [{"job": number, "event": each} for each in job.warnings] + rest
                        for event in rest:
                            yield event
                        yield {"ended": job.status, "was": job}
                        return
                    if self._closing:
                        raise StoppedError("The server is ending.", f"Job {number} goes on when it is started again.")
                try:
                    event = await asyncio.wait_for(waiting.get(), 15)
                except TimeoutError:
                    is_news = True
                    continue
                is_news = "ended" in event
                if not is_news:
                    heard = heard or _is_warning(event)
                    yield event

    async def ended(self, number: int, *, previews: bool = False) -> Job:
        """The job, once it has come to its end.

        Args:
            number: Of the job.
            previews: Whether somebody may want to see it meanwhile; see `progress`.

        Raises:
            NotFoundError: None has this number.
            StoppedError: The server is ending; the job waits for the next one.
        """
        happening = self.events(number, previews=previews, steps=False)
        job: Job = [each async for each in happening][-1]["was"]
        return job

    # what the threads do

    def _serve(self, lane: _Lane) -> None:
        while not self._closing:
            try:
                job = self._registry.jobs.take(lane.kinds)
            except AssetctlError:  # the disk is full, or the catalog is busy: later, perhaps
                job = None
            if job is not None:
                self._work(lane, job)
                continue
            with self._changed:
                if not self._closing:
                    self._changed.wait(_LOOK)

    def _work(self, lane: _Lane, job: Job) -> None:
        self._progress[job.id] = Progress(pictures=len(job.request.get("seeds", ())))
        with self._adding, self._changed:  # once whoever asked for it listens
            lane.running = job.id
        try:
            end = self._done(lane, job)
            if end is None:
                self._insist(lambda how: self._bury(job, how), lane.mourn())
            else:
                if end.status == "done" and job.kind == "paint":
                    self._await_recorded(job)
                self._insist(lambda end: self._end(job, end), end)
        except Exception as error:  # noqa: BLE001 - a defect ends one job, not the lane
            self._give_up(lane, job, error)
        finally:
            lane.running = None
            self._cancelled.discard(job.id)
            self._watched.discard(job.id)
            self._progress.pop(job.id, None)
            self._warnings.pop(job.id, None)
            self._publish(job.id, {"ended": True})
        if job.id % _TIDYING == 0:
            self._tidy()

    def _tidy(self) -> None:
        with contextlib.suppress(AssetctlError):  # the next time will do
            self._registry.jobs.tidy()

    def _insist(self, write: Callable[[Any], object], what: object) -> None:
        """Write what became of a job as soon as it can be; if it never can, the next server finds the job at work."""
        while True:
            try:
                write(what)
            except AssetctlError:
                with self._changed:
                    if self._closing:
                        return
                    self._changed.wait(_LOOK)
            else:
                return

    def _done(self, lane: _Lane, job: Job) -> _End | None:
        """Have a job done; `None` where the worker died over it."""
        try:
            worker = lane.living()
        except OSError:
            return None
        if self._closing:  # whoever closes may not have seen it
            lane.kill()
        painted, request = self._painted.get(job.id, 0), dict(job.request)
        if painted:
            request["plan"] = {**request["plan"], "seeds": request["plan"]["seeds"][painted:]}
        lane.send(job.id, job=job.id, kind=job.kind, request=request)
        if job.id in self._cancelled:  # before there was somebody to tell
            lane.send(job.id, cancel=job.id)
        if job.id in self._watched:
            lane.send(job.id, previews=job.id)
        return self._heard(worker, job.id, painted)

    def _heard(self, worker: subprocess.Popen[bytes], number: int, painted: int) -> _End | None:
        """Pass on what a worker tells of a job, until that ends; `None` where the worker does so first.

        Args:
            worker: Who is at it.
            number: Of the job.
            painted: Pictures that another worker has painted.
        """
        assert worker.stdout is not None  # noqa: S101 - it is a pipe
        for line in worker.stdout:
            if not line.endswith(b"\n"):  # its last word was cut short
                break
            said = orjson.loads(line)
            if said["job"] != number:
                continue
            if "ended" in said:
                return _End(said["ended"], said["pictures"], said.get("error"))
            if "event" in said:
                said["event"] = self._note(number, said["event"], painted)
            if "picture" in said:
                with self._changed:
                    if number in self._recorded:
                        self._painted[number] = self._painted.get(number, 0) + 1
            self._publish(number, said)
        return None

    def _end(self, job: Job, end: _End) -> None:
        self._registry.jobs.end(job.id, *end, self._warnings.get(job.id, ()))

    def _bury(self, job: Job, how: str) -> None:
        """A worker died over a job, which waits again, or has failed of that; one that was to stop has stopped."""
        if job.id not in self._cancelled and (self._closing or job.attempts < _TRIES):
            self._registry.jobs.put_back(job.id, counts=not self._closing)
            return
        is_failed = job.id not in self._cancelled
        error = _died(f"The worker {how} over it, twice.", job.kind) if is_failed else None
        self._end(job, _End("failed" if is_failed else "cancelled", made_of(self._registry, job), error))
        clear_up(self._registry, [job])

    def _give_up(self, lane: _Lane, job: Job, error: Exception) -> None:
        """Let a job fail of a defect of the server's; one whose end is known already keeps it."""
        lane.kill()  # it may still be at it
        lane.mourn()
        defect = InternalError(f"assetctl has a defect: {type(error).__name__}: {error}")
        end = _End("failed", made_of(self._registry, job), error_document(defect))
        self._insist(lambda how: self._end(job, how), end)

    def _note(self, number: int, event: Mapping[str, Any], painted: int) -> Mapping[str, Any]:
        """How far a job is by now. A job's pictures are made one by one: told is the number of each in the job."""
        before = now = self._progress[number]
        if event["event"] == "step":
            pictures = max(before.pictures, event["pictures"])
            picture = event["picture"] if event["pictures"] == pictures else before.made + event["picture"]
            event = {**event, "picture": min(painted + picture, pictures), "pictures": pictures}
            fraction = ((event["picture"] - 1) * event["steps"] + event["step"]) / max(pictures * event["steps"], 1)
            at = {name: event[name] for name in ("step", "steps", "picture", "pictures")}
            now = replace(before, fraction=fraction, **at)
        elif event["event"] == "bytes":
            now = replace(before, files={**before.files, event["file"]: (event["done"], event["total"])})
            now = replace(now, fraction=min(now.done / now.total, 1.0) if now.total else 0.0)
        elif event["event"] == "started" and event["total"] is not None:
            now = replace(before, announced=event["total"])
        elif event["event"] == "preview":
            now = replace(before, preview=b64decode(event["image"]))
            event = {**event, "picture": max(before.picture, event["picture"])}
        elif event["event"] == "finished":
            now = replace(before, made=max(before.made + 1, before.picture))
        self._progress[number] = now
        return event

    def _publish(self, number: int, event: Mapping[str, Any]) -> None:
        with self._changed:
            listeners = list(self._listeners.get(number, ()))
            if _is_warning(event):
                self._warnings[number] = [*self._warnings.get(number, ()), event["event"]][-MOST_WARNINGS:]
        for hear in listeners:
            hear(event)


class _Lane:
    """Jobs of some kinds, done one after the other by a worker of their own.

    The worker is started with the first job, and again whenever it has ended.

    Args:
        command: What starts a worker.
        kinds: Of its jobs.
    """

    def __init__(self, command: Sequence[str], kinds: Sequence[str]) -> None:
        self._command, self.kinds = command, kinds
        self._worker: subprocess.Popen[bytes] | None = None
        self._sending = threading.Lock()
        self.running: int | None = None

    def living(self) -> subprocess.Popen[bytes]:
        """A worker: the one that is there, or a new one."""
        if self._worker is None or self._worker.poll() is not None:
            self._worker = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C at the terminal is for the server, which ends it
            )
        return self._worker

    def send(self, number: int, **command: object) -> None:
        """Tell the worker something of a job, if it is the one at work."""
        worker = self._worker
        if self.running == number and worker is not None and worker.stdin is not None:
            # it died, which whoever reads from it sees
            with self._sending, contextlib.suppress(OSError, ValueError):
                worker.stdin.write(orjson.dumps(command) + b"\n")
                worker.stdin.flush()

    def stop(self, number: int, patience: float) -> None:
        """Have a job end, if it is the one at work; its worker is killed where it has not in so many seconds."""
        self.send(number, cancel=number)
        timer = threading.Timer(patience, self.kill, (number,))
        timer.daemon = True
        timer.start()

    def kill(self, number: int | None = None) -> None:
        """End the worker, wherever it is; or only if it is at this job."""
        worker = self._worker
        if worker is not None and number in (None, self.running):
            with contextlib.suppress(OSError):
                worker.kill()

    def mourn(self) -> str:
        """Say how the worker ended, which is let go."""
        worker, self._worker = self._worker, None
        if worker is None:
            return "cannot be started"
        try:
            code = worker.wait(2)
        except subprocess.TimeoutExpired:  # it has closed its output, and would tell nothing any more
            worker.kill()
            code = worker.wait()
        for pipe in (worker.stdin, worker.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        return _how(code)


def _is_warning(event: Mapping[str, Any]) -> bool:
    return bool(event.get("event", {}).get("event") == "warned")


def _all_of(waiting: asyncio.Queue[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [waiting.get_nowait() for _ in range(waiting.qsize())]


def _into(
    waiting: asyncio.Queue[Mapping[str, Any]], loop: asyncio.AbstractEventLoop, *, steps: bool
) -> Callable[[Mapping[str, Any]], None]:
    """What hears of a job in another thread, and puts it, or its end alone, where a coroutine of the loop waits."""

    def put(event: Mapping[str, Any]) -> None:
        if waiting.full():
            waiting.get_nowait()
        waiting.put_nowait(event)

    def hear(event: Mapping[str, Any]) -> None:
        if steps or "ended" in event:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(put, event)

    return hear


def _how(code: int) -> str:
    """How a process ended, behind its name."""
    if code >= 0:
        return f"ended with {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed ({name})" + (", as happens where memory is short," if name == "SIGKILL" else "")


def _died(message: str, kind: str) -> dict[str, Any]:
    if kind == "pull":
        return {"code": "internal", "message": message, "hint": "Ask for it once more: what came is kept."}
    return {"code": "generation_failed", "message": message, "hint": "Ask for a smaller picture, or free some memory."}
