"""Weights that no picture survives; most are slips of the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, prompts_of
from assetctl.prompt import without_tags
from assetctl.prompt.syntax import MOST_WEIGHT, overweight, too_heavy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "extreme_weight",
    f"Nothing is selected or written with a weight beyond {MOST_WEIGHT:g} or -{MOST_WEIGHT:g}.",
    {"warning": "A LoRA or a part of a prompt has such a weight."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look at the LoRAs' weights, those in tags among them, and at the rest of the prompts."""
    selection = context.selection
    for use in selection.loras:
        if abs(use.weight) > MOST_WEIGHT:
            yield RULE.finding("warning", *too_heavy(use.asset.name, use.weight), use.asset)
    for remark in (remark for prompt in prompts_of(selection) for remark in overweight(without_tags(prompt))):
        yield RULE.finding("warning", *remark)
