"""The queue: jobs in the catalog, handed one after the other to a worker, and what is told of them meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from assetctl.catalog.jobs import Job
    from assetctl.registry import Registry

#: Seconds between two looks for jobs that another process added, or cancelled.
_LOOK = 0.5

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
        begun: When it was begun, on the clock of `time.monotonic`.
    """

    fraction: float = 0.0
    step: int = 0
    steps: int = 0
    picture: int = 0
    pictures: int = 0
    preview: bytes | None = None
    begun: float = field(default_factory=time.monotonic)


class Queue:
    """Jobs of one home, and the worker that does them. Any thread may call it.

    Args:
        registry: The home.
        command: What starts a worker.
    """

    def __init__(self, registry: Registry, command: list[str] | None = None) -> None:
        self._registry = registry
        home = str(registry.settings.home)
        self._command = command or [sys.executable, "-m", "assetctl.server.worker", home]
        self._worker: subprocess.Popen[bytes] | None = None
        self._changed = threading.Condition()
        self._listeners: dict[int, list[Callable[[Mapping[str, Any]], None]]] = {}
        self._progress: dict[int, Progress] = {}
        self._running: int | None = None
        self._cancelled: set[int] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="queue", daemon=True)

    # what faces ask

    def start(self) -> None:
        """Begin with what waits; what ran when the last server ended waits again."""
        self._registry.jobs.put_back(_died("The server ended while it was at work."))
        self._thread.start()

    def close(self) -> None:
        """Stop the job at work, which waits again, and end the worker."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        worker = self._worker
        if worker is not None:
            with contextlib.suppress(OSError):
                worker.terminate()
        self._thread.join(20)

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
        job = self._registry.jobs.cancel(number)
        if job.status == "running":
            with self._changed:
                self._cancelled.add(number)
            self._send({"cancel": number})
        else:
            self._publish(number, {"ended": job.status})
        return job

    def progress(self, number: int) -> Progress:
        """How far a job is; nothing is known of one that does not run."""
        return self._progress.get(number, Progress())

    @property
    def running(self) -> int | None:
        """The number of the job at work."""
        return self._running

    async def events(self, number: int) -> AsyncIterator[Mapping[str, Any]]:
        """What happens to a job from now on, until it ends; of one that has ended, that alone."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(_BEHIND)

        def hear(event: Mapping[str, Any]) -> None:
            def put() -> None:
                if waiting.full():
                    waiting.get_nowait()
                waiting.put_nowait(event)

            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(put)

        listeners = self._listeners.setdefault(number, [])
        listeners.append(hear)
        try:
            while True:
                job = await loop.run_in_executor(None, self._registry.jobs.get, number)
                if job.has_ended:
                    yield {"ended": job.status}
                    return
                try:
                    event = await asyncio.wait_for(waiting.get(), 15)
                except TimeoutError:
                    continue
                if "ended" not in event:
                    yield event
        finally:
            listeners.remove(hear)
            if not listeners:
                self._listeners.pop(number, None)

    async def ended(self, number: int) -> Job:
        """The job, once it has come to its end."""
        async for _ in self.events(number):
            pass
        return await asyncio.get_running_loop().run_in_executor(None, self._registry.jobs.get, number)

    # what the thread does

    def _serve(self) -> None:
        while not self._closing:
            job = self._registry.jobs.take()
            if job is None:
                with self._changed:
                    if not self._closing:
                        self._changed.wait(_LOOK)
                continue
            self._work(job)

    def _work(self, job: Job) -> None:
        self._running, self._progress[job.id] = job.id, Progress()
        try:
            worker = self._living()
            self._send({"job": job.id, "kind": job.kind, "request": dict(job.request)})
            assert worker.stdout is not None  # noqa: S101 - it is a pipe
            for line in worker.stdout:
                said = orjson.loads(line)
                if said["job"] == job.id and "ended" in said:
                    self._registry.jobs.end(job.id, said["ended"], said["pictures"], said.get("error"))
                    return
                if said["job"] == job.id:
                    self._note(job.id, said["event"])
                    self._publish(job.id, said)
            self._bury(job)
        finally:
            self._running = None
            self._cancelled.discard(job.id)
            self._progress.pop(job.id, None)
            self._publish(job.id, {"ended": True})

    def _living(self) -> subprocess.Popen[bytes]:
        """A worker: the one that is there, or a new one."""
        if self._worker is None or self._worker.poll() is not None:
            self._worker = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._worker

    def _bury(self, job: Job) -> None:
        """A worker died over a job, which waits again, or has failed of that; one that was to stop has stopped."""
        worker, self._worker = self._worker, None
        code = None if worker is None else worker.wait()
        if job.id in self._cancelled:
            self._registry.jobs.end(job.id, "cancelled")
        elif self._closing:
            self._registry.jobs.put_back(None)
        else:
            self._registry.jobs.put_back(_died(f"The worker {_how(code)} over it, twice."))

    def _send(self, command: Mapping[str, Any]) -> None:
        worker = self._worker
        if worker is not None and worker.stdin is not None:
            with contextlib.suppress(OSError):  # it died, which whoever reads from it sees
                worker.stdin.write(orjson.dumps(dict(command)) + b"\n")
                worker.stdin.flush()

    def _note(self, number: int, event: Mapping[str, Any]) -> None:
        """How far a job is by now."""
        before = self._progress[number]
        if event["event"] == "step":
            step, steps, picture, pictures = (event[name] for name in ("step", "steps", "picture", "pictures"))
            fraction = ((picture - 1) * steps + step) / max(pictures * steps, 1)
            now = replace(before, fraction=fraction, step=step, steps=steps, picture=picture, pictures=pictures)
        elif event["event"] == "preview":
            from base64 import b64decode  # noqa: PLC0415 - few are asked for

            now = replace(before, preview=b64decode(event["image"]))
        else:
            return
        self._progress[number] = now

    def _publish(self, number: int, event: Mapping[str, Any]) -> None:
        for hear in list(self._listeners.get(number, ())):
            hear(event)


def _how(code: int | None) -> str:
    """How a process ended, behind its name."""
    if code is None or code >= 0:
        return f"ended with {code}"
    name = signal.Signals(-code).name
    return f"was killed ({name})" + (", as happens where memory is short," if name == "SIGKILL" else "")


def _died(message: str) -> dict[str, Any]:
    return {"code": "generation_failed", "message": message, "hint": "Ask for a smaller picture, or free some memory."}
