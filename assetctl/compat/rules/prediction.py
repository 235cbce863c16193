"""Checkpoints that do not say what they predict, where that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import assumed_prediction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "prediction",
    "An SD 2 checkpoint in a single file says whether it predicts epsilon or v.",
    {"warning": "It does not say, and v is assumed."},
)


def check(context: Context) -> Iterator[Finding]:
    """Nothing in the tensors tells the two apart; a folder's configuration does."""
    asset = context.selection.checkpoint
    assumed = None if asset is None else assumed_prediction(asset)
    if asset is not None and assumed is not None:
        message = f"{asset.name} does not say what it predicts; {assumed} is assumed."
        hint = f"If pictures are noise, it is an epsilon model: `assetctl edit {asset.typed} --prediction epsilon`."
        yield RULE.finding("warning", message, hint, asset)
