"""Negative prompts that are switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "negative_prompt",
    "The CFG is above 1 where there is a negative prompt.",
    {"warning": "A CFG of 1 or less switches the negative prompt off."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look at the CFG, if it is known."""
    selection = context.selection
    scale = selection.settings.get("cfg_scale")
    if scale is not None and scale <= 1 and (selection.negative_prompt or "").strip():
        message = "The negative prompt has no effect, nor have embeddings in it: a CFG of 1 or less switches it off."
        yield RULE.finding("warning", message, "Choose a higher --cfg, or leave the negative prompt out.")
