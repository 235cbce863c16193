"""Stable Cascade (Würstchen 3). Source: Stability-AI/StableCascade."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain


def _match(features: Features) -> Match | None:
    named = features.outline.begins("clip_txt_mapper", "clip_txt_pooled_mapper", "effnet_mapper") or (
        features.denoiser and features.outline.has("channelwise")
    )
    return certain(named, "it has Stable Cascade's mappers or channel-wise blocks")


FAMILY = Family(
    "stable-cascade",
    _match,
    said=r"stable-cascade",
    classes=("StableCascadeUNet",),
    contract="Mappers of CLIP or EfficientNet, or channel-wise blocks: certain.",
)
