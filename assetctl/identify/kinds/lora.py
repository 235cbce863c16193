"""LoRAs and their relatives: small changes to a network, as products of matrices or the like.

Sources: kohya-ss/sd-scripts, huggingface/peft, KohakuBlueleaf/LyCORIS, Nerogar/OneTrainer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind, read_blocks, read_unet

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_LORA = (
    "lora_down.", "lora_up.", "_lora.down.", "_lora.up.", "lora.down.", "lora.up.", "lora_A", "lora_B",
    "lora_linear_layer.", "_lora_linear_layer.", "_loras.", "loras.", "dora_scale",
    "processor.qkv_lora", "processor.proj_lora",
)  # fmt: skip
_LYCORIS = (".hada_w1_a", ".lokr_w1", ".oft_", ".boft_", ".on_input")

#: GLoRA's, which mark it only among a trainer's names.
_GLORA = (".a1.weight",)

#: How names of whole-matrix differences end, as ComfyUI saves them.
_DIFFERENCES = (".diff\n", ".diff_b\n")

#: Trainers' prefixes, which also mark whole-matrix differences.
_TRAINERS = ("lora_unet_", "lora_te_", "lora_transformer_", "lycoris_")

#: Channels that FLUX.1 takes where the latents of a picture of edges or depth stand beside its own 64.
_WITH_CONTROL = 128

#: How names begin where diffusers wrote them. (An outline cannot tell `transformer.` from `transformer_`.)
_DIFFUSERS = ("transformer.", "unet.", "text_encoder.", "text_encoder_2.")

#: How names in text encoders begin: in the only one of SD 1 and 2, in the first and the second of others.
_ENCODERS = (
    ("only", "lora_te_text_model"),
    ("first", "lora_te1_text_model"), ("first", "text_encoder.text_model"), ("first", "text_encoders.clip_l."),
    ("second", "lora_te2_text_model"), ("second", "text_encoder_2.text_model"), ("second", "text_encoders.clip_g."),
    ("t5", "lora_te3_encoder_block"), ("t5", "text_encoder_3.encoder.block"),
)  # fmt: skip

#: How names in a denoising network begin: what they change tells more than the text encoders beside it.
_NETWORKS = ("lora_unet_", "lora_transformer_", "lycoris_", "transformer.", "diffusion_model.", "joint_blocks.")

#: Modules of a text encoder that take in as much as it is wide.
_PART = r"[^\n]*?[._](?:self_attn[._][qkv]_proj|mlp[._]fc1|SelfAttention[._][qkv])(?=[._])"
_MODULES = {beginning: re.compile(re.escape(beginning) + _PART) for _, beginning in _ENCODERS}


def _marks(outline: Outline) -> str | None:
    if outline.has(*_LORA):
        return "its tensors are the down and up halves of a LoRA"
    if outline.has(*_LYCORIS):
        return "its tensors are those of a LyCORIS algorithm"
    if outline.prefixed(*_TRAINERS):
        return "its tensors have a LoRA trainer's prefix"
    return "its tensors are whole differences" if outline.has(*_DIFFERENCES) else None


def _layout(outline: Outline) -> str:
    if outline.has(*_LYCORIS) or outline.prefixed("lycoris_") or outline.has(*_GLORA):
        return "lycoris"
    if outline.has("processor.qkv_lora", "processor.proj_lora"):
        return "xlabs"
    if outline.prefixed("lora_transformer_", "lora_prior_"):
        return "onetrainer"
    if outline.prefixed("lora_unet_", "lora_te"):
        return "kohya"
    peft = outline.prefixed("base_model.model.")
    if not peft and (next(iter(outline.header.tensors)).startswith(_DIFFUSERS) or outline.has(".processor.")):
        return "diffusers"
    return "peft" if peft or outline.has("lora_A") else "kohya"


def _encoders(outline: Outline) -> dict[str, int]:
    """Widths of the text encoders that it changes."""
    widths = {
        name: outline.width_taken(beginning, _MODULES[beginning])
        for name, beginning in _ENCODERS
        if outline.prefixed(beginning)
    }
    return {name: width for name, width in widths.items() if width is not None}


def _read(outline: Outline) -> Features:
    unet = read_unet(outline)
    changes_text = outline.prefixed("lora_te", "text_encoder", "base_model.model.text_encoder")
    silent = not outline.prefixed(*_NETWORKS) if unet is None else unet.context is None
    contains = (
        ("changes to a text encoder", changes_text),
        ("an embedding", outline.prefixed("bundle_emb.")),
        ("an input for control pictures", outline.input_width("x_embedder", "img_in") == _WITH_CONTROL),
    )
    return Features(
        "lora",
        _layout(outline),
        outline,
        unet=unet,
        blocks=read_blocks(outline),
        encoders=_encoders(outline) if changes_text and silent else {},
        contains=tuple(what for what, there in contains if there),
    )


KIND = Kind(
    "lora", _marks, _read, over=("checkpoint", "diffusion-model", "vae", "text-encoder", "image-encoder", "upscaler")
)
