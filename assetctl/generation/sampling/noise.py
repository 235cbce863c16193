"""Where noise comes from: a processor's generator, NVIDIA's, and a Brownian path between noise levels."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from assetctl.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    #: Noise for a step from one level to another.
    Between = Callable[[Tensor, Tensor], Tensor]


class Source(Protocol):
    """Something that draws normal numbers, other ones each time."""

    def draw(self, shape: Sequence[int]) -> Tensor:
        """So many, of 32 bits, on the CPU."""
        ...


class CpuSource:
    """torch's generator on a CPU, which is the same everywhere."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator("cpu").manual_seed(seed)

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next numbers."""
        return torch.randn(tuple(shape), generator=self._generator)


class NvidiaSource:
    """What torch draws on NVIDIA's cards, on any machine; see `philox_normals`."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, 0

    def draw(self, shape: Sequence[int]) -> Tensor:
        """The next numbers."""
        found = philox_normals(self._seed, self._drawn, int(np.prod(shape)))
        self._drawn += 1
        return torch.from_numpy(found).reshape(tuple(shape))


SOURCES: dict[str, Callable[[int], Source]] = {"CPU": CpuSource, "NV": NvidiaSource}
"""By the names of the option `noise`."""

_ROUNDS, _HALF, _LOW = 10, np.uint64(32), np.uint64(0xFFFFFFFF)
_FACTORS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85


def philox_normals(seed: int, draw: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Normal numbers by Philox 4x32-10 (Salmon et al. 2011) and Box and Muller's transform, one for each counter.

    Args:
        seed: The key, 64 bits.
        draw: How many times numbers were drawn before.
        count: How many numbers.
    """
    keys = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    nothing = np.zeros(count, np.uint64)
    words = [nothing + np.uint64(draw), nothing, np.arange(count, dtype=np.uint64), nothing]
    for _ in range(_ROUNDS):
        first, second = words[0] * _FACTORS[0], words[2] * _FACTORS[1]
        words = [
            (second >> _HALF) ^ words[1] ^ np.uint64(keys[0]),
            second & _LOW,
            (first >> _HALF) ^ words[3] ^ np.uint64(keys[1]),
            first & _LOW,
        ]
        keys = (keys[0] + _KEY_STEPS[0]) & 0xFFFFFFFF, (keys[1] + _KEY_STEPS[1]) & 0xFFFFFFFF
    unit = float(np.float32(2.0**-32))
    turn = float(np.float32(2.0**-32 * 2 * np.pi))
    radius = np.sqrt(-2.0 * np.log(words[0] * unit + unit / 2))
    found: np.ndarray[tuple[int], np.dtype[np.float32]] = radius * np.sin(words[1] * turn + turn / 2)
    return found.astype(np.float32)


def drawn(source: Source, like: Tensor) -> Between:
    """Noise that is drawn anew for each step, whatever its levels."""
    return lambda _sigma, _after: source.draw(like.shape).to(like)


_PATCHING = threading.Lock()


def brownian(kind: str, seed: int, sigmas: Tensor, like: Tensor) -> Between:
    """Noise off one Brownian path over the noise levels: the same path, however many steps there are.

    Args:
        kind: A name of `SOURCES`: what draws the path's points.
        seed: The path's.
        sigmas: The levels of the whole run.
        like: What the noise is added to.
    """
    try:
        import torchsde  # noqa: PLC0415 - half a second that a few samplers pay
    except ImportError as error:
        hint = "Install it with `pip install 'assetctl[generate]'`."
        raise MissingExtraError(
            "torchsde is not installed, and the noise of this sampler comes of it.", hint
        ) from error

    low, high = sigmas[sigmas > 0].min(), sigmas.max()
    with _drawing_from(kind):
        tree = torchsde.BrownianTree(low, torch.zeros(like.shape), high, entropy=seed)

    def between(sigma: Tensor, after: Tensor) -> Tensor:
        start, end = (sigma, after) if sigma < after else (after, sigma)
        with _drawing_from(kind):
            way: Tensor = tree(start, end)
        return ((way if sigma < after else -way) / (end - start).sqrt()).to(like)

    return between


@contextmanager
def _drawing_from(kind: str) -> Iterator[None]:
    """Have torchsde draw a path's points from a source: it has no way to be told, so its function is replaced."""
    if kind == "CPU":
        yield
        return
    from torchsde._brownian import brownian_interval  # noqa: PLC0415 - as above

    def draw(size: Sequence[int], dtype: torch.dtype, device: torch.device, seed: int) -> Tensor:
        return SOURCES[kind](int(seed)).draw(size).to(device, dtype)

    with _PATCHING:
        before = brownian_interval._randn  # noqa: SLF001 - see above
        brownian_interval._randn = draw  # noqa: SLF001
        try:
            yield
        finally:
            brownian_interval._randn = before  # noqa: SLF001
