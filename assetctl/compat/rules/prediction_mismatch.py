"""LoRAs for a network that predicts something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "prediction_mismatch",
    "LoRAs were trained for what the checkpoint predicts: epsilon, v or flow.",
    {"warning": "A LoRA was trained for another kind of prediction, and may wash the picture out."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare what both say; what does not say is left alone."""
    checkpoint = context.selection.checkpoint
    if checkpoint is None or checkpoint.prediction is None:
        return
    for asset in dict.fromkeys(use.asset for use in context.selection.loras):
        if asset.family == checkpoint.family and asset.prediction not in (None, checkpoint.prediction):
            message = (
                f"{asset.name} was trained for {asset.prediction}, and {checkpoint.name} predicts "
                f"{checkpoint.prediction}."
            )
            hint = f"Lower its weight, or see what fits: `assetctl list --fits {checkpoint.typed} --kind lora`."
            yield RULE.finding("warning", message, hint, asset, checkpoint)
