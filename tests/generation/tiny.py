"""Tiny Stable Diffusion models with random weights, as diffusers folders and as single files in the original layout."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from selections import lora_use, selection_of

from assetctl.files.safetensors import Header
from assetctl.generation.configuration import scheduler_config
from assetctl.prompt import parse_prompt
from assetctl.request import Plan, PlannedUse
from assetctl.types import Asset

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAYERS = 1
WIDTHS = {"sd1": (32, 64), "sd2": (64, 128), "sdxl": (64, 128)}
VAE_WIDTHS = (32, 32, 32, 64)
WORDS = ("cat", "dog", "a", "photo", "of")


def write_vocabulary(folder: Path) -> None:
    """A CLIP vocabulary of all bytes and a few words."""
    folder.mkdir(parents=True, exist_ok=True)
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(256 - len(printable))]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts[:2] = ["".join(parts[:2])]
    joined = [merge.replace(" ", "") for merge in merges]
    words = [*letters, *(letter + "</w>" for letter in letters), *joined, "<|startoftext|>", "<|endoftext|>"]
    unique = list(dict.fromkeys(words))
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(unique)}), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n", "utf-8")


def write_family(family: str, folder: Path, vocabulary: Path) -> None:
    """Write `folder/pipeline` (diffusers) and `folder/model.safetensors` (original layout) with the same weights."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    pipeline = _pipeline(family, vocabulary)
    pipeline.save_pretrained(folder / "pipeline")
    save_file(single_file(family, pipeline), folder / "model.safetensors")
    # as published, with only the keys that differ from a scheduler's own defaults
    schedule = scheduler_config(Header(folder, 0, 0, {}, {}), family, "epsilon")
    (folder / "pipeline" / "scheduler" / "scheduler_config.json").write_text(json.dumps(schedule), "utf-8")


def _pipeline(family: str, vocabulary: Path) -> Any:
    import diffusers
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    sdxl = family == "sdxl"
    tokenizers = [_tokenizer(vocabulary, "<|endoftext|>" if family != "sd2" else "!")]
    encoders = [CLIPTextModel(_text_config(family, 64, tokenizers[0], "gelu" if family == "sd2" else "quick_gelu"))]
    if sdxl:
        tokenizers.append(_tokenizer(vocabulary, "!"))
        encoders.append(CLIPTextModelWithProjection(_text_config(family, 128, tokenizers[1], "gelu")))
    for encoder in encoders:
        _roughen(encoder)
    context = sum(encoder.config.hidden_size for encoder in encoders)
    parts = {
        "vae": _vae(family),
        "unet": _unet(family, context),
        "text_encoder": encoders[0],
        "tokenizer": tokenizers[0],
        "scheduler": diffusers.PNDMScheduler(),
    }
    if sdxl:
        return diffusers.StableDiffusionXLPipeline(**parts, text_encoder_2=encoders[1], tokenizer_2=tokenizers[1])
    absent = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    return diffusers.StableDiffusionPipeline(**parts, **absent)


def _tokenizer(vocabulary: Path, pad: str) -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(vocabulary, pad_token=pad, model_max_length=77)


def _text_config(family: str, width: int, tokenizer: Any, activation: str) -> Any:
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=width // 64,
        projection_dim=width if family != "sdxl" else 96,
        hidden_act=activation,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )


def _roughen(model: Any) -> None:
    """Give the layer norms other weights than 1 and 0, or the mean of all states would be nought."""
    import torch

    with torch.no_grad():
        for name, each in model.named_parameters():
            if "norm" in name:
                each.add_(torch.randn_like(each) * 0.2)
            else:
                each.mul_(4)


def _unet(family: str, context: int) -> Any:
    from diffusers import UNet2DConditionModel

    widths = WIDTHS[family]
    added = {}
    if family == "sdxl":
        added = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 96 + 6 * 8,
            "transformer_layers_per_block": [1, 2],
        }
    attention = ["DownBlock2D" if family == "sdxl" else "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=widths,
        layers_per_block=LAYERS,
        down_block_types=attention,
        up_block_types=["CrossAttnUpBlock2D", attention[0].replace("Down", "Up")],
        cross_attention_dim=context,
        attention_head_dim=8 if family == "sd1" else [width // 64 for width in widths],
        use_linear_projection=family != "sd1",
        **added,
    )


def _vae(family: str) -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=VAE_WIDTHS,
        down_block_types=["DownEncoderBlock2D"] * len(VAE_WIDTHS),
        up_block_types=["UpDecoderBlock2D"] * len(VAE_WIDTHS),
        layers_per_block=1,
        latent_channels=4,
        sample_size=64,
        scaling_factor=0.13025 if family == "sdxl" else 0.18215,
    )


