"""What it costs that torch's threads wait for each other: the demo's picture on an idle machine and on a busy one.

The same command runs twice: as it is, which has idle threads sleep, and with torch imported before assetctl could say
so, which leaves them as torch has them. Whole processes, run in turn, and the seconds of sampling that each reports.
`python benchmarks/run.py waiting` prints the ratios.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from measure import BIN, Row, seconds

from assetctl.demo import demo_assets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PROMPT = "a red circle on a white background"
SLEEPING = "from assetctl.__main__ import main; main()"
SPINNING = f"import torch; {SLEEPING}"


class Cost(NamedTuple):
    """Seconds of one whole process, and those of them that went into sampling."""

    wall: float
    sample: float


def rows(folder: Path, runs: int = 5) -> list[Row]:
    """Idle, then beside two busy processes; raises if the pictures are not the same to the byte."""
    environment = {"ASSETCTL_HOME": str(folder / "home"), "ASSETCTL_DTYPE": "fp32"}
    seconds([BIN / "assetctl", "pull", demo_assets().checkpoint], environment)
    found = []
    for busy in (0, 2):
        with _busy(busy):
            rounds = [[_cost(code, folder, environment) for code in (SLEEPING, SPINNING)] for _ in range(runs + 1)][1:]
        where = f"{busy} busy processes" if busy else "idle"
        ours, theirs = ([each[side] for each in rounds] for side in (0, 1))
        for what, choose in (("median", statistics.median), ("slowest", max)):
            goal = 1.25 if what == "median" and not busy else 1.0
            for part in Cost._fields:
                mine, its = (choose(getattr(cost, part) for cost in side) for side in (ours, theirs))
                found.append(Row(f"generate, {where}: {part}, {what}", "threads as torch has them", mine, its, goal))
    return found


def _cost(code: str, folder: Path, environment: Mapping[str, str]) -> Cost:
    """One picture of 20 steps, which must always be the same."""
    picture = folder / "picture.png"
    picture.unlink(missing_ok=True)
    options = ["--steps", "20", "--seed", "7", "--size", "96x96", "--out", str(picture), "--json"]
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, "generate", PROMPT, *options],
        env={name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
        | dict(environment),
        capture_output=True,
        check=True,
    )
    wall = time.perf_counter() - start
    content, kept = picture.read_bytes(), folder / "kept.png"
    if kept.exists() and kept.read_bytes() != content:
        raise AssertionError("the pictures differ")
    kept.write_bytes(content)
    return Cost(wall, json.loads(done.stdout)["data"]["timings"]["sample"])


@contextlib.contextmanager
def _busy(number: int) -> Iterator[None]:
    """So many processes that compute without end."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for each in others:
            each.kill()
            each.wait()
