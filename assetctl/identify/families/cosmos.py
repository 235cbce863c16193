"""Cosmos-Predict2 and what is built on it, such as Anima. Source: nvidia-cosmos/cosmos-predict2, diffusers."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely

_OWN = (
    *(f"blocks.0.{which}.{part}_proj." for which in ("cross_attn", "self_attn") for part in ("q", "k", "v", "output")),
    "blocks.0.adaln_modulation_",
)

#: How wide the stream is in its models.
_WIDTHS = (2048, 4096, 5120)


def _match(features: Features) -> Match | None:
    if not features.transformer:
        return None
    if features.outline.begins(*_OWN):
        return certain(True, "its blocks are Cosmos's")
    width, text = features.blocks.twice if features.blocks else (None, None)
    return likely(text == 1024 and width in _WIDTHS, "its blocks attend twice, to text 1024 wide")


FAMILY = Family(
    "cosmos",
    _match,
    said=r"cosmos|anima(?:$|[^a-z])",
    classes=("CosmosTransformer3DModel",),
    contract=(
        "Blocks that attend by `q_proj`, or are modulated by `adaln_modulation`: certain. Blocks 2048, 4096 or 5120 "
        "wide that attend twice, to text 1024 wide: likely."
    ),
)
