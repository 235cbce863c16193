"""Lumina-Image 2: layers 2304 wide, with refiners for noise and context. Source: Alpha-VLLM/Lumina-Image-2.0."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, width_of_layers


def _match(features: Features) -> Match | None:
    return certain(features.transformer and width_of_layers(features.outline) == 2304, "its layers are 2304 wide")


FAMILY = Family(
    "lumina2",
    _match,
    said=r"lumina",
    classes=("Lumina2Transformer2DModel",),
    prediction="flow",
    contract="Layers 2304 wide: certain.",
    latent_channels=16,
)
