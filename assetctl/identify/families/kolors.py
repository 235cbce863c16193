"""Kolors: SDXL's UNet, told the prompt by ChatGLM through a projection of 4096 features. Source: Kwai-Kolors/Kolors."""

from __future__ import annotations

from assetctl.identify.features import WHOLE, Family, Sign
from assetctl.identify.signs import (
    CONDITION,
    CONTEXT,
    DEPTH,
    UNET,
    UNET_STACKS,
    YES,
    given,
    taken,
)

_TEXT = taken("encoder_hid_proj")
_PROJECTED = given("encoder_hid_proj")
_RESAMPLER = given("image_proj.layers.0.0.to_out")
_FACES = given("image_proj.perceiver_resampler.layers.0.0.to_out")

_SIGNS = (
    Sign("likely", "its resampler of pictures is 2048 wide", ("ip-adapter",),
         measures={CONTEXT: (2048,), _RESAMPLER: (2048,)}),
    Sign("likely", "its resampler of faces is 4096 wide", ("ip-adapter",),
         measures={CONTEXT: (2048, 4096), _FACES: (4096,)}),
    Sign("certain", "it projects text 4096 wide to 2048", measures={CONTEXT: (2048,), _TEXT: (4096,)}),
    Sign("certain", "its time embedding takes sizes and pooled text, 5632 together", measures={CONDITION: (5632,)}),
    Sign("likely", "it projects its text states", needs=(("^encoder_hid_proj.",),), measures={CONTEXT: (2048,)}),
    Sign("likely", "it projects its text states to 2048", WHOLE,  # its weights are packed
         measures={UNET: YES, CONTEXT: (None,), DEPTH: range(4, 10), _PROJECTED: (2048,)}),
    Sign("possible", "its cross-attention takes text of width 2048, as SDXL's does", ("lora",),
         lacks=("^lora_te", "^text_encoder."), measures={CONTEXT: (2048,), CONDITION: (None,)}),
)  # fmt: skip


FAMILY = Family(
    "kolors",
    signs=_SIGNS,
    stacks=UNET_STACKS,
    said=r"kolors",
    lineages=((r"kolors", "Kolors"),),
    contract=(
        "Text of width 2048 behind a projection of text states 4096 wide, or a condition of 5632: certain. An IP-"
        "Adapter whose resampler is 2048 wide, of faces 4096: likely. Attention alone is shared with SDXL."
    ),
    latents="sdxl",
    latent_channels=4,
)
