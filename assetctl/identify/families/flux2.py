"""FLUX.2 and its Klein models: blocks as in FLUX.1, but gated and with shared modulation.

Source: black-forest-labs/flux2.
"""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely, possible

_OWN = (
    "double_stream_modulation", "single_stream_modulation", "single_transformer_blocks.0.attn.to_qkv_mlp_proj",
    "ff_context.linear_in", "ff_context.linear_out",
)  # fmt: skip
_BLOCKS = ("double_blocks.", "single_blocks.", "single_transformer_blocks.")
_OTHER = ("img_mod.", "txt_mod.", "modulation.lin", "norm.linear", "norm1.linear", "img_mlp.fc1", "proj_mlp", "ff.net")

#: Attention of joint blocks to text, as diffusers names it.
_JOINT = tuple(f"transformer_blocks.0.attn.{part}" for part in ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"))


def _match(features: Features) -> Match | None:
    outline = features.outline
    if features.latent is not None:
        return certain(features.latent == 32 and outline.begins("bn."), "its latents have 32 normalised channels")
    if not features.transformer:
        return None
    if outline.begins("double_stream_modulation", "single_stream_modulation") or outline.has(*_OWN):
        return certain(True, "its blocks share their modulation, or fuse attention and feed-forward")
    blocks = features.blocks
    if blocks is not None and outline.begins(*_JOINT) and not outline.has(*_OTHER, "attn.to_gate"):
        fits = blocks.double <= 8 and not blocks.single and blocks.width in (4096, 6144)
        return likely(fits, f"it has no more than 8 joint blocks, {blocks.width} wide")
    if (
        blocks is None
        or not outline.begins(*_BLOCKS)
        or outline.has(*_OTHER)
        or blocks.feed_forward in ("plain", "wide")
    ):
        return None
    return (
        certain(blocks.feed_forward == "gated", "the feed-forward of its blocks is gated")
        or likely(blocks.width in (4096, 6144), f"its blocks are {blocks.width} wide")
        or possible(blocks.width == 3072 and blocks.double <= 5 and blocks.single <= 20, "its blocks are 3072 wide")
    )


FAMILY = Family(
    "flux2",
    _match,
    said=r"flux[-_. ]?2",
    classes=("Flux2Transformer2DModel",),
    prediction="flow",
    lineages=(
        (r"klein.*9b", "Flux.2 Klein 9B"),
        (r"klein.*4b", "Flux.2 Klein 4B"),
        (r"flux[-_.]?2[-_. ]dev", "Flux.2 D"),
    ),
    contract=(
        "Shared modulation, or a gated feed-forward in double and single blocks: certain. Attention "
        "4096 or 6144 wide alone: likely."
    ),
    latent_channels=32,
)
