"""How A1111 and ComfyUI run a sampler: which levels, which time each is for the model, how noise begins and ends.

What the programs do was measured, as docs/decisions tell; no code of theirs is here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from assetctl.generation.sampling import exponential
from assetctl.generation.sampling import multistep as many
from assetctl.generation.sampling import noise as of
from assetctl.generation.sampling import solvers as one
from assetctl.generation.sampling.noise import SOURCES, brownian, drawn
from assetctl.generation.sampling.solvers import Tuning
from assetctl.samplers import AUTOMATIC, SAMPLERS, told_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from assetctl.generation.sampling.noise import Between, Levels, Schedule
    from assetctl.generation.sampling.solvers import Denoise, OnStep, Solver
    from assetctl.options import Settings

    #: What a model takes for the picture in `x`, given its level and its time: guided, and away from the prompt.
    Guess = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


SOLVERS: Mapping[str, Solver] = {
    "Euler": one.euler, "Euler a": one.euler_ancestral, "Heun": one.heun, "Heun++ 2": one.heun_plus_plus,
    "LMS": many.lms, "DPM2": one.dpm_2, "DPM2 a": one.dpm_2_ancestral, "DPM++ 2M": many.dpmpp_2m,
    "DPM++ 2S a": one.dpmpp_2s_ancestral, "DPM++ SDE": one.dpmpp_sde, "DPM++ 2M SDE": many.dpmpp_2m_sde,
    "DPM++ 2M SDE Heun": partial(many.dpmpp_2m_sde, by_heun=True), "DPM++ 3M SDE": many.dpmpp_3m_sde,
    "DPM fast": exponential.dpm_fast, "DPM adaptive": exponential.dpm_adaptive,
    "DDPM": one.ddpm, "IPNDM": many.ipndm, "IPNDM_V": many.ipndm_v, "DEIS": many.deis, "PLMS": many.plms,
    "UniPC": many.unipc, "UniPC bh2": partial(many.unipc, second=True), "LCM": one.lcm, "TCD": one.tcd,
    "Restart": one.restart,
    "DDIM CFG++": partial(one.euler_cfg_pp, share=1 / 12.5),
    "Euler CFG++": partial(one.euler_cfg_pp, straight=True), "Euler a CFG++": one.euler_cfg_pp,
    "DPM++ 2S a CFG++": partial(one.dpmpp_2s_ancestral, unguided=True), "DPM++ 2M CFG++": many.dpmpp_2m_cfg_pp,
    "RES": partial(exponential.res_multistep, straight=True),
    "RES CFG++": partial(exponential.res_multistep, straight=True, unguided=True),
    "RES a": exponential.res_multistep, "RES a CFG++": partial(exponential.res_multistep, unguided=True),
    "Gradient Estimation": many.gradient_estimation,
    "Gradient Estimation CFG++": partial(many.gradient_estimation, unguided=True),
    "ER SDE": exponential.er_sde, "SEEDS 2": exponential.seeds, "SEEDS 3": partial(exponential.seeds, stages=3),
    "SA-Solver": exponential.sa_solver, "SA-Solver PECE": partial(exponential.sa_solver, asks_again=True),
}  # fmt: skip
"""By the names that `assetctl.samplers` lists."""


@dataclass(frozen=True, slots=True)
class Course:
    """One way from noise to a picture, all of it decided.

    Attributes:
        solver: The sampler.
        sigmas: The levels that it walks down.
        start: What the first noise is multiplied by.
        end: What the outcome is.
        time: The model's time of a level.
        bounded: Whether the model's guess is held to its own input near the end, as LCM was trained (A1111).
    """

    solver: Solver
    sigmas: Tensor
    start: Tensor
    end: Tensor
    time: Callable[[Tensor], Tensor]
    tuning: Tuning
    bounded: bool = False

    @property
    def steps(self) -> int:
        """How many steps there are, at the least."""
        return len(self.sigmas) - 1

    def run(self, guess: Guess, first: Tensor, noise: Between, on_step: OnStep) -> Tensor:
        """The picture's latents, from first noise of unit strength."""
        x = first * self.start
        return self.solver(_Denoiser(self, guess), x, self.sigmas, noise, on_step, self.tuning) * self.end


class _Denoiser:
    """A model as samplers ask it."""

    def __init__(self, way: Course, guess: Guess) -> None:
        self._way, self._guess = way, guess
        self.away = torch.empty(0)

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        time = self._way.time(sigma)
        guided, self.away = self._guess(x, sigma, time)
        return _bounded(guided, x, time) if self._way.bounded else guided


