"""Stable Diffusion 2: a UNet that attends to OpenCLIP-H's 1024 features. Source: Stability-AI/stablediffusion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import WHOLE, Driven, Family, Sign, TextEncoder, unet_variant
from assetctl.identify.signs import (
    ADAPTER,
    CHANNELS,
    CONTEXT,
    DEEP,
    DEPTH,
    ENCODERS,
    FIRST_ATTENTION,
    HEADS,
    INNER,
    LATENT,
    LINEAR,
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
    YES,
)

if TYPE_CHECKING:
    from assetctl.identify.features import Features

_SILENT = {UNET: YES, CONTEXT: (None,), ONLY: (None,)}

_SIGNS = (
    Sign("certain", "its cross-attention takes text of width 1024", (*WHOLE, "ip-adapter"),
         measures={CONTEXT: (1024,), INNER: HEADS, CHANNELS: (4, 5, 7, 9, None), TWO_ENCODERS: NO}),
    Sign("certain", "its cross-attention takes text of width 1024, beside changes to its text encoder", ("lora",),
         measures={CONTEXT: (1024,), INNER: HEADS, ENCODERS: YES, DEEP: NO}),
    Sign("likely", "its cross-attention takes text of width 1024", measures={CONTEXT: (1024,), INNER: HEADS}),
    Sign("certain", "its only text encoder has width 1024", ("lora",),
         measures={CONTEXT: (None,), DEPTH: (None, -1, 0), ONLY: (1024,), SECOND: (None,), T5: (None,)}),
    Sign("likely", "its first level attends, between matrices",
         measures=_SILENT | {FIRST_ATTENTION: YES, LINEAR: YES}),
    Sign("possible", "its first level attends", measures=_SILENT | {FIRST_ATTENTION: YES, LINEAR: (None,)}),
    Sign("possible", "its attention modules hold one transformer block",
         measures=_SILENT | {DEPTH: (0,), LINEAR: (True, None)}),
    Sign("certain", "its vectors have width 1024", ("embedding",),
         measures={VECTORS: ({1024},), TOKENS: YES}),
    Sign("likely", "its vectors have width 1024", ("embedding",), measures={VECTORS: ({1024},)}),
    Sign("possible", "it steers by pictures in squares of 8", ("controlnet",),
         measures={ADAPTER: ("t2i-adapter",), SQUARES: (64, 192)}),
    Sign("possible", "its latents have 4 channels", ("vae",), measures={LATENT: (4,), VOLUMETRIC: NO}),
)  # fmt: skip


def _variant(features: Features) -> str | None:
    unet = features.unet
    if unet is not None and unet.condition in (1536, 2048) and features.kind in {"checkpoint", "diffusion-model"}:
        return "unclip"
    return unet_variant(features)


FAMILY = Family(
    "sd2",
    signs=_SIGNS,
    stacks=UNET_STACKS,
    said=r"stable-diffusion-v2|sd_?v?2(?!\d)|sd ?2\.\d",
    unlike=r"modelscope|i2vgen|videocrafter|zeroscope",
    lineages=((r"v2-1|sd[-_ ]?v?2[._-]?1", "SD 2.1"), (r"512-base-ema|sd[-_ ]?v?2[._-]?0", "SD 2.0")),
    variant=_variant,
    contract=(
        "Text of width 1024 in the cross-attention of a network, or in its only text encoder: certain. A LoRA of "
        "the same attention, or of attention between matrices in the first level: likely, as video networks have "
        "it too."
    ),
    latents="sd1",
    latent_channels=4,
    text_width=1024,
    clip="chunks",
    assumed_prediction="v_prediction",
    driven=Driven(
        native_size=768,
        # trained on the last but one layer of 24; the last is in the file, and is not used
        text_encoders=(TextEncoder("text_encoder", "cond_stage_model.model.", open_clip=True, layers=23, padding="!"),),
        mistaken=("cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",),
    ),
)
