"""Upscalers: networks that enlarge a picture without a prompt, such as ESRGAN and SwinIR."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_NAMES = ("RDB1.conv", "rdb1.conv", "RRDB_trunk", "residual_group.")


def _marks(outline: Outline) -> str | None:
    enlarges = outline.has(*_NAMES) or outline.has_all("conv_first.", "conv_last.")
    return "it has the blocks of a network that enlarges pictures" if enlarges else None


def _read(outline: Outline) -> Features:
    return Features("upscaler", None, outline)


KIND = Kind("upscaler", _marks, _read)
