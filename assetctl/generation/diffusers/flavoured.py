"""A picture in the way of A1111 or ComfyUI: diffusers' networks, and our own samplers between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from assetctl.generation.sampling.levels import Levels
from assetctl.generation.sampling.programs import course, first_and_between

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from diffusers import DiffusionPipeline

    from assetctl.generation.sampling.programs import Course
    from assetctl.options import Settings

    OnStep = Callable[[int, int, torch.Tensor], None]


def levels_of(config: Mapping[str, Any], flavour: str) -> Levels:
    """The noise levels that a checkpoint was trained on, as a program computes them."""
    usual = config.get("beta_schedule") == "scaled_linear" and config.get("trained_betas") is None
    if not usual or config.get("rescale_betas_zero_snr"):
        return Levels.of(diffusers.DDIMScheduler.from_config(config).alphas_cumprod)
    kept_as = torch.float32 if flavour == "a1111" else torch.float64
    count = int(config.get("num_train_timesteps", 1000))
    return Levels.scaled_linear(config["beta_start"], config["beta_end"], count, kept_as)


@dataclass(frozen=True, slots=True)
class Painter:
    """What makes the pictures of one plan.

    Attributes:
        pipeline: Its UNet and VAE are used.
        prompts: As the pipeline takes them encoded.
        settings: As `assetctl.options` has them, whole.
        predicts: `epsilon` or `v_prediction`.
        config: The checkpoint's own scheduler configuration.
    """

    pipeline: DiffusionPipeline
    prompts: Mapping[str, torch.Tensor]
    settings: Settings
    predicts: str
    config: Mapping[str, Any]

    def latents(self, seed: int, on_step: OnStep) -> torch.Tensor:
        """A picture's latents; `on_step` is told of each step, its number and how many there are."""
        way = self._course()
        side = self.pipeline.vae_scale_factor
        shape = (1, 4, self.settings["height"] // side, self.settings["width"] // side)
        unet = self.pipeline.unet
        like = torch.zeros((), device=unet.device)
        first, between = first_and_between(self._flavour, self.settings, seed, way.sigmas, shape, like)
        with torch.no_grad():
            return way.run(self._guess(), first, between, lambda step, x: on_step(step, way.steps, x))

    def image(self, latents: torch.Tensor) -> Any:  # noqa: ANN401 - a PIL image, or `None` for NaN
        """The picture of some latents, its numbers cut off to 8 bits, as both programs do."""
        vae = self.pipeline.vae
        if vae.dtype == torch.float16 and vae.config.force_upcast:
            vae = vae.to(torch.float32)
        with torch.no_grad():
            scaled = (latents / vae.config.scaling_factor).to(vae.dtype)
            decoded = vae.decode(scaled, return_dict=False)[0].float()
        shown = (decoded[0] / 2 + 0.5).clamp(0, 1)
        if not torch.isfinite(shown).all():
            return None
        from PIL import Image  # noqa: PLC0415 - as the pipeline does

        return Image.fromarray((shown * 255).permute(1, 2, 0).to(torch.uint8).cpu().numpy())

    @property
    def _flavour(self) -> str:
        return str(self.settings["flavour"])

    def _course(self) -> Course:
        sdxl = hasattr(self.pipeline, "text_encoder_2")
        return course(self._flavour, self.settings, levels_of(self.config, self._flavour), sdxl=sdxl)

    def _guess(self) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]:
        """What the UNet takes for the picture, guided away from the negative prompt."""
        unet, scale = self.pipeline.unet, self.settings["cfg_scale"]
        states, added = self._conditions()
        guided = len(states) > 1

        def guess(x: torch.Tensor, sigma: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            whole = (sigma**2 + 1) ** 0.5
            given = (x / whole).to(unet.dtype)
            said = unet(
                torch.cat([given] * len(states)), time.to(x.device), states, added_cond_kwargs=added, return_dict=False
            )[0].float()
            if guided:
                away, towards = said.chunk(2)
                said = away + scale * (towards - away)
            if self.predicts == "v_prediction":
                return x / whole**2 - said * (sigma / whole)
            return x - said * sigma

        return guess

    def _conditions(self) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        """States and, for SDXL, what else its UNet is told: the negative prompt's first, where there is one."""
        names = [name for name in ("negative_prompt", "prompt") if f"{name}_embeds" in self.prompts]
        unet = self.pipeline.unet
        states = torch.cat([self.prompts[f"{name}_embeds"] for name in names]).to(unet.device, unet.dtype)
        if f"pooled_{names[-1]}_embeds" not in self.prompts:
            return states, None
        pooled = [self.prompts[f"{'negative_' if name != 'prompt' else ''}pooled_prompt_embeds"] for name in names]
        height, width = self.settings["height"], self.settings["width"]
        sizes = torch.tensor([[height, width, 0, 0, height, width]] * len(names))
        added = {"text_embeds": torch.cat(pooled), "time_ids": sizes}
        return states, {name: each.to(unet.device, unet.dtype) for name, each in added.items()}
