"""Stable Cascade (Würstchen 3). Source: Stability-AI/StableCascade."""

from __future__ import annotations

from assetctl.identify.features import Family
from assetctl.identify.signs import Sign

_MAPPERS = ("^clip_txt_mapper.", "^clip_txt_pooled_mapper.", "^clip_mapper.", "^effnet_mapper.")

_SIGNS = (
    Sign("certain", "it has Stable Cascade's mappers of CLIP or EfficientNet", needs=(_MAPPERS,)),
    Sign("certain", "its blocks mix channel by channel as Stable Cascade's do",
         needs=(("^down_blocks.0.0.channelwise.", "^up_blocks.0.0.channelwise."),)),
)  # fmt: skip


FAMILY = Family(
    "stable-cascade",
    signs=_SIGNS,
    said=r"stable-cascade",
    classes=("StableCascadeUNet",),
    contract="Mappers of CLIP or EfficientNet, or channel-wise blocks: certain.",
)
