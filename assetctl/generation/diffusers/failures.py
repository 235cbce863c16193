"""What torch and diffusers raise, told as one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError

from assetctl.errors import GenerationError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What loading a file that does not fit can raise in these libraries.
_MISFITS = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
    SafetensorError,
)


@contextmanager
def told(failure: str, hint: str) -> Iterator[None]:
    """Raise what goes wrong inside as a `GenerationError` that says `failure`, the reason, and `hint`."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory() from error
    except _MISFITS as error:
        if isinstance(error, RuntimeError) and "allocate memory" in str(error):
            raise _out_of_memory() from error
        raise GenerationError(f"{failure}: {_first_line(error)}", hint) from error


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
