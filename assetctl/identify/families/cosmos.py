"""Cosmos-Predict2 and what is built on it, such as Anima. Source: nvidia-cosmos/cosmos-predict2, diffusers."""

from __future__ import annotations

from assetctl.identify.features import WHOLE, Family, Sign
from assetctl.identify.signs import NO, STREAM, TEXT, UNET, taken

_OWN = (
    *(f"^blocks.0.{which}.{part}_proj." for which in ("cross_attn", "self_attn") for part in ("q", "k", "v", "output")),
    *(f"^blocks.0.adaln_modulation_{part}." for part in ("cross_attn", "self_attn", "mlp")),
)  # fmt: skip
#: Cosmos 1, whose blocks are each three in one.
_FIRST = ("^blocks.block0.blocks.0.",)

#: How wide the stream is in its models.
_WIDTHS = (2048, 4096, 5120)

_INTO = taken(
    "blocks.#.self_attn.q_proj", "blocks.#.self_attn.k_proj", "blocks.#.self_attn.v_proj", "blocks.#.cross_attn.q_proj",
    "blocks.#.mlp.layer1", "blocks.#.adaln_modulation_mlp.1", "blocks.#.adaln_modulation_self_attn.1",
    "blocks.#.adaln_modulation_cross_attn.1",
)  # fmt: skip
_INTO_FIRST = taken(
    "blocks.block0.blocks.0.block.attn.to_q.0", "blocks.block0.blocks.0.block.attn.to_k.0",
    "blocks.block0.blocks.0.block.attn.to_v.0", "blocks.block0.blocks.1.block.attn.to_q.0",
    "blocks.block0.blocks.2.block.layer1",
)  # fmt: skip

_SIGNS = (
    Sign("certain", "its blocks are Cosmos's, and as wide", needs=(_OWN,), measures={UNET: NO, _INTO: _WIDTHS}),
    Sign("likely", "it names its blocks as Cosmos does", needs=(_OWN,), lacks=("attn.o_proj.",),
         measures={UNET: NO, _INTO: range(2048, 2**20)}),
    Sign("likely", "it names its blocks as Cosmos does", WHOLE, (_OWN,), ("attn.o_proj.",), {UNET: NO, _INTO: (None,)}),
    Sign("certain", "its blocks are Cosmos 1's", needs=(_FIRST,), measures={UNET: NO, _INTO_FIRST: _WIDTHS}),
    Sign(
        "certain",
        "its blocks attend twice, to text 1024 wide, and are modulated as Cosmos's are",
        needs=(("^transformer_blocks.0.norm1.linear_1.", "^transformer_blocks.0.norm2.linear_1."),),
        measures={UNET: NO, STREAM: _WIDTHS, TEXT: (1024,)},
    ),
    Sign("likely", "its blocks attend twice, to text 1024 wide", measures={UNET: NO, STREAM: _WIDTHS, TEXT: (1024,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "blocks.#.adaln_modulation_", "blocks.#.cross_attn.", "blocks.#.self_attn.", "blocks.#.mlp.", "blocks.block",
    "llm_adapter.", "control_blocks.", "transformer_blocks.#.attn1.", "transformer_blocks.#.attn2.",
    "transformer_blocks.#.ff.net", "transformer_blocks.#.norm",
)  # fmt: skip


FAMILY = Family(
    "cosmos",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"cosmos|anima(?:$|[^a-z])",
    classes=("CosmosTransformer3DModel",),
    contract=(
        "Blocks that attend by `q_proj`, or are modulated by `adaln_modulation`, and 2048, 4096 or 5120 wide; "
        "Cosmos 1's three in one: certain. Blocks as wide that attend twice, to text 1024 wide: certain beside "
        "Cosmos's modulation, else likely."
    ),
    other_latents=("wan",),  # of Cosmos-Predict2, and of what is built on it
    latent_channels=16,
)
