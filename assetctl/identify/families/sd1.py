"""Stable Diffusion 1: a UNet that attends to CLIP-L's 768 features. Source: CompVis/stable-diffusion."""

from __future__ import annotations

from assetctl.identify.features import Distilled, Driven, Family, Sign, TextEncoder, unet_variant
from assetctl.identify.signs import (
    ADAPTER,
    CHANNELS,
    CONTEXT,
    DECODED,
    DEEP,
    DEPTH,
    FIRST_ATTENTION,
    HEADS,
    INNER,
    LABEL,
    LATENT,
    LINEAR,
    NAMED,
    NO,
    ONLY,
    SECOND,
    SQUARES,
    T5,
    TOKENS,
    TWO_ENCODERS,
    UNET,
    UNET_STACKS,
    VECTORS,
    VOLUMETRIC,
    WORDS,
    YES,
)

#: It is told of nothing but one text, by an encoder as wide; its latents have four channels.
_ALONE = {LABEL: (None,), TWO_ENCODERS: NO, WORDS: (768, None), DECODED: (4, None)}
_SILENT = {UNET: YES, CONTEXT: (None,), ONLY: (None,)}

_SIGNS = (
    Sign("certain", "its cross-attention takes text of width 768",
         measures=_ALONE | {CONTEXT: (768,), INNER: HEADS, CHANNELS: (4, 5, 7, 9, None), DEEP: NO}),
    Sign("certain", "its cross-attention takes text of width 768, and its input a picture to edit",
         measures=_ALONE | {CONTEXT: (768,), INNER: (320, 640, 1280), CHANNELS: (8,)}),
    Sign("likely", "its cross-attention takes text of width 768", measures={CONTEXT: (768,), INNER: HEADS}),
    Sign("certain", "its only text encoder has width 768", ("lora",),
         measures={CONTEXT: (None,), DEPTH: (None, -1, 0), ONLY: (768,), SECOND: (None,), T5: (None,)}),
    Sign("likely", "its attention stands between 1x1 convolutions",
         measures=_SILENT | {FIRST_ATTENTION: YES, LINEAR: NO}),
    Sign("likely", "its attention stands between 1x1 convolutions", measures=_SILENT | {DEPTH: (0,), LINEAR: NO}),
    Sign("possible", "its first level attends", measures=_SILENT | {FIRST_ATTENTION: YES, LINEAR: (None,)}),
    Sign("possible", "its attention modules hold one transformer block",
         measures=_SILENT | {DEPTH: (0,), LINEAR: (None,)}),
    Sign("certain", "its vectors have width 768", ("embedding",),
         measures={VECTORS: ({768},), NAMED: (None,), TOKENS: YES}),
    Sign("likely", "its vectors have width 768", ("embedding",), measures={VECTORS: ({768},), NAMED: (None,)}),
    Sign("possible", "it steers by pictures in squares of 8", ("controlnet",),
         measures={ADAPTER: ("t2i-adapter",), SQUARES: (64, 192)}),
    Sign("possible", "its latents have 4 channels", ("vae",), measures={LATENT: (4,), VOLUMETRIC: NO}),
)  # fmt: skip


FAMILY = Family(
    "sd1",
    signs=_SIGNS,
    stacks=UNET_STACKS,
    said=r"stable-diffusion-v1|sd_?v?1(?!\d)|sd ?1\.\d",
    lineages=(
        (r"hyper-?sd", "SD 1.5 Hyper"),
        (r"(?<![a-z])lcm(?![a-z])", "SD 1.5 LCM"),
        (r"v1-5|sd[-_ ]?v?1[._-]?5", "SD 1.5"),
        (r"(?:^|/|diffusion-)v1-4|sd[-_ ]?v?1[._-]?4", "SD 1.4"),
    ),
    variant=unet_variant,
    contract=(
        "Text of width 768 in cross-attention, unless what it takes in is odd, or in its only text encoder: certain. "
        "Attention between 1x1 "
        "convolutions, one transformer block deep or in the first level: likely."
    ),
    latent_channels=4,
    text_width=768,
    clip="chunks",
    distilled={
        "SD 1.5 Hyper": Distilled(
            1, 12, 5, {"steps": 8, "cfg_scale": 1.0, "sampler": "Euler", "scheduler": "SGM Uniform"}
        ),
        "SD 1.5 LCM": Distilled(2, 12, 2.5, {"steps": 8, "cfg_scale": 1.5, "sampler": "LCM"}),
    },
    driven=Driven(
        native_size=512,
        text_encoders=(
            TextEncoder(
                "text_encoder",
                "cond_stage_model.transformer.text_model.",
                spare="conditioner.embedders.0.transformer.text_model.",
            ),
        ),
        clip_skip=True,
    ),
)
