"""What random sequences of commands, kills and writes by others lose: `python benchmarks/nothing_lost.py [N [FIRST]]`.

See `tests/losing`: after every step, every byte that a person put anywhere is still there, but for what a step named.
Ends with 1 if anything was lost; a line names the seed and the steps.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from losing.steps import LENGTH, run_sequence, warm_up  # type: ignore[import-not-found]

#: Where nothing waits for a disk.
_MEMORY = Path("/dev/shm")  # noqa: S108 - made and removed here

_TEMPLATE = Path(tempfile.mkdtemp())


def one(seed: int) -> str | None:
    """What was lost in one sequence."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        shutil.copy(_TEMPLATE / "empty.db", folder)
        try:
            run_sequence(Path(folder), seed)
        except AssertionError as error:
            return str(error)
    return None


def main(count: int, first: int) -> int:
    """So many sequences; 1 if any of them lost something."""
    failures = 0
    warm_up(_TEMPLATE)
    with multiprocessing.Pool() as pool:
        for done, lost in enumerate(pool.imap_unordered(one, range(first, first + count)), 1):
            if lost is not None:
                failures += 1
                print(lost, flush=True)
            if done % 100 == 0:
                print(f"{done} sequences, {failures} with a loss", flush=True)
    shutil.rmtree(_TEMPLATE)
    print(f"{count} sequences of {LENGTH} steps: {failures} lost something")
    return int(failures > 0)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:3]]
    sys.exit(main(numbers[0] if numbers else 2000, numbers[1] if len(numbers) > 1 else 0))
