"""The refiner of Stable Diffusion XL: it attends to OpenCLIP-G alone, 1280 features."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign, unet_variant
from assetctl.identify.signs import (
    CONDITION,
    CONTEXT,
    DEPTH,
    FIRST_ATTENTION,
    INNER,
    NO,
    UNET,
    UNET_STACKS,
    YES,
)

#: Of its attention; that of others told text so wide is 320, 640 and 1280 wide.
_WIDTHS = (768, 1536)
_KINDS = ("checkpoint", "diffusion-model", "controlnet", "lora")

_SIGNS = (
    Sign("certain", "its cross-attention, 768 and 1536 wide, takes text of width 1280", _KINDS,
         measures={CONTEXT: (1280,), INNER: _WIDTHS}),
    Sign("certain", "its time embedding takes sizes and pooled text, 2560 together", _KINDS,
         measures={UNET: YES, CONTEXT: (1280, None), CONDITION: (2560,)}),
    Sign("possible", "its attention modules hold up to four transformer blocks", _KINDS,
         measures={UNET: YES, CONTEXT: (None,), CONDITION: (None,), DEPTH: range(1, 4), FIRST_ATTENTION: NO}),
)  # fmt: skip


FAMILY = Family(
    "sdxl-refiner",
    signs=_SIGNS,
    stacks=UNET_STACKS,
    said=r"xl.*refiner",
    variant=unet_variant,
    contract=(
        "Text of width 1280 told to attention 768 and 1536 wide, or a condition of 2560: certain. Attention "
        "without either is shared with SDXL."
    ),
    latents="sdxl",
    latent_channels=4,
    text_width=1280,
    clip="chunks",
)
