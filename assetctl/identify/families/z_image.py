"""Z-Image: layers 3840 wide, with refiners for noise and context. Source: Tongyi-MAI/Z-Image."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, width_of_layers


def _match(features: Features) -> Match | None:
    return certain(features.transformer and width_of_layers(features.outline) == 3840, "its layers are 3840 wide")


FAMILY = Family(
    "z-image",
    _match,
    said=r"z[-_ ]?image",
    classes=("ZImageTransformer2DModel", "ZImageControlNetModel"),
    prediction="flow",
    lineages=((r"z[-_ ]?image[-_ ]?turbo", "ZImageTurbo"),),
    contract="Layers 3840 wide: certain.",
    latent_channels=16,
)
