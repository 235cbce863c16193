"""A denoising network alone: a UNet or a transformer without text encoder and VAE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind, read_blocks, read_unet
from assetctl.tensors.adapters import STACKS

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

#: Where a checkpoint keeps its denoising network.
_PLACE = "model.diffusion_model."

#: Every denoising network is told how noisy its input is; these are the names for where it hears it.
_TIME = (
    "time_embed.", "time_embedding.", "time_embedder.", "time_in.", "t_embedder.", "time_text_embed.",
    "timestep_embedder.", "timestep_embed.", "adaln_single.", "distilled_guidance_layer.", "tmlp.",
    "condition_embedder.time_", "time_guidance_embed.", "time_caption_embed.", "time_condition_embed.",
    "time_step_proj.", "time_extra_emb.", "time_embeddings.", "video_time_embeddings.", "emb_in.proj_in.",
    # StableAudio and UNets over sound, as diffusers and their authors name them; Ideogram
    "timestep_proj.", "to_timestep_embed.", "model.to_timestep_embed.", "model.model.to_timestep_embed.",
    "t_embedding.mlp_in.", "temb.dense.", "t_embedder1.mlp.",
    "time_embedding_linear_1.",  # CogVideoX as ComfyUI names it
)  # fmt: skip

#: Where DiT and VQ-Diffusion hear it, in each block, and a decoder of spectrograms.
_IN_BLOCKS = ("transformer_blocks.0.norm1.emb.", "latent_image_embedding.emb.", "conditioning_emb.")

#: Stable Cascade and its forebears hear it in each block too; these tell it the prompt, or the picture to refine.
_MAPPERS = ("clip_txt_mapper.", "clip_txt_pooled_mapper.", "clip_mapper.", "effnet_mapper.", "effnet_mappers.0.")

#: Networks that share blocks with a denoising one, and are told the time step no other way: names that occur together.
_TOGETHER = (
    ("cond_mapper.0.", "blocks.0.channelwise."),  # Würstchen's prior
    ("cond_embed.linear_1.", "encoder_proj."),  # aMUSEd, which fills in tokens
    ("decoder.time_embed.linear_1.", "decoder.layers.0.mlp."),  # ACE-Step 1.5
    ("time_proj.weight", "down_blocks.0.resnets.0.conv_1."),  # over sound
)  # fmt: skip

#: What hears the time step and draws nothing, without blocks beside it: ELLA's bridge from a language model.
_BRIDGE = "connector."


def denoiser_marks(outline: Outline) -> str | None:
    """What shows that a denoising network is in the file, or `None`."""
    if outline.prefixed(_PLACE):
        return "it has a denoising network in a checkpoint's place"
    if outline.begins(*_TIME, *_IN_BLOCKS) and (outline.begins(*STACKS) or not outline.begins(_BRIDGE)):
        return "it has a network that is told the time step"
    if outline.begins(*_MAPPERS):
        return "it has Stable Cascade's mappers"
    together = any(all(map(outline.begins, names)) for names in _TOGETHER)
    return "it has the blocks of a network that draws step by step" if together else None


#: Beginnings that only a network's authors use, though blocks may be named as in diffusers: UNets, LTX-Video, Cosmos.
_AUTHORS = ("input_blocks.", "patchify_proj.", "blocks.block0.")

#: What diffusers' own networks have: each attends by `to_out.0`, but for those built of convolutions alone, for those
#: whose authors wrote them for diffusers, and where weights were packed under other names.
_DIFFUSERS = (
    "transformer_blocks.", "single_transformer_blocks.", "joint_transformer_blocks.", "visual_transformer_blocks.",
    "double_stream_blocks.", "down_blocks.0.resnets.", "time_text_embed.", "time_caption_embed.", "condition_embedder.",
)  # fmt: skip


def _layout(outline: Outline) -> str:
    """`ldm` where names are those of a network's authors, `diffusers` where they are diffusers'."""
    if outline.prefixed(_PLACE, "net.") or outline.begins(*_AUTHORS):
        return "ldm"
    return "diffusers" if outline.has("to_out.0.") or outline.begins(*_DIFFUSERS) else "ldm"


def read_denoiser(kind: str, outline: Outline, contains: tuple[str, ...] = ()) -> Features:
    """Features of a file that holds a whole denoising network."""
    return Features(
        kind,
        _layout(outline),
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
