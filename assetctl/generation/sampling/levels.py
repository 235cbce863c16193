"""Noise levels of a model's training steps, and the schedules that choose among them.

A level is the standard deviation of the noise beside the picture's own ("sigma" in Karras et al. 2022,
https://arxiv.org/abs/2206.00364). Every schedule goes from the highest level down, and ends in 0 unless it says
otherwise. All of them are tensors of 32 bits: a Brownian tree is asked for these very numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

from assetctl.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    Schedule: TypeAlias = Callable[["Levels", int], torch.Tensor]

_INSTALL = "Install it with `pip install 'assetctl[generate]'`."

#: What the last step of training keeps of the picture where it should keep none (https://arxiv.org/abs/2305.08891).
_NEARLY_NOTHING = 4.8973451890853435e-08


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
        """The step of training whose level is nearest."""
        return (sigma.log() - self.logs).abs().argmin()

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
