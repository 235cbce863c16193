"""LoRAs whose modules could not be compared with those of the checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "not_compared",
    "The modules of each LoRA can be compared with those of the checkpoint.",
    {"info": "A LoRA names its modules otherwise than the checkpoint, so that nobody can tell whether they are there."},
)


def check(context: Context) -> Iterator[Finding]:
    """Tell of what no other rule can have judged."""
    checkpoint = context.selection.checkpoint
    if (
        checkpoint is None
        or checkpoint.kind not in ("checkpoint", "diffusion-model")
        or not _is_whole(context, checkpoint)
    ):
        return
    hint = f"Only a picture tells. `assetctl list --fits {checkpoint.typed} --kind lora` shows others."
    covered = dict(context.coverage)
    partly = context.modules is not None and not context.modules.all_spellings
    for lora in _loras(context, checkpoint):
        found = covered.get(lora)
        if found is None:
            message = (
                f"{lora.name} was not compared with {checkpoint.name}, whose modules are packed or named otherwise."
            )
            yield RULE.finding("info", message, hint, lora, checkpoint)
        elif partly and found.unmatched:
            message = (
                f"{len(found.unmatched)} modules of {lora.name} were not compared: {checkpoint.name} lacks them, "
                "or names them otherwise."
            )
            yield RULE.finding("info", message, hint, lora, checkpoint)


def _is_whole(context: Context, checkpoint: Asset) -> bool:
    return Path(checkpoint.path).exists() and context.failure(checkpoint) is None


def _loras(context: Context, checkpoint: Asset) -> list[Asset]:
    """Those that can be read and are not of another family anyway."""
    return [
        lora
        for lora in context.loras
        if (lora.family in (None, checkpoint.family) or context.may_be(lora, checkpoint.family))
        and context.header(lora) is not None
    ]
