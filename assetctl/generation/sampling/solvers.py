"""Samplers: ways from noise to a picture, one function each.

All of them walk down `sigmas`, the noise levels of a schedule, in a space where the noise is added to the picture
(Karras et al. 2022, https://arxiv.org/abs/2206.00364), and behave as k-diffusion's of the same name do, which A1111
and ComfyUI are built on. Levels stay tensors of 32 bits throughout: noise off a Brownian path is asked for by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import torch

from assetctl.generation.sampling.noise import Levels, karras_between

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from assetctl.generation.sampling.noise import Between

    OnStep = Callable[[int, Tensor], None]


@dataclass(frozen=True, slots=True)
class Tuning:
    """What can be set of samplers; each takes what it knows.

    Attributes:
        eta: How much of the noise is drawn anew at each step: 1 for all that an ancestral sampler may, 0 for none.
        s_churn: How much noise is added before a step, summed over all steps.
        s_tmin: The lowest level at which it is.
        s_tmax: The highest.
        s_noise: What all noise is multiplied by.
        levels: The model's, for samplers that count in its steps of training.
    """

    eta: float = 1.0
    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf
    s_noise: float = 1.0
    levels: Levels = field(default_factory=Levels.scaled_linear)


#: What samplers are made for.
USUAL = Tuning()


class Denoise(Protocol):
    """A model that is asked for pictures.

    Attributes:
        away: What it took for the picture when it was asked last, had there been the negative prompt alone.
    """

    away: Tensor

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        """What the model takes for the picture in `x`, given the level of the noise in it."""
        ...


class Solver(Protocol):
    """A sampler."""

    def __call__(
        self, denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning
    ) -> Tensor:
        """Walk from `x`, which has noise of the first level, to the last; tell `on_step` of each step's outcome."""
        ...


