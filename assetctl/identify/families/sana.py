"""Sana: linear attention, with text attended to by one projection for keys and values. Source: NVlabs/Sana."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain


def _match(features: Features) -> Match | None:
    outline = features.outline
    linear = features.transformer and outline.has("cross_attn.kv_linear", "ff.conv_inverted", "mlp.inverted_conv")
    return certain(
        linear and outline.has("conv_inverted", "inverted_conv"), "its feed-forward is an inverted convolution"
    )


FAMILY = Family(
    "sana",
    _match,
    said=r"\bsana",
    classes=("SanaTransformer2DModel",),
    prediction="flow",
    contract="Inverted convolutions as feed-forward: certain.",
)
