"""Kolors: SDXL's UNet, told the prompt by ChatGLM through a projection of 4096 features. Source: Kwai-Kolors/Kolors."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, read_by_kolors


def _match(features: Features) -> Match | None:
    if features.unet is None or features.unet.context != 2048 or not read_by_kolors(features):
        return None
    return likely(features.kind == "ip-adapter", "its resampler of pictures is 2048 wide") or certain(
        True, "it projects its text states"
    )


FAMILY = Family(
    "kolors",
    _match,
    said=r"kolors",
    lineages=((r"kolors", "Kolors"),),
    contract=(
        "Text of width 2048 behind a projection of text states: certain. An IP-Adapter whose resampler is 2048 wide: "
        "likely."
    ),
    latent_channels=4,
)
