"""One plan on what is loaded: its prompts, encoded once for all its pictures, and each picture."""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from assetctl.errors import GenerationError
from assetctl.generation.diffusers.conditioning import Guidance, encode, guidance, nought
from assetctl.generation.diffusers.flavoured import Painter
from assetctl.generation.diffusers.kept import Loaded
from assetctl.generation.diffusers.pipeline import make_scheduler
from assetctl.generation.diffusers.runtime import quiet, told
from assetctl.generation.families import build_of
from assetctl.identify.plugins import family_called
from assetctl.options import complete
from assetctl.prompt.flavours import composed
from assetctl.run import Preview, Step
from assetctl.samplers import LEGACY, SAMPLERS, of_diffusers, sampled_by_diffusers, told_apart

if TYPE_CHECKING:
    from collections.abc import Sequence

    from diffusers import DiffusionPipeline
    from PIL.Image import Image

    from assetctl.generation.diffusers.conditioning import Encoder
    from assetctl.generation.diffusers.flavoured import OnGuess, OnStep
    from assetctl.generation.families import Latents
    from assetctl.identify.features import Family
    from assetctl.options import Settings
    from assetctl.request import Plan
    from assetctl.run import Run

__all__ = ["Loaded", "Session"]

_Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Session:
    """A pipeline that is ready to make a plan's pictures."""

    plan: Plan
    loaded: Loaded
    prompts: Guidance | _Tensors

    @classmethod
    def begin(cls, plan: Plan, loaded: Loaded, prompts: Guidance | _Tensors | None = None) -> Session:
        """Encode a plan's prompts, unless they are encoded already.

        Raises:
            GenerationError: They cannot be encoded.
        """
        if prompts is not None:
            return cls(plan, loaded, prompts)
        with quiet(), told("The prompts could not be encoded", "See how they are read with `assetctl prompt`."):
            return cls(plan, loaded, _prompts(plan, loaded.pipeline, loaded.encoders))

    def picture(self, seed: int, number: int, run: Run) -> Image:
        """Make one picture.

        Raises:
            Cancelled: The run was cancelled.
            GenerationError: It could not be made.
        """
        settings = complete(self.plan.settings)
        previews = _Previews(run, number, build_of(self.plan.checkpoint.family or "unknown").latents)

        def on_step(index: int, turns: int, latents: torch.Tensor) -> None:
            if index + 1 == turns and not torch.isfinite(latents).all():
                raise _black()
            # samplers of second order take two turns a step, and some more than there are steps
            step = min(math.ceil((index + 1) * settings["steps"] / turns), settings["steps"])
            run.tell(Step(picture=number, pictures=len(self.plan.seeds), step=step, steps=settings["steps"]))
            previews.tell(step, latents)

        vae = self.loaded.pipeline.vae
        precision = vae.dtype
        with quiet(), told("The picture could not be made", "Try another --sampler or --size."):
            try:
                if sampled_by_diffusers(settings["flavour"]):
                    return self._by_diffusers(seed, settings, on_step)
                return self._by_ourselves(seed, settings, on_step, previews.show if run.wants_previews else None)
            finally:
                if (
                    vae.dtype != precision
                ):  # one that overflows decodes in another, and the next plan finds it as it was
                    vae.to(precision)

    def _by_ourselves(self, seed: int, settings: Settings, on_step: OnStep, on_guess: OnGuess | None) -> Image:
        config = self.loaded.scheduler_config
        predicts = self.plan.prediction or config.get("prediction_type", "epsilon")
        painter = Painter(self.loaded.pipeline, self.prompts, settings, predicts, config)
        image: Image | None = painter.image(painter.latents(seed, on_step, on_guess))
        if image is None:
            raise _black()
        return image

    def _by_diffusers(self, seed: int, settings: Settings, on_step: OnStep) -> Image:
        pipeline, legacy = self.loaded.pipeline, settings["flavour"] == LEGACY
        assert not isinstance(self.prompts, Guidance)  # noqa: S101 - which guides where we sample

        def tell(running: DiffusionPipeline, index: int, _timestep: torch.Tensor, tensors: _Tensors) -> _Tensors:
            on_step(index, running.num_timesteps, tensors["latents"])
            return {}

        sampler = of_diffusers(settings["sampler"], settings["scheduler"])
        pipeline.scheduler = make_scheduler(
            self.loaded.scheduler_config,
            sampler,
            self.plan.prediction,
            None if legacy else settings["steps"],
            few=_is_distilled(self.plan),
        )
        result = pipeline(
            **self.prompts,
            num_inference_steps=settings["steps"],
            guidance_scale=settings["cfg_scale"],
            width=settings["width"],
            height=settings["height"],
            generator=torch.Generator("cpu").manual_seed(seed),
            callback_on_step_end=tell,
            callback_on_step_end_tensor_inputs=["latents"],
            output_type="np",
        )
        if not result.images.min() >= 0:  # the VAE may be damaged too, or overflow
            raise _black()
        image: Image = pipeline.image_processor.numpy_to_pil(result.images)[0]
        return image


