"""Qwen-Image: 60 transformer blocks, 3072 wide, a stream each for picture and text. Source: QwenLM/Qwen-Image."""

from __future__ import annotations

from assetctl.identify.features import WHOLE, Family, Measure, Sign
from assetctl.identify.signs import DOUBLE, LATENT, NO, SINGLE, UNET, VOLUMETRIC, WIDTH, YES, given, taken

_OWN = tuple(
    f"^{stack}.0.{part}."
    for stack in ("transformer_blocks", "control_blocks")
    for part in ("img_mlp.net", "txt_mlp.net", "img_mod.1", "txt_mod.1")
)
_INTO = taken(
    *(f"{stack}.#.{part}" for stack in ("transformer_blocks", "control_blocks")
      for part in ("img_mlp.net.0.proj", "txt_mlp.net.0.proj", "img_mod.1", "txt_mod.1", "attn.to_q", "attn.to_k"))
)  # fmt: skip
_OUT = given(
    *(f"{stack}.#.{side}_mlp.net.2" for stack in ("transformer_blocks", "control_blocks") for side in ("img", "txt"))
)
_JOINT = ("^transformer_blocks.0.attn.to_", "^transformer_blocks.0.attn.add_")
_OTHER = (
    "^single_transformer_blocks.", "ff.net.", "ff_context.", "norm1.linear.", "attn.to_gate", "ff.linear_1.",
    "ff.linear_in.", "^transformer_blocks.0.attn2.", "^context_embedder.",
)  # fmt: skip

#: Most double blocks of any other family that is as wide and names its attention alike.
_MOST_OF_OTHERS = 20

#: Blocks of Mage-Flow, which is as wide and named alike, and is told other text: its norm shows how wide.
_MAGE = 12
_TEXT = Measure(
    "width of its text",
    lambda features: (features.outline.shape("txt_norm") or (features.outline.input_width("txt_in"),))[0],
)

#: Whether names begin as Qwen-Image's trainers write them.
_BARE = Measure("bare names", lambda features: features.outline.prefixed("transformer_blocks."))
_JOINT_ONLY = {UNET: NO, WIDTH: (3072,), SINGLE: (0,)}

_SIGNS = (
    Sign("possible", "its latents have 16 channels and a time axis", ("vae",),
         measures={LATENT: (16,), VOLUMETRIC: YES}),
    Sign("certain", "its blocks, 3072 wide, have feed-forwards for picture and text", WHOLE, (_OWN,),
         measures={UNET: NO, _INTO: (3072,), _TEXT: (None, 3584)}),
    Sign("certain", "its blocks, 3072 wide, have feed-forwards for picture and text", WHOLE, (_OWN,),
         measures={UNET: NO, _INTO: (None,), _OUT: (3072,), _TEXT: (None, 3584)}),
    Sign("certain", "it has more than 12 blocks, 3072 wide, with feed-forwards for both streams", ("lora",), (_OWN,),
         measures={UNET: NO, _INTO: (3072,), _TEXT: (None, 3584), DOUBLE: range(_MAGE + 1, 61)}),
    Sign("likely", "its blocks, 3072 wide, have feed-forwards for picture and text", ("lora",), (_OWN,),
         measures={UNET: NO, _INTO: (None, 3072), _OUT: (None, 3072), _TEXT: (None, 3584)}),
    Sign("likely", "its blocks have feed-forwards for picture and text", WHOLE, (_OWN,),
         measures={UNET: NO, _INTO: (None,), _TEXT: (None, 3584)}),
    Sign("certain", "it has more blocks 3072 wide than any other family", needs=(_JOINT,), lacks=_OTHER,
         measures=_JOINT_ONLY | {DOUBLE: range(_MOST_OF_OTHERS + 1, 61)}),
    Sign("likely", "it changes only joint blocks 3072 wide, and names them as Qwen-Image's trainers do", ("lora",),
         (_JOINT,), (*_OTHER, "lora_A."), _JOINT_ONLY | {_BARE: YES}),
    Sign("possible", "it changes only joint blocks 3072 wide", needs=(_JOINT,), lacks=_OTHER, measures=_JOINT_ONLY),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = (
    "transformer_blocks.#.attn.to_", "transformer_blocks.#.attn.add_", "transformer_blocks.#.attn.norm",
    *(f"transformer_blocks.#.{side}_{part}" for side in ("img", "txt") for part in ("mlp.net", "mod", "norm")),
    "controlnet_", "control_blocks.",
)  # fmt: skip


FAMILY = Family(
    "qwen-image",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"qwen[-_ ]?image",
    classes=("QwenImageTransformer2DModel", "QwenImageControlNetModel"),
    prediction="flow",
    lineages=((r"qwen", "Qwen"),),
    contract=(
        "Feed-forwards or modulation for picture and text, 3072 wide, in a network told text 3584 wide or in a LoRA of "
        "more than 12 blocks, or more than 20 joint blocks 3072 wide: certain. A LoRA of fewer: likely, as Mage-Flow "
        "has such. Attention of fewer: likely or shared, by how it is named."
    ),
    latents="wan",
    latent_channels=16,
)
