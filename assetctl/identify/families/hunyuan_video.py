"""HunyuanVideo: 20 double and 40 single blocks, 3072 wide, named much like FLUX.1's. Source: Tencent/HunyuanVideo.

HunyuanVideo 1.5 is 2048 wide. HunyuanImage names its blocks alike, and is 3584 wide.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain

_OWN = (
    "double_blocks.0.img_mlp.fc1", "double_blocks.0.txt_mlp.fc1", "double_blocks.0.img_mod.linear.",
    "single_blocks.0.modulation.linear.", "txt_in.individual_token_refiner", "context_embedder.token_refiner",
)  # fmt: skip
_BLOCKS = ("double_blocks.", "single_transformer_blocks.")
_WIDTHS = (3072, 2048)
_ATTENTION = ("img_attn_qkv", "txt_attn_qkv", "img_mlp.fc1", "txt_mlp.fc1")
_AURAFLOW = ("joint_transformer_blocks.", "ff.linear_1")


def _match(features: Features) -> Match | None:
    outline = features.outline
    if not features.transformer:
        return None
    blocks = features.blocks
    if outline.has(*_OWN):
        width = (blocks.width if blocks else None) or outline.input_width(*_ATTENTION)
        return certain(width is None or width in _WIDTHS, "its blocks and token refiner are HunyuanVideo's")
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
    contract=(
        "A token refiner or `fc1` in double blocks, 3072 or 2048 wide if it shows, or 20 double or 40 single blocks "
        "3072 wide: certain."
    ),
    latent_channels=16,
)
