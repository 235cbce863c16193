"""Whole processes, timed in turn, so that a machine that slows down slows both sides; medians and their ratio."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Row:
    """One line of the report: what, against what, the ratio, and the ratio that is asked for; in seconds or `unit`."""

    what: str
    against: str
    ours: float
    theirs: float
    goal: float
    unit: str = "ms"

    def __str__(self) -> str:
        ratio = self.ours / self.theirs
        ours, theirs = (1000 * value if self.unit == "ms" else value for value in (self.ours, self.theirs))
        verdict = "ok" if ratio <= self.goal else "MISSED"
        return (
            f"{self.what:<44} {ours:9.1f} {self.unit}   {self.against:<40} {theirs:9.1f} {self.unit}"
            f"   ratio {ratio:5.2f}   goal {self.goal:5.2f}   {verdict}"
        )


def seconds(command: Sequence[object], environment: Mapping[str, str]) -> float:
    """Wall time of one whole process."""
    start = time.perf_counter()
    subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "", **environment},  # an installed program is compiled once
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


def interleaved(runs: int, *sides: Callable[[], float]) -> list[float]:
    """Median of each side over `runs` rounds, after one round that does not count."""
    rounds = [[side() for side in sides] for _ in range(runs + 1)][1:]
    return [statistics.median(column) for column in zip(*rounds, strict=True)]
