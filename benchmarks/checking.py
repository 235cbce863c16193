"""Checking an SDXL checkpoint with five LoRAs, against reading and parsing those six headers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import orjson
from material import CORPUS, sdxl_selection
from measure import Row, interleaved

from assetctl import Registry, Request

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def rows(folder: Path, runs: int = 9) -> list[Row]:
    """Inside one process; needs third-party headers."""
    if not CORPUS.is_dir():
        return []
    paths = sdxl_selection(folder / "selection")
    with Registry.open(folder / "check-home") as registry:
        registry.import_files(*paths, hashes=False)
        request = Request.of(names=map(str, paths))

        def check() -> float:
            start = time.perf_counter()
            registry.check(request)
            return time.perf_counter() - start

        ours, theirs = interleaved(runs, check, lambda: _parse(paths))
    return [Row("check: SDXL with five LoRAs", "read + orjson of the six headers", ours, theirs, 3.0)]


def _parse(paths: Sequence[Path]) -> float:
    start = time.perf_counter()
    for path in paths:
        with path.open("rb") as file:
            orjson.loads(file.read(int.from_bytes(file.read(8), "little")))
    return time.perf_counter() - start
