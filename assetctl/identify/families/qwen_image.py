"""Qwen-Image: 60 transformer blocks, 3072 wide, a stream each for picture and text. Source: QwenLM/Qwen-Image."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, possible

_OWN = tuple(
    f"{stack}.0.{part}."
    for stack in ("transformer_blocks", "control_blocks")
    for part in ("img_mlp", "txt_mlp", "img_mod", "txt_mod")
)
_OTHER = ("single_transformer_blocks.", "ff.net.", "ff_context.", "norm1.linear", "attn.to_gate", "ff.linear")

#: Most double blocks of any other family that is as wide and names its attention alike.
_MOST_OF_OTHERS = 20


def _match(features: Features) -> Match | None:
    outline = features.outline
    if features.latent is not None:
        return possible(features.latent == 16 and features.volumetric, "its latents have 16 channels and a time axis")
    if not features.transformer or not outline.begins("transformer_blocks.", "control_blocks."):
        return None
    if outline.begins(*_OWN):
        return certain(True, "its blocks have feed-forwards for picture and text")
    if features.blocks is None or features.blocks.width != 3072 or outline.has(*_OTHER):
        return None
    many = features.blocks.double > _MOST_OF_OTHERS
    bare = outline.prefixed("transformer_blocks.", "lora_unet_transformer_blocks.") and not outline.has("lora_A")
    return (
        certain(many, "it has more blocks 3072 wide than any other family")
        or likely(bare, "it changes only joint blocks 3072 wide, and names them as Qwen-Image's trainers do")
        or possible(True, "it changes only joint blocks 3072 wide")
    )


FAMILY = Family(
    "qwen-image",
    _match,
    said=r"qwen[-_ ]?image",
    classes=("QwenImageTransformer2DModel", "QwenImageControlNetModel"),
    prediction="flow",
    lineages=((r"qwen", "Qwen"),),
    contract=(
        "Feed-forwards for picture and text, or more than 20 joint blocks 3072 wide: certain. "
        "Attention of fewer: likely or shared, by how it is named."
    ),
    latent_channels=16,
)
