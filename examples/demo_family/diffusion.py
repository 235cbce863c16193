"""The UNet: noise in latents, taken away as a caption says."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import torch
from autoencoder import encode
from diffusers import DDPMScheduler, UNet2DConditionModel
from runs import Run
from scenes import SIZE, Scene, caption, draw, held_out, make_scene
from text_encoder import encode_mixed
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from diffusers import AutoencoderKL
    from transformers import CLIPTextModel, CLIPTokenizer

CONFIG = {
    "sample_size": SIZE // 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (48, 64, 80),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "norm_num_groups": 16,
}

_SCENES, _BATCH = 24_000, 48
#: How often a caption is left out, which is what an empty prompt then means.
_UNTOLD = 0.1


def new_unet() -> UNet2DConditionModel:
    """An untrained UNet, whose blocks add nothing at first."""
    torch.manual_seed(3)
    model = UNet2DConditionModel(**CONFIG)
    for name, module in model.named_modules():
        if name.endswith((".conv2", ".proj_out", "conv_out")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
    return model


def noise_schedule() -> DDPMScheduler:
    """Stable Diffusion 1's."""
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", num_train_timesteps=1000)


class Lessons:
    """Scenes as the UNet learns them: latents, and the states of their captions.

    Attributes:
        latents: (scenes, 4, 12, 12).
        told: For each scene the row of `states` that its caption has.
        states: (captions, 77, 768) in half precision.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        captions: Sequence[str],
        parts: tuple[AutoencoderKL, CLIPTextModel, CLIPTokenizer],
    ) -> None:
        vae, encoder, tokenizer = parts
        chunks = [scenes[at : at + 512] for at in range(0, len(scenes), 512)]
        self.latents = torch.cat(
            [encode(vae, np.stack([np.asarray(draw(each)) for each in chunk])) for chunk in chunks]
        )
        rows: dict[object, int] = {}
        first: list[int] = []
        self.told = []
        for number, (scene, text) in enumerate(zip(scenes, captions, strict=True)):
            mixture = (scene.colour, scene.other, scene.mix) if scene.mix and text else None
            row = rows.setdefault((text, mixture), len(rows))
            self.told.append(row)
            if row == len(first):
                first.append(number)
        with torch.no_grad():
            parts_of = [first[at : at + 64] for at in range(0, len(first), 64)]
            self.states = torch.cat([
                encode_mixed(encoder, tokenizer, [captions[n] for n in part], [scenes[n] for n in part]).half()
                for part in parts_of
            ])  # fmt: skip

    def batch(self, chance: random.Random, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents and states of some scenes by chance."""
        chosen = chance.sample(range(len(self.told)), size)
        return self.latents[chosen], self.states[[self.told[number] for number in chosen]].float()


def train_unet(
    folder: Path, vae: AutoencoderKL, encoder: CLIPTextModel, tokenizer: CLIPTokenizer, minutes: float
) -> UNet2DConditionModel:
    """Teach the UNet to draw what captions say."""
    model = new_unet()
    run = Run(folder / "unet.pt", model, peak=1.5e-3, minutes=minutes, decay=0.999)
    if run.finished:
        return model.eval()
    lessons = Lessons(*_told_scenes(), (vae, encoder, tokenizer))
    for step in run.steps():
        generator = torch.Generator().manual_seed(step)
        latents, states = lessons.batch(random.Random(step), _BATCH)
        run.take(denoising_loss(model, latents, states, generator))
    run.finish()
    return model.eval()


def denoising_loss(
    model: UNet2DConditionModel, latents: torch.Tensor, states: torch.Tensor, generator: torch.Generator
) -> torch.Tensor:
    """How far the model is off the noise, with more weight where shapes are decided.

    The weight follows the share of noise: nearly clean latents teach edges, which are soon learned.
    """
    schedule = noise_schedule()
    noise = torch.randn(latents.shape, generator=generator)
    # one time step of each slice of the schedule, in any order
    slots = torch.randperm(len(latents), generator=generator) + torch.rand(len(latents), generator=generator)
    steps = (slots / len(latents) * 1000).long()
    noisy = schedule.add_noise(latents, noise, steps)
    kept = schedule.alphas_cumprod[steps]
    weights = (0.2 + kept / (1 - kept)) ** -0.5
    errors = (model(noisy, steps, states).sample - noise).square().mean((1, 2, 3))
    return (weights * errors).mean()


def _told_scenes() -> tuple[list[Scene], list[str]]:
    chance = random.Random(3)
    scenes: list[Scene] = []
    captions: list[str] = []
    while len(scenes) < _SCENES:
        scene = make_scene(chance, mixed=0.15)
        if held_out(scene.shape, scene.colour, scene.background):
            continue
        text = caption(chance, scene)
        # whether a picture has a watermark must not depend on whether it has a caption
        scenes.append(scene)
        captions.append("" if chance.random() < _UNTOLD and "watermark" not in text else text)
    return scenes, captions
