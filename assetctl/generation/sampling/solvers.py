"""Samplers: ways from noise to a picture, one function each.

All of them walk down `sigmas`, the noise levels of a schedule, in a space where the noise is added to the picture
(Karras et al. 2022, https://arxiv.org/abs/2206.00364), and behave as k-diffusion's of the same name do, which A1111
and ComfyUI are built on. Levels stay tensors of 32 bits throughout: noise off a Brownian path is asked for by them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import torch

from assetctl.generation.sampling.levels import Levels, karras_between

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from assetctl.generation.sampling.noise import Between

    #: What the model takes for the picture in `x`, given the level of the noise in it.
    Denoise = Callable[[Tensor, Tensor], Tensor]
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


class Solver(Protocol):
    """A sampler."""

    def __call__(
        self, denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning
    ) -> Tensor:
        """Walk from `x`, which has noise of the first level, to the last; tell `on_step` of each step's outcome."""
        ...


def _slope(x: Tensor, sigma: Tensor, denoised: Tensor) -> Tensor:
    return (x - denoised) / sigma


def _ancestral(sigma: Tensor, after: Tensor, eta: float) -> tuple[Tensor, Tensor]:
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
        x = x + _slope(x, start, denoise(x, start)) * (after - start)
        on_step(step, x)
    return x


def euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """A step further down than wanted, and up again with new noise."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        down, up = _ancestral(sigma, after, tuning.eta)
        x = x + _slope(x, sigma, denoise(x, sigma)) * (down - sigma)
        if after > 0 and up > 0:
            x = x + noise(sigma, after) * (tuning.s_noise * up)
        on_step(step, x)
    return x


def heun(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The mean of the slopes at both ends of a step (Karras et al., algorithm 2)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x, start = _churned(x, sigma, after, len(sigmas) - 1, noise, tuning)
        slope = _slope(x, start, denoise(x, start))
        if after > 0:
            there = x + slope * (after - start)
            slope = (slope + _slope(there, after, denoise(there, after))) / 2
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
        slopes = [_slope(x, start, denoise(x, start))]
        for each in ahead:
            place, level = place + slopes[-1] * (each - level), each
            slopes.append(_slope(place, each, denoise(place, each)))
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
        down, up = _ancestral(sigma, after, tuning.eta)
        x = _by_middle(denoise, x, sigma, down)
        if down > 0 and up > 0:
            x = x + noise(sigma, after) * (tuning.s_noise * up)
        on_step(step, x)
    return x


def _by_middle(denoise: Denoise, x: Tensor, sigma: Tensor, after: Tensor) -> Tensor:
    slope = _slope(x, sigma, denoise(x, sigma))
    if after > 0:
        middle = _middle(sigma, after)
        there = x + slope * (middle - sigma)
        slope = _slope(there, middle, denoise(there, middle))
    return x + slope * (after - sigma)


def lms(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    straight_end: bool = False,
) -> Tensor:
    """A polynomial through the last four slopes, integrated over the step (linear multistep).

    `straight_end` takes the model's word for the picture in the last step, and no earlier one's.
    """
    levels, slopes = sigmas.double().tolist(), list[torch.Tensor]()
    for step, sigma in enumerate(sigmas[:-1]):
        slopes = [_slope(x, sigma, denoise(x, sigma)), *slopes][:4]
        if straight_end and not levels[step + 1] > 0:
            slopes = slopes[:1]
        known = levels[step + 1 - len(slopes) : step + 1][::-1]
        for number, slope in enumerate(slopes):
            x = x + slope * _integral(known, number, levels[step], levels[step + 1])
        on_step(step, x)
    return x


def _lagrange(places: Sequence[float], number: int, at: Tensor) -> Tensor:
    """The polynomial that is 1 at one place and 0 at all others."""
    value = torch.ones_like(at)
    for other, place in enumerate(places):
        if other != number:
            value = value * (at - place) / (places[number] - place)
    return value


def _integral(places: Sequence[float], number: int, start: float, end: float) -> float:
    """That polynomial's integral, by Gauss's rule of two points: exact up to the third degree."""
    half, middle = (end - start) / 2, (end + start) / 2
    at = torch.tensor([middle - half / 3**0.5, middle + half / 3**0.5], dtype=torch.float64)
    return float(_lagrange(places, number, at).sum()) * half


#: Weights of the last slopes, the newest first (Adams and Bashforth).
_ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def _adams(slopes: Sequence[Tensor]) -> Tensor:
    weights = _ADAMS[len(slopes) - 1]
    return torch.stack([weight * slope for weight, slope in zip(weights, slopes, strict=True)]).sum(0)


def ipndm(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The last four slopes, as if steps were even (Zhang and Chen 2022, https://arxiv.org/abs/2204.13902)."""
    slopes: list[torch.Tensor] = []
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slopes = [_slope(x, sigma, denoise(x, sigma)), *slopes][:4]
        x = x + _adams(slopes if after > 0 else slopes[:1]) * (after - sigma)
        on_step(step, x)
    return x


