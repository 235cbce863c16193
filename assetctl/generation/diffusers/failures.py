"""What torch and diffusers raise, told as one sentence."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from assetctl.errors import AssetctlError, GenerationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType


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
        "Choose a smaller --size, close other programs, or set dtype to bf16.",
    )


def _first_line(text: str) -> str:
    if "meta tensor" in text:
        return "it lacks weights that its architecture needs."
    line = next((line.strip() for line in text.splitlines() if line.strip()), text)
    return line[:300].rstrip(".:") + "."
