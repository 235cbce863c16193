"""How networks are spelled: by their authors, by diffusers and transformers, and in single files."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Shape = list[int]
    Names = dict[str, tuple[str, ...]]


#: LDM path to diffusers path, for what lies outside the blocks.
_TOP = {
    "input_blocks.0.0": "conv_in",
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}

#: The same inside a residual block.
_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}

#: How many parts of a path name a block, by the path's first part.
_DEPTH = {"input_blocks": 3, "middle_block": 2, "output_blocks": 3, "down_blocks": 4, "mid_block": 3, "up_blocks": 4}

_SECTIONS = {"input_blocks": "down_blocks", "middle_block": "mid_block", "output_blocks": "up_blocks"}

#: What an LDM block is, by the first part of a path inside it; anything else is an attention block.
_ROLES = dict.fromkeys(("in_layers", "emb_layers", "out_layers", "skip_connection"), "resnets")
_ROLES |= {"op": "downsamplers", "conv": "upsamplers"}

#: Inside an open_clip block, and what Hugging Face's CLIP calls it.
_OPEN_CLIP = {
    "attn.out_proj.weight": "self_attn.out_proj",
    "ln_1.weight": "layer_norm1",
    "ln_2.weight": "layer_norm2",
    "mlp.c_fc.weight": "mlp.fc1",
    "mlp.c_proj.weight": "mlp.fc2",
}


def diffusers_names(paths: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Each LDM path of a UNet's modules, its name with underscores, and that of the diffusers path.

    >>> list(diffusers_names(["input_blocks.1.0.in_layers.2", "input_blocks.2.0.op"]))[1]
    ('input_blocks.2.0.op', 'input_blocks_2_0_op', 'down_blocks_0_downsamplers_0_conv')
    """
    blocks = _by_block(paths)
    roles = {
        block: _ROLES.get(next(iter(rests.values())).partition(".")[0], "attentions")
        for block, rests in blocks.items()
        if block
    }
    return _translated(blocks, _count_levels(roles), _TOP, _RESNET)


