"""Adapters of another lineage of SDXL: they load, and say less than they should.

Civitai lists LoRAs and embeddings of SDXL, Pony, Illustrious and NoobAI as partly compatible with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called

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
    family = None if checkpoint is None else family_called(checkpoint.family)
    wanted = None if checkpoint is None or family is None else family.lineage.get(checkpoint.base_model or "")
    if checkpoint is None or family is None or wanted is None:
        return
    serving = (wanted, *family.descent.get(wanted, ()))
    adapters = dict.fromkeys([*(use.asset for use in selection.loras), *selection.embeddings])
    for asset in adapters:
        own = family.lineage.get(asset.base_model or "")
        if own is None or own in serving or asset.family != checkpoint.family:
            continue
        message = f"{asset.name} was made for {asset.base_model}, and {checkpoint.name} is of {checkpoint.base_model}."
        hint = f"It may work in part. `assetctl list --fits {checkpoint.typed}` shows first what fits better."
        yield RULE.finding("warning", message, hint, asset, checkpoint)
