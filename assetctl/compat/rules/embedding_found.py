"""Embeddings that prompts call by their words, and nobody had to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context

RULE = Rule(
    "embedding_found",
    "Which embeddings the prompts call by their words.",
    {"info": "A word of a prompt stands for an embedding of the catalog that fits the checkpoint."},
)


def check(context: Context) -> Iterator[Finding]:
    """Tell of each word once for each prompt."""
    for each in context.selection.mentions:
        if each.used:
            message = f"The {each.where} says {each.word}, which is the embedding {each.names[0]}: it is used."
            yield Finding(RULE.name, "info", each.names, message, "`--no-auto-embeddings` reads it as words.")
