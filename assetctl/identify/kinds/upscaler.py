"""Upscalers: networks that enlarge a picture without a prompt, such as ESRGAN and SwinIR.

Source: the architectures of chaiNNer-org/spandrel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_NAMES = ("RDB1.conv", "rdb1.conv", "RRDB_trunk", "residual_group.", "residual_layer.0.residual_layer.")

#: Names that give a network away together: of ESRGAN's and SwinIR's kin, of RealPLKSR, of SPAN.
_TOGETHER = (
    ("conv_first.", "conv_last."), ("conv_first.", "conv_after_body."),
    ("feats.0", "channel_mixer."), ("block_1.c1_r.", "conv_cat."),
)  # fmt: skip


def _compact(outline: Outline) -> bool:
    """Real-ESRGAN's compact network: one stack of convolutions and slopes, and nothing beside it."""
    return set(outline.text.split()) == {".body.#.weight", ".body.#.bias"} and outline.shape("body.0") is not None


def _marks(outline: Outline) -> str | None:
    enlarges = outline.has(*_NAMES) or any(outline.has_all(*names) for names in _TOGETHER)
    enlarges = enlarges or _compact(outline) or (outline.prefixed("unet1.conv1.") and outline.has("conv_bottom."))
    return "it has the blocks of a network that enlarges pictures" if enlarges else None


def _read(outline: Outline) -> Features:
    return Features("upscaler", None, outline)


KIND = Kind("upscaler", _marks, _read)
