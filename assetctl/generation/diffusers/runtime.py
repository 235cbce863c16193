"""torch and its libraries as they run here: threads, memory, noise, failures."""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import signal
import threading
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from assetctl.errors import AssetctlError, GenerationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

    from assetctl.run import Run

    _Maker = Callable[..., object]

torch.get_num_threads()  # some OpenMP read their environment only now

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}


_SET_THREADS = threading.Lock()


@contextmanager
def using_threads(number: int | None, run: Run) -> Iterator[None]:
    """Compute with so many threads inside, and with as many as before afterwards; `None` changes nothing.

    torch keeps the number for each thread that computes, and hands the last one to those that are new to it. So nothing
    is set where it is right already, and whoever needs another number waits for the others who do.
    """
    if number in (None, torch.get_num_threads()):
        yield
        return
    with run.holding(_SET_THREADS):
        before = torch.get_num_threads()
        torch.set_num_threads(number)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def free_memory(device: str) -> int:
    """Bytes that are free on a device, about; where it has none of its own, or does not tell, those of the machine."""
    if device.startswith("cuda"):
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_available(), *_left_to_container())


#: Taken for free where a system does not tell.
_USUAL = 8 * 2**30
_MEMORY, _CGROUP = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


def _available() -> int:
    with suppress(OSError, ValueError, StopIteration):
        lines = _MEMORY.read_text("ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    with suppress(AttributeError, ValueError, OSError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _USUAL


def _left_to_container() -> list[int]:
    """What is left to a container, where it may have less than the machine."""
    with suppress(OSError, ValueError):
        limit, used = (int((_CGROUP / f"memory.{name}").read_text("ascii")) for name in ("max", "current"))
        return [max(0, limit - used)]
    return [2**63]


def give_back() -> None:
    """Give memory back that nothing needs any more: allocators keep it for later."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with suppress(OSError, AttributeError):  # glibc's; others give it back by themselves, or cannot
        ctypes.CDLL(None).malloc_trim(0)


def torch_dtype(name: str) -> torch.dtype:
    """The torch object for `bf16`, `fp32` or `fp16`."""
    return _DTYPES[name]


_LIBRARIES = ("diffusers", "transformers", "peft", "accelerate", "huggingface_hub", "torch")


class _Hushed(threading.local):
    """Whether the libraries are to be silent in the thread that asks; a filter of log records and of warnings."""

    here = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a handler is to handle a record."""
        return not (self.here and record.name.partition(".")[0] in _LIBRARIES)

    def match(self, _module: str) -> bool:
        """Whether a warning is to be ignored: Python asks what it takes for a pattern of modules' names."""
        return self.here


_HUSHED = _Hushed()
_IGNORED = ("ignore", None, Warning, _HUSHED, 0)


@functools.cache
def _ask_before_bars() -> None:
    for each in (diffusers_logging, transformers_logging):
        maker: Any = type(each.tqdm)
        maker.__call__ = functools.partialmethod(_bar, maker.__call__, each.EmptyTqdm)


def _bar(
    self: object, make: Callable[..., object], none: Callable[..., object], *args: object, **options: object
) -> object:
    return none(*args, **options) if _HUSHED.here else make(self, *args, **options)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries from logging, warning and drawing progress bars in this thread; others hear of them as ever.

    What they would say of a real failure they also raise.
    """
    _ask_before_bars()
    loggers = map(logging.getLogger, (None, *_LIBRARIES))  # a filter of theirs would not see their children's records
    for handler in (logging.lastResort, *(handler for logger in loggers for handler in logger.handlers)):
        if handler is not None:
            handler.addFilter(_HUSHED)
    filters = cast("list[object]", warnings.filters)
    if filters[:1] != [_IGNORED]:  # whoever catches warnings puts others before it, and back what was there before
        filters[:] = [_IGNORED, *(each for each in filters if each != _IGNORED)]
    before, _HUSHED.here = _HUSHED.here, True
    try:
        yield
    finally:
        _HUSHED.here = before


@contextmanager
def told(
    failure: str, hint: str, error: type[GenerationError] = GenerationError, places: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Raise what goes wrong inside as an `error` that says `failure`, the reason, and `hint`.

    `places` are folders of ours, by the person's folders that they stand for.
    """
    try:
        with _interrupts_kept():
            yield
    except AssetctlError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as raised:
        raise _out_of_memory() from raised
    except Exception as raised:  # the libraries raise whatever they like over a file that does not fit
        if isinstance(raised, RuntimeError) and "allocate memory" in str(raised):
            raise _out_of_memory() from raised
        why = str(raised)
        for place, theirs in (places or {}).items():
            why = why.replace(place, theirs)
        raise error(f"{failure}: {_first_line(why or type(raised).__name__)}", hint) from raised


@contextmanager
def _interrupts_kept() -> Iterator[None]:
    """Raise Ctrl-C as itself: what compiled code calls in Python loses it, or calls it a file that does not fit."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    came = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = True
        handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    except Exception as raised:
        if came:
            raise KeyboardInterrupt from raised
        raise
    finally:
        signal.signal(signal.SIGINT, handler)
    if came:
        raise KeyboardInterrupt


def _out_of_memory() -> GenerationError:
    return GenerationError(
        "There is not enough memory for this picture.",
        "Choose a smaller --size, close other programs, or set ASSETCTL_DTYPE=bf16.",
    )


def _first_line(text: str) -> str:
    if "meta tensor" in text:
        return "it lacks weights that its architecture needs."
    line = next((line.strip() for line in text.splitlines() if line.strip()), text)
    return line[:300].rstrip(".:") + "."
