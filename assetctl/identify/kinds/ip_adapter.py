"""IP-Adapters: they let a picture speak beside the prompt, through keys and values of their own.

Source: tencent-ailab/IP-Adapter, XLabs-AI/x-flux.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind, UNet

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline


def _marks(outline: Outline) -> str | None:
    return "it has image-prompt keys and values" if outline.has("to_k_ip", "ip_adapter") else None


def _read(outline: Outline) -> Features:
    context = outline.input_width("to_k_ip")
    unet = UNet(context=context) if context is not None and not _joint(outline) else None
    return Features("ip-adapter", "diffusers" if unet is None else "ip-adapter", outline, unet=unet)


def _joint(outline: Outline) -> bool:
    """Whether it is for a transformer: its values are wider than any of the UNets' 1280."""
    return outline.has("double_blocks", "transformer_blocks") or (outline.output_width("to_k_ip") or 0) > 1280


KIND = Kind(
    "ip-adapter", _marks, _read, over=("lora", "checkpoint", "diffusion-model", "controlnet", "vae", "image-encoder")
)
