"""PixArt Alpha and Sigma: blocks that attend to themselves and to text, 1152 wide. Source: diffusers."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain

_QUERIES = tuple(f"transformer_blocks.#.attn{which}.to_{part}" for which in (1, 2) for part in "qkv")


def _match(features: Features) -> Match | None:
    outline = features.outline
    if not features.transformer or not outline.begins("transformer_blocks.0.attn", "blocks.0.cross_attn.kv_linear"):
        return None
    return certain(outline.input_width(*_QUERIES) == 1152, "its blocks attend twice, 1152 wide") or certain(
        outline.input_width("cross_attn.kv_linear") == 1152, "its cross-attention is 1152 wide"
    )


FAMILY = Family(
    "pixart",
    _match,
    said=r"pixart",
    classes=("PixArtTransformer2DModel",),
    prediction="epsilon",
    contract="Blocks that attend twice, 1152 wide: certain.",
)
