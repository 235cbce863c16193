"""Samplers and schedules: names as A1111 prints them, those that ComfyUI has for them, and how each program runs them.

The schedulers of diffusers are those of its own documentation ("Schedulers overview"); what it lacks is sampled in
the ways of A1111 and ComfyUI alone.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Sampler:
    """A way from noise to a picture.

    Attributes:
        scheduler: Name of its class in diffusers, where there is one.
        options: What that is made with, over the checkpoint's own scheduler configuration.
        comfyui: ComfyUI's name for it.
        automatic: The schedule that A1111 takes where "Automatic" is chosen.
        discards: Flavours that leave out the last level but one.
        brownian: Whether its noise comes off a Brownian path, unless diffusers draws it.
        unguided: Whether it needs to know what the model says without the prompt, however strong guidance is (CFG++).
    """

    scheduler: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    comfyui: str | None = None
    automatic: str = "Uniform"
    discards: tuple[str, ...] = ()
    brownian: bool = False
    unguided: bool = False


def _multistep(algorithm: str, order: int) -> dict[str, Any]:
    return {
        "scheduler": "DPMSolverMultistepScheduler",
        "options": {"algorithm_type": algorithm, "solver_order": order},
    }


#: Samplers by the names that A1111 has for them; what it lacks is spelled alike.
_PLAIN: Mapping[str, Sampler] = {
    "Euler a": Sampler("EulerAncestralDiscreteScheduler", comfyui="euler_ancestral"),
    "Euler": Sampler("EulerDiscreteScheduler", comfyui="euler"),
    "Heun": Sampler("HeunDiscreteScheduler", comfyui="heun"),
    "Heun++ 2": Sampler(comfyui="heunpp2"),
    "LMS": Sampler(comfyui="lms"),
    "DPM2": Sampler(
        "KDPM2DiscreteScheduler", comfyui="dpm_2", automatic="Karras", discards=("a1111", "comfyui")
    ),
    "DPM2 a": Sampler(
        "KDPM2AncestralDiscreteScheduler", comfyui="dpm_2_ancestral", automatic="Karras",
        discards=("a1111", "comfyui"),
    ),
    "DPM++ 2M": Sampler(**_multistep("dpmsolver++", 2), comfyui="dpmpp_2m", automatic="Karras"),
    "DPM++ 2S a": Sampler(comfyui="dpmpp_2s_ancestral", automatic="Karras"),
    "DPM++ SDE": Sampler(comfyui="dpmpp_sde", automatic="Karras", brownian=True),
    "DPM++ 2M SDE": Sampler(
        **_multistep("sde-dpmsolver++", 2), comfyui="dpmpp_2m_sde", automatic="Exponential", brownian=True
    ),
    "DPM++ 2M SDE Heun": Sampler(comfyui="dpmpp_2m_sde_heun", automatic="Exponential", brownian=True),
    "DPM++ 3M SDE": Sampler(
        **_multistep("sde-dpmsolver++", 3), comfyui="dpmpp_3m_sde", automatic="Exponential", discards=("a1111",),
        brownian=True,
    ),
    "DPM fast": Sampler(comfyui="dpm_fast"),
    "DPM adaptive": Sampler(comfyui="dpm_adaptive"),
    "DDPM": Sampler(comfyui="ddpm"),
    "IPNDM": Sampler(comfyui="ipndm"),
    "IPNDM_V": Sampler(comfyui="ipndm_v"),
    "DEIS": Sampler(comfyui="deis"),
    "DDIM": Sampler("DDIMScheduler", comfyui="ddim"),
    "PLMS": Sampler("PNDMScheduler", {"skip_prk_steps": True}),
    "UniPC": Sampler("UniPCMultistepScheduler", comfyui="uni_pc", discards=("comfyui",)),
    "UniPC bh2": Sampler(comfyui="uni_pc_bh2", discards=("comfyui",)),
    "LCM": Sampler("LCMScheduler", comfyui="lcm"),
    "TCD": Sampler(),
    "Restart": Sampler(automatic="Karras"),
    "DDIM CFG++": Sampler(unguided=True),
    "Euler CFG++": Sampler(comfyui="euler_cfg_pp", unguided=True),
    "Euler a CFG++": Sampler(comfyui="euler_ancestral_cfg_pp", unguided=True),
    "DPM++ 2S a CFG++": Sampler(comfyui="dpmpp_2s_ancestral_cfg_pp", automatic="Karras", unguided=True),
    "DPM++ 2M CFG++": Sampler(comfyui="dpmpp_2m_cfg_pp", automatic="Karras", unguided=True),
    "RES": Sampler(comfyui="res_multistep"),
    "RES CFG++": Sampler(comfyui="res_multistep_cfg_pp", unguided=True),
    "RES a": Sampler(comfyui="res_multistep_ancestral"),
    "RES a CFG++": Sampler(comfyui="res_multistep_ancestral_cfg_pp", unguided=True),
    "Gradient Estimation": Sampler(comfyui="gradient_estimation"),
    "Gradient Estimation CFG++": Sampler(comfyui="gradient_estimation_cfg_pp", unguided=True),
    "ER SDE": Sampler(comfyui="er_sde"),
    "SEEDS 2": Sampler(comfyui="seeds_2"),
    "SEEDS 3": Sampler(comfyui="seeds_3"),
    "SA-Solver": Sampler(comfyui="sa_solver"),
    "SA-Solver PECE": Sampler(comfyui="sa_solver_pece"),
}  # fmt: skip

#: Those whose scheduler in diffusers takes Karras' levels too.
_WITH_KARRAS = ("DPM++ 2M", "DPM++ 2M SDE", "DPM++ 3M SDE", "DPM2", "DPM2 a")
_WITHOUT = ("Euler", "Heun", "UniPC", *_WITH_KARRAS)


def _diffusers(name: str, *, karras: bool) -> Sampler:
    """A sampler whose scheduler is told which levels to take, if it can be."""
    plain = _PLAIN[name]
    told = {"use_karras_sigmas": karras} if name in _WITHOUT else {}
    fields = {key: getattr(plain, key) for key in ("comfyui", "automatic", "discards", "brownian", "unguided")}
    return Sampler(plain.scheduler, {**plain.options, **told}, **fields)


SAMPLERS: Mapping[str, Sampler] = {name: _diffusers(name, karras=False) for name in _PLAIN} | {
    f"{name} Karras": _diffusers(name, karras=True) for name in _WITH_KARRAS
}
"""Canonical name to sampler; with the schedule behind it, where it once was part of the name."""

AUTOMATIC = "Automatic"

SCHEDULERS: Mapping[str, str | None] = {
    AUTOMATIC: None, "Uniform": None, "Karras": "karras", "Exponential": "exponential", "Polyexponential": None,
    "SGM Uniform": "sgm_uniform", "KL Optimal": "kl_optimal", "Align Your Steps": None, "Simple": "simple",
    "Normal": "normal", "DDIM": "ddim_uniform", "Beta": "beta", "Linear Quadratic": "linear_quadratic",
}  # fmt: skip
"""Schedules by the names that A1111 has for them, or would have; and ComfyUI's names, where there are some."""

