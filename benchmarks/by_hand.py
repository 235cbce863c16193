"""The reference for `generate`: the picture as someone who knows diffusers would script it.

Usage: by_hand.py CHECKPOINT CONFIG LORA EMBEDDING OUT
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from diffusers import EulerAncestralDiscreteScheduler, StableDiffusionPipeline

PROMPT, STEPS, SEED, SIDE = "a demo-cookie on a pink background, vintage", 20, 7, 96


def main(checkpoint: str, config: str, lora: str, embedding: str, out: str) -> None:
    """Make one picture."""
    pipeline = StableDiffusionPipeline.from_single_file(
        checkpoint, config=config, local_files_only=True, torch_dtype=torch.bfloat16, safety_checker=None
    )
    pipeline.scheduler = EulerAncestralDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.load_lora_weights(lora, adapter_name="style")
    pipeline.set_adapters(["style"], [0.8])
    pipeline.load_textual_inversion(embedding, token="demo-cookie")  # noqa: S106 - a word
    image = pipeline(
        PROMPT,
        negative_prompt="",
        num_inference_steps=STEPS,
        guidance_scale=7.0,
        width=SIDE,
        height=SIDE,
        generator=torch.Generator("cpu").manual_seed(SEED),
    ).images[0]
    image.save(Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
