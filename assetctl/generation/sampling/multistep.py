"""Samplers that remember: pictures and slopes of earlier steps count for the next; see `solvers`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from assetctl.generation.sampling.solvers import USUAL, slope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from assetctl.generation.sampling.noise import Between
    from assetctl.generation.sampling.solvers import Denoise, OnStep, Tuning


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
        slopes = [slope_of(x, sigma, denoise(x, sigma)), *slopes][:4]
        if straight_end and not levels[step + 1] > 0:
            slopes = slopes[:1]
        known = levels[step + 1 - len(slopes) : step + 1][::-1]
        gone = [_integral(known, number, levels[step], levels[step + 1]) for number in range(len(slopes))]
        x = x + sum(weight * slope for weight, slope in zip(gone, slopes, strict=True))
        on_step(step, x)
    return x


def _lagrange(places: Sequence[float] | Sequence[Tensor], number: int, at: Tensor) -> Tensor:
    """The polynomial that is 1 at one place and 0 at all others."""
    value = torch.ones_like(at)
    for other, place in enumerate(places):
        if other != number:
            value = value * ((at - place) / (places[number] - place))
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
        slopes = [slope_of(x, sigma, denoise(x, sigma)), *slopes][:4]
        x = x + _adams(slopes if after > 0 else slopes[:1]) * (after - sigma)
        on_step(step, x)
    return x


def ipndm_v(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The same, with weights that know how uneven steps are, as its authors have them."""
    slopes: list[torch.Tensor] = []
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slopes = [slope_of(x, sigma, denoise(x, sigma)), *slopes][:4]
        if after > 0:
            widths = [sigmas[step + 1 - back] - sigmas[step - back] for back in range(len(slopes))]
            weights = _uneven(widths)
            x = x + (after - sigma) * torch.stack(
                [each * slope for each, slope in zip(weights, slopes, strict=True)]
            ).sum(0)
        else:
            x = x + slopes[0] * (after - sigma)
        on_step(step, x)
    return x


def _uneven(widths: Sequence[Tensor]) -> list[Tensor]:
    """Weights of the last slopes, by the widths of the step and of those before it, the newest first."""
    h, one = widths[0], torch.ones_like(widths[0])
    if len(widths) == 1:
        return [one]
    first = widths[1]
    weights = [one + h / first / 2, -(h / first) / 2]
    if len(widths) == 2:
        return weights
    second = widths[2]
    ratio = first / second
    bend = (1 - h / (3 * (h + first)) * (h * (h + first)) / (first * (first + second))) / 2
    weights = [weights[0] + bend, weights[1] - (1 + ratio) * bend, bend * ratio]
    if len(widths) == 3:
        return weights
    third = widths[3]
    twist = (1 - h / (3 * (h + first))) / 2 + (1 - h / (2 * (h + first))) * h / (6 * (h + first + second))
    twist = twist * (h * (h + first) * (h + first + second)) / (first * (first + second) * (first + second + third))
    further = first * (first + second) / (second * (second + third))
    return [
        weights[0] + twist,
        weights[1] - (1 + ratio + further) * twist,
        weights[2] + (ratio + further * (1 + second / third)) * twist,
        -twist * further * ratio,
    ]


def gradient_estimation(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    unguided: bool = False,
) -> Tensor:
    """Straight on, and as far again as the slope has changed (Permenter and Yuan 2023, https://arxiv.org/abs/2306.04848).

    `unguided` goes on by what the model says to the negative prompt (CFG++).
    """
    old = None
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        slope = slope_of(x, sigma, denoise.away if unguided else denoised)
        if not after > 0:
            x = denoised
        else:
            x = denoised + slope * after if unguided else x + slope * (after - sigma)
            if old is not None:
                x = x + (slope - old) * (after - sigma)
        old = slope
        on_step(step, x)
    return x


