"""Cosmos-Predict2 and what is built on it, such as Anima. Source: nvidia-cosmos/cosmos-predict2."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain

_OWN = ("blocks.0.cross_attn.q_proj", "blocks.0.self_attn.q_proj", "blocks.0.adaln_modulation_")


def _match(features: Features) -> Match | None:
    return certain(features.transformer and features.outline.begins(*_OWN), "its blocks are Cosmos's")


FAMILY = Family(
    "cosmos",
    _match,
    said=r"cosmos|anima(?:$|[^a-z])",
    classes=("CosmosTransformer3DModel",),
    contract="Blocks that attend by `q_proj`, or are modulated by `adaln_modulation`: certain.",
)
