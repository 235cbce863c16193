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

#: A1111's names of samplers by those that ComfyUI, diffusers, InvokeAI and k-diffusion have.
_NAMES = {
    "euler": "Euler", "euler_ancestral": "Euler a", "euler_a": "Euler a", "heun": "Heun", "lms": "LMS",
    "dpm_2": "DPM2", "kdpm_2": "DPM2", "dpm_2_ancestral": "DPM2 a", "kdpm_2_a": "DPM2 a", "dpm_2_a": "DPM2 a",
    "dpm_fast": "DPM fast", "dpm_adaptive": "DPM adaptive", "ddim": "DDIM", "pndm": "PLMS", "plms": "PLMS",
    "uni_pc": "UniPC", "unipc": "UniPC", "lcm": "LCM",
    "dpmpp_2s_ancestral": "DPM++ 2S a", "dpmpp_2s_a": "DPM++ 2S a", "dpmpp_sde": "DPM++ SDE", "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE", "dpmpp_3m_sde": "DPM++ 3M SDE", "dpmpp_3m": "DPM++ 3M",
}  # fmt: skip

#: What the name says of a schedule, and what it says of the usual ones: nothing.
_SCHEDULES = {"karras": "Karras", "exponential": "Exponential", "normal": ""}


def a1111_name(name: str | None, schedule: str | None = None) -> str | None:
    """A sampler as A1111 prints it, its schedule included where that is not the usual one.

    InvokeAI marks Karras sigmas by `_k` (or `k_` in its old versions, for all of them). What A1111 does not have
    stays as it is written.
    """
    if name is None:
        return None
    plain = name.lower().removeprefix("k_").removesuffix("_gpu")
    if plain.endswith("_k"):
        plain, schedule = plain.removesuffix("_k"), "karras"
    if plain not in _NAMES:
        return name
    return " ".join(filter(None, (_NAMES[plain], _SCHEDULES.get(schedule or ""))))


_ALIASES = {"pndm": "PLMS", "euler ancestral": "Euler a"}
_CANONICAL = {name.lower(): name for name in SAMPLERS} | _ALIASES


def _of_other_programs(wanted: str) -> str:
    """The same name as A1111 has it: of `dpmpp_2m`, or of `dpmpp_2m karras`."""
    plain = wanted.replace(" ", "_")
    for schedule in _SCHEDULES:
        if plain.endswith(f"_{schedule}"):
            return a1111_name(plain.removesuffix(f"_{schedule}"), schedule) or wanted
    return a1111_name(plain) or wanted


def canonical_sampler(name: str) -> str:
    """The spelling of a sampler's name that `SAMPLERS` has, for any case and spacing, and for ComfyUI's names.

    Raises:
        UsageError: There is no such sampler; the hint lists the nearest ones.
    """
    wanted = " ".join(name.lower().split())
    for each in (wanted, _of_other_programs(wanted).lower()):
        if each in _CANONICAL:
            return _CANONICAL[each]
    near = difflib.get_close_matches(wanted, _CANONICAL, n=4, cutoff=0.5)
    names = dict.fromkeys(_CANONICAL[each] for each in near) or SAMPLERS
    raise UsageError(f"There is no sampler {name!r}.", f"Choose one of: {', '.join(names)}.")
