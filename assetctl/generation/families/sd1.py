"""Stable Diffusion 1. Source: the configurations of `stable-diffusion-v1-5` on the Hugging Face Hub."""

from __future__ import annotations

from assetctl.generation.families import Build, Latents, Told

#: Colours of the latents: Keturn, "Decoding latents to RGB without upscaling", discuss.huggingface.co/t/23204; a fit to
#: pictures of -1 to 1, halved here.
LATENTS = Latents(
    channels=4,
    scale=0.18215,
    factor=8,
    colours=(
        (0.149, 0.1035, 0.104),
        (0.0935, 0.143, 0.0865),
        (-0.079, 0.0945, 0.132),
        (-0.092, -0.1355, -0.2365),
    ),
)

#: Without what judges a picture once it is made.
INDEX = {"safety_checker": [None, None], "requires_safety_checker": False}

BUILD = Build(
    "StableDiffusionPipeline",
    ("unet", "vae", "text_encoder", "tokenizer"),
    "PNDMScheduler",
    LATENTS,
    Told(),
    heads=8,
    index=INDEX,
)
