"""What torch and diffusers raise, told as one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from assetctl.errors import AssetctlError, GenerationError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def told(failure: str, hint: str, error: type[GenerationError] = GenerationError) -> Iterator[None]:
    """Raise what goes wrong inside as an `error` that says `failure`, the reason, and `hint`."""
    try:
        yield
    except AssetctlError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as raised:
        raise _out_of_memory() from raised
    except Exception as raised:  # the libraries raise whatever they like over a file that does not fit
        if isinstance(raised, RuntimeError) and "allocate memory" in str(raised):
            raise _out_of_memory() from raised
        raise error(f"{failure}: {_first_line(raised)}", hint) from raised


def _out_of_memory() -> GenerationError:
    return GenerationError(
        "There is not enough memory for this picture.",
        "Choose a smaller --size, close other programs, or set dtype to bf16.",
    )


def _first_line(error: BaseException) -> str:
    if "meta tensor" in str(error):
        return "it lacks weights that its architecture needs."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text[:300].rstrip(".:") + "."