def plms(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The same, its first step by Heun's rule (Liu et al. 2022, https://arxiv.org/abs/2202.09778)."""
    slopes: list[torch.Tensor] = []
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        slopes = [slope_of(x, sigma, denoise(x, sigma)), *slopes][:4]
        slope = _adams(slopes)
        if step == 0 and after > 0:
            there = x + slope * (after - sigma)
            slope = (slope + slope_of(there, after, denoise(there, after))) / 2
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
        slopes = [slope_of(x, sigma, denoise(x, sigma)), *slopes][:order]
        if step == 0 or not after > 0:
            x = x + slopes[0] * (after - sigma)
        else:
            for weight, slope in zip(weights[step], slopes, strict=True):
                x = x + weight * slope
        on_step(step, x)
    return x


def _deis_weights(sigmas: Tensor, order: int) -> list[list[Tensor]]:
    """What each of the last slopes counts for at each step, in the time of a linear schedule of betas.

    In 32 bits throughout: where steps are small, the weights come of what is lost.
    """
    low, high = (torch.tensor(_DEIS_RANGE) ** 2 + 1).log()
    growth = 2 * (low / _DEIS_START - high) / (_DEIS_START - 1)
    least = high - growth / 2
    times = ((least**2 + 2 * growth * (sigmas**2 + 1).log()).sqrt() - least) / growth
    width = (growth + least) - least
    found = []
    for step, (start, end) in enumerate(pairwise(times)):
        places = [times[step - back] for back in range(min(step + 1, order))]
        at = torch.linspace(float(start), float(end), _PARTS)
        kept = torch.exp(-0.5 * at**2 * width - at * least)
        rate = 0.5 * (at * width + least) / (kept * (1 - kept)).sqrt()
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


def dpmpp_2m_cfg_pp(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """DPM-Solver++ (2M), the noise kept that the model sees without the prompt (CFG++)."""
    old, width = None, None
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        h = sigma.log() - after.log()
        further = (-h).exp() * (x - denoise.away)
        if old is not None and width is not None and after > 0:
            further = further - (-h).expm1() * (h / (2 * width)) * (denoised - old)
        x = denoised + further
        old, width = denoise.away, h
        on_step(step, x)
    return x


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
    by_shares: bool = False,
) -> Tensor:
    """UniPC of the third order: predicted, then corrected (Zhao et al. 2023, https://arxiv.org/abs/2302.04867).

    `second` takes the paper's second B(h), `bh2`; `by_shares` has the levels' logarithms from `_logs_of_shares`. The
    last level must not be 0; `denoise` is called for all others.
    """
    steps = len(sigmas) - 1
    logs = _logs_of_shares(sigmas) if by_shares else sigmas.log()
    known = [(logs[0], denoise(x, sigmas[0]))]  # newest first
    for step in range(1, steps + 1):
        order = min(step, 3, max(steps - 1, 1)) if step < 3 else min(3, steps + 1 - step, max(steps - 1, 1))
        base, changes, corrected, factor = _unipc_step(x, logs[step], known[:order], second=second)
        x = base - factor * _weighted(_solved(*corrected, predict=True), changes)
        if step < steps:
            target = denoise(x, sigmas[step])
            changes.append(target - known[0][1])
            x = base - factor * _weighted(_solved(*corrected, predict=False), changes)
            known = [(logs[step], target), *known][:3]
        on_step(step - 1, x)
    return x


def _logs_of_shares(sigmas: Tensor) -> Tensor:
    """Levels' logarithms from the picture's share and the noise's, in 32 bits: low ones lose much, and ComfyUI's do."""
    kept = 0.5 * (1 / (sigmas * sigmas + 1)).log()
    return 0.5 * (1 - (2 * kept).exp()).log() - kept


def _unipc_step(
    x: Tensor, after: Tensor, known: Sequence[tuple[Tensor, Tensor]], *, second: bool
) -> tuple[Tensor, list[Tensor], tuple[Tensor, Tensor], Tensor]:
    """A step's first order, the changes of earlier pictures, and the equations that weigh these (the paper's 5)."""
    log, denoised = known[0]
    h = log - after
    minus = -h
    base = minus.exp() * x - minus.expm1() * denoised
    factor = minus.expm1() if second else minus
    places = [(log - earlier) / h for earlier, _ in known[1:]]
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
