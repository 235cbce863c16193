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
    from assetctl.types import Asset, Finding

RULE = Rule(
    "embedding_width",
    "Every embedding is as wide as what the checkpoint's text encoders make of a word.",
    {"error": "An embedding's vectors have another width, there are none, or more than a prompt has room for."},
)

#: How the tensors of an embedding for two encoders are called.
_PARTS = ("clip_l", "clip_g")


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
    for asset in dict.fromkeys(context.selection.embeddings):
        header = context.header(asset) if asset.kind == "embedding" else None
        if header is not None and any(0 in entry["shape"] for entry in header.tensors.values()):
            hint = f"Fetch it again: `assetctl inspect {asset.typed}` says where it came from."
            yield RULE.finding("error", f"{asset.name} is damaged: there is no vector in it.", hint, asset, checkpoint)
            continue
        width = None if header is None else _width(header)
        if width is not None and width != wanted and not _of_another_family(asset, checkpoint):
            message = f"The vectors of {asset.name} are {width} wide, and {checkpoint.name} needs {wanted}."
            hint = f"Choose one that `assetctl list --fits {checkpoint.typed}` shows."
            yield RULE.finding("error", message, hint, asset, checkpoint)


def _too_many(context: Context) -> Iterator[Finding]:
    for asset in dict.fromkeys(context.selection.embeddings):
        header = context.header(asset) if asset.kind == "embedding" else None
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
