"""The same asset twice."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, serves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule("duplicates", "No asset is selected twice.", {"warning": "An asset is selected more than once."})


def check(context: Context) -> Iterator[Finding]:
    """Count assets; what is in a place that is not its own is told of by `kind`."""
    uses = [use for use in context.selection.uses if serves(use)]
    for asset, count in Counter(use.asset for use in uses).items():
        if count > 1:
            alike = [use for use in uses if use.asset == asset]
            weight = sum(use.weight for use in alike)
            text = sum(use.weight if use.text_weight is None else use.text_weight for use in alike)
            adds_up = f", and its weights add up to {weight:g}" if asset.kind == "lora" else ""
            if adds_up and any(use.text_weight is not None for use in alike):
                adds_up += f", and to {text:g} for text encoders"
            message = f"{asset.name} is selected {count} times{adds_up}."
            yield RULE.finding("warning", message, "Name it once, with the weight you want.", asset)
