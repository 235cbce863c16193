"""Stable Diffusion 2: a UNet that attends to OpenCLIP-H's 1024 features. Source: Stability-AI/stablediffusion."""

from __future__ import annotations

from assetctl.identify.features import Driven, Family, Features, Match, TextEncoder, certain, possible, unet_variant


def _match(features: Features) -> Match | None:
    unet = features.unet
    if unet is not None and unet.context is not None:
        return certain(unet.context == 1024, "its cross-attention takes text of width 1024")
    if features.encoders.get("only") is not None:
        return certain(features.encoders["only"] == 1024, "its only text encoder has width 1024")
    if unet is not None and (unet.first_attention or unet.depth == 0):
        return certain(unet.linear and unet.first_attention, "its first level attends, between matrices") or possible(
            unet.linear is not False, "its attention modules hold one transformer block, or its first level attends"
        )
    return certain(set(features.vectors.values()) == {1024}, "its vectors have width 1024") or possible(
        features.latent == 4 and not features.volumetric, "its latents have 4 channels"
    )


def _variant(features: Features) -> str | None:
    unet = features.unet
    if unet is not None and unet.condition in (1536, 2048) and features.kind in {"checkpoint", "diffusion-model"}:
        return "unclip"
    return unet_variant(features)


FAMILY = Family(
    "sd2",
    _match,
    said=r"stable-diffusion-v2|sd_?v?2(?!\d)|sd ?2\.\d",
    lineages=((r"v2-1|sd[-_ ]?v?2[._-]?1", "SD 2.1"), (r"512-base-ema|sd[-_ ]?v?2[._-]?0", "SD 2.0")),
    variant=_variant,
    contract=(
        "Text of width 1024 in cross-attention, or in its only text encoder: certain. Attention "
        "between matrices in the first level: certain."
    ),
    latents="sd1",
    latent_channels=4,
    text_width=1024,
    clip="chunks",
    assumed_prediction="v_prediction",
    driven=Driven(
        "StableDiffusionPipeline",
        "DDIMScheduler",
        native_size=768,
        latent_scale=0.18215,
        # trained on the last but one layer of 24; the last is in the file, and is not used
        text_encoders=(TextEncoder("text_encoder", "cond_stage_model.model.", open_clip=True, layers=23, padding="!"),),
    ),
)
