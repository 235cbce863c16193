"""What a server saves and costs: `generate` by a warm worker until its first step, and a job beside the bare backend.

Whole processes of the same command line, one by a server and one without, until the first denoising step is told. And
one job of several pictures over the queue, beside the same pictures by a backend of this process that has loaded
all, saved likewise. `python benchmarks/run.py serving` prints the ratios.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from measure import BIN, Row

from assetctl import Registry, Request
from assetctl.server.client import Server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPT = "a red circle on a white background"
SETTINGS = {"steps": 30, "width": 128, "height": 128}
PICTURES = 12

#: The command line, which tells when its first step was made, and ends.
_FIRST_STEP = """
import os, sys, time
from assetctl.run import Run, Step
before = Run.tell
def tell(self, event):
    if isinstance(event, Step):
        os.write(1, str(time.time()).encode())
        os._exit(0)
    before(self, event)
Run.tell = tell
from assetctl.__main__ import main
main()
"""


def rows(folder: Path, runs: int = 5) -> list[Row]:
    """The first step, and what a queue costs; raises if the pictures are not the same to the byte."""
    home = folder / "home"
    with Registry.open(home) as registry:
        registry.pull_demo()
        with _serving(home):
            _first_step(home)  # loads what the worker needs
            rounds = [(_first_step(home), _first_step(home, "--no-server")) for _ in range(runs)]
            warm, cold = map(statistics.median, zip(*rounds, strict=True))
            backend = registry.backend()
            costs = [(_by_queue(home, number), _here(registry, backend, number)) for number in range(runs + 1)][1:]
        queued, bare = map(statistics.median, zip(*costs, strict=True))
        for number in range(runs + 1):
            _see_same(registry, number)
    return [
        Row("generate by a warm server: to the first step", "without a server", warm, cold, 0.1),
        Row(f"a job of {PICTURES} pictures over the queue", "the backend of this process", queued, bare, 1.03),
    ]


@contextlib.contextmanager
def _serving(home: Path) -> Iterator[None]:
    command = [BIN / "assetctl", "--home", home, "serve", "--port", "0"]
    server = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    server.stdout.readline()
    try:
        yield
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def _first_step(home: Path, *options: str) -> float:
    """Seconds from the command's start to its first step."""
    words = ["generate", PROMPT, "--home", str(home), "--seed", "1", "--quiet", *options]
    begun = time.time()
    done = subprocess.run(
        [sys.executable, "-c", _FIRST_STEP, *words], stdout=subprocess.PIPE, env=os.environ, check=True
    )
    return float(done.stdout) - begun


def _seeds(number: int) -> list[int]:
    return [1000 * number + each for each in range(PICTURES)]


def _by_queue(home: Path, number: int) -> float:
    """Seconds that a job takes, with all that is asked about it."""
    server = Server(home)
    begun = time.perf_counter()
    body = {"prompt": PROMPT, "seed": _seeds(number), **SETTINGS}
    job = server.ask("POST", "/v1/generate", body)["data"]["id"]
    while (status := server.ask("GET", f"/v1/jobs/{job}")["data"]["status"]) in ("queued", "running"):
        time.sleep(0.005)
    assert status == "done", status
    return time.perf_counter() - begun


def _here(registry: Registry, backend: object, number: int) -> float:
    """Seconds that the same pictures take in this process."""
    begun = time.perf_counter()
    request = Request.of(PROMPT, seed=_seeds(number)[0], count=PICTURES, **SETTINGS)  # type: ignore[arg-type]
    registry.generate(request, backend=backend)  # type: ignore[arg-type]
    return time.perf_counter() - begun


def _see_same(registry: Registry, number: int) -> None:
    for seed in _seeds(number):
        ours, theirs = (open(each.image_path, "rb").read() for each in registry.history(2, seed=seed))  # noqa: PTH123, SIM115
        if ours != theirs:
            raise AssertionError("the pictures differ")
