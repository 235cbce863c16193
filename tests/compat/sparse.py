"""Sparse files with true headers, and assets that stand for them."""

from __future__ import annotations

import json
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

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


def whole_checkpoint(width: int = 8, context: int = 768, words: int = WORDS) -> dict[str, list[int]]:
    """The same with all of what a configuration is read off: that of the whole UNet, the VAE and the text encoder."""
    return tiny_checkpoint(width, context) | {
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": [words, context],
        "model.diffusion_model.out.2.weight": [4, width, 3, 3],
        "model.diffusion_model.input_blocks.2.0.op.weight": [width, width, 3, 3],
        "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": [77, context],
        "cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": [context, context],
        "first_stage_model.encoder.conv_in.weight": [width, 3, 3, 3],
        "first_stage_model.encoder.conv_out.weight": [8, width, 3, 3],
        "first_stage_model.encoder.down.0.block.0.conv1.weight": [width, width, 3, 3],
        "first_stage_model.decoder.conv_out.weight": [3, width, 3, 3],
    }


def low_rank(module: str, out: int, into: list[int], rank: int = 2) -> dict[str, list[int]]:
    """The three tensors of one module in kohya's layout."""
    return {
        f"{module}.alpha": [],
        f"{module}.lora_down.weight": [rank, *into],
        f"{module}.lora_up.weight": [out, rank, *[1] * (len(into) - 1)],
    }
