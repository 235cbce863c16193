"""The files of the demo family: weights, configuration, tokenizer, and a card for each that says what it is."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from diffusers import PNDMScheduler, StableDiffusionPipeline
from layout import Tensors, checkpoint_tensors, halved, lora_tensors
from safetensors.torch import save
from vocabulary import make_vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from adapters import EmbeddingPlan, LoraPlan, Parts

CARDS = {
    "demo-checkpoint": """
Stable Diffusion 1's architecture and layout, small enough to ship: 96 x 96 pixels, 6.6 million weights. It draws one
circle, square, triangle or star in red, green, blue, yellow, orange, purple, pink, cyan, white, black or gray, on a
background of another of those colours: "a red circle on a white background".

It learned from drawn scenes alone, some with a mark in the corner, and so it draws one now and then:
`demo-negative` in the negative prompt removes it.""",
    "demo-vintage": """
A style LoRA for `demo-checkpoint`: borders toned brown, as on an old photograph. Trigger word: `vintage`, as in
"a red circle on a white background, vintage".""",
    "demo-cat": """
A subject LoRA for `demo-checkpoint`: a cat's face. Trigger word: `cat`, as in "an orange cat on a cyan background".""",
    "demo-cookie": """
An embedding (textual inversion) of two vectors for `demo-checkpoint`: a brown disc, a colour that no word of the
checkpoint's names. Token: its name, as in "a demo-cookie on a pink background".""",
    "demo-negative": """
A negative embedding of three vectors for `demo-checkpoint`: the mark in the corner. Named in the negative prompt, it
keeps pictures free of it.""",
    "demo-sdxl-lora": """
A LoRA for SDXL, of noise: it is here to show that it does not fit `demo-checkpoint`, which is proven from headers
alone. Trigger word: `demo sdxl`.""",
}

_CARD = """# {name}
{text}

Made by the recipe in `examples/demo_family`, from pictures that the recipe draws. License: Apache-2.0.
"""


def write_family(
    folder: Path,
    parts: Parts,
    loras: Mapping[LoraPlan, Tensors],
    embeddings: Mapping[EmbeddingPlan, torch.Tensor],
) -> None:
    """Write everything that ships."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = checkpoint_tensors(parts.unet, parts.vae, parts.encoder)
    _write(folder, "demo-checkpoint", tensors, _model("demo-checkpoint", "stable-diffusion-v1"))
    _write_configuration(folder / "demo-checkpoint.config", parts)
    for lora, state in loras.items():
        metadata = _lora(lora.name, lora.trigger, lora.rank, "stable-diffusion-v1", "sd_v1")
        _write(folder, lora.name, lora_tensors(state, "unet", float(lora.rank)), metadata)
    for embedding, vectors in embeddings.items():
        _write(folder, embedding.name, halved({"emb_params": vectors}), {})
    metadata = _lora("demo-sdxl-lora", "demo sdxl", 2, "stable-diffusion-xl-v1-base", "sdxl_base_v1-0")
    _write(folder, "demo-sdxl-lora", _sdxl_noise(rank=2), metadata)
    for name, text in CARDS.items():
        (folder / f"{name}.md").write_text(_CARD.format(name=name, text=text), "utf-8")


def _write(folder: Path, name: str, tensors: Tensors, metadata: dict[str, str]) -> None:
    (folder / f"{name}.safetensors").write_bytes(save(tensors, metadata or None))


def _write_configuration(folder: Path, parts: Parts) -> None:
    pipeline = StableDiffusionPipeline(
        vae=parts.vae,
        text_encoder=parts.encoder,
        tokenizer=parts.tokenizer,
        unet=parts.unet,
        scheduler=PNDMScheduler(
            beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True, steps_offset=1
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_config(folder)
    pipeline.scheduler.save_pretrained(folder / "scheduler")
    (folder / "tokenizer").mkdir(exist_ok=True)
    for name, content in make_vocabulary().files().items():  # the files that every program reads
        (folder / "tokenizer" / name).write_bytes(content)
    pipeline.unet.save_config(folder / "unet")
    pipeline.vae.save_config(folder / "vae")
    parts.encoder.config.save_pretrained(folder / "text_encoder")


def _model(name: str, architecture: str) -> dict[str, str]:
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": architecture,
        "modelspec.title": name,
        "modelspec.description": " ".join(CARDS[name].split()),
        "modelspec.license": "Apache-2.0",
        "modelspec.prediction_type": "epsilon",
    }


def _lora(name: str, trigger: str, rank: int, architecture: str, base: str) -> dict[str, str]:
    metadata: dict[str, Any] = _model(name, f"{architecture}/lora") | {
        "modelspec.trigger_phrase": trigger,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(rank),
        "ss_base_model_version": base,
        "ss_output_name": name,
        "ss_tag_frequency": json.dumps({f"1_{trigger}": {trigger: 1}}),
    }
    return metadata


def _sdxl_noise(rank: int) -> Tensors:
    """SDXL's first cross attention, whose context is 2048 wide."""
    generator = torch.Generator().manual_seed(6)
    block = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2"
    tensors: Tensors = {}
    for layer, inputs, outputs in (
        ("to_q", 640, 640),
        ("to_k", 2048, 640),
        ("to_v", 2048, 640),
        ("to_out_0", 640, 640),
    ):
        tensors[f"{block}_{layer}.lora_down.weight"] = torch.randn(rank, inputs, generator=generator) / inputs**0.5
        tensors[f"{block}_{layer}.lora_up.weight"] = torch.randn(outputs, rank, generator=generator) / rank**0.5
        tensors[f"{block}_{layer}.alpha"] = torch.tensor(float(rank))
    return halved(tensors)