def ldm_names(paths: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Each diffusers path of a UNet's modules, its name with underscores, and that of the LDM path."""
    blocks = _by_block(paths)
    top = {diffusers: ldm for ldm, diffusers in _TOP.items()}
    resnet = {diffusers: ldm for ldm, diffusers in _RESNET.items()}
    return _translated(blocks, _count_blocks(blocks), top, resnet)


def _by_block(paths: Iterable[str]) -> dict[str, dict[str, str]]:
    """Block to path to the rest of that path; what lies outside of all blocks is under the empty name."""
    blocks: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        depth = _DEPTH.get(path[: path.find(".")], 0)
        parts = path.split(".", depth)
        if depth and len(parts) > depth:
            blocks[path[: -len(parts[-1]) - 1]][path] = parts[-1]
        else:
            blocks[""][path] = path
    return blocks


def _translated(
    blocks: dict[str, dict[str, str]], targets: dict[str, str], top: dict[str, str], resnet: dict[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Paths, their own names and their names in the other layout, given each block's name there."""
    for block, rests in blocks.items():
        target = targets.get(block)
        if target is None:
            yield from ((path, path.replace(".", "_"), top.get(path, path).replace(".", "_")) for path in rests)
        elif target.endswith((".conv", ".op")):  # a sampler holds one module, and the block's target names it
            yield from ((path, path.replace(".", "_"), target.replace(".", "_")) for path in rests)
        else:
            here, there = f"{block}.".replace(".", "_"), f"{target}.".replace(".", "_")
            for path, rest in rests.items():
                own = rest.replace(".", "_")
                yield path, here + own, there + (resnet[rest].replace(".", "_") if rest in resnet else own)


def _count_levels(roles: dict[str, str]) -> dict[str, str]:
    """Diffusers' block for each LDM block: a sampler ends a level."""
    blocks = {}
    section, level = "", 0
    counts: defaultdict[str, int] = defaultdict(int)
    for (ldm_section, *_), block in sorted((key, block) for block in roles if (key := _sort_key(block))):
        if ldm_section != section:
            section, level = ldm_section, 0
            counts.clear()
        role = roles[block]
        place = _SECTIONS[section] + ("" if section == "middle_block" else f".{level}")
        blocks[block] = f"{place}.{role}.{counts[role]}"
        counts[role] += 1
        if role in ("downsamplers", "upsamplers"):
            blocks[block] += ".conv"
            level += 1
            counts.clear()
    return blocks


def _count_blocks(blocks: Iterable[str]) -> dict[str, str]:
    """LDM's block for each of diffusers': a down level's sampler stands alone, an up level's with the last block."""
    levels: defaultdict[str, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for block in blocks:
        level, _, place = block.partition(".") if block.startswith("mid_block") else _at_second_dot(block)
        role, _, _index = place.partition(".")
        levels[level][role] += 1
    names: dict[str, str] = {}
    for section, first in (("down_blocks", 1), ("up_blocks", 0)):
        at = first
        for level in sorted((name for name in levels if name.startswith(section)), key=_number):
            names.update(_level(level, levels[level], at))
            at += levels[level]["resnets"] + (section == "down_blocks" and levels[level]["downsamplers"] > 0)
    for index in range(levels["mid_block"]["resnets"]):
        names[f"mid_block.resnets.{index}"] = f"middle_block.{2 * index}"
        names[f"mid_block.attentions.{index}"] = f"middle_block.{2 * index + 1}"
    return names


def _level(level: str, counts: dict[str, int], at: int) -> Iterator[tuple[str, str]]:
    section = "input_blocks" if level.startswith("down") else "output_blocks"
    for index in range(counts["resnets"]):
        yield f"{level}.resnets.{index}", f"{section}.{at + index}.0"
        yield f"{level}.attentions.{index}", f"{section}.{at + index}.1"
    last = at + counts["resnets"]
    yield f"{level}.downsamplers.0", f"input_blocks.{last}.0.op"
    beside = 1 + (counts["attentions"] > 0)
    yield f"{level}.upsamplers.0", f"output_blocks.{last - 1}.{beside}.conv"


def _at_second_dot(block: str) -> tuple[str, str, str]:
    section, _, rest = block.partition(".")
    index, dot, place = rest.partition(".")
    return f"{section}.{index}", dot, place


def _sort_key(block: str) -> tuple[str, int, int] | None:
    """Section, block and place in it as numbers, or `None` for a name that only looks like a block's."""
    section, *numbers = block.split(".")
    if section not in _SECTIONS or not all(number.isdecimal() and len(number) < 4 for number in numbers):
        return None
    first, *second = map(int, numbers)
    return section, first, second[0] if second else 0


def _number(level: str) -> int:
    index = level.rpartition(".")[2]
    return int(index) if index.isdecimal() and len(index) < 4 else -1


def clip_names(key: str) -> tuple[str, ...]:
    """Hugging Face's paths of the modules that an open_clip tensor holds; the fused projection holds three.

    >>> clip_names("transformer.resblocks.0.mlp.c_fc.weight")
    ('encoder.layers.0.mlp.fc1',)
    """
    start, blocks, rest = key.partition("transformer.resblocks.")
    if start or not blocks:
        return ("final_layer_norm",) if key == "ln_final.weight" else ()
    index, _, part = rest.partition(".")
    layer = f"encoder.layers.{index}."
    if part == "attn.in_proj_weight":
        return tuple(f"{layer}self_attn.{letter}_proj" for letter in "qkv")
    name = _OPEN_CLIP.get(part)
    return () if name is None else (layer + name,)


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
_FLUX_TOP: Names = {
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
    yield from _FLUX_TOP.items()


def stacked(shapes: list[Shape]) -> Shape:
    """Shape of weights that lie one below the other."""
    return [sum(shape[0] for shape in shapes), *shapes[0][1:]]


def _parts(path: str) -> tuple[str, ...]:
    block, _, rest = path.partition(".")
    if block not in _BLOCKS:
        return _FLUX_TOP.get(path, (path,))
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


#: The attention of Stable Cascade as its authors and ComfyUI name it, and its fused projection.
_CASCADE, _CASCADE_QKV = ".attention.attn.", ".attention.attn.in_proj_weight"


def cascade_parts(tensors: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    """Tensors of a UNet, those of Stable Cascade's attention with diffusers' names; a fused projection becomes three.

    >>> dict(cascade_parts([("down_blocks.0.2.attention.attn.out_proj.weight", [8, 8])]))
    {'down_blocks.0.2.attention.to_out.0.weight': [8, 8]}
    """
    for key, shape in tensors:
        if key.endswith(_CASCADE_QKV) and shape:
            stem = key.removesuffix("attn.in_proj_weight")
            yield from ((f"{stem}to_{letter}.weight", [shape[0] // 3, *shape[1:]]) for letter in "qkv")
        else:
            yield key.replace(f"{_CASCADE}out_proj.", ".attention.to_out.0.").replace(_CASCADE, ".attention."), shape


def cascade_names(diffusers: str) -> str:
    """A module of Stable Cascade's attention as its authors name it, both with underscores; any other as it is."""
    if "_attention_to_" not in diffusers:
        return diffusers
    named = re.sub(r"_attention_to_out_0\Z", "_attention_attn_out_proj", diffusers)
    return re.sub(r"_attention_to_([qkv])\Z", r"_attention_attn_to_\1", named)


#: T5's tables, which no LoRA changes.
_EMBEDDINGS = (".embed_tokens.weight", ".relative_attention_bias.weight")

#: SD 2 reads the output of the layer before: diffusers drops this one, and nothing trains it.
_UNUSED_IN_SD2 = "transformer.resblocks.23."


def t5_modules(tensors: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    """Paths and shapes of a T5's modules."""
    for key, shape in tensors:
        if key.startswith("encoder.") and key.endswith(".weight") and not key.endswith(_EMBEDDINGS):
            yield key[:-7], shape


def clip_modules(tensors: Iterable[tuple[str, Shape]]) -> Iterator[tuple[str, Shape]]:
    """Paths and shapes of a CLIP's modules, given Hugging Face's."""
    for key, shape in tensors:
        path = key.removeprefix("text_model.")
        if path == "text_projection.weight":
            yield "text_projection", shape
        elif path.endswith(".weight") and not path.startswith("embeddings."):
            yield f"text_model.{path[:-7]}", shape


def open_clip_modules(tensors: Iterable[tuple[str, Shape]], *, second: bool) -> Iterator[tuple[str, Shape]]:
    """The same, given open_clip's. Of SDXL's `second` encoder all counts; of SD 2's, what makes its embeddings."""
    for key, shape in tensors:
        if key == "text_projection":
            if second:
                yield key, shape[::-1]
        elif second or not key.startswith(_UNUSED_IN_SD2):
            names = clip_names(key)
            own = shape if len(names) < 2 or not shape else [shape[0] // len(names), *shape[1:]]
            for name in names:
                yield f"text_model.{name}", own


_ATTENTION = re.compile(
    r"unet_(down|up|mid)_blocks?_(?:(\d{1,4})_)?attentions_(\d{1,4})_transformer_blocks_(\d{1,4})_"
    r"(attn1|ff|attn2)_(to_q|to_k|to_v|to_out_0|net_0_proj)"
)
_CLIP_ATTENTION = re.compile(r"text_encoder_text_model_encoder_layers_(\d{1,4})_self_attn_(k|v|q|out)_proj")

#: The order of a network's parts in diffusers' and transformers' code of early 2023.
_FOLLOWS = {
    name: place
    for names in (
        ("down", "up", "mid"), ("attn1", "ff", "attn2"), ("to_q", "to_k", "to_v", "to_out_0", "net_0_proj"),
        ("k", "v", "q", "out"),
    )
    for place, name in enumerate(names)
}  # fmt: skip


def in_order(names: Iterable[str]) -> dict[str, list[str]]:
    """Canonical names of the modules that cloneofsimo's trainer changes, in its order, by what it calls the network."""
    places: dict[str, list[tuple[tuple[int, ...], str]]] = {"unet": [], "text_encoder": []}
    for name in names:
        for network, pattern in (("unet", _ATTENTION), ("text_encoder", _CLIP_ATTENTION)):
            if match := pattern.fullmatch(name):
                parts = (part or "0" for part in match.groups())
                key = tuple(_FOLLOWS[part] if part in _FOLLOWS else int(part) for part in parts)
                places[network].append((key, name))
    return {network: [name for _, name in sorted(found)] for network, found in places.items()}
