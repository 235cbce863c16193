"""Text encoders alone: CLIP, OpenCLIP, T5, and the language models of newer families. Families share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline


def _marks(outline: Outline) -> str | None:
    if outline.has("text_model.encoder.layers", "text_model.embeddings"):
        return "it is a CLIP text encoder"
    if outline.has("block.0.layer.0.SelfAttention", "enc.blk.0.attn_q.weight"):  # the latter is llama.cpp's name
        return "it is a T5 text encoder"
    if outline.has("resblocks.0.attn") and outline.has("token_embedding"):
        return "it is an OpenCLIP text encoder"
    names = (("layers.0.self_attn.q_proj", "embed_tokens"), ("blk.0.attn_q.weight", "token_embd.weight"))
    if any(outline.has_all(*both) for both in names):
        return "it is a language model"
    if outline.has_all("blocks.0.pos_embedding", "token_embedding") or outline.has_all("query_key_value", "word_emb"):
        return "it is a text encoder of Wan or Kolors"
    return None


def _read(outline: Outline) -> Features:
    return Features("text-encoder", "openclip" if outline.has("resblocks.") else "transformers", outline)


KIND = Kind("text-encoder", _marks, _read, over=("image-encoder",))
