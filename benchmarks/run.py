"""Print every ratio: `python benchmarks/run.py`, or some of them: `python benchmarks/run.py sampling waiting`.

There are startup, importing, reading, checking, downloading, generating, sampling, serving, answering and waiting.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path

ALL = ("startup", "importing", "reading", "checking", "downloading", "generating", "sampling")


def main(names: list[str]) -> None:
    """Run the named benchmarks, or all."""
    for name in names or ALL:
        with tempfile.TemporaryDirectory(prefix="assetctl-bench-") as folder:
            for row in importlib.import_module(name).rows(Path(folder)):
                print(row, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
