"""Samplers: names as A1111 prints them, and the diffusers scheduler that each stands for.

The mapping is that of diffusers' own documentation ("Schedulers overview"). Samplers that diffusers
lacks, or has only with scipy (`LMS`) or torchsde (`DPM++ SDE`), are left out.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Sampler:
    """A diffusers scheduler.

    Attributes:
        scheduler: Name of its class in diffusers.
        options: What it is made with, over the checkpoint's own scheduler configuration.
    """

    scheduler: str
    options: Mapping[str, object] = field(default_factory=dict)


def _multistep(algorithm: str, order: int) -> Sampler:
    return Sampler("DPMSolverMultistepScheduler", {"algorithm_type": algorithm, "solver_order": order})


#: Samplers that take Karras sigmas as well, under their name and `Karras`.
_WITH_KARRAS = {
    "DPM++ 2M": _multistep("dpmsolver++", 2),
    "DPM++ 2M SDE": _multistep("sde-dpmsolver++", 2),
    "DPM++ 3M SDE": _multistep("sde-dpmsolver++", 3),
    "DPM2": Sampler("KDPM2DiscreteScheduler"),
    "DPM2 a": Sampler("KDPM2AncestralDiscreteScheduler"),
}

#: Canonical name to sampler.
SAMPLERS: Mapping[str, Sampler] = {
    "Euler a": Sampler("EulerAncestralDiscreteScheduler"),
    "Euler": Sampler("EulerDiscreteScheduler", {"use_karras_sigmas": False}),
    "Heun": Sampler("HeunDiscreteScheduler", {"use_karras_sigmas": False}),
    "DDIM": Sampler("DDIMScheduler"),
    "PLMS": Sampler("PNDMScheduler", {"skip_prk_steps": True}),
    "UniPC": Sampler("UniPCMultistepScheduler", {"use_karras_sigmas": False}),
    "LCM": Sampler("LCMScheduler"),
} | {
    name + suffix: Sampler(plain.scheduler, {**plain.options, "use_karras_sigmas": bool(suffix)})
    for name, plain in _WITH_KARRAS.items()
    for suffix in ("", " Karras")
}  # fmt: skip

_ALIASES = {"pndm": "PLMS", "euler ancestral": "Euler a"}
_CANONICAL = {name.lower(): name for name in SAMPLERS} | _ALIASES


def canonical_sampler(name: str) -> str:
    """The spelling of a sampler's name that `SAMPLERS` has, for any case and spacing.

    Raises:
        UsageError: There is no such sampler; the hint lists the nearest ones.
    """
    wanted = " ".join(name.lower().split())
    if wanted in _CANONICAL:
        return _CANONICAL[wanted]
    near = difflib.get_close_matches(wanted, _CANONICAL, n=4, cutoff=0.5)
    names = dict.fromkeys(_CANONICAL[each] for each in near) or SAMPLERS
    raise UsageError(f"There is no sampler {name!r}.", f"Choose one of: {', '.join(names)}.")