FOR_FLOW = ("Linear Quadratic",)
"""Schedules that were made for models of flow: of 20 steps the last goes from a noise level of 2.7 to none, where noise
is as in Stable Diffusion 1, 2 and XL."""

FLAVOURS = ("a1111", "comfyui", "diffusers")
"""Whose pictures are made: with the schedules, noise and prompts of this program. The first unless one is named."""

LEGACY = "legacy"
"""The flavour of pictures that were made before there were any: as diffusers, spaced as each checkpoint said."""

NOISES = ("CPU", "NV")
"""Where noise comes from, as A1111 writes it: a processor's generator, or NVIDIA's."""

EMPHASES = ("Original", "No norm", "Ignore", "None")
"""What A1111 does with weights of words: it keeps a chunk's mean, or not, drops them, or does not read any."""

#: A1111's names of samplers by those that ComfyUI, diffusers, InvokeAI and k-diffusion have.
_NAMES = {
    "euler_a": "Euler a", "kdpm_2": "DPM2", "kdpm_2_a": "DPM2 a", "dpm_2_a": "DPM2 a",
    "pndm": "PLMS", "plms": "PLMS", "unipc": "UniPC", "dpmpp_2s_a": "DPM++ 2S a",
    "dpmpp_3m": "DPM++ 3M",
} | {each.comfyui: name for name, each in _PLAIN.items() if each.comfyui}  # fmt: skip

