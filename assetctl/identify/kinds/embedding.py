"""Embeddings (textual inversions): a few learned vectors, each as wide as a text encoder's own token vectors.

Sources: AUTOMATIC1111/stable-diffusion-webui, kohya-ss/sd-scripts, diffusers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.files.safetensors import FLOATS, NUMBERS
from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from assetctl.identify.outline import Outline

#: Token widths of CLIP-L, of OpenCLIP-H, of OpenCLIP-G.
_CLIPS = frozenset({768, 1024, 1280})

#: Names of vectors for other encoders, which trainers fix, to their token widths: others so wide are cached prompts.
_WIDTHS = {"t5": {4096}, "t5xxl": {4096}, "llama": {4096}, "qwen": {2560, 3584}, "gemma": {2304}}

#: What a file of statistics holds, as wide as a token.
_STATISTICS = {"mean", "std"}

#: Vectors without a token of their own: they go by the file's name.
NAMELESS = frozenset({
    "emb_params", "clip_l", "clip_g", "t5", "t5xxl", "llama", "qwen", "gemma", "string_to_param.*", "*",
    "text_encoders_0", "text_encoders_1",
})  # fmt: skip

_MOST_TENSORS = 64

#: Vectors of one token: as many as three chunks of a prompt have room for; what holds more is a matrix.
_MOST_VECTORS = 225

#: Tokens that CLIP reads at a time, with its marks of beginning and end.
_PROMPT = 77

#: Name of a tensor that is all that a pickle holds.
_WHOLE_FILE = "tensor"


def vectors(outline: Outline) -> dict[str, int]:
    """Name and width of each vector; empty if any tensor is none."""
    tensors = outline.header.tensors
    if not 0 < len(tensors) <= _MOST_TENSORS:
        return {}
    shapes = {name: outline.header.shape(name) or () for name in tensors}
    fits = all(_is_vectors(shape, _widths(name)) and not _unnamed(name) for name, shape in shapes.items())
    fits = fits and not shapes.keys() >= _STATISTICS
    modules = any(name.endswith((".weight", ".bias", "_weight", "_scale")) or "lora" in name for name in shapes)
    return {name: shape[-1] for name, shape in shapes.items()} if fits and not modules else {}


def _is_vectors(shape: tuple[int, ...], widths: Collection[int]) -> bool:
    """Whether a tensor is one token's vector, or a few: a prompt as CLIP reads it, 77 tokens, is no embedding."""
    if len(shape) != 2:
        return len(shape) == 1 and shape[0] in widths
    return shape[1] in widths and shape[0] <= _MOST_VECTORS and shape[0] % _PROMPT != 0


def _unnamed(name: str) -> bool:
    """Whether a tensor has no name but its place in a list, or is a whole file: what reads embeddings takes neither."""
    return name.rpartition(".")[2].isdigit() or name == _WHOLE_FILE


def _widths(name: str) -> Collection[int]:
    return _WIDTHS.get(name.removesuffix("_out"), _CLIPS)


def _marks(outline: Outline) -> str | None:
    if not vectors(outline):
        return None
    odd = _odd(outline)
    unusable = f", of {NUMBERS.get(odd, odd)}, which no text encoder takes" if odd else ""
    return f"it holds nothing but token vectors{unusable}"


def _odd(outline: Outline) -> str | None:
    """A kind of number in it that vectors are never made of."""
    return next(
        (str(each.get("dtype")) for each in outline.header.tensors.values() if each.get("dtype") not in FLOATS), None
    )


def _read(outline: Outline) -> Features:
    found = vectors(outline)
    names = found.keys()
    if "emb_params" in names:
        layout = "kohya"
    elif names & {"clip_l", "clip_g", "text_encoders_0"}:
        layout = "sdxl"
    else:
        layout = "a1111" if names & NAMELESS else "diffusers"
    return Features("embedding", layout, outline, vectors={} if _odd(outline) else found)


KIND = Kind("embedding", _marks, _read)
