"""Sparse files with true headers, and assets that stand for them."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, Any

from assetctl.generation.folders import model_index
from assetctl.generation.weights import wanted
from assetctl.types import Asset

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    #: Makes an asset of a name, a kind, a family, and more by keyword.
    Make = Callable[..., Asset]

_BLANK = Asset(
    id=0, name="", kind="unknown", family=None, base_model=None, variant=None, prediction=None, format="safetensors",
    layout=None, size=0, sha256=None, autov3=None, trigger_words=(), tags=(), path="", in_store=False,
)  # fmt: skip


def write_sparse(path: Path, shapes: Mapping[str, list[int]], metadata: Mapping[str, str] | None = None) -> Path:
    """A safetensors file of half-precision zeros that takes no room on disk."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, shape in shapes.items():
        end = at + 2 * prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [at, end]}
        at = end
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + at)
    return path


def asset_at(path: Path, kind: str, family: str | None, **other: object) -> Asset:
    """An asset named after its file."""
    size = path.stat().st_size if path.is_file() else 0
    fields = {"name": path.name.partition(".")[0], "path": str(path), "size": size, "kind": kind, "family": family}
    return replace(_BLANK, **(fields | other))


#: Words of the vocabulary that `tiny.write_vocabulary` writes.
WORDS = 523


def tiny_checkpoint(width: int = 8, context: int = 768) -> dict[str, list[int]]:
    """The names of a single-file checkpoint with one level, and few of its modules."""
    block = "model.diffusion_model.input_blocks.1"
    attention = f"{block}.1.transformer_blocks.0"
    return {
        "model.diffusion_model.input_blocks.0.0.weight": [width, 4, 3, 3],
        f"{block}.0.in_layers.0.weight": [width],
        f"{block}.0.in_layers.2.weight": [width, width, 3, 3],
        f"{block}.1.proj_in.weight": [width, width, 1, 1],
        f"{attention}.attn1.to_q.weight": [width, width],
        f"{attention}.attn2.to_k.weight": [width, context],
        f"{attention}.attn2.to_out.0.weight": [width, width],
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": [10, context],
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight": [context, context],
    }


#: Where a single file keeps its text encoders, by their parts.
_TEXTS = {
    "sd1": {"text_encoder": ("cond_stage_model.transformer.text_model.", "own", 768)},
    "sd2": {"text_encoder": ("cond_stage_model.model.", "open_clip", 1024)},
    "sdxl": {
        "text_encoder": ("conditioner.embedders.0.transformer.text_model.", "own", 768),
        "text_encoder_2": ("conditioner.embedders.1.model.", "open_clip", 1280),
    },
}


def whole_parts(
    family: str = "sd1", *, width: int = 8, words: int = WORDS, layers: int = 1, channels: int = 4, vae_levels: int = 4
) -> dict[str, dict[str, Any]]:
    """The configurations of a small checkpoint: one level in its UNet, and text encoders as wide as real ones."""
    texts = {
        part: {
            "vocab_size": words, "hidden_size": wide, "intermediate_size": 8, "projection_dim": wide,
            "num_hidden_layers": layers if spelling == "own" else 1, "num_attention_heads": wide // 64,
        }
        for part, (_, spelling, wide) in _TEXTS[family].items()
    }  # fmt: skip
    unet = {
        "block_out_channels": [width], "layers_per_block": 1, "in_channels": channels, "norm_num_groups": width,
        "cross_attention_dim": sum(each["hidden_size"] for each in texts.values()),
        "down_block_types": ["CrossAttnDownBlock2D"], "up_block_types": ["CrossAttnUpBlock2D"],
        "attention_head_dim": 8 if family == "sd1" else 1,
    }  # fmt: skip
    if family == "sdxl":
        unet |= {
            "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": 1280 + 6 * 256,
        }  # fmt: skip
    vae = {
        "block_out_channels": [width] * vae_levels, "down_block_types": ["DownEncoderBlock2D"] * vae_levels,
        "up_block_types": ["UpDecoderBlock2D"] * vae_levels, "norm_num_groups": width,
    }  # fmt: skip
    return texts | {"unet": unet, "vae": vae}


def whole_checkpoint(family: str = "sd1", **more: int) -> dict[str, list[int]]:
    """All tensors of a small checkpoint; see `whole_parts`."""
    shapes: dict[str, list[int]] = {}
    for part, config in whole_parts(family, **more).items():
        if part.startswith("text_encoder"):
            prefix, spelling, _ = _TEXTS[family][part]
        else:
            prefix, spelling = {"unet": "model.diffusion_model.", "vae": "first_stage_model."}[part], "ldm"
        table = wanted(config, part, prefix, spelling)
        shapes |= dict(zip(table.names, table.shapes, strict=True))
    return shapes


def whole_vae(**more: object) -> dict[str, list[int]]:
    """All tensors of a VAE of its own."""
    table = wanted(whole_parts()["vae"] | more, "vae", "", "ldm")
    return dict(zip(table.names, table.shapes, strict=True))


def write_companion(folder: Path, family: str = "sd1", *, like: Mapping[str, Any] | None = None, **texts: str) -> None:
    """A whole configuration beside such a checkpoint, as `like` has it: of parts what `texts` say, else all of it.

    Keys of a text that is a JSON object are set; any other stands in its place.
    """
    schedule = {"beta_schedule": "scaled_linear"}
    for part, config in (dict(like or whole_parts(family)) | {"scheduler": schedule}).items():
        text = texts.get(part, "{}")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            found = None
        name = "scheduler_config" if part == "scheduler" else "config"
        (folder / part).mkdir(parents=True, exist_ok=True)
        merged = json.dumps(config | found) if isinstance(found, dict) else text
        (folder / part / f"{name}.json").write_text(merged, "utf-8")
    (folder / "model_index.json").write_text(json.dumps(model_index(family)), "utf-8")


def low_rank(module: str, out: int, into: list[int], rank: int = 2) -> dict[str, list[int]]:
    """The three tensors of one module in kohya's layout."""
    return {
        f"{module}.alpha": [],
        f"{module}.lora_down.weight": [rank, *into],
        f"{module}.lora_up.weight": [out, rank, *[1] * (len(into) - 1)],
    }
