"""Chroma: FLUX.1 whose modulation comes from one small network. Source: lodestones/Chroma.

Its LoRAs change what a FLUX.1 LoRA could change, so only metadata tell them apart.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, possible


def _match(features: Features) -> Match | None:
    if not features.transformer:
        return None
    if features.outline.has("distilled_guidance_layer"):
        return certain(True, "its modulation comes from a guidance network of its own")
    blocks = features.blocks
    if blocks is None or features.kind != "lora" or blocks.width != 3072 or blocks.feed_forward in ("gated", "wide"):
        return None
    named = features.outline.begins("double_blocks.", "single_blocks.", "single_transformer_blocks.")
    modulated = features.outline.has("img_mod.", "txt_mod.", "modulation.", "norm.linear")
    fits = named and not modulated and blocks.double <= 19 and blocks.single <= 38
    return possible(fits, "its blocks are those of FLUX.1, without modulation")


FAMILY = Family(
    "chroma",
    _match,
    said=r"chroma",
    classes=("ChromaTransformer2DModel",),
    prediction="flow",
    lineages=((r"chroma", "Chroma"),),
    contract="A guidance network of its own: certain. Its LoRAs are shared with FLUX.1.",
    latent_channels=16,
)