def slope_of(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    """How `x` changes with the level, where the model takes `denoised` for the picture in it."""
    return (x - denoised) / sigma


def ancestral(sigma: Tensor, after: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The level to step down to, and how much noise then brings it up to `after`."""
    if not eta:
        return after, torch.zeros_like(after)
    up = torch.minimum(after, eta * (after**2 * (sigma**2 - after**2) / sigma**2) ** 0.5)
    return (after**2 - up**2) ** 0.5, up


def _middle(sigma: Tensor, after: Tensor) -> Tensor:
    return sigma.log().lerp(after.log(), 0.5).exp()


def _churned(x: Tensor, sigma: Tensor, after: Tensor, steps: int, noise: Between, own: Tuning) -> tuple[Tensor, Tensor]:
    """Noise added before a step (Karras et al., algorithm 2), and the level that it comes to."""
    if own.s_churn <= 0:
        return x, sigma
    more = noise(sigma, after) * own.s_noise  # drawn for each step, whether it is added or not
    share = min(own.s_churn / steps, 2**0.5 - 1) if own.s_tmin <= float(sigma) <= own.s_tmax else 0.0
    higher = sigma * (share + 1)
    return (x + more * (higher**2 - sigma**2) ** 0.5, higher) if share > 0 else (x, sigma)


def euler(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """Straight on (Karras et al., algorithm 2 without its correction)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x, start = _churned(x, sigma, after, len(sigmas) - 1, noise, tuning)
        x = x + slope_of(x, start, denoise(x, start)) * (after - start)
        on_step(step, x)
    return x


def euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """A step further down than wanted, and up again with new noise."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        down, up = ancestral(sigma, after, tuning.eta)
        x = x + slope_of(x, sigma, denoise(x, sigma)) * (down - sigma)
        if after > 0 and up > 0:
            x = x + noise(sigma, after) * (tuning.s_noise * up)
        on_step(step, x)
    return x


def euler_cfg_pp(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    straight: bool = False,
    share: float = 1.0,
) -> Tensor:
    """To the guided picture, with the noise that the model sees without the prompt (https://arxiv.org/abs/2406.08070).

    `straight` draws no noise; `share` is what guidance is multiplied by.
    """
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        away = denoise.away
        down, up = ancestral(sigma, after, 0.0 if straight else tuning.eta)
        x = away + (denoised - away) * share + slope_of(x, sigma, away) * down
        if after > 0 and up > 0:
            x = x + noise(sigma, after) * (tuning.s_noise * up)
        on_step(step, x)
    return x


def ddpm(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """As the model was trained, step by step (Ho et al. 2020, https://arxiv.org/abs/2006.11239)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        kept, next_kept = 1 / (sigma * sigma + 1), 1 / (after * after + 1)
        share = kept / next_kept
        slope = slope_of(x, sigma, denoise(x, sigma))
        x = (1 / share).sqrt() * (x / (1 + sigma**2).sqrt() - (1 - share) * slope / (1 - kept).sqrt())
        if after > 0:
            x = x + ((1 - share) * (1 - next_kept) / (1 - kept)).sqrt() * noise(sigma, after)
            x = x * (1 + after**2).sqrt()
        on_step(step, x)
    return x


def heun(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The mean of the slopes at both ends of a step (Karras et al., algorithm 2)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x, start = _churned(x, sigma, after, len(sigmas) - 1, noise, tuning)
        slope = slope_of(x, start, denoise(x, start))
        if after > 0:
            there = x + slope * (after - start)
            slope = (slope + slope_of(there, after, denoise(there, after))) / 2
        x = x + slope * (after - start)
        on_step(step, x)
    return x


def heun_plus_plus(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """Slopes at up to three levels, each by its share of the first level."""
    steps = len(sigmas) - 1
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x, start = _churned(x, sigma, after, steps, noise, tuning)
        ahead = sigmas[step + 1 : min(step + 3, steps)]
        place, level = x, start
        slopes = [slope_of(x, start, denoise(x, start))]
        for each in ahead:
            place, level = place + slopes[-1] * (each - level), each
            slopes.append(slope_of(place, each, denoise(place, each)))
        shares = [each / (len(slopes) * sigmas[0]) for each in ahead]
        slope = slopes[0] * (1 - sum(shares))
        for share, each in zip(shares, slopes[1:], strict=True):
            slope = slope + share * each
        x = x + slope * (after - start)
        on_step(step, x)
    return x


def dpm_2(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The slope in the middle of a step (DPM-Solver-2, Lu et al. 2022, https://arxiv.org/abs/2206.00927)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x, start = _churned(x, sigma, after, len(sigmas) - 1, noise, tuning)
        x = _by_middle(denoise, x, start, after)
        on_step(step, x)
    return x


def dpm_2_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The same, down further than wanted and up again with new noise."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        down, up = ancestral(sigma, after, tuning.eta)
        x = _by_middle(denoise, x, sigma, down)
        if down > 0 and up > 0:
            x = x + noise(sigma, after) * (tuning.s_noise * up)
        on_step(step, x)
    return x


def _by_middle(denoise: Denoise, x: Tensor, sigma: Tensor, after: Tensor) -> Tensor:
    slope = slope_of(x, sigma, denoise(x, sigma))
    if after > 0:
        middle = _middle(sigma, after)
        there = x + slope * (middle - sigma)
        slope = slope_of(there, middle, denoise(there, middle))
    return x + slope * (after - sigma)


def dpmpp_2s_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    unguided: bool = False,
) -> Tensor:
    """DPM-Solver++ (2S), down further than wanted and up again with new noise.

    `unguided` keeps the noise that the model sees without the prompt (CFG++).
    """
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        down, up = ancestral(sigma, after, tuning.eta)
        denoised = target = denoise(x, sigma)
        moved = x + (denoised - denoise.away) if unguided else x
        if not down > 0:
            x = denoised
        else:
            h = sigma.log() - down.log()
            middle = ((sigma.log() + down.log()) / 2).exp()
            there = (middle / sigma) * moved - (-h / 2).expm1() * denoised
            target = denoise(there, middle)
            moved = x + (denoised - denoise.away) if unguided else x
            x = (down / sigma) * moved - (-h).expm1() * target
        if after > 0 and up > 0:
            x = x + noise(sigma, after) * (tuning.s_noise * up)
        on_step(step, x)
    return x


def dpmpp_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    by_logs: bool = True,
) -> Tensor:
    """DPM-Solver++ (SDE): two stages a step, with noise after both.

    `by_logs` asks for noise between the exponents of the levels' logarithms, as k-diffusion does, and not between the
    levels themselves: a last bit, which a Brownian path tells apart.
    """
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if not after > 0:
            x = x + slope_of(x, sigma, denoised) * (after - sigma)
        else:
            start, end = -sigma.log(), -after.log()
            middle = (-(start + (end - start) * 0.5)).exp()
            begin, target = ((-start).exp(), (-end).exp()) if by_logs else (sigma, after)
            there = _stage(x, begin, middle, denoised, noise, tuning)
            x = _stage(x, begin, target, denoise(there, middle), noise, tuning)
        on_step(step, x)
    return x


def _stage(x: Tensor, sigma: Tensor, after: Tensor, target: Tensor, noise: Between, tuning: Tuning) -> Tensor:
    """A step towards a picture, down further than wanted and up again with noise."""
    down, up = ancestral(sigma, after, tuning.eta)
    h = sigma.log() - down.log()
    return (down / sigma) * x - (-h).expm1() * target + noise(sigma, after) * (tuning.s_noise * up)


def lcm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL) -> Tensor:
    """The picture, and noise anew (Luo et al. 2023, https://arxiv.org/abs/2310.04378)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x = denoise(x, sigma)
        if after > 0:
            x = x + noise(sigma, after) * after
        on_step(step, x)
    return x


def tcd(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL) -> Tensor:
    """A step to an earlier time than wanted, and noise up to it (Zheng et al. 2024, https://arxiv.org/abs/2402.19159).

    `tuning.eta` is the paper's gamma: 0 draws no noise, 1 is LCM.
    """
    levels = tuning.levels
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slope = slope_of(x, sigma, denoise(x, sigma))
        down = after
        if after > 0:
            down = levels.at(((1 - tuning.eta) * levels.time(after)).floor())
        x = x + slope * (down - sigma)
        if after > down:
            x = x + noise(sigma, after) * (tuning.s_noise * (after**2 - down**2) ** 0.5)
        on_step(step, x)
    return x


#: Restart goes back once from the first level to the second; twice where there are many steps.
_RESTART, _FEW, _MANY = (0.1, 2.0), 20, 36


def restart(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """Heun's rule, and back up with noise near the end (Xu et al. 2023, https://arxiv.org/abs/2306.14878).

    From 20 steps on, some of them are spent on the way that is gone again; the whole way is Karras' then.
    """
    last = None
    for step, (sigma, after) in enumerate(_restarting(sigmas)):
        if last is not None and last < sigma:
            x = x + noise(last, sigma) * tuning.s_noise * (sigma**2 - last**2) ** 0.5
        slope = slope_of(x, sigma, denoise(x, sigma))
        if after > 0:
            there = x + slope * (after - sigma)
            slope = (slope + slope_of(there, after, denoise(there, after))) / 2
        x, last = x + slope * (after - sigma), after
        on_step(step, x)
    return x


def _restarting(sigmas: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The steps, each from one level to another."""
    steps = len(sigmas) - 1
    if steps < _FEW:
        return list(pairwise(sigmas))
    again, times = (steps // 4, 2) if steps >= _MANY else (9, 1)
    way = karras_between(steps - again * times, float(sigmas[-2]), float(sigmas[0]))
    low, high = (int((way - level).abs().argmin()) for level in _RESTART)
    found = list(pairwise(way))
    if high >= low:
        return found
    back = karras_between(again + 1, float(way[low]), float(way[high]))[:-1]
    return found[:low] + list(pairwise(back)) * times + found[low:]
