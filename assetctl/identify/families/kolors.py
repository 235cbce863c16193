"""Kolors: SDXL's UNet, told the prompt by ChatGLM through a projection of 4096 features. Source: Kwai-Kolors/Kolors."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain


def _match(features: Features) -> Match | None:
    projected = features.unet is not None and features.outline.begins("encoder_hid_proj.")
    return certain(projected and features.unet and features.unet.context == 2048, "it projects its text states")


FAMILY = Family(
    "kolors",
    _match,
    said=r"kolors",
    lineages=((r"kolors", "Kolors"),),
    contract="Text of width 2048 behind a projection of text states: certain.",
)
