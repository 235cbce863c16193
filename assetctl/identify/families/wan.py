"""Wan 2.x, a video family: blocks of self-attention, cross-attention and a feed-forward. Source: Wan-Video/Wan2.1."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, possible

_ATTENTION = tuple(f"blocks.0.{attention}.{part}." for attention in ("self_attn", "cross_attn") for part in "qkvo")
_OTHER = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.output_proj", "attn.q_linear", "attn.kv_linear")


def _match(features: Features) -> Match | None:
    outline = features.outline
    if features.latent is not None:
        return certain(
            features.latent == 48 and features.volumetric, "its latents have 48 channels and a time axis"
        ) or (possible(features.latent == 16 and features.volumetric, "its latents have 16 channels and a time axis"))
    if not features.transformer or not outline.begins("blocks.", "vace_blocks."):
        return None
    attends = outline.begins(*_ATTENTION, "vace_blocks.") and not outline.has(*_OTHER)
    twice = outline.begins("blocks.0.ffn.") and outline.begins("blocks.0.attn1.to_", "blocks.0.attn2.to_")
    return certain(attends, "its blocks attend by q, k, v and o") or certain(twice, "its blocks attend twice")


FAMILY = Family(
    "wan",
    _match,
    said=r"\bwan[-_ ]?(?:video)?[-_ ]?2",
    classes=("WanTransformer3DModel", "WanVACETransformer3DModel"),
    prediction="flow",
)
