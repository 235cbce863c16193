"""LTX-Video: blocks that attend to themselves and to text, 2048 or 4096 wide. Source: Lightricks/LTX-Video."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely

_QUERIES = tuple(f"transformer_blocks.#.attn{which}.to_{part}" for which in (1, 2) for part in "qkv")


def _match(features: Features) -> Match | None:
    outline = features.outline
    if features.latent is not None:
        return certain(features.latent == 128 and features.volumetric, "its latents have 128 channels and a time axis")
    if not features.transformer:
        return None
    twice = outline.begins("transformer_blocks.0.attn1.to_", "transformer_blocks.0.attn2.to_")
    return certain(outline.begins("patchify_proj."), "it projects patches of latents") or likely(
        twice and outline.input_width(*_QUERIES) in (2048, 4096), "its blocks attend twice, 2048 or 4096 wide"
    )


FAMILY = Family(
    "ltx",
    _match,
    said=r"\bltx",
    classes=("LTXVideoTransformer3DModel",),
    prediction="flow",
    contract=(
        "A projection of patches, or a VAE of 128 channels over time: certain. Blocks that attend "
        "twice, 2048 or 4096 wide: likely."
    ),
)