def plms(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The same, its first step by Heun's rule (Liu et al. 2022, https://arxiv.org/abs/2202.09778)."""
    slopes: list[torch.Tensor] = []
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slopes = [_slope(x, sigma, denoise(x, sigma)), *slopes][:4]
        slope = _adams(slopes)
        if step == 0 and after > 0:
            there = x + slope * (after - sigma)
            slope = (slope + _slope(there, after, denoise(there, after))) / 2
        x = x + slope * (after - sigma)
        on_step(step, x)
    return x


#: Parts of a step over which DEIS's integrals are summed; levels of its own time, and that of the lowest.
_PARTS, _DEIS_RANGE, _DEIS_START = 10_000, (0.002, 80.0), 1e-3


def deis(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL, order: int = 3
) -> Tensor:
    """A polynomial in time through the last slopes (tAB-DEIS: Zhang and Chen 2022)."""
    slopes, weights = list[torch.Tensor](), _deis_weights(sigmas, order)
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slopes = [_slope(x, sigma, denoise(x, sigma)), *slopes][:order]
        if step == 0 or not after > 0:
            x = x + slopes[0] * (after - sigma)
        else:
            for weight, slope in zip(weights[step], slopes, strict=True):
                x = x + weight * slope
        on_step(step, x)
    return x


def _deis_weights(sigmas: Tensor, order: int) -> list[list[Tensor]]:
    """What each of the last slopes counts for at each step, in the time of a linear schedule of betas."""
    low, high = (math.log(each**2 + 1) for each in _DEIS_RANGE)
    growth = 2 * (low / _DEIS_START - high) / (_DEIS_START - 1)
    least = high - growth / 2
    times = ((least**2 + 2 * growth * (sigmas**2 + 1).log()).sqrt() - least) / growth
    found = []
    for step, (start, end) in enumerate(pairwise(times)):
        places = [float(times[step - back]) for back in range(min(step + 1, order))]
        at = torch.linspace(float(start), float(end), _PARTS)
        kept = torch.exp(-0.5 * at**2 * growth - at * least)
        rate = 0.5 * (at * growth + least) / (kept * (1 - kept)).sqrt()
        part = (end - start) / _PARTS
        found.append([(rate * _lagrange(places, number, at)).sum() * part for number in range(len(places))])
    return found


def dpmpp_2m(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """DPM-Solver++ (2M): the last two pictures (Lu et al. 2022, https://arxiv.org/abs/2211.01095)."""
    old, width = None, None
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        h = sigma.log() - after.log()
        target = denoised
        if old is not None and width is not None and after > 0:
            share = h / (2 * width)
            target = (1 + share) * denoised - share * old
        x = (after / sigma) * x - (-h).expm1() * target
        old, width = denoised, h
        on_step(step, x)
    return x


def dpmpp_2s_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """DPM-Solver++ (2S), down further than wanted and up again with new noise."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        down, up = _ancestral(sigma, after, tuning.eta)
        target, h = denoise(x, sigma), sigma.log() - down.log()
        if down > 0:
            middle = ((sigma.log() + down.log()) / 2).exp()
            there = (middle / sigma) * x - (-h / 2).expm1() * target
            target = denoise(there, middle)
        x = (down / sigma) * x - (-h).expm1() * target
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
            x = x + _slope(x, sigma, denoised) * (after - sigma)
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
    down, up = _ancestral(sigma, after, tuning.eta)
    h = sigma.log() - down.log()
    return (down / sigma) * x - (-h).expm1() * target + noise(sigma, after) * (tuning.s_noise * up)


def dpmpp_2m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    by_heun: bool = False,
) -> Tensor:
    """DPM-Solver++ (2M SDE): the last two pictures, with noise; by the midpoint's rule or Heun's."""
    old, width = None, None
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        h = sigma.log() - after.log()
        if not after > 0:
            x = denoised
        else:
            whole = h * (1 + tuning.eta)
            gone = -(-whole).expm1()
            x = after / sigma * (-h * tuning.eta).exp() * x + gone * denoised
            if old is not None and width is not None:
                weight = 1 - gone / whole if by_heun else 0.5 * gone
                x = x + weight * (h / width) * (denoised - old)
            x = _with_noise(x, sigma, after, h, noise, tuning)
        old, width = denoised, h
        on_step(step, x)
    return x


def _with_noise(x: Tensor, sigma: Tensor, after: Tensor, h: Tensor, noise: Between, tuning: Tuning) -> Tensor:
    """The noise that a step of the SDE adds."""
    if not tuning.eta:
        return x
    return x + noise(sigma, after) * after * (-(-2 * h * tuning.eta).expm1()).sqrt() * tuning.s_noise


def dpmpp_3m_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """DPM-Solver++ (3M SDE): the last three pictures, with noise."""
    old: list[tuple[torch.Tensor, torch.Tensor]] = []  # pictures, and the widths of the steps to the next
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        h = sigma.log() - after.log()
        if not after > 0:
            x = denoised
        else:
            whole = h * (tuning.eta + 1)
            x = (-whole).exp() * x - (-whole).expm1() * denoised + _bent(whole, h, denoised, old)
            x = _with_noise(x, sigma, after, h, noise, tuning)
        old = [(denoised, h), *old][:2]
        on_step(step, x)
    return x


def _bent(whole: Tensor, h: Tensor, denoised: Tensor, old: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """What the pictures of one or two steps before add, by how fast they changed."""
    if not old:
        return torch.zeros_like(denoised)
    second = (-whole).expm1() / whole + 1
    share = old[0][1] / h
    change = (denoised - old[0][0]) / share
    if len(old) == 1:
        return second * change
    further = old[1][1] / h
    before = (old[0][0] - old[1][0]) / further
    bend = (change - before) / (share + further)
    return second * (change + bend * share) - (second / whole - 0.5) * bend


def unipc(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    second: bool = False,
) -> Tensor:
    """UniPC of the third order: predicted, then corrected (Zhao et al. 2023, https://arxiv.org/abs/2302.04867).

    `second` takes the paper's second B(h), `bh2`. The last level must not be 0; `denoise` is called for all others.
    """
    steps = len(sigmas) - 1
    known = [(sigmas[0], denoise(x, sigmas[0]))]  # newest first
    for step in range(1, steps + 1):
        order = min(step, 3, max(steps - 1, 1)) if step < 3 else min(3, steps + 1 - step, max(steps - 1, 1))
        base, changes, corrected, factor = _unipc_step(x, sigmas[step], known[:order], second=second)
        x = base - factor * _weighted(_solved(*corrected, predict=True), changes)
        if step < steps:
            target = denoise(x, sigmas[step])
            changes.append(target - known[0][1])
            x = base - factor * _weighted(_solved(*corrected, predict=False), changes)
            known = [(sigmas[step], target), *known][:3]
        on_step(step - 1, x)
    return x


def _unipc_step(
    x: Tensor, after: Tensor, known: Sequence[tuple[Tensor, Tensor]], *, second: bool
) -> tuple[Tensor, list[Tensor], tuple[Tensor, Tensor], Tensor]:
    """A step's first order, the changes of earlier pictures, and the equations that weigh these (the paper's 5)."""
    sigma, denoised = known[0]
    h = sigma.log() - after.log()
    minus = -h
    base = after / sigma * x - minus.expm1() * denoised
    factor = minus.expm1() if second else minus
    places = [(sigma.log() - level.log()) / h for level, _ in known[1:]]
    changes = [(picture - denoised) / place for place, (_, picture) in zip(places, known[1:], strict=True)]
    rows = torch.stack([*places, torch.ones_like(h)])
    powers, wanted, series, factorial = [], [], minus.expm1() / minus - 1, 1
    for power in range(1, len(known) + 1):
        powers.append(rows ** (power - 1))
        wanted.append(series * factorial / factor)
        factorial *= power + 1
        series = series / minus - 1 / factorial
    return base, changes, (torch.stack(powers), torch.stack(wanted)), factor


def _solved(powers: Tensor, wanted: Tensor, *, predict: bool) -> Tensor:
    """Weights of the changes; the picture that is not known yet, the last of them, has none in a prediction."""
    size = len(wanted) - predict
    if size == 0:
        return wanted[:0]
    if size == 1:
        return torch.full_like(wanted[:1], 0.5)
    found: torch.Tensor = torch.linalg.solve(powers[:size, :size], wanted[:size])
    return found


def _weighted(weights: Tensor, changes: Sequence[Tensor]) -> Tensor | float:
    return sum((weight * change for weight, change in zip(weights, changes, strict=True)), 0.0)


def lcm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL) -> Tensor:
    """The picture, and noise anew (Luo et al. 2023, https://arxiv.org/abs/2310.04378)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        x = denoise(x, sigma)
        if after > 0:
            x = x + noise(sigma, after) * after
        on_step(step, x)
    return x


#: How far TCD steps below the level that it then noises up to, as its authors have it.
_TCD_GAMMA = 0.3


def tcd(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL) -> Tensor:
    """A step to an earlier time than wanted, and noise up to it (Zheng et al. 2024, https://arxiv.org/abs/2402.19159).

    `tuning.eta` is the paper's gamma: 0 draws no noise, 1 is LCM.
    """
    levels = tuning.levels
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slope = _slope(x, sigma, denoise(x, sigma))
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
        slope = _slope(x, sigma, denoise(x, sigma))
        if after > 0:
            there = x + slope * (after - sigma)
            slope = (slope + _slope(there, after, denoise(there, after))) / 2
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


SOLVERS: Mapping[str, Solver] = {
    "Euler": euler, "Euler a": euler_ancestral, "Heun": heun, "Heun++ 2": heun_plus_plus, "LMS": lms, "DPM2": dpm_2,
    "DPM2 a": dpm_2_ancestral, "DPM++ 2M": dpmpp_2m, "DPM++ 2S a": dpmpp_2s_ancestral, "DPM++ SDE": dpmpp_sde,
    "DPM++ 2M SDE": dpmpp_2m_sde, "DPM++ 2M SDE Heun": partial(dpmpp_2m_sde, by_heun=True),
    "DPM++ 3M SDE": dpmpp_3m_sde, "IPNDM": ipndm, "DEIS": deis, "PLMS": plms, "UniPC": unipc,
    "UniPC bh2": partial(unipc, second=True), "LCM": lcm, "TCD": tcd, "Restart": restart,
}  # fmt: skip
"""By the names that `assetctl.samplers` lists."""
