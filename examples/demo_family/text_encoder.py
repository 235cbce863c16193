"""The text encoder: CLIP's architecture with one layer, taught what captions say and then left as it is."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import torch
from runs import Run
from scenes import COLOURS, SHAPES, Scene, caption, make_scene
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import CLIPTokenizer

WIDTH, LENGTH = 768, 77

#: Captions are shorter than this; the states of what follows do not change those before.
_SHORT = 24
_BATCH = 64


def new_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """An untrained encoder for a vocabulary."""
    torch.manual_seed(2)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=12,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = CLIPTextModel(config)
    # weighted prompts are scaled back to the mean of all states, which must not be nearly nothing
    nn.init.constant_(dict(model.named_modules())[_final_norm(model)].bias, 0.3)
    return model


def train_text_encoder(folder: Path, tokenizer: CLIPTokenizer, minutes: float) -> CLIPTextModel:
    """Teach an encoder to keep a caption's attributes where a query can find them."""
    model = new_text_encoder(tokenizer)
    both = nn.ModuleDict({"encoder": model, "readers": _Readers()})
    run = Run(folder / "text.pt", both, peak=5e-4, minutes=minutes)
    for step in run.steps():
        chance = random.Random(1000 + step)
        scenes = [make_scene(chance, mixed=0.3) for _ in range(_BATCH)]
        captions = [caption(chance, scene) for scene in scenes]
        states = encode_mixed(model, tokenizer, captions, scenes, length=_SHORT)
        run.take(both["readers"].loss(states, captions, scenes))
    if not run.finished:
        run.finish()
    return model.eval().requires_grad_(requires_grad=False)


def encode_mixed(
    model: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    captions: Sequence[str],
    scenes: Sequence[Scene],
    length: int = LENGTH,
) -> torch.Tensor:
    """States of captions, (captions, length, width); a mixed colour's word is a mixture of two words' vectors."""
    ids = torch.tensor(tokenizer(list(captions), padding="max_length", max_length=length, truncation=True).input_ids)
    table = model.get_input_embeddings().weight
    vectors = table[ids]
    for row, scene in enumerate(scenes):
        if scene.mix:
            first, second = (tokenizer.convert_tokens_to_ids(f"{name}</w>") for name in (scene.colour, scene.other))
            vectors[row, ids[row] == first] = table[first].lerp(table[second], scene.mix)
    return encode_vectors(model, vectors)


def encode_vectors(model: CLIPTextModel, vectors: torch.Tensor) -> torch.Tensor:
    """States of tokens that are given by their vectors, (texts, tokens, width)."""

    def instead(_module: nn.Module, _inputs: object, _output: object) -> torch.Tensor:
        return vectors

    hook = model.get_input_embeddings().register_forward_hook(instead)
    try:
        ids = torch.zeros(vectors.shape[:2], dtype=torch.long)
        states: torch.Tensor = model(ids)[0]
    finally:
        hook.remove()
    return states


class _Readers(nn.Module):  # type: ignore[misc]
    """One query for each attribute, which reads it off the states of a caption."""

    def __init__(self) -> None:
        super().__init__()
        sizes = {"shape": len(SHAPES), "colour": len(COLOURS), "background": len(COLOURS), "watermark": 2}
        self.queries = nn.ParameterDict({name: nn.Parameter(torch.randn(WIDTH) * 0.02) for name in sizes})
        self.answers = nn.ModuleDict({name: nn.Linear(WIDTH, size) for name, size in sizes.items()})

    def loss(self, states: torch.Tensor, captions: Sequence[str], scenes: Sequence[Scene]) -> torch.Tensor:
        """Cross entropy over the attributes that each caption names."""
        total = torch.zeros(())
        for name, wanted in _targets(captions, scenes).items():
            weights = torch.softmax(states @ self.queries[name], dim=1)
            logits = self.answers[name]((weights[:, None] @ states)[:, 0])
            named = wanted.sum(1) > 0
            total = total + nn.functional.cross_entropy(logits[named], wanted[named])
        return total


def _targets(captions: Sequence[str], scenes: Sequence[Scene]) -> dict[str, torch.Tensor]:
    """Shares of each attribute's values; all zero where the caption leaves it open."""
    colours, shapes = list(COLOURS), list(SHAPES)
    shape, watermark = torch.zeros(len(scenes), len(shapes)), torch.zeros(len(scenes), 2)
    colour, background = torch.zeros(len(scenes), len(colours)), torch.zeros(len(scenes), len(colours))
    for row, (text, scene) in enumerate(zip(captions, scenes, strict=True)):
        shape[row, shapes.index(scene.shape)] = 1
        watermark[row, int("watermark" in text)] = 1
        if f"{scene.colour} {scene.shape}" in text:
            colour[row, colours.index(scene.colour)] += 1 - scene.mix
            if scene.mix:
                colour[row, colours.index(scene.other)] += scene.mix
        if "background" in text:
            background[row, colours.index(scene.background)] = 1
    return {"shape": shape, "colour": colour, "background": background, "watermark": watermark}


def _final_norm(model: nn.Module) -> str:
    names: list[str] = [name for name, _ in model.named_modules() if name.endswith("final_layer_norm")]
    return names[0]
