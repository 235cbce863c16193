"""Measures of Stable Diffusion's UNet, read alike from whole networks, LoRAs, ControlNets and adapters.

Both spellings of its levels are known: CompVis's (`input_blocks`, 12 of them in SD 1) and diffusers'
(`down_blocks`, 4 of them in SD 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import UNet

if TYPE_CHECKING:
    from assetctl.identify.features import Features
    from assetctl.identify.outline import Outline

_LEVELS = (
    "down_blocks.", "up_blocks.", "mid_block.", "input_blocks.", "output_blocks.", "middle_block.",
    "lllite_unet_input_blocks.", "lllite_unet_middle_block.",
)  # fmt: skip

#: Names in networks that share those of the levels but are no image UNet: video models, Stable Cascade.
_OTHERS = (
    "temporal_transformer",
    "time_stack",
    "time_mixer",
    "temp_conv",
    "temp_attention",
    "motion_modules",
    "channelwise",
)

_ROOTS = ("model.diffusion_model.", "", "diffusion_model.", "control_model.", "unet.")

#: Attention in the first level, counted from either end, in either spelling.
_FIRST_ATTENTION = (
    "down_blocks.0.attentions", "down_blocks_0_attentions", "up_blocks.3.attentions", "up_blocks_3_attentions",
    "input_blocks.1.1.", "input_blocks_1_1_", "input_blocks.2.1.", "input_blocks_2_1_",
    "output_blocks.9.1.", "output_blocks_9_1_", "output_blocks.10.1.", "output_blocks_10_1_",
)  # fmt: skip
_CONTEXT = ("attn2.to_k", "attn2.processor.to_k", "attn2.to_v", "attn2.processor.to_v")
_CONDITION = ("label_emb.0.0", "add_embedding.linear_1")


def read_unet(outline: Outline) -> UNet | None:
    """Measures of the UNet that a file holds or is about, or `None` if it is about none."""
    if not outline.begins(*_LEVELS) or outline.has(*_OTHERS):
        return None
    context = outline.input_width(*_CONTEXT)
    in_channels = _in_channels(outline)
    condition = outline.input_width(*_CONDITION)
    if context is not None or not outline.has("attentions.", "transformer_blocks.", "proj_in"):
        return UNet(context, in_channels, condition)
    return UNet(
        context,
        in_channels,
        condition,
        first_attention=outline.header.has(*_FIRST_ATTENTION),
        depth=outline.highest("transformer_blocks"),
        linear=_linear(outline),
    )


def unet_variant(features: Features) -> str | None:
    """What a UNet of Stable Diffusion was changed for, by the channels of its input."""
    if features.unet is None or features.kind not in {"checkpoint", "diffusion-model"}:
        return None
    return {9: "inpainting", 8: "pix2pix", 5: "depth", 7: "upscaler"}.get(features.unet.in_channels or 4)


def read_by_kolors(features: Features) -> bool:
    """Whether a UNet that takes text as wide as SDXL's is that of Kolors, or an IP-Adapter is for it."""
    if features.kind == "ip-adapter":  # SDXL's resamplers are 1280 wide
        return features.outline.output_width("image_proj.layers.0.0.to_out") == 2048
    return features.outline.begins("encoder_hid_proj.")


def _in_channels(outline: Outline) -> int | None:
    for root in _ROOTS:
        shape = outline.header.shape(root + "input_blocks.0.0.weight") or outline.header.shape(root + "conv_in.weight")
        if shape is not None and len(shape) == 4:
            return shape[1]
    return None


def _linear(outline: Outline) -> bool | None:
    """Whether attention projects by matrices; (IA)^3 has a number for each output, which does not tell."""
    module = outline.module("proj_in")
    if module is None:
        return None
    shapes = (outline.header.shape(module + ending) for ending in (".weight", ".lora_down.weight", ".lora_A.weight"))
    return next((len(shape) == 2 for shape in shapes if shape is not None and len(shape) > 1), None)
