"""Embeddings inside a LoRA's file, which only some programs read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.tensors.adapters import EMBEDDINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "bundled_embeddings",
    "No LoRA brings embeddings along in its own file.",
    {"warning": "A LoRA was trained with embeddings in its file, which `generate` does not read."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look into each LoRA's header."""
    for asset in context.loras:
        header = context.header(asset)
        if header is not None and header.has(f"\n{EMBEDDINGS}"):
            message = f"{asset.name} has embeddings in its own file, which `generate` does not read, and may refuse."
            hint = "Look for the version of this LoRA with its embeddings in files of their own."
            yield RULE.finding("warning", message, hint, asset)
