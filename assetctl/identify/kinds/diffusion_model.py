"""A denoising network alone: a UNet or a transformer without text encoder and VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind, read_blocks, read_unet

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

#: Where a checkpoint keeps its denoising network.
_PLACE = "model.diffusion_model."

#: Every denoising network is told how noisy its input is; these are the names for where it hears it.
_TIME = (
    "time_embed.", "time_embedding.", "time_in.", "t_embedder.", "time_text_embed.", "timestep_embedder",
    "timestep_embed", "adaln_single.", "distilled_guidance_layer", "tmlp.", "condition_embedder.time",
    "time_guidance_embed.", "time_caption_embed.", "time_condition_embed.", "time_step_proj.", "time_extra_emb.",
    "time_embeddings.",
)  # fmt: skip

#: Stable Cascade hears it in each block; these tell it the prompt, or the picture to refine.
_MAPPERS = ("clip_txt_mapper.", "effnet_mapper.")

#: ELLA's bridge from a language model hears the time step too.
_BRIDGE = "connector."


def denoiser_marks(outline: Outline) -> str | None:
    """What shows that a denoising network is in the file, or `None`."""
    if outline.prefixed(_PLACE):
        return "it has a denoising network in a checkpoint's place"
    if outline.begins(*_TIME) and not outline.begins(_BRIDGE):
        return "it has a network that is told the time step"
    return "it has Stable Cascade's mappers" if outline.begins(*_MAPPERS) else None


def read_denoiser(kind: str, outline: Outline, contains: tuple[str, ...] = ()) -> Features:
    """Features of a file that holds a whole denoising network."""
    ldm = outline.prefixed(_PLACE) or outline.begins("input_blocks.", "double_blocks.", "joint_blocks.", "layers.")
    return Features(
        kind,
        "ldm" if ldm else "diffusers",
        outline,
        unet=read_unet(outline),
        blocks=read_blocks(outline),
        contains=contains,
    )


KIND = Kind(
    "diffusion-model",
    denoiser_marks,
    lambda outline: read_denoiser("diffusion-model", outline),
    over=("text-encoder", "image-encoder", "upscaler"),
)
