"""AuraFlow, which Pony V7 is built on: double and single layers, 3072 wide. Source: fal/AuraFlow."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import NO, SINGLE, UNET, WIDTH, taken

#: Of single blocks in FLUX.1 and FLUX.2.
_OTHER = ("proj_mlp.", "proj_out.", "norm.linear.", "attn.to_qkv_mlp_proj.")
_LAYERS = ("^double_layers.0.", "^single_layers.0.", "^joint_transformer_blocks.0.")

_INTO = taken(
    "joint_transformer_blocks.#.attn.to_q", "joint_transformer_blocks.#.attn.to_k",
    "joint_transformer_blocks.#.attn.to_v", "joint_transformer_blocks.#.attn.add_q_proj",
    "joint_transformer_blocks.#.attn.add_k_proj", "joint_transformer_blocks.#.ff.linear_1",
    "joint_transformer_blocks.#.ff_context.linear_1", "double_layers.#.attn.w1q", "double_layers.#.attn.w2q",
    "double_layers.#.mlpX.c_fc1", "double_layers.#.mlpC.c_fc1", "single_layers.#.attn.w1q", "single_layers.#.mlp.c_fc1",
)  # fmt: skip

_SIGNS = (
    Sign("certain", "its double or single layers are 3072 wide", needs=(_LAYERS,), measures={UNET: NO, _INTO: (3072,)}),
    Sign("likely", "it is built of AuraFlow's layers", needs=(_LAYERS,), measures={UNET: NO, _INTO: (None,)}),
    Sign(
        "possible",
        "it changes no more than 32 single blocks 3072 wide, and only their attention",
        ("lora",),
        needs=(("^single_transformer_blocks.0.attn.",),),
        lacks=(*_OTHER, "^transformer_blocks."),
        measures={UNET: NO, WIDTH: (3072,), SINGLE: range(33)},
    ),
)

#: How its networks' blocks begin.
_STACKS = ("double_layers.", "single_layers.", "joint_transformer_blocks.", "single_transformer_blocks.")


FAMILY = Family(
    "auraflow",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"aura[-_ ]?flow|pony.*v7",
    classes=("AuraFlowTransformer2DModel",),
    prediction="flow",
    lineages=((r"pony.*v7", "Pony V7"), (r"aura", "AuraFlow")),
    contract=(
        "Double or single layers by name, 3072 wide: certain. The attention of single layers alone: shared with FLUX.1."
    ),
    latents="sdxl",
    latent_channels=4,
)
