"""Stable Video Diffusion and AnimateDiff: UNets that mix over time. Source: Stability-AI/generative-models."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain


def _match(features: Features) -> Match | None:
    over_time = features.denoiser and features.outline.has("temporal_transformer_blocks", "time_stack")
    return certain(over_time, "its attention modules mix over time")


FAMILY = Family(
    "svd",
    _match,
    said=r"stable-video|svd",
    classes=("UNetSpatioTemporalConditionModel",),
    contract="Attention that mixes over time: certain.",
    latent_channels=4,
)
