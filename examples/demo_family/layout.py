"""Weights under the names that the field knows: Stable Diffusion 1's single file, kohya's LoRAs.

Names: https://github.com/CompVis/stable-diffusion (`openaimodel.py`, `model.py`) and
https://github.com/kohya-ss/sd-scripts (`networks/lora.py`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel

Tensors = dict[str, torch.Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_MIDDLE = {"resnets.0": "0", "attentions.0": "1", "resnets.1": "2"}
_VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def checkpoint_tensors(unet: UNet2DConditionModel, vae: AutoencoderKL, encoder: CLIPTextModel) -> Tensors:
    """All weights of a pipeline in half precision, by their names in a single file."""
    layers = int(unet.config["layers_per_block"])
    levels = len(vae.config["block_out_channels"])
    tensors = {f"model.diffusion_model.{_unet_name(name, layers)}": each for name, each in unet.state_dict().items()}
    for name, each in vae.state_dict().items():
        tensors[f"first_stage_model.{_vae_name(name, levels)}"] = _as_convolution(name, each)
    for name, each in encoder.state_dict().items():
        tensors[f"cond_stage_model.transformer.text_model.{name.removeprefix('text_model.')}"] = each
    return halved(tensors)


def lora_tensors(state: Mapping[str, torch.Tensor], part: str, alpha: float) -> Tensors:
    """A LoRA's weights by kohya's names.

    Args:
        state: By peft's names, `MODULE.lora_A.weight` and `MODULE.lora_B.weight`.
        part: `unet` or `te`.
        alpha: What the rank divides to scale the LoRA.
    """
    tensors = {}
    for name, each in state.items():
        module, _, end = name.partition(".lora_")
        key = f"lora_{part}_{module.replace('.', '_')}"
        tensors[f"{key}.lora_{'down' if end.startswith('A') else 'up'}.weight"] = each
        tensors[f"{key}.alpha"] = torch.tensor(alpha)
    return halved(tensors)


def halved(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Copies in half precision, in the order of their names."""
    return {name: tensors[name].detach().to(torch.float16).contiguous() for name in sorted(tensors)}


def _unet_name(name: str, layers: int) -> str:
    if match := re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.+)", name):
        side, level, what, index, rest = match.groups()
        down = side == "down"
        block = int(level) * (layers + 1) + int(index) + down
        return f"{'input' if down else 'output'}_blocks.{block}.{int(what == 'attentions')}.{_resnet_name(what, rest)}"
    if match := re.fullmatch(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.+)", name):
        return f"input_blocks.{(int(match[1]) + 1) * (layers + 1)}.0.op.{match[2]}"
    if match := re.fullmatch(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.+)", name):
        # behind the level's last attention, where it has one
        place = 2 if int(match[1]) in _ATTENTION_LEVELS else 1
        return f"output_blocks.{int(match[1]) * (layers + 1) + layers}.{place}.conv.{match[2]}"
    if match := re.fullmatch(r"mid_block\.(\w+\.\d+)\.(.+)", name):
        return f"middle_block.{_MIDDLE[match[1]]}.{_resnet_name(match[1].split('.')[0], match[2])}"
    module, _, end = name.rpartition(".")
    return f"{_ENDS[module]}.{end}"


#: Levels of the way up that have attention.
_ATTENTION_LEVELS = {2}


def _resnet_name(what: str, rest: str) -> str:
    if what == "attentions":
        return rest
    module, _, end = rest.rpartition(".")
    return f"{_RESNET[module]}.{end}"


def _vae_name(name: str, levels: int) -> str:
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.attentions\.0\.(.+)\.(\w+)", name):
        return f"{match[1]}.mid.attn_1.{_VAE_ATTENTION[match[2]]}.{match[3]}"
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.resnets\.(\d)\.(.+)", name):
        return f"{match[1]}.mid.block_{int(match[2]) + 1}.{match[3]}"
    if match := re.fullmatch(r"encoder\.down_blocks\.(\d+)\.(.+)", name):
        rest = match[2].replace("resnets", "block").replace("downsamplers.0", "downsample")
        return f"encoder.down.{match[1]}.{rest}"
    if match := re.fullmatch(r"decoder\.up_blocks\.(\d+)\.(.+)", name):
        rest = match[2].replace("resnets", "block").replace("upsamplers.0", "upsample")
        return f"decoder.up.{levels - 1 - int(match[1])}.{rest}"
    return name


def _as_convolution(name: str, weights: torch.Tensor) -> torch.Tensor:
    """The original VAE's attention is made of 1 x 1 convolutions."""
    is_attention = ".attentions." in name and weights.ndim == 2
    return weights[:, :, None, None] if is_attention else weights
