"""Krea 2: blocks with gated attention, 6144 wide, that read a fusion of text layers. Source: diffusers."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain

_GATES = ("blocks.0.attn.gate.", "transformer_blocks.0.attn.to_gate.")

#: FLUX.2 names its double blocks alike and is as wide, but has only 8 of them.
_MOST_OF_OTHERS = 8


def _many_wide(features: Features) -> bool:
    blocks = features.blocks
    return blocks is not None and blocks.single == 0 and blocks.double > _MOST_OF_OTHERS and blocks.width == 6144


def _match(features: Features) -> Match | None:
    outline = features.outline
    return (
        certain(
            features.transformer and (outline.begins("txtfusion.", "text_fusion.") or outline.begins(*_GATES)),
            "it gates its attention, or fuses layers of its text encoder",
        )
        or certain(
            features.transformer
            and outline.begins("blocks.0.attn.w")
            and outline.input_width("attn.wq", "attn.wk", "attn.wv", "attn.wo") == 6144,
            "its blocks are 6144 wide",
        )
        or certain(
            features.transformer and _many_wide(features),
            "it has more transformer blocks 6144 wide than any other family",
        )
    )


FAMILY = Family(
    "krea2",
    _match,
    said=r"krea[-_ ]?2",
    classes=("Krea2Transformer2DModel",),
    prediction="flow",
    contract=("Gated attention, a fusion of text layers, or more than eight transformer blocks 6144 wide: certain."),
)
