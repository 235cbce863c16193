"""AuraFlow, which Pony V7 is built on: double and single layers, 3072 wide. Source: fal/AuraFlow."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, possible

#: Of single blocks in FLUX.1 and FLUX.2.
_OTHER = ("proj_mlp.", "proj_out.", "norm.linear.", "attn.to_qkv_mlp_proj")
_LAYERS = ("double_layers.", "single_layers.", "joint_transformer_blocks.")


def _match(features: Features) -> Match | None:
    if not features.transformer:
        return None
    if features.outline.begins(*_LAYERS):
        return certain(True, "it is built of AuraFlow's layers")
    blocks = features.blocks
    if blocks is None or not features.outline.begins("single_transformer_blocks.0.attn."):
        return None
    if features.kind != "lora" or features.outline.has(*_OTHER):
        return None
    fits = blocks.width == 3072 and not blocks.double and blocks.single <= 32
    return possible(fits, "it changes no more than 32 single blocks 3072 wide, and only their attention")


FAMILY = Family(
    "auraflow",
    _match,
    said=r"aura[-_ ]?flow|pony.*v7",
    classes=("AuraFlowTransformer2DModel",),
    prediction="flow",
    lineages=((r"pony.*v7", "Pony V7"), (r"aura", "AuraFlow")),
    contract="Double and single layers by name: certain. The attention of single layers alone: shared with FLUX.1.",
    latent_channels=4,
)
