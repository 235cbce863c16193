"""The VAE: 96 x 96 pixels to 12 x 12 x 4 latents and back."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import AutoencoderKL
from runs import Run
from scenes import SHAPES, SIZE, blend, draw, make_scene
from torch import nn

if TYPE_CHECKING:
    from pathlib import Path

#: Stable Diffusion 1's own: what latents are multiplied by to have unit variance.
LATENT_SCALE = 0.18215

CONFIG = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (16, 24, 48, 64),
    "layers_per_block": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "norm_num_groups": 8,
    "scaling_factor": LATENT_SCALE,
    "sample_size": SIZE,
}

#: It learns edges on parts of large scenes, and the whole on a few whole ones.
_SCENES, _BATCH, _LARGE, _CROP = 4000, 32, 128, 64


def train_autoencoder(folder: Path, minutes: float) -> AutoencoderKL:
    """Train the VAE on scenes of every kind in any colours, then give its latents zero mean and unit variance."""
    torch.manual_seed(1)
    model = AutoencoderKL(**CONFIG)
    _start_near_identity(model)
    model = model.to(memory_format=torch.channels_last)
    run = Run(folder / "vae.pt", model, peak=2e-3, minutes=minutes)
    pictures = draw_any(_SCENES)
    for step in run.steps():
        chance = random.Random(step)
        batch = _crops(pictures, chance) if run.share < 0.85 else as_tensor(pictures[chance.sample(range(_SCENES), 8)])
        batch = batch.contiguous(memory_format=torch.channels_last)
        latents = _latents(model, batch)
        noisy = latents + 0.05 * torch.randn_like(latents)
        error = model.decode(noisy).sample - batch
        # latents stay near unit size, so that the noise above means something
        loss = error.abs().mean() + error.square().mean() + 1e-3 * (latents.square().mean() - 1).square()
        run.take(loss)
    if not run.finished:
        _normalise(model, pictures[:512])
        run.finish()
    return model.eval()


def quality(model: AutoencoderKL, count: int = 64) -> float:
    """Peak signal-to-noise ratio in dB over scenes that the model has not seen."""
    pictures = as_tensor(draw_any(count, seed=99))
    with torch.no_grad():
        error = (model.decode(_latents(model, pictures)).sample.clamp(-1, 1) - pictures) / 2
    return -10 * math.log10(error.square().mean().item())


def encode(model: AutoencoderKL, pictures: np.ndarray) -> torch.Tensor:
    """Latents as the UNet sees them, (pictures, 4, 12, 12)."""
    with torch.no_grad():
        parts = [_latents(model, as_tensor(pictures[at : at + 64])) for at in range(0, len(pictures), 64)]
    return torch.cat(parts).contiguous() * LATENT_SCALE


def as_tensor(pictures: np.ndarray) -> torch.Tensor:
    """Pictures of bytes, (pictures, height, width, 3), as (pictures, 3, height, width) from -1 to 1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1


def draw_any(count: int, seed: int = 5) -> np.ndarray:
    """Scenes of all shapes, half of them in colours without a name, some with toned borders."""
    chance = random.Random(seed)
    pictures = np.empty((count, _LARGE, _LARGE, 3), np.uint8)
    for number in range(count):
        scene = make_scene(chance, shape=chance.choice([*SHAPES, "cat"]), mixed=0.4)
        changes: dict[str, object] = {}
        if chance.random() < 0.5:
            changes["backdrop"] = blend(scene.backdrop, _any_colour(chance), chance.random())
            changes["paint"] = blend(scene.paint, _any_colour(chance), chance.random())
        if chance.random() < 0.2:
            changes["vintage"] = chance.uniform(0.3, 1)
        pictures[number] = np.asarray(draw(scene.changed(**changes), _LARGE))
    return pictures


def _any_colour(chance: random.Random) -> tuple[float, float, float]:
    return chance.uniform(0, 255), chance.uniform(0, 255), chance.uniform(0, 255)


def _crops(pictures: np.ndarray, chance: random.Random) -> torch.Tensor:
    """Parts of pictures, a quarter each, that begin on the latents' grid."""
    crops = []
    for number in chance.sample(range(len(pictures)), _BATCH):
        top, left = (8 * chance.randrange((_LARGE - _CROP) // 8 + 1) for _ in "yx")
        crops.append(pictures[number, top : top + _CROP, left : left + _CROP])
    return as_tensor(np.stack(crops))


def _latents(model: AutoencoderKL, pictures: torch.Tensor) -> torch.Tensor:
    return model.encode(pictures).latent_dist.mean


def _start_near_identity(model: AutoencoderKL) -> None:
    """Let residual blocks add nothing at first, and what joins them pass pictures on.

    From its usual start this small a model settles on blurs.
    """
    for name, module in model.named_modules():
        if name.endswith((".conv2", ".to_out.0")):
            nn.init.zeros_(module.weight)
            nn.init.zeros_(module.bias)
        elif name.endswith(("samplers.0.conv", "conv_shortcut")) or name in ("quant_conv", "post_quant_conv"):
            with torch.no_grad():
                module.weight.mul_(0.2)
                nn.init.zeros_(module.bias)
                middle = module.weight.shape[-1] // 2
                for channel in range(module.weight.shape[0]):
                    module.weight[channel, channel % module.weight.shape[1], middle, middle] += 1.0


def _normalise(model: AutoencoderKL, pictures: np.ndarray) -> None:
    """Move and scale the latents into what the UNet expects, in the convolutions at either end of them."""
    latents = encode(model, pictures) / LATENT_SCALE
    mean, scale = latents.mean((0, 2, 3)), latents.std((0, 2, 3)) * LATENT_SCALE
    inward, outward = model.quant_conv, model.post_quant_conv
    with torch.no_grad():
        inward.weight[:4] /= scale[:, None, None, None]
        inward.bias[:4] = (inward.bias[:4] - mean) / scale
        inward.weight[4:] = 0
        inward.bias[4:] = -20  # log variance: the latents are exact
        outward.bias += outward.weight[:, :, 0, 0] @ mean
        outward.weight *= scale[None, :, None, None]
