"""One plan on what is loaded: its prompts, encoded once for all its pictures, and each picture.

What diffusers itself samples is its pipeline's. In the way of A1111 or ComfyUI a `Painter` makes a picture: diffusers'
networks, and our own samplers between them.
"""

from __future__ import annotations

import io
import itertools
import math
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import diffusers
import torch

from assetctl.errors import GenerationError, UnusableError, UsageError
from assetctl.generation.diffusers.conditioning import Guidance, encode, guidance, nought
from assetctl.generation.diffusers.pipeline import make_scheduler
from assetctl.generation.diffusers.runtime import quiet, told
from assetctl.generation.families import build_of
from assetctl.generation.sampling.noise import SOURCES, Levels
from assetctl.generation.sampling.programs import course, first_and_between
from assetctl.identify.plugins import family_called
from assetctl.options import complete
from assetctl.prompt.flavours import composed
from assetctl.run import Preview, Step
from assetctl.samplers import LEGACY, SAMPLERS, of_diffusers, sampled_by_diffusers, told_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from diffusers import DiffusionPipeline
    from PIL.Image import Image

    from assetctl.generation.diffusers.conditioning import Conditioning, Encoder
    from assetctl.generation.diffusers.kept import Loaded
    from assetctl.generation.families import Latents
    from assetctl.generation.sampling.noise import Between
    from assetctl.generation.sampling.programs import Course, Guess
    from assetctl.identify.features import Family
    from assetctl.options import Settings
    from assetctl.request import Plan
    from assetctl.run import Run

    OnStep = Callable[[int, int, torch.Tensor], None]
    OnGuess = Callable[[torch.Tensor], None]

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
    if ours:  # A1111 has one way for all models of a family; a folder's own is diffusers'
        told_as = build_of(plan.checkpoint.family or "unknown").told
        return guidance(encoders, asked, settings, skip, zeros=told_as.zeros_for_nothing)
    prompt, *negative = encode(encoders, asked, skip, settings["flavour"])
    zeros = bool(pipeline.config.get("force_zeros_for_empty_prompt"))
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


def levels_of(config: Mapping[str, Any], flavour: str, *, half: bool = False) -> Levels:
    """The noise levels that a checkpoint was trained on, as a program computes them; once A1111 did so in 16 bits."""
    usual = config.get("beta_schedule") == "scaled_linear" and config.get("trained_betas") is None
    if not usual or config.get("rescale_betas_zero_snr"):
        kept = diffusers.DDIMScheduler.from_config(config).alphas_cumprod
        return Levels.of(kept.half() if half else kept)
    kept_as = torch.float16 if half else torch.float32 if flavour == "a1111" else torch.float64
    count = int(config.get("num_train_timesteps", 1000))
    return Levels.scaled_linear(config["beta_start"], config["beta_end"], count, kept_as)


#: What is taken for the picture, by what a network predicts: of what it was shown, its answer, the noise level, and the
#: strength of picture and noise together.
_PICTURE_OF: Mapping[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "epsilon": lambda x, said, sigma, _whole: x - said * sigma,
    "v_prediction": lambda x, said, sigma, whole: x / whole**2 - said * (sigma / whole),
}


