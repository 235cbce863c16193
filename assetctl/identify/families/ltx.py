"""LTX-Video: blocks that attend to themselves and to text, 2048 or 4096 wide. Source: Lightricks/LTX-Video.

Its text is projected to the width of the stream. Cosmos attends twice too, to text 1024 wide; CogView4 attends once.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, possible


def _match(features: Features) -> Match | None:
    outline = features.outline
    if features.latent is not None:
        return certain(features.latent == 128 and features.volumetric, "its latents have 128 channels and a time axis")
    if not features.transformer:
        return None
    if outline.begins("patchify_proj."):
        return certain(True, "it projects patches of latents")
    width, text = features.blocks.twice if features.blocks else (None, None)
    if width not in (2048, 4096):
        return None
    return likely(text == width, f"its blocks attend twice, to text as wide as they are, {width}") or possible(
        text is None, f"its blocks attend to themselves and are {width} wide"
    )


FAMILY = Family(
    "ltx",
    _match,
    said=r"\bltx",
    classes=("LTXVideoTransformer3DModel",),
    prediction="flow",
    contract=(
        "A projection of patches, or a VAE of 128 channels over time: certain. Blocks that attend "
        "twice, to themselves and to text 2048 or 4096 wide: likely."
    ),
    latent_channels=128,
)
