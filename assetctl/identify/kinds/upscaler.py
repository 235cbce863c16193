"""Upscalers: networks that enlarge a picture without a prompt, such as ESRGAN and SwinIR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_NAMES = ("RDB1.conv", "rdb1.conv", "RRDB_trunk", "residual_group.")


def _compact(outline: Outline) -> bool:
    """Real-ESRGAN's compact network: one stack of convolutions and slopes, and nothing beside it."""
    return (
        set(outline.text.split()) == {"body__weight", "body__bias"}
        and outline.header.shape("body.0.weight") is not None
    )


def _marks(outline: Outline) -> str | None:
    enlarges = (
        outline.has(*_NAMES)
        or outline.has_all("conv_first.", "conv_last.")
        or outline.has_all("conv_first.", "conv_after_body.")
    )
    enlarges = enlarges or _compact(outline)
    return "it has the blocks of a network that enlarges pictures" if enlarges else None


def _read(outline: Outline) -> Features:
    return Features("upscaler", None, outline)


KIND = Kind("upscaler", _marks, _read)
