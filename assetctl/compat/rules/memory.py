"""Selections that are larger than the machine."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.files.safetensors import DTYPE_BITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.files.safetensors import Header
    from assetctl.types import Finding

RULE = Rule(
    "memory",
    "The weights, in the precision that they are computed with, fit into the memory that is free.",
    {"warning": "The weights alone take more memory than this machine has to spare."},
)

#: Copies of the weights that are of use in training only.
_NOT_LOADED = ("model_ema.",)


def check(context: Context) -> Iterator[Finding]:
    """Add up the numbers of all files; what pictures take on top is left out, so this is the least that is needed."""
    selection, situation = context.selection, context.situation
    if selection.checkpoint is None or situation.memory is None:
        return
    numbers = sum(_numbers(header) for header in context.headers())
    needed = numbers * situation.weight_bytes
    if needed > situation.memory:
        message = (
            f"The weights take at least {needed / 1e9:.1f} GB at {8 * situation.weight_bytes} bits a number, "
            f"and {situation.memory / 1e9:.1f} GB of memory are free."
        )
        if selection.checkpoint.kind == "diffusion-model":
            message += " Its text encoders and VAE come on top."
        hint = "Close other programs, choose a smaller checkpoint, or generate on a machine with more memory."
        if situation.weight_bytes > 2:
            hint = f"`ASSETCTL_DTYPE=bf16` takes half of that, for a picture that is nearly the same. {hint}"
        yield RULE.finding("warning", message, hint, selection.checkpoint)


def _numbers(header: Header) -> int:
    if not header.has(*(f"\n{part}" for part in _NOT_LOADED)):
        bits = {DTYPE_BITS.get(kind) for kind in header.kinds}
        if header.format == "safetensors" and len(bits) == 1 and (each := bits.pop()):
            return 8 * (header.size - header.data_start) // each  # its tensors lie without gaps
        return sum([prod(entry["shape"]) for entry in header.tensors.values()])
    return sum(prod(entry["shape"]) for name, entry in header.tensors.items() if not name.startswith(_NOT_LOADED))
