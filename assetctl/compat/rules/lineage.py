"""Adapters of another lineage of SDXL: they load, and say less than they should.

Civitai lists LoRAs and embeddings of SDXL, Pony, Illustrious and NoobAI as partly compatible with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import strange_lineages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "lineage",
    "LoRAs and embeddings for SDXL are of the checkpoint's lineage: SDXL, Pony, Illustrious or NoobAI.",
    {"warning": "An adapter was trained on another lineage, and works in part."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare lineages, where both are known."""
    selection = context.selection
    checkpoint = selection.checkpoint
    strange = () if checkpoint is None else strange_lineages(checkpoint)
    if checkpoint is None or not strange:
        return
    for asset in (*context.loras, *context.embeddings):
        if asset.family != checkpoint.family or (asset.base_model or "").lower() not in strange:
            continue
        message = f"{asset.name} was made for {asset.base_model}, and {checkpoint.name} is of {checkpoint.base_model}."
        hint = f"It may work in part. `assetctl list --fits {checkpoint.typed}` shows first what fits better."
        yield RULE.finding("warning", message, hint, asset, checkpoint)
