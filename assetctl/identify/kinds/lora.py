"""LoRAs and their relatives: small changes to a network, as products of matrices or the like.

How these are written stands in `assetctl/tensors/adapters.py`.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind, UNet, read_blocks, read_unet
from assetctl.tensors.adapters import CHANGES, EMBEDDINGS, ENDINGS, LAYOUTS, NUMBERED, numbered

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

#: What gives each kind of change away, and what it is called.
_SIGNS = tuple((change.signs, change.name) for change in CHANGES if change.telling)
_LYCORIS = tuple(sign for change in CHANGES if change.lycoris for sign in change.signs)

#: Trainers' own prefixes: under these, LoRAs alone are written.
_TRAINERS = tuple(layout.prefix for layout in LAYOUTS if layout.flat and layout.network != "control")

#: Parts of the names of all tensors of changes, and of what is saved whole beside them.
_CHANGED = (
    *(sign for change in CHANGES for sign in change.signs), *(f"{ending}\n" for ending in ENDINGS), ".modules_to_save.",
    EMBEDDINGS,
)  # fmt: skip

_FACTORS = ".on_input\n"

#: Channels that FLUX.1 takes where the latents of a picture of edges or depth stand beside its own 64.
_WITH_CONTROL = 128

#: How names begin where diffusers wrote them.
_DIFFUSERS = tuple(layout.prefix for layout in LAYOUTS if layout.writer == "diffusers")

#: How names begin where a trainer wrote them that is known by it, and what the layout is called.
_WRITERS = tuple(
    (writer, tuple(layout.prefix for layout in LAYOUTS if layout.flat and layout.writer == writer))
    for writer in ("onetrainer", "kohya")
)

#: What families call text encoders: the only one of SD 1 and 2, the first and the second of others, and a T5.
_ROLES = {"text_encoder": "first", "text_encoder_2": "second"}
_ONLY = ("lora_te_", "clip_h")

#: How names in text encoders begin, and whose these are.
_ENCODERS = tuple(
    (layout.prefix, "only" if any(name in layout.prefix for name in _ONLY) else _ROLES.get(layout.network))
    for layout in LAYOUTS
    if layout.network.startswith("text_encoder") and layout.prefix
)

#: How names in a denoising network begin: what they change tells more than the text encoders beside it.
_NETWORKS = (*(layout.prefix for layout in LAYOUTS if layout.network == "denoiser"), "joint_blocks.")

#: Modules of a text encoder that take in as much as it is wide: CLIP's, and T5's. No path of one is longer: where a
#: prefix stands in one name again and again, each would be followed to the name's end.
_CLIP = r"[^\n]{0,200}?[._](?:self_attn[._][qkv]_proj|mlp[._]fc1)(?=[._])"
_T5 = r"[^\n]{0,200}?[._]SelfAttention[._][qkv](?=[._])"


@cache
def _patterns(prefix: str) -> tuple[re.Pattern[str], re.Pattern[str]]:
    return re.compile(re.escape(prefix) + _CLIP), re.compile(re.escape(prefix) + _T5)


def _marks(outline: Outline) -> str | None:
    return outline.once(_SIGNS, lambda: _mark(outline))


def _mark(outline: Outline) -> str | None:
    name = next((name for signs, name in _SIGNS if outline.has(*signs)), None)
    if name is not None:
        return f"its tensors are changes to a network: {name}"
    return "its tensors have a LoRA trainer's prefix" if outline.prefixed(*_TRAINERS) else None


def _layout(outline: Outline) -> str:
    if outline.has(*NUMBERED):
        return "cloneofsimo"
    if outline.has(*_LYCORIS) or outline.prefixed("lycoris_"):
        return "lycoris"
    if outline.has("processor.qkv_lora", "processor.proj_lora"):
        return "xlabs"
    for writer, prefixes in _WRITERS:
        if outline.prefixed(*prefixes):
            return writer
    peft = outline.prefixed("base_model.model.")
    if not peft and (outline.prefixed(*_DIFFUSERS) or outline.has(".processor.")):
        return "diffusers"
    return "peft" if peft or outline.has("lora_A") else "kohya"


def _named(outline: Outline) -> tuple[str, list[tuple[str, str | None]], bool]:
    """What names alone tell: the layout, which of `_ENCODERS` it changes, and whether a denoiser's prefix shows."""
    encoders = [each for each in _ENCODERS if outline.begins(each[0])]
    return _layout(outline), encoders, outline.prefixed(*_NETWORKS)


def _widths(outline: Outline, encoders: list[tuple[str, str | None]]) -> dict[str, int]:
    """Widths of text encoders, by what families call them."""
    widths: dict[str, int] = {}
    for prefix, role in encoders:
        clip, t5 = (outline.width_taken(prefix, pattern) for pattern in _patterns(prefix))
        if clip is not None and role is not None:
            widths.setdefault(role, clip)
        elif t5 is not None:
            widths.setdefault("t5", t5)
    return widths


def _read(outline: Outline) -> Features:
    layout, encoders, prefixed = outline.once(_ENCODERS, lambda: _named(outline))
    if layout == "cloneofsimo":
        return _read_numbered(outline)
    unet = read_unet(outline)
    silent = not prefixed if unet is None else unet.context is None
    contains = (
        ("changes to a text encoder", encoders),
        ("an embedding", outline.prefixed(EMBEDDINGS)),
        ("an input for control pictures", outline.input_width("x_embedder", "img_in") == _WITH_CONTROL),
    )
    return Features(
        "lora",
        layout,
        outline,
        unet=unet,
        blocks=read_blocks(outline),
        encoders=_widths(outline, encoders) if silent else {},
        contains=tuple(what for what, there in contains if there),
    )


def _read_numbered(outline: Outline) -> Features:
    """What numbers modules names none: the text is what cross-attention takes in that is no multiple of its stream."""
    tensors = outline.header.tensors
    found = numbered(tensors)
    sizes = found.get("unet", {}).values()
    stream = min((given for _, given in sizes if given > 0), default=1)
    texts = {taken for taken, _ in sizes if taken % stream}
    words = {taken for taken, _ in found.get("text_encoder", {}).values()}
    contains = (
        ("changes to a text encoder", words),
        ("an embedding", any(":" not in name for name in tensors)),
    )
    return Features(
        "lora",
        "cloneofsimo",
        outline,
        unet=UNet(context=texts.pop() if len(texts) == 1 else None) if sizes else None,
        encoders={"only": words.pop()} if len(words) == 1 and not sizes else {},
        contains=tuple(what for what, there in contains if there),
    )


def _rest(outline: Outline) -> Outline | None:
    """What is no change; (IA)^3 as LyCORIS writes it calls its factors weights, and stands alone."""
    return None if outline.has(_FACTORS) else outline.without(_CHANGED, _TRAINERS)


KIND = Kind(
    "lora",
    _marks,
    _read,
    over=("checkpoint", "diffusion-model", "vae", "text-encoder", "image-encoder", "upscaler"),
    rest=_rest,
)
