"""Samplers that integrate in the level's logarithm: DPM-Solver, RES, SEEDS, ER-SDE and SA-Solver; see `solvers`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from assetctl.generation.sampling.solvers import USUAL, ancestral, slope_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from assetctl.generation.sampling.noise import Between
    from assetctl.generation.sampling.solvers import Denoise, OnStep, Tuning


def _ends(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """From which to which logarithm of a level's inverse, 0 left out."""
    known = sigmas[sigmas > 0]
    return -known[0].log(), -known[-1].log()


@dataclass(slots=True)
class _Slopes:
    """Slopes at the beginning of a step and within it (Lu et al. 2022, https://arxiv.org/abs/2206.00927)."""

    denoise: Denoise
    x: Tensor
    start: Tensor
    known: dict[float, Tensor] = field(default_factory=dict)

    def at(self, part: float, x: Tensor, time: Tensor) -> Tensor:
        """That at a part of the step; the model is asked once for each."""
        if part not in self.known:
            sigma = (-time).exp()
            self.known[part] = slope_of(x, sigma, self.denoise(x, sigma))
        return self.known[part]

    def step(self, order: int, end: Tensor, part: float | None = None) -> Tensor:
        """A step of the first, second or third order, the second by the slope at a part of it."""
        h, first = end - self.start, self.at(0, self.x, self.start)
        whole = self.x - (-end).exp() * h.expm1() * first
        if order == 1:
            return whole
        near = part or (1 / 2 if order == 2 else 1 / 3)
        middle = self.start + near * h
        second = self.at(near, self.x - (-middle).exp() * (near * h).expm1() * first, middle)
        if order == 2:
            return whole - (-end).exp() / (2 * near) * h.expm1() * (second - first)
        far = 2 / 3
        later = self.start + far * h
        bent = (-later).exp() * (far / near) * ((far * h).expm1() / (far * h) - 1) * (second - first)
        there = self.x - (-later).exp() * (far * h).expm1() * first - bent
        third = self.at(far, there, later)
        return whole - (-end).exp() / far * (h.expm1() / h - 1) * (third - first)


