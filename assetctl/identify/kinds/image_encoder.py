"""Image encoders: the half of CLIP and SigLIP that looks at pictures, as IP-Adapters need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline


def _marks(outline: Outline) -> str | None:
    sees = outline.has("vision_model.", "visual.conv1", "visual.transformer.", "visual.trunk")
    if outline.has("patch_embeddings.projection"):
        return "it is a vision transformer such as DINOv2"
    return "it is the picture half of a CLIP or SigLIP" if sees else None


def _read(outline: Outline) -> Features:
    return Features("image-encoder", "openclip" if outline.has("visual.") else "transformers", outline)


KIND = Kind("image-encoder", _marks, _read)
