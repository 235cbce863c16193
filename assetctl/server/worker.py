"""The worker: a process that makes what a server hands it, and keeps what it loaded for the next.

It reads a command a line from standard input, and tells what happens a line each on standard output. When its server
ends it ends too. It is a process of its own so that what kills it, a full memory before all, kills no server.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from dataclasses import replace
from queue import Queue as Waiting
from typing import IO, TYPE_CHECKING, Any

import orjson

from assetctl.errors import AssetctlError, GenerationError, InternalError
from assetctl.registry import Registry
from assetctl.run import Cancelled, Run, Saved, Step, Warned
from assetctl.server.plans import lines_of, picture_said, plan_meant
from assetctl.wire import document
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assetctl.operations.make.jobs import JobResult
    from assetctl.request import Backend
    from assetctl.run import Event

#: Seconds after which a worker whose server is gone ends, wherever it is.
_GRACE = 2.0

#: Seconds between two looks whether the worker of a server that ended has let go of a job.
_LOOK = 0.2


class Worker:
    """One after the other, does what it is handed.

    Args:
        registry: The home.
        backend: Who makes pictures.
        told: Where it tells what happens.
    """

    def __init__(self, registry: Registry, backend: Backend, told: IO[bytes]) -> None:
        self._registry, self._backend, self._told = registry, backend, told
        self._telling = threading.Lock()
        self._runs: dict[int, Run] = {}
        self._waiting: Waiting[Mapping[str, Any] | None] = Waiting()

    def serve(self, commands: IO[bytes]) -> None:
        """Do what is asked until nobody is left who could."""
        threading.Thread(target=self._listen, args=(commands,), daemon=True, name="listen").start()
        while (command := self._waiting.get()) is not None:
            self._do(command["job"], command["kind"], command["request"])

    def _listen(self, commands: IO[bytes]) -> None:
        for line in commands:
            command = orjson.loads(line)
            if "cancel" in command or "previews" in command:
                run = self._runs.get(command.get("cancel", command.get("previews")))
                if run is not None and "cancel" in command:
                    run.cancel()
                elif run is not None:
                    run.wants_previews = True
                continue
            self._runs[command["job"]] = self._run(command["job"], len(command["request"].get("seeds", ())))
            self._waiting.put(command)
        self._waiting.put(None)
        timer = threading.Timer(_GRACE, os._exit, (1,))
        timer.daemon = True
        timer.start()
        for run in list(self._runs.values()):
            run.cancel()

    def _run(self, job: int, pictures: int) -> Run:
        """A run that tells of a job, whose pictures are counted as one, whatever lines of a batch they are."""
        saved = 0

        def listen(event: Event) -> None:
            nonlocal saved
            saved += isinstance(event, Saved)
            if saved and isinstance(event, Step):
                event = replace(event, picture=min(saved + 1, pictures), pictures=pictures)
            elif isinstance(event, Step):
                event = replace(event, pictures=pictures)
            self._tell(job, event=document(event))

        return Run(listen)

    def _do(self, job: int, kind: str, request: Mapping[str, Any]) -> None:
        made: list[int] = []
        try:
            if kind == "pull":
                made += self._pull(request, self._runs[job])
            elif kind == "paint":
                self._paint(job, request)
            else:
                self._make(job, request, made)
            self._tell(job, ended="done", pictures=made)
        except Cancelled:
            self._tell(job, ended="cancelled", pictures=made)
        except AssetctlError as error:
            error.done = None  # the job's pictures are named beside it
            self._tell(job, ended="failed", pictures=made, error=error_document(error))
        except MemoryError:
            short = GenerationError("There is too little memory.", "Ask for a smaller picture, or free some memory.")
            self._tell(job, ended="failed", pictures=made, error=error_document(short))
        except Exception as error:  # noqa: BLE001 - a defect ends one job, not the worker
            defect = InternalError(f"assetctl has a defect: {type(error).__name__}: {error}")
            self._tell(job, ended="failed", pictures=made, error=error_document(defect))
        finally:
            del self._runs[job]

    def _pull(self, request: Mapping[str, Any], run: Run) -> list[int]:
        """Fetch what a job names, and say which assets it came to."""
        how = {name: request[name] for name in ("name", "tags", "previews", "nsfw") if request.get(name) is not None}
        result = self._registry.pull(request["reference"], run=run, **how)
        for each in result.all:
            for text in each.warnings:
                run.tell(Warned(task=request["reference"], message=text))
        return [each.asset.id for each in result.all]

    def _make(self, job: int, request: Mapping[str, Any], made: list[int]) -> None:
        """Make the pictures of a job that are not there, and say which there are."""
        results: Sequence[JobResult] = ()
        lines, run = lines_of(job, request), self._runs[job]
        try:
            while True:
                results = self._registry.generate_batch(lines, backend=self._backend, run=run)
                if not any(result.status == "waiting" for result in results):
                    break
                run.wait(_LOOK)  # the worker of a server that was killed is still at it, and ends soon
        except (Cancelled, AssetctlError) as stop:
            results = stop.done or ()  # type: ignore[assignment]  # as a batch says it
            raise
        finally:
            made += [image.number for result in results for image in result.images]
        for result in results:
            if result.error is not None:
                raise result.error

    def _paint(self, job: int, request: Mapping[str, Any]) -> None:
        """Make the pictures of a plan, for a command that saves and records them itself."""
        run = self._runs[job]
        run.wants_previews = bool(request.get("previews")) or run.wants_previews
        for picture in self._backend.generate(plan_meant(request["plan"]), run):
            self._tell(job, picture=picture_said(picture))

    def _tell(self, job: int, **said: object) -> None:
        line = orjson.dumps({"job": job, **said})
        with self._telling, contextlib.suppress(BrokenPipeError):  # the server is gone, and this process ends too
            self._told.write(line + b"\n")
            self._told.flush()


def work(make_backend: Callable[[Registry], Backend] = Registry.backend) -> None:
    """Work for the server that started this process, in the home that the command line names."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    with Registry.open(sys.argv[1], paths=False) as registry:
        Worker(registry, make_backend(registry), told).serve(sys.stdin.buffer)


if __name__ == "__main__":
    work()