def _bounded(denoised: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """A consistency model's boundary: at time 0 the picture is its own input (Luo et al. 2023, section 4)."""
    scaled = time * 10.0
    return (scaled / (scaled**2 + 0.25) ** 0.5) * denoised + (0.25 / (scaled**2 + 0.25)) * x


def course(flavour: str, settings: Settings, levels: Levels, *, sdxl: bool = False) -> Course:
    """How a program runs what the settings of a picture name.

    Args:
        flavour: `a1111` or `comfyui`.
        settings: As `assetctl.options` has them.
        levels: The model's.
        sdxl: Whether the model is of that family, for which a schedule has numbers of its own.
    """
    sampler, schedule = told_apart(settings["sampler"], settings["scheduler"])
    tuning = _tuning(settings, levels)
    if flavour == "comfyui":
        return _comfyui(sampler, schedule, settings, tuning, sdxl=sdxl)
    if sampler in ("DDIM", "DDIM CFG++", "PLMS"):
        return _by_times(sampler, settings, tuning)
    if sampler == "UniPC":
        return _unipc_of_a1111(settings, tuning)
    return _a1111(sampler, schedule, settings, tuning, sdxl=sdxl)


def _tuning(settings: Settings, levels: Levels) -> Tuning:
    most = settings["s_tmax"] or float("inf")
    return Tuning(settings["eta"], settings["s_churn"], settings["s_tmin"], most, settings["s_noise"], levels)


def _one(levels: Levels) -> Tensor:
    return torch.ones_like(levels.sigmas[0])


def _whole(sigma: Tensor) -> Tensor:
    """The strength of a picture with noise of this level beside it, both of unit strength."""
    return (1 + sigma**2) ** 0.5


def _walked(schedule: Schedule, levels: Levels, steps: int, *, discard: bool) -> Tensor:
    sigmas = schedule(levels, steps + discard)
    return torch.cat([sigmas[:-2], sigmas[-1:]]) if discard else sigmas


def _discards(sampler: str, flavour: str, settings: Settings) -> bool:
    return bool(settings["discard_penultimate"]) or flavour in SAMPLERS[sampler].discards


def _a1111(sampler: str, schedule: str, settings: Settings, tuning: Tuning, *, sdxl: bool) -> Course:
    bounded = sampler == "LCM"
    levels, time = _sparse(tuning.levels) if bounded else (tuning.levels, tuning.levels.time)
    name = SAMPLERS[sampler].automatic if schedule == AUTOMATIC else schedule
    own: dict[str, Schedule] = {
        "Beta": of.beta_of_levels,
        "KL Optimal": of.kl_optimal_to_lowest,
        "Align Your Steps": partial(of.align_your_steps, sdxl=sdxl),
    }
    discard = _discards(sampler, "a1111", settings)
    sigmas = _walked(own.get(name, of.SCHEDULES[name]), levels, settings["steps"], discard=discard)
    start = _whole(sigmas[0]) if settings["sgm_noise"] else sigmas[0]
    if sampler in _UNTOLD:
        tuning = replace(tuning, s_noise=1.0)
    if sampler in _THROUGH_ALL:
        sigmas = torch.linspace(levels.highest, levels.lowest, settings["steps"] + 1)
    return Course(SOLVERS[sampler], sigmas, start, _one(levels), time, tuning, bounded)


#: Samplers that go through all of the model's levels in A1111, whatever those of the schedule are.
_THROUGH_ALL = ("DPM fast", "DPM adaptive")

#: Samplers that A1111 does not tell what noise is to be multiplied by.
_UNTOLD = ("Euler a", "DPM adaptive", "Restart", "LCM")


#: Steps of training that LCM was distilled to.
_DISTILLED = 50


def _sparse(levels: Levels) -> tuple[Levels, Callable[[Tensor], Tensor]]:
    """The levels that LCM knows, every twentieth, and the time of the nearest of them."""
    apart = len(levels.sigmas) // _DISTILLED
    known = replace(levels, sigmas=levels.sigmas[apart - 1 :: apart], logs=levels.logs[apart - 1 :: apart])
    return known, lambda sigma: known.nearest(sigma).float() * apart + (apart - 1)


def _times(steps: int, training: int) -> list[int]:
    """The times that A1111 takes for samplers that count in steps of training, the earliest first."""
    return [min(time + 1, training - 1) for time in range(0, training, max(training // steps, 1))]


def _by_times(sampler: str, settings: Settings, tuning: Tuning) -> Course:
    """DDIM and PLMS as A1111 has them: the step from the first time to none is not taken."""
    levels = tuning.levels
    steps = settings["steps"] + bool(settings["discard_penultimate"])
    sigmas = levels.sigmas[_times(steps, len(levels.sigmas))].flip(0)
    solver = SOLVERS["Euler a" if sampler == "DDIM" else sampler]
    plain = replace(tuning, s_noise=1.0)  # which is for the others
    return Course(solver, sigmas, _whole(sigmas[0]), 1 / _whole(sigmas[-1]), levels.time, plain)


def _unipc_of_a1111(settings: Settings, tuning: Tuning) -> Course:
    """UniPC as A1111 has it: even in a time that goes on between steps of training, to the first of them."""
    levels = tuning.levels
    training = len(levels.sigmas)
    steps = len(_times(settings["steps"] + bool(settings["discard_penultimate"]), training))
    sigmas, times = levels.mixed(torch.linspace(1.0, 1 / training, steps + 1))

    def time(sigma: Tensor) -> Tensor:
        return times[(sigmas - sigma).abs().argmin()]

    return Course(SOLVERS["UniPC"], sigmas, _whole(sigmas[0]), 1 / _whole(sigmas[-1]), time, tuning)


def _without_noise(
    solver: Solver, denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning
) -> Tensor:
    return solver(denoise, x, sigmas, noise, on_step, replace(tuning, eta=0.0))


#: Samplers that are others in ComfyUI than in k-diffusion.
_OF_COMFYUI: dict[str, Solver] = {
    "DDIM": SOLVERS["Euler"],
    "LMS": partial(many.lms, straight_end=True),
    "DPM++ SDE": partial(one.dpmpp_sde, by_logs=False),
    "DPM fast": partial(_without_noise, exponential.dpm_fast),
    "DPM adaptive": partial(_without_noise, exponential.dpm_adaptive),
    "UniPC": partial(many.unipc, by_shares=True),
    "UniPC bh2": partial(many.unipc, second=True, by_shares=True),
}

#: Where UniPC ends in ComfyUI, as it cannot reach 0.
_NEARLY_ZERO = 0.001


def _comfyui(sampler: str, schedule: str, settings: Settings, tuning: Tuning, *, sdxl: bool) -> Course:
    levels = tuning.levels
    name = {"DDIM": "DDIM"}.get(sampler, "Normal") if schedule == AUTOMATIC else schedule
    own: dict[str, Schedule] = {
        "KL Optimal": of.kl_optimal,
        "Align Your Steps": partial(of.align_your_steps_to_nothing, sdxl=sdxl),
    }
    discard = _discards(sampler, "comfyui", settings)
    sigmas = _walked(own.get(name, of.SCHEDULES[name]), levels, settings["steps"], discard=discard)
    if sampler.startswith("UniPC"):
        sigmas[-1] = _NEARLY_ZERO
    from_the_top = bool(sigmas[0] >= levels.sigmas[-1] * (1 - 1e-5))
    start = _whole(sigmas[0]) if from_the_top else sigmas[0]
    solver = _OF_COMFYUI.get(sampler) or SOLVERS[sampler]
    return Course(solver, sigmas, start, _one(levels), lambda sigma: levels.nearest(sigma).float(), tuning)


def first_and_between(
    flavour: str, settings: Settings, seed: int, sigmas: Tensor, shape: Sequence[int], like: Tensor, place: int = 0
) -> tuple[Tensor, Between]:
    """The first noise of a picture, and the noise between its steps; of one of several that are drawn for at once.

    A1111 draws both from one source, unless a second seed is set apart by `ensd`. ComfyUI draws the first and Brownian
    paths on the processor in any case, and starts a source anew for what else follows.
    """
    kind = settings["noise"]
    source = SOURCES["CPU" if flavour == "comfyui" else kind](seed)
    first = source.draw_one(shape, place).to(like)
    sampler, _ = told_apart(settings["sampler"])
    if SAMPLERS[sampler].brownian:
        return first, brownian("CPU" if flavour == "comfyui" else kind, seed, sigmas, first, shape[0], place)
    if flavour == "comfyui" or settings["ensd"]:
        source = SOURCES[kind](seed + (settings["ensd"] if flavour == "a1111" else 0))
    return first, drawn(source, first, shape[0], place)
