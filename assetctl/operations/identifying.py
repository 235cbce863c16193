"""Identifying many files on all cores: parsing headers is bound by the interpreter, so threads would not help."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, StorageError
from assetctl.identify import identify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from assetctl.types import Identification

#: From this many files on, starting processes pays.
MANY = 200

#: Files that a process takes at a time.
CHUNK = 25


def identify_each(paths: Sequence[Path]) -> Iterator[Identification | AssetctlError]:
    """What each file or folder is, or why that can not be said, in the order of `paths`.

    Work begins when this is called, not when the first result is asked for.
    """
    if len(paths) < MANY:
        return map(identify_one, paths)
    workers = os.cpu_count() or 1
    # Forked processes start at once; they touch nothing that they inherit.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare)
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    return _results(pool, pool.map(_identify_chunk, chunks))


def identify_one(path: Path) -> Identification | AssetctlError:
    """What one file or folder is, or why that can not be said."""
    try:
        return identify(path)
    except AssetctlError as error:
        return error
    except OSError as error:
        return StorageError(f"{path} can not be read: {error.strerror}.", "Check the path and its permissions.")


def _results(
    pool: ProcessPoolExecutor, chunks: Iterator[list[Identification | AssetctlError]]
) -> Iterator[Identification | AssetctlError]:
    try:
        yield from chain.from_iterable(chunks)
    finally:
        pool.shutdown(cancel_futures=True)


def _identify_chunk(paths: Sequence[Path]) -> list[Identification | AssetctlError]:
    return [identify_one(path) for path in paths]


def _prepare() -> None:
    """Make a process ready for work alone.

    Ctrl-C reaches every process of the terminal; the parent's word is enough. Headers are large trees without cycles:
    to look for cycles among them would take a quarter of the time, and the process ends soon.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.disable()
