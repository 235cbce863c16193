"""Stable Cascade (Würstchen 3). Source: Stability-AI/StableCascade."""

from __future__ import annotations

from assetctl.identify.features import Family, Sign
from assetctl.identify.signs import given, taken

_MAPPERS = ("^clip_txt_mapper.", "^clip_txt_pooled_mapper.", "^clip_mapper.", "^effnet_mapper.")
_MIXING = ("^down_blocks.0.0.channelwise.", "^up_blocks.0.0.channelwise.")

#: Attention in blocks of blocks.
_ATTENTION = ("^down_blocks.0.0.attention.", "^up_blocks.0.0.attention.")
_INTO = taken(
    *(f"attention.{part}" for part in ("attn.to_q", "attn.to_k", "attn.to_v", "attn.out_proj", "to_q", "to_k", "to_v")),
)

_TEXT = taken("clip_txt_pooled_mapper", "clip_txt_mapper", "clip_mapper")
_MIXED = given("channelwise.4", alike=False)

#: Of Würstchen 2, which is told pictures at several depths.
_OTHER = ("^effnet_mappers.",)

_SIGNS = (
    Sign("certain", "it has Stable Cascade's mappers of CLIP, 1280 wide", needs=(_MAPPERS,), lacks=_OTHER,
         measures={_TEXT: (1280,)}),
    Sign("certain", "its blocks mix channel by channel as Stable Cascade's do", needs=(_MIXING,), lacks=_OTHER,
         measures={_MIXED: (320, 640, 1280, 1536, 2048)}),
    Sign("certain", "its blocks of blocks attend, as wide as Stable Cascade's", needs=(_ATTENTION,), lacks=_OTHER,
         measures={_INTO: (576, 640, 1152, 1280, 1536, 2048)}),
    Sign("likely", "it has mappers of CLIP or EfficientNet", needs=(_MAPPERS,), lacks=_OTHER,
         measures={_TEXT: (None,)}),
    Sign("likely", "its blocks mix channel by channel", needs=(_MIXING,), lacks=_OTHER,
         measures={_MIXED: (None,)}),
)  # fmt: skip

#: How its networks' blocks begin.
_STACKS = ("down_blocks.#.#", "up_blocks.#.#")


FAMILY = Family(
    "stable-cascade",
    signs=_SIGNS,
    stacks=_STACKS,
    said=r"stable-cascade",
    classes=("StableCascadeUNet",),
    contract=(
        "Mappers of CLIP, 1280 wide, or channel-wise blocks or attention in blocks of blocks as wide as its own: "
        "certain."
    ),
)
