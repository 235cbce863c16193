"""Z-Image: layers 3840 wide, with refiners for noise and context. Source: Tongyi-MAI/Z-Image."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import LAYERS, NO, UNET

_SIGNS = (Sign("certain", "its layers are 3840 wide", measures={UNET: NO, LAYERS: (3840,)}),)

#: How its networks' blocks begin.
_STACKS = ("layers.", "noise_refiner.", "context_refiner.", "siglip_refiner.", "control_")


FAMILY = Family(
    "z-image",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"z[-_ ]?image",
    classes=("ZImageTransformer2DModel", "ZImageControlNetModel"),
    prediction="flow",
    lineages=((r"z[-_ ]?image[-_ ]?turbo", "ZImageTurbo"),),
    contract="Layers 3840 wide: certain.",
    latents="flux1",
    latent_channels=16,
)
