"""Krea 2: blocks with gated attention, 6144 wide, that read a fusion of text layers. Source: diffusers."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import DOUBLE, NO, SINGLE, UNET, WIDTH, taken

_GATES = ("^blocks.0.attn.gate.", "^transformer_blocks.0.attn.to_gate.")
_FUSION = ("^txtfusion.", "^text_fusion.")
_INTO_GATE = taken("blocks.#.attn.gate", "transformer_blocks.#.attn.to_gate")
_INTO = taken("blocks.#.attn.wq", "blocks.#.attn.wk", "blocks.#.attn.wv", "blocks.#.attn.wo")
_INTO_FUSION = taken(
    *(f"{fusion}.{stack}.0.attn.{part}" for fusion in ("txtfusion", "text_fusion")
      for stack in ("layerwise_blocks", "refiner_blocks")
      for part in ("gate", "to_gate", "wq", "wk", "wv", "wo", "to_q", "to_k", "to_v"))
)  # fmt: skip

#: FLUX.2 names its double blocks alike and is as wide, but has only 8 of them.
_MOST_OF_OTHERS = 8

_SIGNS = (
    Sign("certain", "it gates its attention, 6144 wide", needs=(_GATES,),
         measures={UNET: NO, _INTO_GATE: (6144,), WIDTH: (6144, None)}),
    Sign("certain", "it fuses layers of its text encoder, 2560 wide", needs=(_FUSION,),
         measures={UNET: NO, _INTO_FUSION: (2560,), WIDTH: (6144, None)}),
    Sign("certain", "its blocks are 6144 wide", needs=(("^blocks.0.attn.w",),), measures={UNET: NO, _INTO: (6144,)}),
    Sign("certain", "it has more transformer blocks 6144 wide than any other family",
         needs=(("^transformer_blocks.0.attn.",),),
         measures={UNET: NO, WIDTH: (6144,), SINGLE: (0,), DOUBLE: range(_MOST_OF_OTHERS + 1, 29)}),
    Sign("likely", "it fuses layers of its text encoder", needs=(_FUSION,), measures={UNET: NO, _INTO_FUSION: (None,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "blocks.#.attn.", "blocks.#.mlp.", "blocks.#.mod.", "blocks.#.prenorm", "blocks.#.postnorm", "txtfusion.",
    "text_fusion.", "transformer_blocks.#.attn.", "transformer_blocks.#.norm",
    *(f"transformer_blocks.#.ff.{part}." for part in ("gate", "up", "down")),
    "transformer_blocks.#.scale_shift_table",
)  # fmt: skip


FAMILY = Family(
    "krea2",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"krea[-_ ]?2",
    classes=("Krea2Transformer2DModel",),
    prediction="flow",
    contract=(
        "Gated attention 6144 wide, a fusion of text layers 2560 wide, or more than eight transformer blocks 6144 "
        "wide: certain."
    ),
    latents="wan",  # by way of Qwen-Image's VAE
    latent_channels=16,
)
