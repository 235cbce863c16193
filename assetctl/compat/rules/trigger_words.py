"""Trigger words that are not in the prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, audible
from assetctl.prompt import words_present

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "trigger_words",
    "The prompt has one of each LoRA's trigger words.",
    {"warning": "None of a LoRA's trigger words is in the prompt, or only with a weight of 0."},
)

_SHOWN = 5


def check(context: Context) -> Iterator[Finding]:
    """Look for trigger words, if there is a prompt to look at."""
    if context.selection.prompt is None:
        return
    prompt = audible(context.selection.prompt)
    for asset in context.loras:
        words = asset.trigger_words
        if words and not words_present(prompt, words):
            shown = ", ".join(words[:_SHOWN]) + (", …" if len(words) > _SHOWN else "")
            message = f"None of the trigger words of {asset.name} is in the prompt, so it may do little: {shown}."
            yield RULE.finding("warning", message, f"Add to the prompt, for example: {words[0]}", asset)
