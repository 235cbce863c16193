"""AuraFlow, which Pony V7 is built on: double and single layers, 3072 wide. Source: fal/AuraFlow."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain

_LAYERS = ("double_layers.", "single_layers.", "joint_transformer_blocks.")


def _match(features: Features) -> Match | None:
    return certain(features.transformer and features.outline.begins(*_LAYERS), "it is built of AuraFlow's layers")


FAMILY = Family(
    "auraflow",
    _match,
    said=r"aura[-_ ]?flow|pony.*v7",
    classes=("AuraFlowTransformer2DModel",),
    prediction="flow",
    lineages=((r"pony.*v7", "Pony V7"), (r"aura", "AuraFlow")),
    contract="Double and single layers by name: certain.",
)
