"""The worker: a process that makes what a server hands it, and keeps what it loaded for the next.

It reads a command a line from standard input, and tells what happens a line each on standard output. When its server
ends it ends too. It is a process of its own so that what kills it, a full memory before all, kills no server.
"""

from __future__ import annotations

import os
import sys
import threading
from queue import Queue as Waiting
from typing import IO, TYPE_CHECKING, Any

import orjson

from assetctl.errors import AssetctlError, InternalError
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.registry import Registry
from assetctl.run import Cancelled, Run
from assetctl.server.requests import lines_of
from assetctl.wire import document
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.operations.make.jobs import JobResult
    from assetctl.plan import Backend

#: Seconds after which a worker whose server is gone ends, wherever it is.
_GRACE = 10.0


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
            if "cancel" in command:
                run = self._runs.get(command["cancel"])
                if run is not None:
                    run.cancel()
                continue
            self._runs[command["job"]] = Run(lambda event, job=command["job"]: self._tell(job, event=document(event)))  # type: ignore[misc]
            self._waiting.put(command)
        self._waiting.put(None)
        for run in list(self._runs.values()):
            run.cancel()
        timer = threading.Timer(_GRACE, os._exit, (1,))
        timer.daemon = True
        timer.start()

    def _do(self, job: int, kind: str, request: Mapping[str, Any]) -> None:
        made: list[int] = []
        try:
            if kind == "pull":
                self._registry.pull(request["reference"], run=self._runs[job])
            else:
                self._make(job, request, made)
            self._tell(job, ended="done", pictures=made)
        except Cancelled:
            self._tell(job, ended="cancelled", pictures=made)
        except AssetctlError as error:
            self._tell(job, ended="failed", pictures=made, error=error_document(error))
        except Exception as error:  # noqa: BLE001 - a defect ends one job, not the worker
            defect = InternalError(f"assetctl has a defect: {type(error).__name__}: {error}")
            self._tell(job, ended="failed", pictures=made, error=error_document(defect))
        finally:
            del self._runs[job]

    def _make(self, job: int, request: Mapping[str, Any], made: list[int]) -> None:
        """Make the pictures of a job that are not there, and say which there are."""
        results: Sequence[JobResult] = ()
        try:
            results = self._registry.generate_batch(lines_of(job, request), backend=self._backend, run=self._runs[job])
        except (Cancelled, AssetctlError) as stop:
            results = stop.done or ()  # type: ignore[assignment]  # as a batch says it
            raise
        finally:
            made += [image.number for result in results for image in result.images]
        for result in results:
            if result.error is not None:
                result.error.done = None
                raise result.error

    def _tell(self, job: int, **said: object) -> None:
        line = orjson.dumps({"job": job, **said})
        with self._telling:
            self._told.write(line + b"\n")
            self._told.flush()


def main() -> None:
    """Work for the server that started this process, in the home that it names."""
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    with Registry.open(sys.argv[1]) as registry:
        Worker(registry, DiffusersBackend(), told).serve(sys.stdin.buffer)


if __name__ == "__main__":
    main()
