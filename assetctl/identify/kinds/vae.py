"""VAEs: they turn pictures into latents and back.

The families of Stable Diffusion share one architecture with four channels of latents, so the file alone
does not tell for which of them it was trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_FIRST = ("decoder.conv_in", "decoder.conv_in.conv", "decoder.conv1", "decoder.project_in.conv", "decoder.layers.0")

#: Tiny autoencoders: whole as diffusers names them, a lone half as their author does, and both together.
_TINY = ("decoder.layers.0.conv.0.", "0.conv.0.", "taesd_decoder.0.conv.0.", "decoder.0.conv.0.")


def _marks(outline: Outline) -> str | None:
    if outline.begins(*_TINY):
        return "it is laid out as a tiny autoencoder"
    decodes = outline.has("decoder.conv_in.", "decoder.conv1.", "decoder.project_in.")
    spatial = outline.has("decoder.mid.", "decoder.mid_block.", "decoder.middle.", "decoder.up", "decoder.stages")
    return "it has a decoder from latents to pictures" if decodes and spatial else None


def _read(outline: Outline) -> Features:
    tiny = outline.header.shape("1.weight") if outline.begins("0.conv.0.") else outline.shape("taesd_decoder.1")
    shape = outline.shape(*_FIRST) or tiny or ()
    return Features(
        "vae",
        "diffusers" if outline.has("decoder.up_blocks.", "decoder.layers.") else "ldm",
        outline,
        latent=shape[1] if len(shape) >= 4 else None,
        volumetric=len(shape) == 5,
    )


KIND = Kind("vae", _marks, _read)
