"""Identifying many files on all cores: parsing headers is bound by the interpreter, so threads would not help."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import fields
from functools import lru_cache
from itertools import chain, islice, starmap
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import AssetctlError, StorageError
from assetctl.identify import identify, plugins
from assetctl.types import Evidence, Identification

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

#: From this many files on, starting processes pays.
MANY = 200

#: Files that a process takes at a time, at least and at most: each hand-over costs the parent a quarter of a
#: millisecond, and towards the end no process should wait long for another.
FEWEST, MOST = 10, 100

#: An identification as a tuple, the evidence last, each piece of it a tuple too; or what went wrong.
_Packed = tuple[Any, ...] | AssetctlError
_VALUES = attrgetter(*(field.name for field in fields(Identification)))
_PARTS = attrgetter(*(field.name for field in fields(Evidence)))
_evidence = lru_cache(maxsize=1024)(Evidence)


@contextmanager
def identified(paths: Iterable[str]) -> Iterator[Iterator[Identification | AssetctlError]]:
    """What each file or folder is, or why that can not be said, in the order of `paths`.

    All paths are taken before the block is entered; where they are many, work begins while they are still being found.
    Whoever leaves the block early ends it.

    Raises:
        UsageError: A third party's kind or family can not be loaded.
    """
    rest = iter(paths)
    first = list(islice(rest, MANY))
    if first:  # once and for all, rather than for each file or in each process
        plugins.kinds()
        plugins.families()
    if len(first) < MANY:
        yield map(identify_one, first)
        return
    workers = os.cpu_count() or 1
    # Forked processes start at once, with the plug-ins; else they touch nothing that they inherit.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare)
    try:
        results = pool.map(_identify_chunk, _chunks(chain(first, rest), workers))
        yield map(_unpack, chain.from_iterable(results))
    finally:
        pool.shutdown(cancel_futures=True)


def identify_one(path: str) -> Identification | AssetctlError:
    """What one file or folder is, or why that can not be said; not where: a traceback holds on to all that was read."""
    try:
        return identify(Path(path))
    except AssetctlError as error:
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    except OSError as error:
        return StorageError(f"{path} can not be read: {error.strerror}.", "Check the path and its permissions.")


def _chunks(paths: Iterator[str], workers: int) -> Iterator[list[str]]:
    """What processes take at a time: the more files there are, the more."""
    taken = MANY
    while chunk := list(islice(paths, max(FEWEST, min(MOST, taken // (8 * workers))))):
        yield chunk
        taken += len(chunk)


def _identify_chunk(paths: Sequence[str]) -> list[_Packed]:
    return [_pack(identify_one(path)) for path in paths]


def _pack(found: Identification | AssetctlError) -> _Packed:
    """Plain tuples go between processes in a third of the time that dataclasses take."""
    if isinstance(found, AssetctlError):
        return found
    *values, evidence = _VALUES(found)
    return *values, tuple(map(_PARTS, evidence))


def _unpack(packed: _Packed) -> Identification | AssetctlError:
    if isinstance(packed, AssetctlError):
        return packed
    *values, evidence = packed
    return Identification(*(*values, tuple(starmap(_evidence, evidence))))


def _prepare() -> None:
    """Make a process ready for work alone.

    Ctrl-C reaches every process of the terminal; the parent's word is enough. Headers are large trees without cycles:
    to look for cycles among them would take a quarter of the time, and the process ends soon.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.freeze()
    gc.disable()
