"""Image encoders: what looks at pictures for another network, as IP-Adapters need it: CLIP's half, SigLIP's, DINOv2."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

#: The half of CLIP or SigLIP that looks at pictures, in the names of transformers, open_clip and llama.cpp.
_HALF = (
    "vision_model.", "visual.conv1.", "visual.transformer.", "visual.trunk.", "visual.patch_embed", "v.patch_embd.",
)  # fmt: skip

#: Vision transformers alone, as transformers names them from their roots.
_ALONE = ("embeddings.patch_embeddings.", "embeddings.patch_embedding.")
_LAYERS = ("encoder.layer.0.", "encoder.layers.0.", "layer.0.", "layers.0.", "model.layer.0.")

#: What makes something else of what was seen: classes, boxes, masks, depths, words.
_HEADS = (
    "classifier.", "neck.", "head.weight", "decoder.", "text_decoder.", "qformer.", "bbox_predictor.", "bbox_embed.",
    "class_labels_classifier.", "class_head.", "box_head.", "git.", "model.decoder.", "mask_decoder.", "concept_embeds",
)  # fmt: skip


def _marks(outline: Outline) -> str | None:
    if outline.begins(*_HEADS):
        return None
    if outline.begins(*_ALONE) and outline.begins(*_LAYERS):
        return "it is a vision transformer such as DINOv2"
    return "it is the picture half of a CLIP or SigLIP" if outline.has(*_HALF) else None


def _read(outline: Outline) -> Features:
    return Features("image-encoder", "openclip" if outline.begins("visual.") else "transformers", outline)


KIND = Kind("image-encoder", _marks, _read)