@dataclass(frozen=True, slots=True)
class Painter:
    """What makes the pictures of one plan.

    Attributes:
        pipeline: Its UNet and VAE are used.
        prompts: What guides it, or that as a pipeline takes it.
        settings: As `assetctl.options` has them, whole.
        predicts: `epsilon` or `v_prediction`.
        config: The checkpoint's own scheduler configuration.
    """

    pipeline: DiffusionPipeline
    prompts: Guidance | Mapping[str, torch.Tensor]
    settings: Settings
    predicts: str
    config: Mapping[str, Any]

    def latents(self, seed: int, on_step: OnStep, on_guess: OnGuess | None = None) -> torch.Tensor:
        """A picture's latents; `on_step` is told of each step, its number and how many there are.

        `on_guess` is shown what the picture is taken for, each time that the model is asked.
        """
        way = self._course()
        side = self.pipeline.vae_scale_factor
        shape = (4, self.settings["height"] // side, self.settings["width"] // side)
        first, between = self._noise(seed, way.sigmas, shape)
        with torch.no_grad():
            return way.run(self._guess(on_guess), first, between, lambda step, x: on_step(step, way.steps, x))

    def _noise(self, seed: int, sigmas: torch.Tensor, shape: tuple[int, ...]) -> tuple[torch.Tensor, Between]:
        """The picture's first noise, and what follows: of its place in a batch, as ComfyUI draws for all at once."""
        flavour, like = self._flavour, torch.zeros((), device=self.pipeline.unet.device)
        count, place = (
            (self.settings["latent_batch"], self.settings["latent_index"]) if flavour == "comfyui" else (1, 0)
        )
        # what is taken out of a larger batch has its first noise from there alone
        here = place if place < count else 0
        first, between = first_and_between(flavour, self.settings, seed, sigmas, (count, *shape), like, here)
        if flavour == "a1111":
            return varied(first, self.settings, seed, self.pipeline.vae_scale_factor), between
        if place >= count:
            first = SOURCES["CPU"](seed).draw_one((place + 1, *shape), place).to(first)
        return first, between

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
        levels = levels_of(self.config, self._flavour, half=bool(self.settings["half_levels"]))
        whole = course(self._flavour, self.settings, levels, sdxl=sdxl)
        return windowed(whole, self.settings, levels) if self._flavour == "comfyui" else whole

    def _guess(self, shown: OnGuess | None = None) -> Guess:
        """What the UNet takes for the picture: guided away from the negative prompt, and by that one alone."""
        strength = self.settings["cfg_scale"]
        guidance = self.prompts if isinstance(self.prompts, Guidance) else Guidance.of(self.prompts)
        network, asked = _Network.of(self.pipeline.unet, self.settings), itertools.count()
        picture_of = _PICTURE_OF.get(self.predicts)
        if picture_of is None:
            message = f"The checkpoint predicts {self.predicts}, which no flavour but diffusers samples."
            raise UnusableError(message, "Try --flavour diffusers, or choose another checkpoint.")

        def guess(x: torch.Tensor, sigma: torch.Tensor, time: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            whole = (sigma**2 + 1) ** 0.5
            towards, away = guidance.at(next(asked))
            told = [each for _, each in towards] if away is None else [away, *(each for _, each in towards)]
            answers = network.answers(x / whole if self._flavour == "comfyui" else x * (1 / whole), time, told)
            pictures = [picture_of(x, said, sigma, whole) for said in answers]
            guided = pictures[0]
            if away is not None:  # pictures are mixed, not noises: the last bit is the programs' then
                for (weight, _), picture in zip(towards, pictures[1:], strict=True):
                    guided = guided + (picture - pictures[0]) * (weight * strength)
            if shown is not None:
                shown(guided)
            return guided, pictures[0]

        return guess


@dataclass(slots=True)
class _Network:
    """A UNet that is asked again and again: what stays the same is looked up once.

    diffusers goes through all modules to tell where a network is and in what precision, which takes milliseconds.

    Attributes:
        unet: The network.
        size: Width and height of the picture.
        device: Where it computes.
        dtype: In what precision.
        handed: What it was told last, by the length of it, and in what form.
    """

    unet: Any
    size: tuple[int, int]
    device: torch.device
    dtype: torch.dtype
    handed: dict[int, tuple[list[Conditioning], Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, unet: Any, settings: Settings) -> _Network:  # noqa: ANN401 - diffusers' own type
        return cls(unet, (settings["width"], settings["height"]), unet.device, unet.dtype)

    def answers(self, given: torch.Tensor, time: torch.Tensor, told: Sequence[Conditioning]) -> list[torch.Tensor]:
        """What it says, told this and that; what is of one length goes together."""
        given, time = given.to(self.dtype), time.to(self.device)
        found: dict[int, torch.Tensor] = {}
        for length in dict.fromkeys(each.states.shape[1] for each in told):
            group = [number for number, each in enumerate(told) if each.states.shape[1] == length]
            states, added = self._handed(length, [told[number] for number in group])
            pictures = torch.cat([given] * len(group))
            said = self.unet(pictures, time, states, added_cond_kwargs=added, return_dict=False)[0].float()
            found |= dict(zip(group, said.split(len(given)), strict=True))
        return [found[number] for number in range(len(told))]

    def _handed(self, length: int, told: list[Conditioning]) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        """States and, for SDXL, what else it is told."""
        before, handed = self.handed.get(length, ([], None))
        if len(before) != len(told) or any(one is not other for one, other in zip(before, told, strict=True)):
            handed = self._made(told)
            self.handed[length] = told, handed
        return handed  # type: ignore[no-any-return]

    def _made(self, told: Sequence[Conditioning]) -> tuple[torch.Tensor, dict[str, torch.Tensor] | None]:
        states = torch.cat([each.states for each in told]).to(self.device, self.dtype)
        pooled = [each.pooled for each in told if each.pooled is not None]
        if not pooled:
            return states, None
        width, height = self.size
        own = (width, height, 0, 0, width, height)
        sizes = torch.tensor([[each for pair in _turned(one.sizes or own) for each in pair] for one in told])
        added = {"text_embeds": torch.cat(pooled), "time_ids": sizes}
        return states, {name: each.to(self.device, self.dtype) for name, each in added.items()}


def _turned(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Heights before widths, as SDXL has them."""
    return ((sizes[at + 1], sizes[at]) for at in range(0, len(sizes), 2))


def windowed(way: Course, settings: Settings, levels: Levels) -> Course:
    """Some of the steps alone, from one and up to another: as ComfyUI's KSampler Advanced.

    Raises:
        UsageError: They begin behind the last one.
    """
    start, end, sigmas = settings["start_step"], settings["end_step"], way.sigmas
    if not start and not 0 < end < way.steps:
        return way
    if 0 < end < way.steps:
        sigmas = sigmas[: end + 1].clone()
        if not settings["leftover_noise"]:
            sigmas[-1] = way.sigmas[-1]  # nothing, or for UniPC nearly so
    if start >= len(sigmas) - 1:
        message = f"--start-step {start} is behind the last step: there are {len(sigmas) - 1}, counted from 0."
        raise UsageError(message, "Choose a lower --start-step, or a later --end-step.")
    sigmas = sigmas[start:]
    from_the_top = bool(sigmas[0] >= levels.sigmas[-1] * (1 - _NEARLY))
    return replace(way, sigmas=sigmas, start=(1 + sigmas[0] ** 2) ** 0.5 if from_the_top else sigmas[0])


#: What a level may be below the highest, in shares of it, to be taken for that.
_NEARLY = 1e-5


def varied(first: torch.Tensor, settings: Settings, seed: int, side: int = 8) -> torch.Tensor:
    """A picture's first noise with a second seed's mixed in, or with another size's in its middle (A1111).

    Both are drawn anew; what goes on with the first noise's source is not moved by it. A latent is of `side` pixels.
    """
    strength, size = settings["variation_strength"], (settings["resize_seed_height"], settings["resize_seed_width"])
    resized = all(size)
    if not (strength or resized):
        return first
    shape = (first.shape[1], *(pixels // side for pixels in size)) if resized else tuple(first.shape[1:])
    noise = SOURCES[settings["noise"]](seed).draw(shape)
    if strength:
        noise = mixed(noise, SOURCES[settings["noise"]](settings["variation_seed"]).draw(shape), strength)
    if resized:
        whole = first[0].clone()
        (down, top), (right, left) = (_centred(*sides) for sides in zip(whole.shape[1:], shape[1:], strict=True))
        whole[:, down, right] = noise[:, top, left].to(whole)
        noise = whole
    return noise[None].to(first)


def mixed(first: torch.Tensor, second: torch.Tensor, strength: float) -> torch.Tensor:
    """The way from one noise to another along a sphere, gone for each column of each channel by itself, as A1111 does.

    Args:
        first: (channels, height, width).
        second: Likewise.
        strength: How far, from 0 to 1.
    """
    cosine = (first / first.norm(dim=1, keepdim=True) * (second / second.norm(dim=1, keepdim=True))).sum(1)
    if cosine.mean() > _THE_SAME:  # of one seed: there is no angle, and A1111 has the shares the other way round
        return first * strength + second * (1 - strength)
    angle = cosine.acos()
    shares = (((1 - strength) * angle).sin() / angle.sin(), (strength * angle).sin() / angle.sin())
    return shares[0][:, None] * first + shares[1][:, None] * second


_THE_SAME = 0.9995


def _centred(wide: int, narrow: int) -> tuple[slice, slice]:
    """Where the middle of something is in what is wider, or narrower; and that middle in itself."""
    apart = (wide - narrow) // 2  # rounded down, below zero too
    length = narrow if apart >= 0 else narrow + 2 * apart
    inner, outer = max(apart, 0), max(-apart, 0)
    return slice(inner, inner + length), slice(outer, outer + length)
