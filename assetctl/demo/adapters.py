"""LoRAs in kohya's layout and a textual inversion.

Tensor names and metadata are those that https://github.com/kohya-ss/sd-scripts (networks/lora.py) writes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import orjson

from assetctl.demo.checkpoint import (
    ATTENTION_LEVELS,
    TEXT_INNER_WIDTH,
    TEXT_LAYERS,
    TEXT_WIDTH,
    UNET_CHANNELS,
)
from assetctl.demo.weights import Weights, constant, noise, safetensors

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A layer that a LoRA changes: its name in kohya's spelling, its inputs and its outputs.
Layer = tuple[str, int, int]

RANK = 4
ALPHA = 4.0


def sd1_lora(name: str, *, trigger: str, feed_forward: bool) -> bytes:
    """A LoRA for the demo checkpoint: all attention of UNet and text encoder, and on demand what lies between."""
    layers = [*_unet_layers(feed_forward=feed_forward), *_text_layers(feed_forward=feed_forward)]
    weights: Weights = {}
    for layer in layers:
        weights |= _pair(name, layer)
    return safetensors(weights, _metadata(name, trigger, "sd_v1", "stable-diffusion-v1"))


def sdxl_lora() -> bytes:
    """A LoRA for SDXL's first cross attention, whose context is 2048 wide."""
    name, block = "demo-sdxl-lora", "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2"
    weights: Weights = {}
    for layer in (("to_q", 640, 640), ("to_k", 2048, 640), ("to_v", 2048, 640), ("to_out_0", 640, 640)):
        weights |= _pair(name, (f"{block}_{layer[0]}", *layer[1:]))
    return safetensors(weights, _metadata(name, "demo sdxl", "sdxl_base_v1-0", "stable-diffusion-xl-v1-base"))


def demo_embedding() -> bytes:
    """A textual inversion of two vectors, as A1111 reads it."""
    return safetensors({"emb_params": noise("demo-embedding", (2, TEXT_WIDTH), 1 / 32)}, {})


def _pair(lora: str, layer: Layer) -> Weights:
    """One layer's change: `up @ down * alpha / rank`, about as large as the layer itself."""
    name, inputs, outputs = layer
    kernel = (1, 1) if name.endswith(("proj_in", "proj_out")) else ()
    return {
        f"{name}.lora_down.weight": noise(f"{lora} {name} down", (RANK, inputs, *kernel), 1 / math.sqrt(inputs)),
        f"{name}.lora_up.weight": noise(f"{lora} {name} up", (outputs, RANK, *kernel), 1 / math.sqrt(RANK)),
        f"{name}.alpha": constant(ALPHA),
    }


def _unet_layers(*, feed_forward: bool) -> Iterator[Layer]:
    lowest = UNET_CHANNELS[-1]
    for level in range(ATTENTION_LEVELS):
        for number in range(2):
            name = f"lora_unet_down_blocks_{level}_attentions_{number}"
            yield from _transformer_layers(name, UNET_CHANNELS[level], feed_forward=feed_forward)
    yield from _transformer_layers("lora_unet_mid_block_attentions_0", lowest, feed_forward=feed_forward)
    for block, level in enumerate(reversed(range(ATTENTION_LEVELS)), start=1):
        for number in range(3):
            name = f"lora_unet_up_blocks_{block}_attentions_{number}"
            yield from _transformer_layers(name, UNET_CHANNELS[level], feed_forward=feed_forward)


def _transformer_layers(name: str, channels: int, *, feed_forward: bool) -> Iterator[Layer]:
    block = f"{name}_transformer_blocks_0"
    for attention, context in (("attn1", channels), ("attn2", TEXT_WIDTH)):
        yield f"{block}_{attention}_to_q", channels, channels
        yield f"{block}_{attention}_to_k", context, channels
        yield f"{block}_{attention}_to_v", context, channels
        yield f"{block}_{attention}_to_out_0", channels, channels
    if feed_forward:
        yield f"{block}_ff_net_0_proj", channels, 8 * channels
        yield f"{block}_ff_net_2", 4 * channels, channels
        yield f"{name}_proj_in", channels, channels
        yield f"{name}_proj_out", channels, channels


def _text_layers(*, feed_forward: bool) -> Iterator[Layer]:
    for number in range(TEXT_LAYERS):
        layer = f"lora_te_text_model_encoder_layers_{number}"
        for projection in ("k_proj", "out_proj", "q_proj", "v_proj"):
            yield f"{layer}_self_attn_{projection}", TEXT_WIDTH, TEXT_WIDTH
        if feed_forward:
            yield f"{layer}_mlp_fc1", TEXT_WIDTH, TEXT_INNER_WIDTH
            yield f"{layer}_mlp_fc2", TEXT_INNER_WIDTH, TEXT_WIDTH


def _metadata(name: str, trigger: str, base: str, architecture: str) -> dict[str, str]:
    tags = {f"10_{trigger}": {trigger: 20, "simple background": 12, "outdoors": 8}}
    return {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(RANK),
        "ss_network_alpha": str(ALPHA),
        "ss_base_model_version": base,
        "ss_output_name": name,
        "ss_tag_frequency": orjson.dumps(tags).decode(),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.title": name,
        "modelspec.trigger_phrase": trigger,
        "modelspec.license": "Apache-2.0",
    }
