"""What torch and diffusers raise, told as one sentence."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from assetctl.errors import AssetctlError, GenerationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def told(
    failure: str, hint: str, error: type[GenerationError] = GenerationError, places: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Raise what goes wrong inside as an `error` that says `failure`, the reason, and `hint`.

    `places` are folders of ours, by the person's folders that they stand for.
    """
    try:
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
