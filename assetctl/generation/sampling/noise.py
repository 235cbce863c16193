"""Where noise comes from: a processor's generator, NVIDIA's, and a Brownian path between noise levels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    _Words: TypeAlias = np.ndarray[tuple[int], np.dtype[np.uint64]]

    #: Noise for a step from one level to another.
    Between = Callable[[Tensor, Tensor], Tensor]


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
