"""Names of a FLUX.1 transformer's modules: its authors' (BFL) fuse what diffusers keeps apart.

`double_blocks.0.img_attn.qkv` is `to_q`, `to_k` and `to_v` of `transformer_blocks.0.attn`, one below the other.
Diffusers' modules are those that count; a fused name stands for all of its parts.
Sources: https://github.com/black-forest-labs/flux (`modules/layers.py`), diffusers' `transformer_flux.py`,
https://github.com/XLabs-AI/x-flux (`lora_controlnet` processors).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Shape = list[int]
    Names = dict[str, tuple[str, ...]]

_QKV = ("attn.to_q", "attn.to_k", "attn.to_v")
_ADDED_QKV = ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj")

#: Inside a block with two streams: BFL's name, and diffusers' parts from top to bottom.
_DOUBLE: Names = {
    "img_attn.qkv": _QKV,
    "img_attn.proj": ("attn.to_out.0",),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "img_mod.lin": ("norm1.linear",),
    "txt_attn.qkv": _ADDED_QKV,
    "txt_attn.proj": ("attn.to_add_out",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
    "txt_mod.lin": ("norm1_context.linear",),
}

#: Inside a block with one stream.
_SINGLE: Names = {
    "linear1": (*_QKV, "proj_mlp"),
    "linear2": ("proj_out",),
    "modulation.lin": ("norm.linear",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}

#: Outside the blocks.
_TOP: Names = {
    "img_in": ("x_embedder",),
    "txt_in": ("context_embedder",),
    "time_in.in_layer": ("time_text_embed.timestep_embedder.linear_1",),
    "time_in.out_layer": ("time_text_embed.timestep_embedder.linear_2",),
    "vector_in.in_layer": ("time_text_embed.text_embedder.linear_1",),
    "vector_in.out_layer": ("time_text_embed.text_embedder.linear_2",),
    "guidance_in.in_layer": ("time_text_embed.guidance_embedder.linear_1",),
    "guidance_in.out_layer": ("time_text_embed.guidance_embedder.linear_2",),
    "final_layer.linear": ("proj_out",),
    "final_layer.adaLN_modulation.1": ("norm_out.linear",),
}

#: What XLabs' LoRAs call modules inside a block: the first stream is the image's, the second the text's.
_XLABS_DOUBLE: Names = {
    "qkv_lora1": _QKV,
    "proj_lora1": ("attn.to_out.0",),
    "qkv_lora2": _ADDED_QKV,
    "proj_lora2": ("attn.to_add_out",),
}
_XLABS_SINGLE: Names = {"qkv": _QKV, "proj": ("proj_out",)}

#: Kind of block: BFL's name of it to diffusers' name, BFL's modules, and those of XLabs.
_BLOCKS = {
    "double_blocks": ("transformer_blocks", _DOUBLE, _XLABS_DOUBLE),
    "single_blocks": ("single_transformer_blocks", _SINGLE, _XLABS_SINGLE),
}


def diffusers_parts(weights: Mapping[str, Shape]) -> dict[str, Shape]:
    """Diffusers' paths and shapes, given BFL's. A path that is in neither's list stays as it is."""
    parts: dict[str, Shape] = {}
    for path, shape in weights.items():
        names = _parts(path)
        parts.update(zip(names, _cut(shape, len(names)), strict=False))
    return parts


def fused_names(paths: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """BFL's and XLabs' names of modules, each with the diffusers paths that it stands for.

    >>> dict(fused_names(["single_transformer_blocks.3.attn.to_q"]))["single_blocks.3.linear2"]
    ('single_transformer_blocks.3.proj_out',)
    """
    places = {tuple(path.split(".", 2)[:2]) for path in paths if "transformer_blocks." in path}
    for block, (theirs, modules, xlabs) in _BLOCKS.items():
        for number in (place[1] for place in places if place[0] == theirs):
            for name, parts in (modules | xlabs).items():
                yield f"{block}.{number}.{name}", tuple(f"{theirs}.{number}.{part}" for part in parts)
    yield from _TOP.items()


def stacked(shapes: list[Shape]) -> Shape:
    """Shape of weights that lie one below the other."""
    return [sum(shape[0] for shape in shapes), *shapes[0][1:]]


def _parts(path: str) -> tuple[str, ...]:
    block, _, rest = path.partition(".")
    if block not in _BLOCKS:
        return _TOP.get(path, (path,))
    theirs, modules, _ = _BLOCKS[block]
    number, _, name = rest.partition(".")
    return tuple(f"{theirs}.{number}.{part}" for part in modules.get(name, (name,)))


def _cut(shape: Shape, count: int) -> list[Shape]:
    """Shapes of a fused weight's parts: three alike, and of four the last is what remains."""
    if count == 1 or not shape:
        return [shape] * count
    width = shape[0] // count if count == len(_QKV) or len(shape) < 2 else shape[1]
    rest = shape[0] - width * (count - 1)
    return [[own, *shape[1:]] for own in [width] * (count - 1) + [rest]]