# From diffusers' names to the original ones.

_RESNET = (
    (".norm1.", ".in_layers.0."), (".conv1.", ".in_layers.2."), (".time_emb_proj.", ".emb_layers.1."),
    (".norm2.", ".out_layers.0."), (".conv2.", ".out_layers.3."), (".conv_shortcut.", ".skip_connection."),
)  # fmt: skip
_UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
}  # fmt: skip
_VAE_NAMES = (
    ("down_blocks.", "down."), ("up_blocks.", "up."), ("mid_block.resnets.0", "mid.block_1"),
    ("mid_block.resnets.1", "mid.block_2"), ("mid_block.attentions.0", "mid.attn_1"), (".resnets.", ".block."),
    ("samplers.0.conv", "sample.conv"), ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"),
    ("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out"),
)  # fmt: skip
_CLIP_NAMES = (
    ("layer_norm1", "ln_1"),
    ("layer_norm2", "ln_2"),
    ("self_attn", "attn"),
    ("fc1", "c_fc"),
    ("fc2", "c_proj"),
)


def single_file(family: str, pipeline: Any) -> dict[str, Any]:
    """All weights of a pipeline, in the original layout."""
    tensors = {}
    has_attention = _levels_with_attention(pipeline)
    for name, tensor in pipeline.unet.state_dict().items():
        tensors["model.diffusion_model." + _unet_name(name, has_attention)] = tensor
    for name, tensor in pipeline.vae.state_dict().items():
        shape = (*tensor.shape, 1, 1) if "attentions" in name and tensor.ndim == 2 else tensor.shape
        tensors["first_stage_model." + vae_name(name)] = tensor.reshape(shape)
    first = {name.removeprefix("text_model."): each for name, each in pipeline.text_encoder.state_dict().items()}
    if family == "sd2":
        tensors |= _open_clip("cond_stage_model.model.", first)
    else:
        prefix = "cond_stage_model" if family == "sd1" else "conditioner.embedders.0"
        tensors |= {f"{prefix}.transformer.text_model.{name}": tensor for name, tensor in first.items()}
    if family == "sdxl":
        second = {name.removeprefix("text_model."): each for name, each in pipeline.text_encoder_2.state_dict().items()}
        tensors |= _open_clip("conditioner.embedders.1.model.", second)
    return {name: tensor.contiguous().clone() for name, tensor in tensors.items()}


def original_name(path: str, pipeline: Any) -> str:
    """What CompVis' code calls a module of a UNet."""
    return _unet_name(f"{path}.", _levels_with_attention(pipeline)).removesuffix(".")


def _levels_with_attention(pipeline: Any) -> set[str]:
    return {name.split(".attentions")[0] for name in pipeline.unet.state_dict() if ".attentions" in name}


def _unet_name(name: str, has_attention: set[str]) -> str:
    for ours, theirs in _UNET_ENDS.items():
        if name.startswith(ours + "."):
            return theirs + name.removeprefix(ours)
    if name.startswith("mid_block."):
        _, kind, number, rest = name.split(".", 3)
        place = f"middle_block.{2 * int(number) if kind == 'resnets' else 1}"
    else:
        block, level, kind, number, rest = name.split(".", 4)
        start = int(level) * (LAYERS + 1)
        if kind == "downsamplers":
            return f"input_blocks.{start + LAYERS + 1}.0.op.{rest.removeprefix('conv.')}"
        if kind == "upsamplers":
            return f"output_blocks.{start + LAYERS}.{2 if f'{block}.{level}' in has_attention else 1}.{rest}"
        index = int(number) + start + (block == "down_blocks")
        place = f"{'input' if block == 'down_blocks' else 'output'}_blocks.{index}.{0 if kind == 'resnets' else 1}"
    if kind == "resnets":
        for ours, theirs in _RESNET:
            rest = f".{rest}".replace(ours, theirs).removeprefix(".")
    return f"{place}.{rest}"


def vae_name(name: str) -> str:
    """The original name of a VAE's tensor."""
    name = re.sub(r"up_blocks\.(\d)", lambda match: f"up_blocks.{len(VAE_WIDTHS) - 1 - int(match[1])}", name)
    for ours, theirs in _VAE_NAMES:
        name = name.replace(ours, theirs)
    return name


