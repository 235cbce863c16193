"""Measures of transformers: of double and single blocks as in FLUX and its kin, of joint blocks, of layers.

FLUX itself writes `double_blocks` and `single_blocks`, diffusers `transformer_blocks` and `single_transformer_blocks`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

#: How a feed-forward is built.
Build = Literal["plain", "gated", "wide"]

_STACKS = ("double_blocks.", "single_blocks.", "single_transformer_blocks.", "transformer_blocks.")

#: Modules that take in the stream, and that give it out.
_TAKES = (
    "transformer_blocks.#.attn.to_q", "transformer_blocks.#.attn.to_k", "transformer_blocks.#.attn.to_v",
    "transformer_blocks.#.attn.add_q_proj", "transformer_blocks.#.attn.add_k_proj",
    "single_transformer_blocks.#.attn.to_q", "single_transformer_blocks.#.attn.to_k",
    "single_transformer_blocks.#.attn.to_v", "single_transformer_blocks.#.attn.to_qkv_mlp_proj",
    "single_transformer_blocks.#.proj_mlp", "img_attn.qkv", "img_attn.proj", "txt_attn.qkv", "linear1",
    "img_mlp.0", "txt_mlp.0", "processor.qkv_lora1", "processor.qkv_lora2",
)  # fmt: skip
_GIVES = (
    "single_transformer_blocks.#.proj_out", "linear2", "img_attn.proj", "txt_attn.proj", "img_mlp.2", "txt_mlp.2",
    "transformer_blocks.#.attn.to_q", "x_embedder",
)  # fmt: skip

#: Of blocks that attend once, to picture and text together.
_JOINT = ("double_blocks.", "single_blocks.", "single_transformer_blocks.", "transformer_blocks.0.attn.add_")
#: Of blocks that attend twice: what takes in the stream, and what takes in text.
_QUERIES = ("attn1.to_q", "attn2.to_q", "attn1.to_k", "attn1.to_v")
_STATES = ("attn2.to_k", "attn2.to_v")

#: Module, and what its output is to its input: plain, gated, and gated wide. A plain feed-forward is 4 times as wide as
#: the stream; a gated one is 3 times as wide, a wide one 4 times, and takes two such halves. Single blocks fuse it with
#: attention.
_RATIOS = (
    ("linear1", 7, 9, 11), ("linear2", 1 / 5, 1 / 4),
    ("img_mlp.0", 4, 6), ("txt_mlp.0", 4, 6), ("img_mlp.2", 1 / 4, 1 / 3), ("txt_mlp.2", 1 / 4, 1 / 3),
    ("single_transformer_blocks.#.proj_mlp", 4, 6, 8), ("transformer_blocks.#.ff.net.0.proj", 4, 6, 8),
)  # fmt: skip
_BUILDS: tuple[Build, ...] = ("plain", "gated", "wide")

_LAYERS = tuple(
    f"{stack}.0.{part}."
    for stack in ("layers", "noise_refiner", "context_refiner", "control_layers")
    for part in ("attention", "attn", "feed_forward")
)
_TAKES_LAYER = (
    "attention.qkv", "attention.to_q", "attention.to_k", "attention.to_v", "feed_forward.w1", "feed_forward.w3",
    "layers.#.attn.to_q", "layers.#.attn.to_k", "layers.#.attn.to_v", "feed_forward.linear_1",
)  # fmt: skip
_GIVES_LAYER = ("attention.out", "attention.to_out.0", "feed_forward.w2")


class Blocks:
    """Measures of a transformer of double and single blocks, or of what changes or steers one, taken when asked."""

    def __init__(self, outline: Outline) -> None:
        self._outline = outline

    @cached_property
    def width(self) -> int | None:
        """Width of the stream through the blocks."""
        return self._outline.input_width(*_TAKES) or self._outline.output_width(*_GIVES)

    @cached_property
    def double(self) -> int:
        """How many double blocks there are, by the highest number that is named."""
        return max(self._outline.highest("double_blocks"), self._outline.highest("transformer_blocks")) + 1

    @cached_property
    def single(self) -> int:
        """How many single blocks there are, likewise."""
        return max(self._outline.highest("single_blocks"), self._outline.highest("single_transformer_blocks")) + 1

    @cached_property
    def twice(self) -> tuple[int | None, int | None]:
        """Widths of the stream and of the text in blocks that attend to each, as those of LTX, PixArt and Cosmos do."""
        outline = self._outline
        if outline.begins(*_JOINT) or not outline.begins("transformer_blocks.0.attn2."):
            return None, None
        stream = outline.square_width(*_QUERIES) or outline.output_width(*_STATES)
        return stream, outline.square_width(*_STATES)

    @cached_property
    def feed_forward(self) -> Build | None:
        """How the feed-forward is built, by the ratios of its widths."""
        for module, *ratios in _RATIOS:
            taken, given = self._outline.input_width(module), self._outline.output_width(module)
            if taken and given:
                for build, ratio in zip(_BUILDS, ratios, strict=False):
                    if given == taken * ratio:
                        return build
        return None


def read_blocks(outline: Outline) -> Blocks | None:
    """Measures of the transformer that a file holds or is about, or `None` if it is built otherwise."""
    return Blocks(outline) if outline.begins(*_STACKS) else None


def width_of_layers(outline: Outline) -> int | None:
    """Width of the stream in a network of Lumina's build, or `None` if it has none."""
    if not outline.begins(*_LAYERS):
        return None
    norm = outline.shape("layers.#.attention_norm1")  # it stays whole where matrices are packed
    return outline.input_width(*_TAKES_LAYER) or outline.output_width(*_GIVES_LAYER) or (norm[0] if norm else None)
