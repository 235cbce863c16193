"""ControlNets and their relatives: they steer a network by a picture of edges, depth, pose.

Sources: lllyasviel/ControlNet, diffusers, kohya-ss (LLLite), TencentARC/T2I-Adapter, XLabs-AI/x-flux.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind, read_blocks, read_unet

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_NAMES = (
    "controlnet", "zero_convs", "input_hint_block", "lllite_", "control_all_x_embedder", "control_layers.0",
    "control_blocks.0", "control_transformer_blocks.0", "brushnet_down_blocks", "after_proj_list.",
)  # fmt: skip
_T2I = (
    "adapter.body.", "adapters.0.adapter.body.", "body.0.block1.", "body.0.resnets.", "body.0.in_conv.",
)  # fmt: skip

#: ControlNeXt is small, and hears the time step as a UNet does.
_NEXT = ("down_res.0.", "mid_convs.0.")

#: Blocks that only the authors of Wan and of FLUX.1 name so.
_AUTHORS = ("vace_blocks.0.self_attn.", "double_blocks.")


def _marks(outline: Outline) -> str | None:
    if outline.has(*_NAMES):
        return "it has a ControlNet's connections"
    if outline.begins("vace_patch_embedding.") and not outline.begins("blocks."):
        return "it has the blocks that steer Wan, without Wan's own"
    if all(map(outline.begins, _NEXT)):
        return "it has the blocks of a ControlNeXt"
    return "it is laid out as a T2I-Adapter" if outline.begins(*_T2I) else None


def _layout(outline: Outline) -> str:
    if outline.begins(*_T2I):
        return "t2i-adapter"
    if outline.has("lllite_"):
        return "lllite"
    ldm = outline.has("zero_convs", "input_hint_block", "lora_controlnet") or outline.begins(*_AUTHORS)
    return "ldm" if ldm else "diffusers"


def _read(outline: Outline) -> Features:
    return Features("controlnet", _layout(outline), outline, unet=read_unet(outline), blocks=read_blocks(outline))


KIND = Kind(
    "controlnet", _marks, _read, over=("lora", "checkpoint", "diffusion-model", "vae", "text-encoder", "upscaler")
)
