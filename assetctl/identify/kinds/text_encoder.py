"""Text encoders alone: CLIP, OpenCLIP, T5, and the language models of newer families. Families share them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_CLIP = ("text_model.encoder.layers.", "text_model.embeddings.")
_T5 = ("block.0.layer.0.SelfAttention.", "enc.blk.0.attn_q.weight")  # the latter is llama.cpp's name

#: Modules of language models that occur together, in the names of transformers and of llama.cpp.
_MODELS = (
    ("layers.0.self_attn.q_proj.", "embed_tokens."), ("layers.0.self_attn.qkv_proj.", "embed_tokens."),
    ("blk.0.attn_q.weight", "token_embd.weight"), ("blk.0.attn_qkv.weight", "token_embd.weight"),
)  # fmt: skip

#: Others: CLIP's half and BERT as they begin at their roots, umT5 as Wan's authors name it, ChatGLM.
_TOGETHER = (
    (("embeddings.token_embedding.", "encoder.layers.0.self_attn.q_proj."), "it is a CLIP text encoder"),
    (("resblocks.0.attn.", "token_embedding."), "it is an OpenCLIP text encoder"),
    (("blocks.0.pos_embedding.", "token_embedding."), "it is a text encoder of Wan"),
    (("self_attention.query_key_value.", "word_embeddings."), "it is a text encoder of Kolors"),
    (("encoder.layers.0.mixer.Wqkv.", "embeddings.word_embeddings."), "it is the text half of a Jina CLIP"),
    (("encoder.layers.0.pre_self_attn_layernorm.", "encoder.layers.0.self_attn.q_proj."), "it is a T5Gemma"),
)
_BERT = (
    "embeddings.word_embeddings.", "bert.embeddings.word_embeddings.", "roberta.embeddings.word_embeddings.",
    "transformer.embeddings.word_embeddings.",
)  # fmt: skip

#: What speaks, hears, sorts or finds with such parts: it attends to what an encoder says, or ends in a head.
_OTHERS = ("encoder_attn.", "classifier.", "class_head.", "box_head.", "bbox_embed.", "film_mul.")

#: A language model is all decoder, and does not say so; what does answers to an encoder.
_SPEAKER = "decoder.embed_tokens."


def _marks(outline: Outline) -> str | None:
    if outline.has(*_OTHERS):
        return None
    if outline.has(*_CLIP):
        return "it is a CLIP text encoder"
    if outline.has(*_T5):
        return "it is a T5 text encoder"
    if any(all(map(outline.has, names)) for names in _MODELS) and not outline.has(_SPEAKER):
        return "it is a language model"
    if outline.begins(*_BERT) and outline.has("encoder.layer.0.attention.self.query."):
        return "it is a BERT"
    return next((mark for names, mark in _TOGETHER if all(map(outline.has, names))), None)


def _read(outline: Outline) -> Features:
    return Features("text-encoder", "openclip" if outline.has("resblocks.") else "transformers", outline)


KIND = Kind("text-encoder", _marks, _read, over=("image-encoder",))