def _open_clip(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    import torch

    tensors = {
        "token_embedding.weight": state["embeddings.token_embedding.weight"],
        "positional_embedding": state["embeddings.position_embedding.weight"],
        "ln_final.weight": state["final_layer_norm.weight"],
        "ln_final.bias": state["final_layer_norm.bias"],
    }
    tensors["text_projection"] = (
        state["text_projection.weight"].T
        if "text_projection.weight" in state
        else torch.eye(len(tensors["ln_final.bias"]))
    )
    for name, tensor in state.items():
        if not (match := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name)):
            continue
        place, rest = f"transformer.resblocks.{match[1]}.", match[2]
        for ours, theirs in _CLIP_NAMES:
            rest = rest.replace(ours, theirs)
        if ".q_proj." in rest:
            parts = [state[name.replace("q_proj", each)] for each in ("q_proj", "k_proj", "v_proj")]
            tensors[f"{place}attn.in_proj_{rest.rpartition('.')[2]}"] = torch.cat(parts)
        elif ".k_proj." not in rest and ".v_proj." not in rest:
            tensors[place + rest] = tensor
    return {prefix + name: tensor for name, tensor in tensors.items()}


# LoRAs, assets and plans.


def write_lora(path: Path, pipeline: Any, seed: int, strength: float = 1.0) -> None:
    """A kohya LoRA of rank 4 on the UNet's and the text encoder's attention, alpha 2."""
    import torch
    from safetensors.torch import save_file

    noise = torch.Generator().manual_seed(seed)
    tensors = {}
    for prefix, model, ends in (
        ("lora_unet_", pipeline.unet, ("to_q", "to_k", "to_v", "to_out.0")),
        ("lora_te_", pipeline.text_encoder, ("q_proj", "v_proj", "fc1")),
    ):
        for name, module in model.named_modules():
            if not name.endswith(ends):
                continue
            inner = name if prefix == "lora_unet_" or name.startswith("text_model.") else f"text_model.{name}"
            key = prefix + inner.replace(".", "_")
            tensors[key + ".lora_down.weight"] = torch.randn(4, module.in_features, generator=noise) * 0.3
            tensors[key + ".lora_up.weight"] = torch.randn(module.out_features, 4, generator=noise) * 0.3 * strength
            tensors[key + ".alpha"] = torch.tensor(2.0)
    save_file(tensors, path)


def asset(path: Path, kind: str, family: str | None, **fields: Any) -> Asset:
    """An asset of a file or folder."""
    known = {
        "id": 1, "name": path.stem, "kind": kind, "family": family, "base_model": None, "variant": None,
        "prediction": None, "format": "diffusers" if path.is_dir() else "safetensors", "layout": None, "size": 0,
        "sha256": _sha256(path), "autov3": "cd" * 6, "trigger_words": (), "tags": (), "path": str(path),
        "in_store": False,
    }  # fmt: skip
    return Asset(**(known | fields))


def _sha256(path: Path) -> str:
    """Of all bytes of a file or folder, of those files that somebody can be expected to read; any, of what is not."""
    if not path.exists():
        return "ab" * 32
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    read = (each.read_bytes() for each in files if each.is_file() and each.stat().st_size < 2**28)
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in read)).hexdigest()


def plan(
    checkpoint: Asset,
    prompt: str = "a photo of a cat",
    *,
    loras: Sequence[tuple[Asset, float]] = (),
    embeddings: Sequence[Asset] = (),
    vae: Asset | None = None,
    negative: str = "",
    seeds: Sequence[int] = (5,),
    **fields: Any,
) -> Plan:
    """A plan for 64x64 pixels in two steps."""
    selection = selection_of(checkpoint, [lora_use(*use) for use in loras], embeddings, vae)
    usual = {"steps": 2, "cfg_scale": 7.0, "sampler": "Euler a", "width": 64, "height": 64, "clip_skip": 1}
    settings = usual | {name: fields.pop(name) for name in usual.keys() & fields.keys()}
    return Plan(
        uses=tuple(map(PlannedUse.of, selection.uses)),
        prompt=parse_prompt(prompt),
        negative_prompt=parse_prompt(negative),
        settings=settings,
        seeds=tuple(seeds),
        **({"device": "cpu", "dtype": "fp32"} | fields),
    )
