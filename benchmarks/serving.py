"""What a server saves and costs: `generate` by a warm worker until its first step, and a job beside the bare backend.

Whole processes of the same command line, one by a server and one without, until the first denoising step is told: wall
time. And one job of several pictures over the queue, beside the same pictures by a backend of this process that has
loaded all, saved likewise: processor time, of the server and its worker together, which other programs on the machine
change little. `python benchmarks/run.py serving` prints the ratios.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from measure import BIN, Row

from assetctl import Registry, Request
from assetctl.server.client import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.plan import Backend

PROMPT = "a red circle on a white background"
SETTINGS = {"steps": 20, "width": 96, "height": 96}
PICTURES = 8

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
        with _serving(home) as server:
            _first_step(home)  # loads what the worker needs
            rounds = [(_first_step(home), _first_step(home, "--no-server")) for _ in range(runs)]
            warm, cold = map(statistics.median, zip(*rounds, strict=True))
            backend = registry.backend()
            costs = [(_by_queue(home, server, number), _here(registry, backend, number)) for number in range(runs + 1)][
                1:
            ]
        queued, bare = map(statistics.median, zip(*costs, strict=True))
        for number in range(runs + 1):
            _see_same(registry, number)
    return [
        Row("generate by a warm server: to the first step", "without a server", warm, cold, 0.1),
        Row(f"a job of {PICTURES} pictures over the queue", "the backend of this process", queued, bare, 1.03),
    ]


@contextlib.contextmanager
def _serving(home: Path) -> Iterator[int]:
    """A server while the block runs: the number of its process."""
    command = [BIN / "assetctl", "--home", home, "serve", "--port", "0"]
    server = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert server.stdout is not None
    server.stdout.readline()
    try:
        yield server.pid
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


def _by_queue(home: Path, pid: int, number: int) -> float:
    """Seconds of a processor that a job takes of a server and its worker."""
    server = Server(home)
    begun = _used(pid)
    body = {"prompt": PROMPT, "seed": _seeds(number), **SETTINGS}
    job = server.ask("POST", "/v1/generate", body)["data"]["id"]
    while (status := server.ask("GET", f"/v1/jobs/{job}")["data"]["status"]) in ("queued", "running"):
        time.sleep(0.2)
    if status != "done":
        raise AssertionError(status)
    return _used(pid) - begun


def _used(pid: int) -> float:
    """Seconds of a processor that a process and those that it started have used."""
    said = [path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat") if path.exists()]
    own = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(each[11]) + int(each[12]) for each in (own, *(each for each in said if int(each[1]) == pid)))
    return ticks / os.sysconf("SC_CLK_TCK")


def _here(registry: Registry, backend: Backend, number: int) -> float:
    """Seconds of a processor that the same pictures take in this process."""
    begun = time.process_time()
    request = Request(prompt=PROMPT, settings={**SETTINGS, "seed": _seeds(number)[0]}, count=PICTURES)
    registry.generate(request, backend=backend)
    return time.process_time() - begun


def _see_same(registry: Registry, number: int) -> None:
    for seed in _seeds(number):
        ours, theirs = (Path(each.image_path).read_bytes() for each in registry.history(2, seed=seed))
        if ours != theirs:
            raise AssertionError("the pictures differ")