#: What the name says of a schedule, and what it says of the usual ones: nothing.
_IN_NAMES = {"karras": "Karras", "exponential": "Exponential", "normal": ""}


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
    return " ".join(filter(None, (_NAMES[plain], _IN_NAMES.get(schedule or ""))))


def comfyui_names(name: str) -> tuple[str, str | None]:
    """A sampler and its schedule, of ComfyUI's names, where savers make one word of both: `euler_ancestral_simple`."""
    for schedule in filter(None, SCHEDULERS.values()):
        sampler = name.removesuffix(f"_{schedule}")
        if sampler != name and sampler.removesuffix("_gpu") in _NAMES:
            return sampler, schedule
    return name, None


#: Steps that Stable Diffusion 1, 2 and XL were trained in.
_TRAINED = 1000


def steps_taken(sampler: str, schedule: str, steps: int) -> int:
    """How many steps ComfyUI takes where it is asked for so many, from noise to none: its DDIM schedule has some more.

    Args:
        sampler: As A1111 prints it, or any other word.
        schedule: By any of its names.
        steps: At least one.
    """
    if _SCHEDULES.get(schedule.lower()) != "DDIM":
        return steps
    left_out = sampler in SAMPLERS and "comfyui" in SAMPLERS[sampler].discards
    return len(range(1, _TRAINED, max(_TRAINED // (steps + left_out), 1))) - left_out


def _of_other_programs(wanted: str) -> str:
    """The same name as A1111 has it: of `dpmpp_2m`, or of `dpmpp_2m karras`."""
    plain = wanted.replace(" ", "_")
    for schedule in _IN_NAMES:
        if plain.endswith(f"_{schedule}"):
            return a1111_name(plain.removesuffix(f"_{schedule}"), schedule) or wanted
    return a1111_name(plain) or wanted


_ALIASES = {"pndm": "PLMS", "euler ancestral": "Euler a"}
_CANONICAL = {name.lower(): name for name in SAMPLERS} | _ALIASES

_SCHEDULES = {name.lower(): name for name in SCHEDULERS} | {
    theirs: ours for ours, theirs in SCHEDULERS.items() if theirs
} | {"align_your_steps": "Align Your Steps", "ays": "Align Your Steps", "ddim uniform": "DDIM"}  # fmt: skip


def canonical_sampler(name: str) -> str:
    """The spelling of a sampler's name that is used here, for any case and spacing, and for ComfyUI's names.

    A schedule may follow, as A1111 once wrote them: `DPM++ 2M Karras`.

    Raises:
        UsageError: There is no such sampler; the hint lists the nearest ones.
    """
    wanted = " ".join(name.lower().split())
    for each in (wanted, _of_other_programs(wanted).lower()):
        if each in _CANONICAL:
            return _CANONICAL[each]
        for schedule in ("Karras", "Exponential"):
            plain = _CANONICAL.get(each.removesuffix(f" {schedule.lower()}"), "")
            if each.endswith(f" {schedule.lower()}") and plain in _PLAIN:
                return f"{plain} {schedule}"
    near = difflib.get_close_matches(wanted, _CANONICAL, n=4, cutoff=0.5)
    names = dict.fromkeys(_CANONICAL[each] for each in near) or SAMPLERS
    raise UsageError(f"There is no sampler {name!r:.60}.", f"Choose one of: {', '.join(names)}.")


def canonical_scheduler(name: str) -> str:
    """The spelling of a schedule's name, A1111's or ComfyUI's in any case.

    Raises:
        UsageError: There is no such schedule.
    """
    wanted = " ".join(name.lower().split())
    if wanted in _SCHEDULES:
        return _SCHEDULES[wanted]
    near = difflib.get_close_matches(wanted, _SCHEDULES, n=1)
    meant = f"Did you mean {_SCHEDULES[near[0]]}? " if near else ""
    raise UsageError(f"There is no schedule {name!r:.40}.", f"{meant}Choose one of: {', '.join(SCHEDULERS)}.")


def canonical_flavour(name: str) -> str:
    """A flavour in small letters.

    Raises:
        UsageError: There is none of this name.
    """
    if name.strip().lower() == LEGACY:  # which records and histories name, and nobody else needs to know of
        return LEGACY
    return _one_of(name, FLAVOURS, "flavour")


def canonical_noise(name: str) -> str:
    """A source of noise as A1111 writes it: its `GPU` is NVIDIA's.

    Raises:
        UsageError: There is none of this name.
    """
    wanted = name.strip().upper()
    return _one_of("NV" if wanted == "GPU" else wanted, NOISES, "source of noise")


def canonical_emphasis(name: str) -> str:
    """What weights of words do, as A1111 writes it.

    Raises:
        UsageError: It has no such way.
    """
    wanted = " ".join(name.split()).casefold()
    known = {each.casefold(): each for each in EMPHASES}
    return known.get(wanted) or _one_of(name, EMPHASES, "emphasis")


def sampled_by_diffusers(flavour: str) -> bool:
    """Whether diffusers' own schedulers make the pictures of a flavour."""
    return flavour in ("diffusers", LEGACY)


def usual_noise(flavour: str) -> str:
    """Where the noise of a flavour comes from unless somebody chooses."""
    return "NV" if flavour == "a1111" else "CPU"


def usual_eta(sampler: str) -> float:
    """How much noise a sampler draws anew unless somebody chooses."""
    return {"DDIM": 0.0, "DDIM CFG++": 0.0, "TCD": 0.3}.get(told_apart(sampler)[0], 1.0)


#: Samplers that add noise before a step, and those that draw noise anew at one; of each flavour some others besides.
_CHURNING = ("Euler", "Heun", "Heun++ 2", "DPM2")
_DRAWING = (
    "Euler a", "DPM2 a", "DPM++ 2S a", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 2M SDE Heun", "DPM++ 3M SDE", "TCD",
    "DDIM CFG++", "Euler a CFG++", "DPM++ 2S a CFG++", "RES a", "RES a CFG++", "SEEDS 2", "SEEDS 3", "SA-Solver",
    "SA-Solver PECE",
)  # fmt: skip


def takes_churn(sampler: str, flavour: str) -> bool:
    """Whether a sampler adds noise before its steps where somebody asks for it: `--s-churn`."""
    return told_apart(sampler)[0] in (*_CHURNING, *(("DDIM",) if flavour == "comfyui" else ()))


def takes_eta(sampler: str, flavour: str) -> bool:
    """Whether a sampler draws as much noise anew as somebody asks for: `--eta`."""
    own = ("DDIM", "DPM fast", "DPM adaptive") if flavour == "a1111" else ()
    return told_apart(sampler)[0] in (*_DRAWING, *own)


def asks_twice(sampler: str) -> bool:
    """Whether a sampler asks the model twice a step, as A1111 counts for prompts that change between steps."""
    return told_apart(sampler)[0] in ("Heun", "DPM2", "DPM2 a", "DPM++ SDE", "DPM++ 2S a", "Restart")


def _one_of(name: str, names: tuple[str, ...], what: str) -> str:
    wanted = name.strip() if name.strip() in names else name.strip().lower()
    if wanted not in names:
        raise UsageError(f"There is no {what} {name!r:.40}.", f"Choose one of: {', '.join(names)}.")
    return wanted


def told_apart(sampler: str, scheduler: str = AUTOMATIC) -> tuple[str, str]:
    """A sampler's plain name and its schedule, of canonical ones: of two schedules that are named, the second counts.

    `DPM++ 2M Karras` and `Automatic` are `DPM++ 2M` and `Karras`.
    """
    for schedule in ("Karras", "Exponential"):
        plain = sampler.removesuffix(f" {schedule}")
        if plain != sampler and plain in _PLAIN:
            return plain, schedule if scheduler == AUTOMATIC else scheduler
    return sampler, scheduler


def of_diffusers(sampler: str, scheduler: str = AUTOMATIC) -> str:
    """The name in `SAMPLERS` of a sampler as diffusers has it.

    Raises:
        UsageError: It has none, or not with this schedule.
    """
    plain, schedule = told_apart(sampler, scheduler)
    what = plain
    if schedule not in (AUTOMATIC, "Uniform", "Normal"):
        what = f"{plain} {schedule}"
    if what in SAMPLERS and SAMPLERS[what].scheduler is not None:
        return what
    raise UsageError(
        f"diffusers has no sampler {what!r}.",
        "Choose --flavour a1111 or comfyui, which take it; `assetctl samplers` lists what there is.",
    )


@dataclass(frozen=True, slots=True)
class SamplerEntry:
    """A sampler that can be asked for.

    Attributes:
        name: As A1111 prints it, or would.
        comfyui: ComfyUI's name for it, where it has it.
        automatic: The schedule that A1111 takes for it unless one is chosen.
        flavours: Whose pictures can be made with it.
        note: What to know before it is chosen.
    """

    name: str
    comfyui: str | None
    automatic: str
    flavours: tuple[str, ...]
    note: str | None = None


@dataclass(frozen=True, slots=True)
class ScheduleEntry:
    """A schedule that can be asked for: which noise levels the steps have.

    Attributes:
        name: As A1111 prints it, or would.
        comfyui: ComfyUI's name for it, where it has it.
        samplers: The samplers that take it where diffusers samples; elsewhere all do, but those that have their own.
        note: What to know before it is chosen.
    """

    name: str
    comfyui: str | None
    samplers: tuple[str, ...]
    note: str | None = None


#: Samplers that follow a line through several steps back, and overshoot where the way bends at once.
_FOLLOWING = ("LMS", "PLMS", "IPNDM", "IPNDM_V", "DEIS")
_OVERSHOOTS = "goes by several steps back: with few steps and a strong CFG it can overshoot"
_GUIDES = "guides by CFG++: made for a CFG of 1 to 2"
_IS_FOR_FLOW = "made for models that flow: it ruins pictures of Stable Diffusion 1, 2 and XL"


def _note(name: str) -> str | None:
    """What to know of a sampler."""
    if name in _FOLLOWING:
        return _OVERSHOOTS
    return _GUIDES if _PLAIN[name].unguided else None


@dataclass(frozen=True, slots=True)
class SamplerListing:
    """All samplers and schedules.

    Attributes:
        samplers: For `--sampler`.
        schedules: For `--scheduler`.
    """

    samplers: tuple[SamplerEntry, ...]
    schedules: tuple[ScheduleEntry, ...]


def listing() -> SamplerListing:
    """What `--sampler` and `--scheduler` take."""
    samplers = (
        SamplerEntry(name, each.comfyui, each.automatic, FLAVOURS if each.scheduler else FLAVOURS[:-1], _note(name))
        for name, each in _PLAIN.items()
    )
    taking = {AUTOMATIC: tuple(name for name, each in _PLAIN.items() if each.scheduler), "Karras": _WITH_KARRAS}
    schedules = (
        ScheduleEntry(name, theirs, taking.get(name, ()), _IS_FOR_FLOW if name in FOR_FLOW else None)
        for name, theirs in SCHEDULERS.items()
    )
    return SamplerListing(tuple(samplers), tuple(schedules))
