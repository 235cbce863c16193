"""Adapters of another lineage of SDXL: they load, and say less than they should.

Civitai lists LoRAs and embeddings of SDXL, Pony, Illustrious and NoobAI as partly compatible with each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "lineage",
    "LoRAs and embeddings for SDXL are of the checkpoint's lineage: SDXL, Pony, Illustrious or NoobAI.",
    {"warning": "An adapter was trained on another lineage, and works in part."},
)

#: Which lineage a base model continues. What is not named here says nothing.
_LINEAGES = {
    "SDXL 0.9": "SDXL", "SDXL 1.0": "SDXL", "SDXL 1.0 LCM": "SDXL", "SDXL Turbo": "SDXL", "SDXL Lightning": "SDXL",
    "SDXL Hyper": "SDXL", "Pony": "Pony", "Illustrious": "Illustrious", "NoobAI": "NoobAI",
}  # fmt: skip


def check(context: Context) -> Iterator[Finding]:
    """Compare lineages, where both are known; NoobAI was trained from Illustrious, and what is for that serves it."""
    selection = context.selection
    checkpoint = selection.checkpoint
    wanted = None if checkpoint is None else _LINEAGES.get(checkpoint.base_model or "")
    if checkpoint is None or wanted is None or checkpoint.family != "sdxl":
        return
    adapters = dict.fromkeys([*(use.asset for use in selection.loras), *selection.embeddings])
    for asset in adapters:
        own = _LINEAGES.get(asset.base_model or "")
        if own is None or asset.family != "sdxl" or own == wanted or (own, wanted) == ("Illustrious", "NoobAI"):
            continue
        message = f"{asset.name} was made for {asset.base_model}, and {checkpoint.name} is of {checkpoint.base_model}."
        hint = f"It may work in part. `assetctl list --fits {checkpoint.typed}` shows first what fits better."
        yield RULE.finding("warning", message, hint, asset, checkpoint)
