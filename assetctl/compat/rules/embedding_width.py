"""Embeddings that do not fit the text encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called
from assetctl.prompt.chunks import CHUNK_LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.files.safetensors import Header
    from assetctl.identify.features import Family
    from assetctl.types import Asset, Finding

RULE = Rule(
    "embedding_width",
    "Every embedding is as wide as what the checkpoint's text encoders make of a word.",
    {
        "error": "An embedding's vectors have another width, there are none, more than a prompt has room for, or more "
        "for one text encoder than for the other."
    },
)

#: How the tensors of an embedding for two encoders are called.
_PARTS = ("clip_l", "clip_g")
_SDXL = (768, 1280)

#: The words of a text encoder as transformers names them, and as open_clip does.
_WORDS = ("embeddings.token_embedding.weight", "token_embedding.weight")


def check(context: Context) -> Iterator[Finding]:
    """Compare widths; the checkpoint's own cross-attention is believed before its family."""
    yield from _too_many(context)
    checkpoint = context.selection.checkpoint
    if checkpoint is None:
        return
    own = None if context.modules is None else context.modules.context_width
    family = family_called(checkpoint.family)
    wanted = own or (None if family is None else family.text_width)
    if wanted is None:
        return
    widths = _widths_of_two(context, family, wanted)
    for asset in context.embeddings:
        header = context.header(asset)
        if header is not None and any(0 in entry["shape"] for entry in header.tensors.values()):
            hint = f"Fetch it again: `assetctl inspect {asset.typed}` says where it came from."
            yield RULE.finding("error", f"{asset.name} is damaged: there is no vector in it.", hint, asset, checkpoint)
            continue
        width = None if header is None else _width(header)
        if width is not None and width != wanted and not _of_another_family(asset, checkpoint):
            message = f"The vectors of {asset.name} are {width} wide, and {checkpoint.name} needs {wanted}."
            hint = f"Choose one that `assetctl list --fits {checkpoint.typed}` shows."
            yield RULE.finding("error", message, hint, asset, checkpoint)
        elif header is not None and not _of_another_family(asset, checkpoint):
            yield from _in_parts(context, asset, checkpoint, widths)


def _in_parts(context: Context, asset: Asset, checkpoint: Asset, widths: tuple[int, int] | None) -> Iterator[Finding]:
    """See that there are vectors for each text encoder, and no others."""
    header = context.header(asset)
    if widths is not None:
        yield from _of_two(context, asset, checkpoint, widths)
    elif context.generating and header is not None and len(header.tensors) > 1:
        message = f"{asset.name} holds {len(header.tensors)} embeddings, and `generate` reads one a file."
        yield RULE.finding("error", message, "Look for a version of it with one token.", asset)


def _of_two(context: Context, asset: Asset, checkpoint: Asset, widths: tuple[int, int]) -> Iterator[Finding]:
    """See that each of two text encoders gets its own vectors, and as many as the other."""
    header = context.header(asset)
    shapes = [] if header is None else [_shape_of(header, part) for part in _PARTS]
    if not all(shapes):
        if context.generating:
            message = f"{asset.name} does not tell which of its vectors are for which text encoder: `generate` reads "
            message += f"{' and '.join(_PARTS)}."
            yield RULE.finding("error", message, "Look for a version of it that A1111 and ComfyUI read too.", asset)
        return
    found = tuple(shape[-1] for shape in shapes)
    if found != widths:
        message = f"{asset.name} is damaged: its {_PARTS[0]} is {found[0]} wide and its {_PARTS[1]} {found[1]}, and "
        message += f"{checkpoint.name} needs {widths[0]} and {widths[1]}."
    elif len({shape[0] if len(shape) > 1 else 1 for shape in shapes}) > 1:
        counts = " and ".join(str(shape[0] if len(shape) > 1 else 1) for shape in shapes)
        message = f"{asset.name} is damaged: it has {counts} vectors for two text encoders that read as many each."
    else:
        return
    hint = f"Fetch it again: `assetctl inspect {asset.typed}` says where it came from."
    yield RULE.finding("error", message, hint, asset, checkpoint)


def _shape_of(header: Header, part: str) -> tuple[int, ...]:
    return next((header.shape(name) or () for name in header.tensors if name.endswith(part)), ())


def _widths_of_two(context: Context, family: Family | None, wanted: int) -> tuple[int, int] | None:
    """How wide the words of each of two text encoders are: by the checkpoint's tensors, else as those of all SDXL."""
    driven = None if family is None else family.driven
    if driven is None or len(driven.text_encoders) != len(_PARTS):
        return None
    headers = [] if context.opened is None or context.opened.header is None else [context.opened.header]
    found = []
    for encoder in driven.text_encoders:
        here = headers or context.networks.get(encoder.part, [])
        names = [encoder.prefix + _WORDS[encoder.open_clip]] if headers else [f"text_model.{_WORDS[0]}", _WORDS[0]]
        shapes = (header.shape(name) for header in here for name in names)
        found += [next((shape[-1] for shape in shapes if shape), 0)]
    if sum(found) == wanted and all(found):
        return found[0], found[1]
    return _SDXL if sum(_SDXL) == wanted else None


def _too_many(context: Context) -> Iterator[Finding]:
    for asset in context.embeddings:
        header = context.header(asset)
        shapes = () if header is None else map(header.shape, header.tensors)
        count = max((shape[0] for shape in shapes if shape is not None and len(shape) == 2), default=0)
        if count > CHUNK_LENGTH:
            message = f"{asset.name} has {count} vectors, and a part of a prompt has room for {CHUNK_LENGTH}."
            hint = "No checkpoint can use it: choose another with `assetctl list --kind embedding`."
            yield RULE.finding("error", message, hint, asset)


def _of_another_family(asset: Asset, checkpoint: Asset) -> bool:
    """Whether `family` tells of it anyway."""
    return None not in (asset.family, checkpoint.family) and asset.family != checkpoint.family


def _width(header: Header) -> int | None:
    """Width of an embedding's vectors over all text encoders, or `None` where its tensors disagree."""
    shapes = {name: header.shape(name) or () for name in header.tensors}
    parts = [shape[-1] for name, shape in shapes.items() if name.endswith(_PARTS) and shape]
    if parts:
        return sum(parts)
    widths = {shape[-1] for shape in shapes.values() if 1 <= len(shape) <= 2}
    return widths.pop() if len(widths) == 1 else None
