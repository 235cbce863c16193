"""Embeddings whose vectors are of no kind of number that a text encoder takes, or hold what is no number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import UnusableError
from assetctl.files.safetensors import FLOATS, NUMBERS, all_finite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "embedding_numbers",
    "The vectors of every embedding are real numbers with fractions, and none is NaN or infinite.",
    {
        "error": "An embedding's vectors are whole or complex numbers, or truth values: it never was one; or some are "
        "NaN or infinite: its training failed, or its file is damaged."
    },
    told_as=UnusableError,
)


def check(context: Context) -> Iterator[Finding]:
    """Look at the kind of number of each tensor, and at the numbers: an embedding has so few that all can be read."""
    for asset in context.embeddings:
        header = context.header(asset)
        kinds = [] if header is None else [entry["dtype"] for entry in header.tensors.values()]
        odd = next((kind for kind in kinds if kind not in FLOATS), None)
        if odd is not None:
            yield _told(asset, f"its vectors are {NUMBERS.get(odd, odd)}")
        elif header is not None and all_finite(header) is False:
            yield _told(asset, "it is damaged: some of its numbers are NaN or infinite")


def _told(asset: Asset, why: str) -> Finding:
    hint = "Fetch it again from its source, or leave it out."
    return RULE.finding("error", f"The embedding {asset.name} cannot be used: {why}.", hint, asset)