def _down(start: Tensor, after: Tensor, end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """Where a step goes that noise then brings back up, and how much noise."""
    if not eta:
        return after, torch.zeros_like(after)
    down, _ = ancestral((-start).exp(), (-after).exp(), eta)
    low = torch.minimum(end, -down.log())
    return low, ((-after).exp() ** 2 - (-low).exp() ** 2) ** 0.5


def dpm_fast(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """DPM-Solver of the third order, the last steps of lower ones: as many questions as there are steps.

    Of the levels only the first and the last count.
    """
    start, end = _ends(sigmas)
    asked = len(sigmas) - 1
    times = torch.linspace(float(start), float(end), asked // 3 + 2)
    orders = [3] * (asked // 3 - 1) + [2, 1] if asked % 3 == 0 else [3] * (asked // 3) + [asked % 3]
    for step, (order, (time, after)) in enumerate(zip(orders, pairwise(times), strict=True)):
        low, up = _down(time, after, end, tuning.eta)
        x = _Slopes(denoise, x, time).step(order, low)
        x = x + up * tuning.s_noise * noise((-time).exp(), (-after).exp())
        on_step(step, x)
    return x


#: What may be wrong of a number, absolutely and as a share; the first step; what a step must do to count.
_ABSOLUTE, _RELATIVE, _FIRST, _ENOUGH = 0.0078, 0.05, 0.05, 0.81

#: More steps than this are never taken; where a model answers in NaN, none would ever count.
_AT_MOST = 10_000


def dpm_adaptive(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """DPM-Solver of orders two and three side by side: a step is as long as their difference lets it be.

    Of the levels only the first and the last count.
    """
    time, end = _ends(sigmas)
    before, h, power = x, _FIRST, 1 / (1.5 if tuning.eta else 3)
    done = 0
    for _ in range(_AT_MOST):
        if not time < end - 1e-5:
            break
        after = torch.minimum(end, time + h)
        low, up = _down(time, after, end, tuning.eta)
        slopes = _Slopes(denoise, x, time)
        rough, fine = slopes.step(2, low, 1 / 3), slopes.step(3, low)
        bound = torch.maximum(torch.tensor(_ABSOLUTE), _RELATIVE * torch.maximum(rough.abs(), before.abs()))
        wrong = float(torch.linalg.norm((rough - fine) / bound) / x.numel() ** 0.5)
        factor = 1 + math.atan((1 / (wrong + 1e-8)) ** power - 1)
        h *= factor
        if factor >= _ENOUGH:
            before, x = rough, fine + up * tuning.s_noise * noise((-time).exp(), (-after).exp())
            time = after
            on_step(min(done, len(sigmas) - 2), x)
            done += 1
        elif not math.isfinite(factor):
            return torch.full_like(x, math.nan)
    return x


def res_multistep(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    straight: bool = False,
    unguided: bool = False,
) -> Tensor:
    """The last two pictures (Zhang et al. 2023, https://arxiv.org/abs/2308.02157).

    `straight` draws no noise; `unguided` goes on by what the model says to the negative prompt (CFG++).
    """
    eta = 0.0 if straight else tuning.eta
    old, low, earlier = None, None, None
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        by = denoise.away if unguided else denoised
        down, up = ancestral(sigma, after, eta)
        if old is None or low is None or earlier is None or not down > 0:
            slope = slope_of(x, sigma, by)
            x = denoised + slope * down if unguided else x + slope * (down - sigma)
        else:
            h = -down.log() + sigma.log()
            part = (low.log() - earlier.log()) / h
            first = (-h).expm1() / -h
            second = ((first - 1) / -h) / part
            pair = torch.nan_to_num(first - second, nan=0.0), torch.nan_to_num(second, nan=0.0)
            x = (-h).exp() * (x + (denoised - by)) + h * (pair[0] * by + pair[1] * old)
        if after > 0 and eta:
            x = x + noise(sigma, after) * tuning.s_noise * up
        old, low, earlier = by, down, sigma
        on_step(step, x)
    return x


def _twice(h: Tensor) -> Tensor:
    return (h.expm1() - h) / h


def seeds(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    stages: int = 2,
) -> Tensor:
    """An exponential solver of two or three stages with noise (Gonzalez et al. 2023, https://arxiv.org/abs/2305.14267)."""
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        first = denoise(x, sigma)
        if not after > 0:
            x = first
            on_step(step, x)
            continue
        start, end = -sigma.log(), -after.log()
        h = end - start
        wide = h * (tuning.eta + 1)
        parts = [stage / stages for stage in range(stages)] + [1.0]
        levels = [sigma, *((-torch.lerp(start, end, part)).exp() for part in parts[1:-1]), after]
        added, target, there = torch.zeros_like(x), first, x
        for number, (part, level) in enumerate(zip(parts[1:], levels[1:], strict=True), 1):
            if number > 1:
                target = denoise(there, levels[number - 1])
            gone = _stage_of_seeds(part, parts[number - 1], wide, first, target, last=number == stages, stages=stages)
            there = level / sigma * (-part * h * tuning.eta).exp() * x - gone
            if tuning.eta:
                back = (parts[number - 1] - part) * h * tuning.eta
                fresh = noise(levels[number - 1], level) * (-(2 * back).expm1()).sqrt()
                added = added * back.exp() + fresh
                there = there + added * level * tuning.s_noise
        x = there
        on_step(step, x)
    return x


def _stage_of_seeds(
    part: float, before: float, wide: Tensor, first: Tensor, target: Tensor, *, last: bool, stages: int
) -> Tensor:
    """How far a stage goes to the pictures: the first alone, or that and the one of the stage before."""
    whole = (-part * wide).expm1()
    if not before:
        return whole * first
    if stages == 2:  # by the middle alone
        return whole * target
    second = _twice(-part * wide) * (1 if last else part) / before
    return (whole - second) * first + second * target


#: Points at which ER-SDE's integrals are summed.
_POINTS = 200


def _er_scale(level: Tensor) -> Tensor:
    return level * ((level**0.3).exp() + 10.0)


def er_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: Between, on_step: OnStep, tuning: Tuning = USUAL
) -> Tensor:
    """The last three pictures along an extended SDE (Cui et al. 2023, https://arxiv.org/abs/2309.06169)."""
    old, slope = None, None
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(x, sigma)
        if not after > 0:
            x = denoised
        else:
            share = _er_scale(after) / _er_scale(sigma)
            x = share * x + (1 - share) * denoised
            if old is not None:
                width = after - sigma
                apart = -width / _POINTS
                at = after + torch.arange(_POINTS, dtype=torch.float32) * apart
                once = (1 / _er_scale(at)).sum() * apart
                change = (denoised - old) / (sigma - sigmas[step - 1])
                x = x + (width + once * _er_scale(after)) * change
                if slope is not None:
                    twice = ((at - sigma) / _er_scale(at)).sum() * apart
                    bend = (change - slope) / ((sigma - sigmas[step - 2]) / 2)
                    x = x + (width**2 / 2 + twice * _er_scale(after)) * bend
                slope = change
            up = (after**2 - sigma**2 * share**2).sqrt().nan_to_num(nan=0.0)
            x = x + noise(sigma, after) * tuning.s_noise * up
        old = denoised
        on_step(step, x)
    return x


#: SA-Solver draws noise between these shares of the training, from its end; orders of prediction and correction.
_NOISY, _ORDERS = (0.8, 0.2), (3, 4)


def sa_solver(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: Between,
    on_step: OnStep,
    tuning: Tuning = USUAL,
    *,
    asks_again: bool = False,
) -> Tensor:
    """A stochastic Adams solver: predicted, then corrected (Xue et al. 2023, https://arxiv.org/abs/2309.05019).

    `asks_again` has the model judge what was corrected, too (PECE).
    """
    high, low = (float(tuning.levels.at(share * tuning.levels.last)) for share in _NOISY)
    logs, steps, ends = -sigmas.log(), len(sigmas) - 1, not sigmas[-1] > 0
    predicted, eta, added = x, 0.0, torch.zeros_like(x)
    known: list[torch.Tensor] = []
    for step, (sigma, after) in enumerate(pairwise(sigmas)):
        denoised = denoise(predicted, sigma)
        known = [*known, denoised][-max(_ORDERS) :]
        orders = [min(order, len(known)) for order in _ORDERS]
        if step == 0 or (not after > 0 and not asks_again):
            orders[1] = 0
        if ends:
            orders = [min(orders[0], steps - 1 - step), min(orders[1], steps - step)]
        if orders[1]:
            x = _adams_of_sa(x, sigmas, logs, step - 1, step, known[-orders[1] :], eta) + added
            if asks_again:
                denoised = known[-1] = denoise(x, sigma)
        else:
            x = predicted
        if not after > 0:
            predicted = denoised
        else:
            eta = tuning.eta if high >= float(after) >= low else 0.0
            predicted = _adams_of_sa(x, sigmas, logs, step, step, known[-orders[0] :], eta)
            added = torch.zeros_like(x)
            if eta:
                h = logs[step + 1] - logs[step]
                added = noise(sigma, after) * after * (-(-2 * eta**2 * h).expm1()).sqrt() * tuning.s_noise
            predicted = predicted + added
        on_step(step, predicted)
    return predicted


def _adams_of_sa(
    x: Tensor, sigmas: Tensor, logs: Tensor, step: int, newest: int, known: Sequence[Tensor], eta: float
) -> Tensor:
    """From a level to the next, by a polynomial through pictures, the newest the last; of no noise."""
    start, end = logs[step], logs[step + 1]
    h, rate, count = end - start, 1 + eta**2, len(known)
    power = torch.arange(count, dtype=torch.float32)
    terms = end**power - start**power * (-rate * h).exp()
    # by parts: what a power's integral takes of the terms of lower ones
    lower = power[:, None] - power
    factorials = (power + 1).lgamma()
    parts = (factorials[:, None] - factorials - lower * math.log(rate)).exp() * (1 - 2 * (lower % 2))
    rows = torch.vander(logs[newest - count + 1 : newest + 1], count, increasing=True).T
    weights = sigmas[step + 1] * end.exp() * torch.linalg.solve(rows, parts.tril() @ terms)
    gone = torch.stack([weight * picture for weight, picture in zip(weights, known, strict=True)]).sum(0)
    moved: torch.Tensor = sigmas[step + 1] / sigmas[step] * (-(eta**2) * h).exp() * x + gone
    return moved
