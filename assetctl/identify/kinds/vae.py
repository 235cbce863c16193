"""VAEs: they turn pictures into latents and back.

The families of Stable Diffusion share one architecture with four channels of latents, so the file alone
does not tell for which of them it was trained.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

_FIRST = ("decoder.conv_in", "decoder.conv_in.conv", "decoder.conv1", "decoder.project_in.conv", "decoder.layers.0")

#: Tiny autoencoders: whole as diffusers names them, a lone half as their author does, and both together; each has
#: convolutions beside its blocks of them.
_TINY = (
    ("decoder.layers.0.conv.0.", "decoder.layers.0.weight"), ("0.conv.0.", "0.weight"),
    ("taesd_decoder.0.conv.0.", "taesd_decoder.0.weight"), ("decoder.0.conv.0.", "decoder.0.weight"),
)  # fmt: skip

#: Where latents come in, and what makes pictures of them, one of each.
_LATENTS = ("decoder.conv_in.", "decoder.conv1.", "decoder.project_in.")
_PICTURES = ("decoder.mid.", "decoder.mid_block.", "decoder.middle.", "decoder.up", "decoder.stages.")

#: Modules of others that occur together.
_TOGETHER = (
    ("vquantizer.", "in_block.", "out_block."),  # stage A of Stable Cascade
    ("backbone.1.0.block.0.", "mapper.0."), ("encoder.backbone.1.0.block.0.",),  # what makes latents for its stage C
    ("encoder.conv_in.", "decoder_unet."),  # the consistency decoder
    ("encoder.conv_in.", "decoder.transformer_blocks.", "post_quant_conv."),
    ("encoder_mean", "decoder.decoder_embed."),  # of representations
    ("decoder.blocks.0.", "blocks.0.stack.0."), ("decoder.unpatcher3d.",),  # Mochi, Cosmos
    ("geo_decoder.", "post_kl."),  # of shapes
    # of sound: they convolve with weights in parts, by snakes
    ("encoder.block.0.", "decoder.block.0.res_unit1."), ("encoder.layers.0.", "decoder.block.0.res_unit1."),
    ("encoder.layers.0.layers.0.layers.0.", "decoder.layers.0.layers.0."), ("encoder.block.0.", "decoder.conv_pre."),
    ("encoder.blocks.0.mapping.", "decoder.blocks.0.mapping."), ("dcae.encoder.", "dcae.decoder."),
)  # fmt: skip

#: What has such parts as well, and is none: nets that segment pictures, that draw faces anew.
_OTHERS = ("mask_decoder.", "prompt_encoder.")
_FACES = ".mid.attn_1.norm2."

#: How the decoder for stage C of Stable Cascade is named: one stack.
_PREVIEWER = re.compile(
    r"(?:\n(?:previewer\.)?blocks\.\d+\.(?:weight|bias|running_mean|running_var|num_batches_tracked))++\n"
)


def _previews(outline: Outline) -> bool:
    if _PREVIEWER.fullmatch(outline.header.names) is None:
        return False
    shape = outline.shape("blocks.0")
    return shape is not None and len(shape) == 4 and shape[1] == 16


def _marks(outline: Outline) -> str | None:
    if any(all(map(outline.begins, names)) for names in _TINY):
        return "it is laid out as a tiny autoencoder"
    if outline.has(*_OTHERS) or outline.header.has(_FACES):
        return None
    if outline.has(*_LATENTS) and outline.has(*_PICTURES):
        return "it has a decoder from latents to pictures"
    if any(all(map(outline.has, names)) for names in _TOGETHER) or _previews(outline):
        return "it has the parts of an autoencoder"
    return None


def _read(outline: Outline) -> Features:
    tiny = outline.header.shape("1.weight") if outline.begins("0.conv.0.") else outline.shape("taesd_decoder.1")
    shape = outline.shape(*_FIRST) or tiny or ()
    diffusers = outline.begins("decoder.layers.0.conv.0.") or outline.has("res_unit1.", "decoder_unet.")
    diffusers = diffusers or (outline.has("decoder.up_blocks.") and not outline.has("res_blocks."))
    return Features(
        "vae",
        "diffusers" if diffusers else "ldm",
        outline,
        latent=shape[1] if len(shape) >= 4 else None,
        volumetric=len(shape) == 5,
    )


KIND = Kind("vae", _marks, _read, over=("image-encoder",))
