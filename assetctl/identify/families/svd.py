"""Stable Video Diffusion and AnimateDiff: UNets that mix over time. Source: Stability-AI/generative-models."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import UNET_STACKS, highest, taken

_OVER_TIME = (
    *(f"^{block}.temporal_transformer_blocks." for block in (
        "down_blocks.0.attentions.0", "mid_block.attentions.0", "up_blocks.0.attentions.0",
    )),
    *(f"^{block}.time_stack." for block in ("input_blocks.0.0", "middle_block.0", "output_blocks.0.0")),
)  # fmt: skip
_CONTEXT = taken("attn2.to_k", "attn2.to_v")
#: Of one attention module: SDXL's has more.
_DEPTH = highest("transformer_blocks")

_SIGNS = (
    Sign("certain", "its attention modules mix over time, told pictures 1024 wide", needs=(_OVER_TIME,),
         measures={_CONTEXT: (1024,), _DEPTH: (0, 1)}),
    Sign("likely", "its attention modules mix over time", needs=(_OVER_TIME,), measures={_CONTEXT: (None,)}),
)  # fmt: skip


FAMILY = Family(
    "svd",
    signs=_SIGNS,
    stacks=UNET_STACKS,
    said=r"stable-video|svd",
    classes=("UNetSpatioTemporalConditionModel",),
    contract="Attention that mixes over time, told pictures 1024 wide: certain.",
    latent_channels=4,
)
