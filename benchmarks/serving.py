"""What a server saves and costs: `generate` by a warm worker until its first step, and a job beside the bare backend.

Whole processes of the same command line, one by a server and one without, until the first denoising step is told: wall
time. And jobs over the queue, beside the same pictures by a backend of this process that has loaded all, saved
likewise: processor time, of the server and its worker together, with one thread of torch's on either side: two of them
wait for each other in turns of a processor, and take twice as many of those where anything else runs on the machine.
`python benchmarks/run.py serving` prints the ratios, and what a job costs in milliseconds.
"""

from __future__ import annotations

import contextlib
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import Request as Asking
from urllib.request import urlopen

import orjson
from measure import BIN, Row

from assetctl import Registry, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.request import Backend

PROMPT = "a red circle on a white background"


class Wanted(NamedTuple):
    """Pictures of a job: so many, of so many pixels each side, all of 20 steps."""

    pictures: int
    side: int


#: The least that anybody asks for, of half a second; and jobs of a few seconds, which are short ones still.
JOBS = (Wanted(1, 64), Wanted(1, 192), Wanted(8, 96))

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


def rows(folder: Path, runs: int = 7) -> Iterator[Row]:
    """The first step, and what a queue costs; raises if the pictures are not the same to the byte."""
    home = folder / "home"
    with Registry.open(home) as registry:
        registry.pull_demo()
        with _serving(home) as server:
            rounds = [(*_first_step(home, server), *_first_step(home, server, "--no-server")) for _ in range(runs + 1)][
                1:
            ]  # the first loads what the worker needs
        warm, warm_cpu, cold, cold_cpu = map(statistics.median, zip(*rounds, strict=True))
        yield Row("generate by a warm server: to the first step", "without a server", warm, cold, 0.1)
        yield Row("the same, processor time of both", "likewise", warm_cpu, cold_cpu, 0.1)
        with _serving(home, OMP_NUM_THREADS="1") as server:
            backend = registry.backend()
            for wanted in JOBS:
                yield from _job_rows(registry, backend, server, wanted, runs)


def _job_rows(registry: Registry, backend: Backend, server: _Server, wanted: Wanted, runs: int) -> list[Row]:
    costs = []
    for number in range(runs + 1):
        first = 100_000 * wanted.side + 100 * number
        costs.append((_by_queue(server, wanted, first), _here(registry, backend, wanted, first)))
        _see_same(registry, range(first, first + wanted.pictures))
    queue, bare = zip(*costs[1:], strict=True)
    server_only, both = map(statistics.median, zip(*queue, strict=True))
    what = f"a job of {wanted.pictures}, {wanted.side} x {wanted.side}"
    return [
        Row(f"{what}, over the queue", "the backend of this process", both, statistics.median(bare), 1.03),
        Row(f"{what}: the server's own part", "likewise", server_only, statistics.median(bare), 0.03),
    ]


class _Server(NamedTuple):
    pid: int
    url: str


@contextlib.contextmanager
def _serving(home: Path, **environment: str) -> Iterator[_Server]:
    """A server while the block runs."""
    command = [str(word) for word in (BIN / "assetctl", "--home", home, "serve", "--port", "0")]
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **environment}
    )
    assert server.stdout is not None
    url = server.stdout.readline().strip()
    try:
        yield _Server(server.pid, url)
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def _first_step(home: Path, server: _Server, *options: str) -> tuple[float, float]:
    """Seconds from the command's start to its first step, and those of a processor, of the server's too."""
    words = ["generate", PROMPT, "--home", str(home), "--seed", "1", "--quiet", *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    used, begun = _used(server.pid), time.time()
    done = subprocess.run([sys.executable, "-c", _FIRST_STEP, *words], stdout=subprocess.PIPE, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return float(done.stdout) - begun, own + _used(server.pid) - used


def _by_queue(server: _Server, wanted: Wanted, first: int) -> tuple[float, float]:
    """Seconds of a processor that a job takes of a server, and of it with its worker."""
    seeds = list(range(first, first + wanted.pictures))
    body = {"prompt": PROMPT, "seed": seeds, "steps": 20, "width": wanted.side, "height": wanted.side}
    asked = Asking(f"{server.url}/v1/generate?wait=true", orjson.dumps(body), {"Content-Type": "application/json"})  # noqa: S310
    alone, begun = _of(server.pid), _used(server.pid)
    with urlopen(asked) as answer:  # noqa: S310
        status = orjson.loads(answer.read())["data"]["status"]
    if status != "done":
        raise AssertionError(status)
    return _of(server.pid) - alone, _used(server.pid) - begun


def _used(pid: int) -> float:
    """Seconds of a processor that a process and those that it started have used, in threads that are there still."""
    parents = {int(path.parent.name): _parent(path) for path in Path("/proc").glob("[0-9]*/stat")}
    return sum(_of(each) for each, parent in parents.items() if pid in (each, parent))


def _of(pid: int) -> float:
    """Likewise, of one process."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def _parent(path: Path) -> int | None:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return int(path.read_text().rpartition(")")[2].split()[1])
    return None


def _here(registry: Registry, backend: Backend, wanted: Wanted, first: int) -> float:
    """Seconds of a processor that the same pictures take in this process."""
    import torch  # noqa: PLC0415 - only now, as assetctl has it loaded

    settings = {"steps": 20, "width": wanted.side, "height": wanted.side, "seed": first}
    request = Request(prompt=PROMPT, settings=settings, count=wanted.pictures)
    torch.set_num_threads(1)
    begun = time.process_time()
    registry.generate(request, backend=backend)
    return time.process_time() - begun


def _see_same(registry: Registry, seeds: range) -> None:
    for seed in seeds:
        ours, theirs = (Path(each.image_path).read_bytes() for each in registry.history(2, seed=seed))
        if ours != theirs:
            raise AssertionError("the pictures differ")
