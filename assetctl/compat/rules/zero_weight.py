"""Weights of 0: what has one has no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, silenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "zero_weight",
    "Nothing is selected or written with a weight of 0.",
    {"warning": "A LoRA has the weight 0.", "info": "A part of a prompt has the weight 0."},
)

_SHOWN = 60


def check(context: Context) -> Iterator[Finding]:
    """Look at the LoRAs' weights, and at the prompts."""
    selection = context.selection
    for use in selection.loras:
        if use.idle:
            message = f"{use.asset.name} has no effect: its weight is 0."
            hint = f"Give it another: `--lora {use.asset.typed}:0.8`, or in a tag <lora:{use.asset.name}:0.8>."
            yield RULE.finding("warning", message, hint, use.asset)
    for prompt in filter(None, (selection.prompt, selection.negative_prompt)):
        for part in silenced(prompt):
            shown = part if len(part) <= _SHOWN else part[: _SHOWN - 1] + "…"
            yield RULE.finding(
                "info", f"{shown!r} has no effect: its weight is 0.", "Leave it out, or raise its weight."
            )