class _Previews:
    """Tells of what a picture looks like on its way, where somebody wants to see it: a few times a second at most."""

    def __init__(self, run: Run, picture: int, space: Latents) -> None:
        self._run, self._picture, self._space = run, picture, space
        self._guess: torch.Tensor | None = None
        self._next = 0.0

    def show(self, guess: torch.Tensor) -> None:
        """Take what the model takes the picture for, which is seen better than what is still half noise."""
        self._guess = guess

    def tell(self, step: int, latents: torch.Tensor) -> None:
        """Tell of a step, if somebody wants that and it is time."""
        if not self._run.wants_previews or time.monotonic() < self._next or latents.shape[1] != self._space.channels:
            return
        seen = latents / latents.std().clamp(min=1) if self._guess is None else self._guess
        self._run.tell(Preview(picture=self._picture, step=step, image=_small_png(seen, self._space)))
        self._next = time.monotonic() + _BETWEEN


#: Seconds between two previews of a picture; their longest side, in pixels.
_BETWEEN, _SIDE = 0.3, 256


def _small_png(latents: torch.Tensor, space: Latents) -> bytes:
    """About what latents will be, a pixel for each place of them."""
    from PIL import Image  # noqa: PLC0415 - as the pipeline does

    first = latents[0].detach().float().nan_to_num().cpu()
    colours = torch.einsum("chw,cr->hwr", first, torch.tensor(space.colours)) + torch.tensor(space.grey)
    image = Image.fromarray((colours.clamp(0, 1) * 255).to(torch.uint8).numpy())
    image.thumbnail((_SIDE, _SIDE))
    written = io.BytesIO()
    image.save(written, "PNG", compress_level=1)
    return written.getvalue()


def _is_distilled(plan: Plan) -> bool:
    family = family_called(plan.checkpoint.family)
    return family is not None and any(use.weight and use.base_model in family.distilled for use in plan.uses)


def _black() -> GenerationError:
    return GenerationError(
        "The picture came out as NaN, which would be black.",
        "Lower the weights of LoRAs and words, or try ASSETCTL_DTYPE=fp32; `assetctl verify` finds damage.",
    )


def _prompts(plan: Plan, pipeline: DiffusionPipeline, encoders: Sequence[Encoder]) -> Guidance | _Tensors:
    """The prompts, encoded: as a pipeline takes them, or as our own way of sampling does."""
    settings, family = complete(plan.settings), family_called(plan.checkpoint.family)
    ours = not sampled_by_diffusers(settings["flavour"])
    asked = [plan.prompt]
    joined = settings["flavour"] == "a1111" and len(composed(plan.prompt.text)) > 1  # AND is a word to ComfyUI
    guided = settings["cfg_scale"] != 1 or joined if ours else settings["cfg_scale"] > 1
    if guided or SAMPLERS[told_apart(settings["sampler"])[0]].unguided:
        asked.append(plan.negative_prompt)
    skip = _layer(settings, family)
    zeros = bool(pipeline.config.get("force_zeros_for_empty_prompt"))
    if ours:
        return guidance(encoders, asked, settings, skip, zeros=zeros)
    prompt, *negative = encode(encoders, asked, skip, settings["flavour"])
    if negative and zeros and not any(text.strip() for text, _ in plan.negative_prompt.segments):
        # SDXL was trained with zeros, not with the encoding of nothing
        negative = [nought(prompt)]
    named = dict(zip(("", "negative_"), (prompt, *negative), strict=False))
    arguments = {f"{name}prompt_embeds": each.states for name, each in named.items()}
    pooled = {f"{name}pooled_prompt_embeds": each.pooled for name, each in named.items() if each.pooled is not None}
    return arguments | pooled


def _layer(settings: Settings, family: Family | None) -> int:
    """Which layer of a text encoder to read, from the last: SD 1 alone is asked for one by A1111.

    ComfyUI asks all; SD 2 was trained with the last but one, which is the last that its files hold.
    """
    skip = int(settings["clip_skip"])
    if family is not None and family.driven is not None and family.driven.clip_skip:
        return skip
    if settings["flavour"] == "comfyui":
        return skip if family is None else max(skip - build_of(family.name).told.missing_layers, 1)
    return 1
