"""HunyuanVideo: 20 double and 40 single blocks, 3072 wide, named much like FLUX.1's. Source: Tencent/HunyuanVideo."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain

_OWN = (
    "double_blocks.0.img_mlp.fc1", "double_blocks.0.txt_mlp.fc1", "double_blocks.0.img_mod.linear.",
    "single_blocks.0.modulation.linear.", "txt_in.individual_token_refiner", "context_embedder.token_refiner",
)  # fmt: skip
_BLOCKS = ("double_blocks.", "single_transformer_blocks.")
_AURAFLOW = ("joint_transformer_blocks.", "ff.linear_1")


def _match(features: Features) -> Match | None:
    outline = features.outline
    if not features.transformer:
        return None
    if outline.has(*_OWN):
        return certain(True, "its blocks and token refiner are HunyuanVideo's")
    blocks = features.blocks
    if blocks is None or blocks.width != 3072 or not outline.begins(*_BLOCKS) or outline.has(*_AURAFLOW):
        return None
    as_many = blocks.single == 40 if blocks.single else blocks.double == 20
    return certain(as_many, "it has 20 double or 40 single blocks, 3072 wide")


FAMILY = Family(
    "hunyuan-video",
    _match,
    said=r"hunyuan[-_ ]?video",
    classes=("HunyuanVideoTransformer3DModel",),
    prediction="flow",
    lineages=((r"hunyuan", "Hunyuan Video"),),
    contract=("A token refiner or `fc1` in double blocks, or 20 double or 40 single blocks 3072 wide: certain."),
)
