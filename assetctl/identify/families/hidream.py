"""HiDream-I1: double and single stream blocks with experts. Source: HiDream-ai/HiDream-I1."""

from __future__ import annotations

from assetctl.identify.features import Family, Features, Match, certain, likely

_BLOCKS = ("double_stream_blocks.", "single_stream_blocks.")


def _match(features: Features) -> Match | None:
    if features.vectors:
        return likely("llama" in features.vectors, "one of its vectors is for Llama")
    return certain(features.transformer and features.outline.begins(*_BLOCKS), "it is built of HiDream's stream blocks")


FAMILY = Family(
    "hidream",
    _match,
    said=r"hi-?dream",
    classes=("HiDreamImageTransformer2DModel",),
    prediction="flow",
    contract="Double and single stream blocks by name: certain. An embedding with a vector for Llama: likely.",
    latent_channels=16,
)
