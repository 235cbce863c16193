"""Sana: linear attention, with text attended to by one projection for keys and values. Source: NVlabs/Sana."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, possible


def _match(features: Features) -> Match | None:
    outline = features.outline
    if not features.transformer:
        return None
    if outline.has("ff.conv_inverted", "mlp.inverted_conv"):
        return certain(True, "its feed-forward is an inverted convolution")
    width = features.blocks.twice[0] if features.blocks else None
    return likely(width == 2240, "its blocks attend twice, 2240 wide") or possible(
        width == 1152 and not outline.has("ff.net.", "adaln_single."), "its blocks attend twice, 1152 wide"
    )


FAMILY = Family(
    "sana",
    _match,
    said=r"\bsana",
    classes=("SanaTransformer2DModel",),
    prediction="flow",
    contract=(
        "Inverted convolutions as feed-forward: certain. Attention alone: likely if 2240 wide, shared with PixArt if "
        "1152 wide."
    ),
    latent_channels=32,
)
