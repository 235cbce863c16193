"""Stable Diffusion 2. Source: the configurations of `stable-diffusion-2-1` on the Hugging Face Hub."""

from __future__ import annotations

from assetctl.generation.families import Build, Told
from assetctl.generation.families.sd1 import INDEX, LATENTS

BUILD = Build(
    "StableDiffusionPipeline",
    ("unet", "vae", "text_encoder", "tokenizer"),
    "DDIMScheduler",
    LATENTS,
    # trained with the last but one layer, which is the last that is used of its files
    Told(missing_layers=1),
    index=INDEX,
)
