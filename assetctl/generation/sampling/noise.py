"""Noise: its levels at a model's training steps, the schedules that choose among them, and where it comes from.

A level is the standard deviation of the noise beside the picture's own ("sigma" in Karras et al. 2022,
https://arxiv.org/abs/2206.00364). Every schedule goes from the highest level down, and ends in 0 unless it says
otherwise. All of them are tensors of 32 bits: a Brownian tree is asked for these very numbers. Noise is of a
processor's generator, of NVIDIA's, or of a Brownian path between levels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch

from assetctl.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from torch import Tensor

    Schedule: TypeAlias = Callable[["Levels", int], Tensor]

    #: Noise for a step from one level to another.
    Between = Callable[[Tensor, Tensor], Tensor]

    _Words: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]

_INSTALL = "Install it with `pip install 'assetctl[generate]'`."

#: What the last step of training keeps of the picture where it should keep none (https://arxiv.org/abs/2305.08891).
_NEARLY_NOTHING = 4.8973451890853435e-08

#: How far logarithms of levels are off at most; those of two steps of training lie a thousand times further apart.
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Levels:
    """The levels of the training steps, lowest first; `logs` are their logarithms."""

    sigmas: torch.Tensor
    logs: torch.Tensor

    @classmethod
    def of(cls, kept: torch.Tensor) -> Levels:
        """Of how much of the picture is kept at each step of training, the cumulative products of alphas.

        They are computed in the precision of `kept`: the last bit of a level counts where noise is of a Brownian path.
        """
        kept = kept.clamp(min=_NEARLY_NOTHING)
        sigmas = ((1 - kept) / kept) ** 0.5
        return cls(sigmas.float(), sigmas.log().float())

    @classmethod
    def scaled_linear(
        cls, first: float = 0.00085, last: float = 0.012, steps: int = 1000, kept_as: torch.dtype = torch.float64
    ) -> Levels:
        """Of Stable Diffusion's schedule; A1111 keeps the products as 32 bits, ComfyUI as 64."""
        betas = torch.linspace(first**0.5, last**0.5, steps, dtype=torch.float64) ** 2
        return cls.of((1 - betas).cumprod(0).to(kept_as))

    @property
    def lowest(self) -> float:
        """The level of the first step of training."""
        return float(self.sigmas[0])

    @property
    def highest(self) -> float:
        """The level of the last one."""
        return float(self.sigmas[-1])

    @property
    def last(self) -> int:
        """The number of the last step of training: 999."""
        return len(self.sigmas) - 1

    def at(self, time: torch.Tensor | float) -> torch.Tensor:
        """The level of a time, which may lie between two steps of training."""
        exact = torch.as_tensor(time, dtype=torch.float32).clamp(0, self.last)
        low, high, part = exact.floor().long(), exact.ceil().long(), exact.frac()
        return ((1 - part) * self.logs[low] + part * self.logs[high]).exp()

    def time(self, sigma: torch.Tensor) -> torch.Tensor:
        """The time of a level, which may lie between two steps of training."""
        log = sigma.log()
        low = (torch.searchsorted(self.logs, log, right=True) - 1).clamp(0, self.last - 1)
        before, after = self.logs[low], self.logs[low + 1]
        part = ((before - log) / (before - after)).clamp(0, 1)
        return (1 - part) * low + part * (low + 1)

    def nearest(self, sigma: torch.Tensor) -> torch.Tensor:
        """The step of training whose level is nearest; of two as near, where a last bit would decide, the later."""
        away = (sigma.log() - self.logs).abs()
        return (away <= away.min() + _TIE).nonzero()[-1, 0]

    def mixed(self, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Levels and times at shares of the whole training, 1 for its end, the picture's share read off between steps.

        As the noise schedule of DPM-Solver has it (Lu et al. 2022, https://arxiv.org/abs/2206.00927).
        """
        steps = len(self.sigmas)
        logs = -0.5 * torch.log1p(self.sigmas.double() ** 2)
        time = (share.double() * steps - 1).clamp(0, self.last)
        low = time.floor().long().clamp(max=self.last - 1)
        kept = (logs[low] + (time - low) * (logs[low + 1] - logs[low])).float()
        return (0.5 * (1 - (2 * kept).exp()).log() - kept).exp(), time.float()  # of 32 bits, as A1111 counts


def closed(sigmas: torch.Tensor) -> torch.Tensor:
    """With 0 at the end."""
    return torch.cat([sigmas, sigmas.new_zeros(1)])


def _listed(sigmas: Iterable[float]) -> torch.Tensor:
    return torch.tensor([*sigmas, 0.0])


def uniform(levels: Levels, steps: int) -> torch.Tensor:
    """Even in time, from the last step of training to the first."""
    return closed(levels.at(torch.linspace(levels.last, 0, steps)))


def sgm_uniform(levels: Levels, steps: int) -> torch.Tensor:
    """Even in time, where the first step of training would be one step more (Stability's generative-models)."""
    return closed(levels.at(torch.linspace(levels.last, 0, steps + 1)[:-1]))


def simple(levels: Levels, steps: int) -> torch.Tensor:
    """Every so many steps of training, counted from the last."""
    apart = len(levels.sigmas) / steps
    return closed(levels.sigmas[[levels.last - int(step * apart) for step in range(steps)]])


def ddim_uniform(levels: Levels, steps: int) -> torch.Tensor:
    """Every so many steps of training, counted from the second (Song et al. 2020, https://arxiv.org/abs/2010.02502).

    Where the number of steps is no divisor of that of training, there are some more than asked for.
    """
    apart = max(len(levels.sigmas) // steps, 1)
    return closed(levels.sigmas[1::apart].flip(0))


def karras_between(steps: int, lowest: float, highest: float, rho: float = 7.0) -> torch.Tensor:
    """Even in the seventh root (Karras et al. 2022, equation 5)."""
    root, ramp = 1 / rho, torch.linspace(0, 1, steps)
    return closed((highest**root + ramp * (lowest**root - highest**root)) ** rho)


def karras(levels: Levels, steps: int) -> torch.Tensor:
    """Even in the seventh root of the level."""
    return karras_between(steps, levels.lowest, levels.highest)


def exponential(levels: Levels, steps: int) -> torch.Tensor:
    """Even in the level's logarithm."""
    return closed(torch.linspace(math.log(levels.highest), math.log(levels.lowest), steps).exp())


def polyexponential(levels: Levels, steps: int, rho: float = 1.0) -> torch.Tensor:
    """Even in a power of the level's logarithm."""
    low, high = math.log(levels.lowest), math.log(levels.highest)
    return closed((torch.linspace(1, 0, steps) ** rho * (high - low) + low).exp())


def _beta_quantiles(shares: list[float]) -> list[float]:
    """Where the beta distribution of 0.6 and 0.6 has these shares below."""
    try:
        from scipy.special import betaincinv  # noqa: PLC0415 - 150 ms that one schedule pays
    except ImportError as error:
        raise MissingExtraError("scipy is not installed, and this schedule comes of it.", _INSTALL) from error
    return [float(each) for each in betaincinv(0.6, 0.6, shares)]


def beta(levels: Levels, steps: int) -> torch.Tensor:
    """Times at quantiles of a beta distribution, each once (Lee et al. 2024, https://arxiv.org/abs/2407.12173)."""
    found = _beta_quantiles([1 - step / steps for step in range(steps)])
    return _listed(float(levels.sigmas[time]) for time in dict.fromkeys(round(each * levels.last) for each in found))


def beta_of_levels(levels: Levels, steps: int) -> torch.Tensor:
    """Levels, not times, at quantiles of a beta distribution."""
    found = _beta_quantiles([1 - step / max(steps - 1, 1) for step in range(steps)])
    return _listed(levels.lowest + each * (levels.highest - levels.lowest) for each in found)


def linear_quadratic(levels: Levels, steps: int, threshold: float = 0.025) -> torch.Tensor:
    """Half of the steps even and small, the others ever larger (Movie Gen, https://arxiv.org/abs/2410.13720)."""
    if steps == 1:
        return _listed([levels.highest])
    even = steps // 2
    rest = steps - even
    excess = even - threshold * steps
    square = excess / (even * rest**2)
    slope = threshold / even - 2 * excess / rest**2
    gone = [step * threshold / even for step in range(even)]
    gone += [square * step**2 + slope * step + square * even**2 for step in range(even, steps)]
    return torch.tensor([1 - each for each in (*gone, 1.0)]) * levels.highest


def _arcs(levels: Levels, shares: torch.Tensor) -> torch.Tensor:
    return (shares * math.atan(levels.lowest) + (1 - shares) * math.atan(levels.highest)).tan()


def kl_optimal(levels: Levels, steps: int) -> torch.Tensor:
    """Even in the level's arc tangent ("Align Your Steps", https://arxiv.org/abs/2404.14507, of its simplest case)."""
    return closed(_arcs(levels, torch.arange(steps, dtype=torch.float32) / max(steps - 1, 1)))


def kl_optimal_to_lowest(levels: Levels, steps: int) -> torch.Tensor:
    """The same, with the lowest level at its end in the place of 0."""
    return _arcs(levels, torch.arange(steps + 1, dtype=torch.float32) / steps)


#: Ten steps for each model, as the authors publish them: https://research.nvidia.com/labs/toronto-ai/AlignYourSteps.
_ALIGNED = {
    False: (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    True: (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}


def align_your_steps(_levels: Levels, steps: int, *, sdxl: bool = False) -> torch.Tensor:
    """What was found best for ten steps, and between these in the logarithm (https://arxiv.org/abs/2404.14507)."""
    return _listed(_between_aligned(_ALIGNED[sdxl], steps))


#: The same with more digits, as ComfyUI has them.
_ALIGNED_OF_COMFYUI = {
    False: (
        14.6146412293, 6.4745760956, 3.8636745985, 2.6946151520, 1.8841921177, 1.3943805092, 0.9642583904,
        0.6523686016, 0.3977456272, 0.1515232662, 0.0291671582,
    ),
    True: (
        14.6146412293, 6.3184485287, 3.7681790315, 2.1811480769, 1.3405244945, 0.8620721141, 0.5550693289,
        0.3798540708, 0.2332364134, 0.1114188177, 0.0291671582,
    ),
}  # fmt: skip


def align_your_steps_to_nothing(_levels: Levels, steps: int, *, sdxl: bool = False) -> torch.Tensor:
    """The same with 0 in the place of the lowest level, and not behind it."""
    return _listed(_between_aligned(_ALIGNED_OF_COMFYUI[sdxl], steps + 1)[:-1])


def _between_aligned(aligned: Sequence[float], count: int) -> list[float]:
    """So many levels, between those known in the logarithm."""
    import numpy as np  # noqa: PLC0415 - one schedule's

    known = np.log(aligned[::-1])
    places = np.linspace(0, 1, count) if count > 1 else [1.0], np.linspace(0, 1, len(known))
    return [float(each) for each in np.exp(np.interp(*places, known))[::-1]]


SCHEDULES: Mapping[str, Schedule] = {
    "Uniform": uniform, "Karras": karras, "Exponential": exponential, "Polyexponential": polyexponential,
    "SGM Uniform": sgm_uniform, "KL Optimal": kl_optimal, "Align Your Steps": align_your_steps, "Simple": simple,
    "Normal": uniform, "DDIM": ddim_uniform, "Beta": beta, "Linear Quadratic": linear_quadratic,
}  # fmt: skip
"""By the names that `assetctl.samplers` lists."""


class Source(Protocol):
    """Something that draws normal numbers, other ones each time."""

    def draw(self, shape: Sequence[int]) -> Tensor:
        """So many, of 32 bits, on the CPU."""
        ...

    def draw_one(self, shape: Sequence[int], place: int) -> Tensor:
        """One picture of a batch that `draw` would draw, as a batch of one; the others are not kept in memory."""
        ...


#: Numbers that are drawn at once of a batch, and those that torch's generator makes together.
_AT_ONCE, _GROUP = 2**20, 16


class CpuSource:
    """torch's generator on a CPU, which is the same everywhere."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next numbers."""
        return torch.randn(tuple(shape), generator=self._generator)

    def draw_one(self, shape: Sequence[int], place: int) -> Tensor:
        """One picture of a batch; parts of whole groups are the same numbers as all in one."""
        each = math.prod(shape[1:])
        whole, start, found = shape[0] * each, place * each, torch.empty(each)
        at = 0
        while at < whole:
            size = min(_AT_ONCE, whole - at)
            size += whole - at - size if whole - at - size < _GROUP else 0
            part = torch.randn(size, generator=self._generator)
            low, high = max(start, at), min(start + each, at + size)
            if low < high:
                found[low - start : high - start] = part[low - at : high - at]
            at += size
        return found.reshape(1, *shape[1:])


class NvidiaSource:
    """What torch draws on NVIDIA's cards, on any machine; see `philox_normals`."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, 0

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next numbers."""
        found = philox_normals(self._seed, self._drawn, int(np.prod(shape)))
        self._drawn += 1
        return torch.from_numpy(found).reshape(tuple(shape))

    def draw_one(self, shape: Sequence[int], place: int) -> Tensor:
        """One picture of a batch: each number is by its own place alone."""
        each = math.prod(shape[1:])
        found = philox_normals(self._seed, self._drawn, each, place * each)
        self._drawn += 1
        return torch.from_numpy(found).reshape(1, *shape[1:])


SOURCES: dict[str, Callable[[int], Source]] = {"CPU": CpuSource, "NV": NvidiaSource}
"""By the names of the option `noise`."""

#: Numbers of Philox: rounds, what words are multiplied by, and what keys go up by.
_ROUNDS, _FACTORS, _KEY_STEPS = 10, (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)), (0x9E3779B9, 0xBB67AE85)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


def philox_normals(seed: int, draw: int, count: int, first: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Normal numbers by Philox 4x32-10 (Salmon et al. 2011) and Box and Muller's transform, one for each counter.

    Args:
        seed: The key, 64 bits.
        draw: How many times numbers were drawn before.
        count: How many numbers.
        first: Which of them all is the first.
    """
    one, other = _philox_words(seed, draw, count, first)
    unit = float(np.float32(2.0**-32))
    turn = float(np.float32(2.0**-32 * 2 * np.pi))
    radius, angle = one * unit, other * turn
    radius += unit / 2
    angle += turn / 2
    np.log(radius, out=radius)
    radius *= -2.0
    np.sqrt(radius, out=radius)
    radius *= np.sin(angle, out=angle)  # in numpy: torch has its threads wait for each other, where others work too
    found: np.ndarray[tuple[int], np.dtype[np.float32]] = radius.astype(np.float32)
    return found


def _philox_words(seed: int, draw: int, count: int, first: int) -> tuple[_Words, _Words]:
    """The first two of four words of 32 bits for each counter; in place, as half of the time is else that of memory."""
    keys = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    words = [np.zeros(count, np.uint64) for _ in range(4)]
    words[0] += np.uint64(draw)
    words[2] += np.arange(first, first + count, dtype=np.uint64)
    products = np.empty((2, count), np.uint64)
    for _ in range(_ROUNDS):
        np.multiply(words[0], _FACTORS[0], out=products[0])
        np.multiply(words[2], _FACTORS[1], out=products[1])
        for number, product in enumerate(reversed(products)):
            mixed, kept = words[2 * number], words[2 * number + 1]
            np.right_shift(product, _HALF, out=mixed)
            mixed ^= kept
            mixed ^= np.uint64(keys[number])
            np.bitwise_and(product, _LOW, out=kept)
        keys = (keys[0] + _KEY_STEPS[0]) & 0xFFFFFFFF, (keys[1] + _KEY_STEPS[1]) & 0xFFFFFFFF
    return words[0], words[1]


def drawn(source: Source, like: Tensor, count: int = 1, place: int = 0) -> Between:
    """Noise that is drawn anew for each step, whatever its levels; for one picture of so many."""
    shape = (count, *like.shape[1:])
    return lambda _sigma, _after: source.draw_one(shape, place).to(like)


def brownian(kind: str, seed: int, sigmas: Tensor, like: Tensor, count: int = 1, place: int = 0) -> Between:
    """Noise off one Brownian path over the noise levels: the same path, however many steps there are.

    Args:
        kind: A name of `SOURCES`: what draws the path's points.
        seed: The path's.
        sigmas: The levels of the whole run.
        like: What the noise is added to.
        count: For how many pictures the path's points are drawn.
        place: Which of them this is.
    """
    shape = (count, *like.shape[1:])
    path = _Path(kind, seed, float(sigmas[sigmas > 0].min()), float(sigmas.max()), shape, place)

    def between(sigma: Tensor, after: Tensor) -> Tensor:
        start, end = (sigma, after) if sigma < after else (after, sigma)
        way = path.way(float(start), float(end))
        return ((way if sigma < after else -way) / (end - start).abs().sqrt()).to(like)

    return between


#: Digits that levels are rounded to; words of a seed's pool.
_DIGITS, _POOL = 6, 24

#: Parts of a path that are remembered, at the most; their bytes; and how many are whatever their size.
_REMEMBERED, _MOST_BYTES, _LEAST = 96, 2**27, 8

#: A part of a path: from where, to where, its number among those as deep, and how deep it is.
_Part: TypeAlias = tuple[float, float, int, int]


class _Path:
    """A path that is halved again and again, each half drawn by a seed of its own, as torchsde's `BrownianTree`.

    The numbers are torchsde's to the last bit (https://github.com/google-research/torchsde); a part is drawn once
    while it is remembered, not anew for each of its ends, and the source of the noise can be chosen.
    """

    def __init__(self, kind: str, seed: int, low: float, high: float, shape: tuple[int, ...], place: int) -> None:
        self._source, self._seed, self._shape, self._place = SOURCES[kind], seed, shape, place
        halves = 2 * 4 * math.prod(shape[1:])
        self._most = max(min(_REMEMBERED, _MOST_BYTES // max(halves, 1)), _LEAST)
        self._whole: _Part = (round(low, _DIGITS), round(high, _DIGITS), 0, 0)
        self._gone = self._draw(()) * math.sqrt(high - low)
        self._halves: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}

    def way(self, start: float, end: float) -> Tensor:
        """How far the path goes from one level to another."""
        low, high = self._whole[:2]
        start, end = (round(min(max(each, low), high), _DIGITS) for each in (start, end))
        if not start < end:
            return torch.zeros(1, *self._shape[1:])
        pieces = self._pieces(start, end, self._whole, self._gone)
        total = next(pieces)
        for piece in pieces:
            total = total + piece
        return total

    def _pieces(self, start: float, end: float, part: _Part, gone: Tensor) -> Iterator[Tensor]:
        """The ways of the parts that lie between two levels, the lowest first."""
        if (start, end) == part[:2]:
            yield gone
            return
        low, high, number, depth = part
        middle = round(0.5 * (high + low), _DIGITS)
        first, second = self._split(part, middle, gone)
        if start < middle:
            yield from self._pieces(start, min(end, middle), (low, middle, 2 * number, depth + 1), first)
        if end > middle:
            yield from self._pieces(max(start, middle), end, (middle, high, 2 * number + 1, depth + 1), second)

    def _split(self, part: _Part, middle: float, gone: Tensor) -> tuple[Tensor, Tensor]:
        """The ways of a part's halves; what was needed last is kept longest."""
        low, high, number, depth = part
        found = self._halves.pop((number, depth), None)
        if found is None:
            share, left = 1 / (high - low), middle - low
            first = left * gone * share + math.sqrt(left * (high - middle) * share) * self._draw((number, depth))
            found = first, gone - first
            if len(self._halves) >= self._most:
                del self._halves[next(iter(self._halves))]
        self._halves[number, depth] = found
        return found

    def _draw(self, place: tuple[int, ...]) -> Tensor:
        words = np.random.SeedSequence(self._seed, spawn_key=place, pool_size=_POOL)
        return self._source(int(words.generate_state(1)[0])).draw_one(self._shape, self._place)
