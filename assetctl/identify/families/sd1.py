"""Stable Diffusion 1: a UNet that attends to CLIP-L's 768 features. Source: CompVis/stable-diffusion."""

from __future__ import annotations

from assetctl.identify.features import (
    Distilled,
    Driven,
    Family,
    Features,
    Match,
    TextEncoder,
    certain,
    possible,
    unet_variant,
)


def _match(features: Features) -> Match | None:
    unet = features.unet
    if unet is not None and unet.context is not None:
        return certain(unet.context == 768, "its cross-attention takes text of width 768")
    if features.encoders.get("only") is not None:
        return certain(features.encoders["only"] == 768, "its only text encoder has width 768")
    if unet is not None and (unet.first_attention or unet.depth == 0):
        return certain(unet.linear is False, "its attention stands between 1x1 convolutions") or possible(
            unet.linear is None, "its attention modules hold one transformer block, or its first level attends"
        )
    only_clip_l = set(features.vectors.values()) == {768} and "clip_l" not in features.vectors
    return certain(only_clip_l, "its vectors have width 768") or possible(
        features.latent == 4 and not features.volumetric, "its latents have 4 channels"
    )


FAMILY = Family(
    "sd1",
    _match,
    said=r"stable-diffusion-v1|sd_?v?1(?!\d)|sd ?1\.\d",
    lineages=(
        (r"hyper-?sd", "SD 1.5 Hyper"),
        (r"(?<![a-z])lcm(?![a-z])", "SD 1.5 LCM"),
        (r"v1-5|sd[-_ ]?v?1[._-]?5", "SD 1.5"),
        (r"(?:^|/|diffusion-)v1-4|sd[-_ ]?v?1[._-]?4", "SD 1.4"),
    ),
    variant=unet_variant,
    contract=(
        "Text of width 768 in cross-attention, or in its only text encoder: certain. Attention "
        "between 1x1 convolutions, one transformer block deep or in the first level: certain."
    ),
    latent_channels=4,
    text_width=768,
    clip="chunks",
    distilled={
        "SD 1.5 Hyper": Distilled(1, 12, 5, {"steps": 8, "cfg_scale": 1.0}),
        "SD 1.5 LCM": Distilled(2, 12, 2.5, {"steps": 8, "cfg_scale": 1.5, "sampler": "LCM"}),
    },
    driven=Driven(
        "StableDiffusionPipeline",
        "PNDMScheduler",
        native_size=512,
        latent_scale=0.18215,
        text_encoders=(TextEncoder("text_encoder", "cond_stage_model.transformer.text_model."),),
        heads=8,
        clip_skip=True,
    ),
)
