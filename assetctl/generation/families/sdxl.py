"""Stable Diffusion XL. Source: the configurations of `stable-diffusion-xl-base-1.0` on the Hugging Face Hub."""

from __future__ import annotations

from assetctl.generation.families import Build, Latents, Told

#: Colours of the latents: T. Alexis Vass, "Explaining the SDXL latent space",
#: huggingface.co/blog/TimothyAlexisVass/explaining-the-sdxl-latent-space; there of 255.
LATENTS = Latents(
    channels=4,
    scale=0.13025,
    factor=8,
    colours=(
        (60 / 255, 60 / 255, 60 / 255),
        (-60 / 255, -5 / 255, 10 / 255),
        (25 / 255, 15 / 255, -5 / 255),
        (-70 / 255, -50 / 255, -35 / 255),
    ),
    grey=(150 / 255, 140 / 255, 130 / 255),
)

BUILD = Build(
    "StableDiffusionXLPipeline",
    ("unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"),
    "EulerDiscreteScheduler",
    LATENTS,
    Told(sizes=True, zeros_for_nothing=True),
    spacing="leading",
    index={"force_zeros_for_empty_prompt": True},
)
