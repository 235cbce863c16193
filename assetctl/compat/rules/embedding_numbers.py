"""Embeddings whose vectors are of no kind of number that a text encoder takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.files.safetensors import FLOATS, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "embedding_numbers",
    "The vectors of every embedding are real numbers with fractions.",
    {"error": "An embedding's vectors are whole or complex numbers, or truth values: it never was one."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look at the kind of number of each tensor."""
    for asset in context.embeddings:
        header = context.header(asset)
        kinds = [] if header is None else [entry["dtype"] for entry in header.tensors.values()]
        odd = next((kind for kind in kinds if kind not in FLOATS), None)
        if odd is not None:
            message = f"{asset.name} cannot be used: its vectors are {NUMBERS.get(odd, odd)}."
            yield RULE.finding("error", message, "Fetch it again from its source, or leave it out.", asset)
