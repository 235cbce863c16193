"""Wan 2.x, a video family: blocks of self-attention, cross-attention and a feed-forward. Source: Wan-Video/Wan2.1."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Family, Features, Match, certain, likely, possible

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_ATTENTION = tuple(f"blocks.0.{attention}.{part}." for attention in ("self_attn", "cross_attn") for part in "qkvo")
_OTHER = ("attn.q_proj", "attn.k_proj", "attn.v_proj", "attn.output_proj", "attn.q_linear", "attn.kv_linear")

_QUERIES = tuple(f"blocks.#.attn{which}.to_{part}" for which in (1, 2) for part in "qkv")

#: Widths of the stream and of the feed-forward in the models of 14, 5 and 1.3 billion weights.
_WIDTHS = (5120, 3072, 1536)
_FEED_FORWARD = (13824, 14336, 8960)


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
    return (
        certain(attends, "its blocks attend by q, k, v and o")
        or certain(twice, "its blocks attend twice")
        or _by_width(outline)
    )


def _by_width(outline: Outline) -> Match | None:
    """LoRAs of the attention alone, as diffusers names it, or of the feed-forward alone."""
    if outline.begins("blocks.0.attn1.to_", "blocks.0.attn2.to_"):
        return likely(outline.input_width(*_QUERIES) in _WIDTHS, "its blocks attend twice and are as wide as Wan's")
    inner = outline.output_width("ffn.0", "ffn.net.0.proj")
    return likely(outline.begins("blocks.0.ffn.") and inner in _FEED_FORWARD, "its feed-forward is as wide as Wan's")


FAMILY = Family(
    "wan",
    _match,
    said=r"\bwan[-_ ]?(?:video)?[-_ ]?2",
    classes=("WanTransformer3DModel", "WanVACETransformer3DModel"),
    prediction="flow",
    contract=(
        "Blocks that attend by q, k, v and o, or attend twice beside `ffn`: certain. Attention or "
        "feed-forward alone, as wide as a Wan: likely."
    ),
)
