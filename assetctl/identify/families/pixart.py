"""PixArt Alpha and Sigma: 28 blocks that attend to themselves and to text, 1152 wide. Source: diffusers.

The smaller Sana is as wide, with a feed-forward of inverted convolutions; its attention alone looks the same.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, possible

#: Of its feed-forward, and of its modulation, which Sana has not.
_PLAIN = ("ff.net.", "mlp.fc1", "adaln_single.", "t_block.")
_BLOCKS = 28


def _match(features: Features) -> Match | None:
    outline, blocks = features.outline, features.blocks
    if not features.transformer:
        return None
    width = blocks.twice[0] if blocks else outline.input_width("cross_attn.kv_linear")
    if width != 1152 or outline.has("inverted_conv", "conv_inverted"):
        return None
    detail = "its blocks attend twice, 1152 wide"
    as_many = _BLOCKS - 1 in (outline.highest("transformer_blocks"), outline.highest("blocks"))
    return (
        certain(outline.has(*_PLAIN), f"{detail}, before a plain feed-forward")
        or likely(as_many, f"{detail}, and are as many as PixArt's")
        or possible(True, detail)
    )


FAMILY = Family(
    "pixart",
    _match,
    said=r"pixart",
    classes=("PixArtTransformer2DModel",),
    prediction="epsilon",
    contract=(
        "Blocks that attend twice, 1152 wide, before a plain feed-forward or with its modulation: certain. "
        "The attention of 28 blocks alone: likely, of fewer: shared."
    ),
    latent_channels=4,
)
