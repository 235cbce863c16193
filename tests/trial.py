"""Command lines under limits, as a machine with little memory and no patience would run them.

`tried` runs many in one child process, so that each costs no more than its work; where one ends the child, the next
begins a new one. The child may have 512 MB of memory, and 10 s of processor time for each.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from patience import fair

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Bytes of memory that a process may have of its own, and seconds that a command line may take of a processor.
MEMORY, SECONDS = 512 * 2**20, 10


@dataclass(frozen=True)
class Tried:
    """How a command line ended: a negative `code` is the signal that killed it."""

    arguments: list[str]
    code: int
    out: str = ""
    err: str = ""
    seconds: float = 0


def tried(commands: Sequence[Sequence[object]], home: Path) -> list[Tried]:
    """Run `assetctl` with each of `commands`, one after the other."""
    left = [[str(argument) for argument in command] for command in commands]
    ended: list[Tried] = []
    while left:
        child = subprocess.run(
            [sys.executable, __file__], input=json.dumps(left), capture_output=True, text=True, check=False,
            env={**os.environ, "ASSETCTL_HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        done = [Tried(*json.loads(line)) for line in child.stdout.splitlines()]
        ended += done
        del left[: len(done)]
        if left:
            ended.append(Tried(left.pop(0), child.returncode, err=child.stderr))
    return ended


def _main() -> None:
    from assetctl.cli.main import run

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    results = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for arguments in json.load(sys.stdin):
        started = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(started) + int(fair(SECONDS)) + 1, resource.RLIM_INFINITY))
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
        said = [stream.buffer.getvalue().decode() for stream in (out, err) if stream.flush() is None]
        seconds = time.process_time() - started
        results.write(json.dumps([arguments, code, *said, seconds]) + "\n")
        results.flush()


if __name__ == "__main__":
    _main()
