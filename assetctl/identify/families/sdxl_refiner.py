"""The refiner of Stable Diffusion XL: it attends to OpenCLIP-G alone, 1280 features."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, possible, unet_variant


def _match(features: Features) -> Match | None:
    unet = features.unet
    if unet is None or features.kind == "ip-adapter":
        return None
    if unet.context is not None:
        return certain(unet.context == 1280, "its cross-attention takes text of width 1280")
    if unet.condition is not None:
        return certain(unet.condition == 2560, "its time embedding takes sizes and pooled text, 2560 together")
    shallow = unet.depth is not None and 0 < unet.depth <= 3
    return possible(shallow and not unet.first_attention, "its attention modules hold up to four transformer blocks")


FAMILY = Family(
    "sdxl-refiner",
    _match,
    said=r"xl.*refiner",
    variant=unet_variant,
    contract=("Text of width 1280, or a condition of 2560: certain. Attention without either is shared with SDXL."),
    latents="sdxl",
    latent_channels=4,
    text_width=1280,
    clip="chunks",
)
