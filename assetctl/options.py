"""The options of a picture, each declared once.

Flags, recipes of a manifest, JSON, records, infotexts, histories and help are made from this table. An option that is
added here is asked for, checked, filled in, handed to the backend in `Plan.settings`, written and read again; what
obeys it is all that is left to write.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assetctl.identify.features import Family

#: Values of options by their names; what is not asked for is not in it.
Settings: TypeAlias = "Mapping[str, Any]"

#: Seeds are numbers of 32 bits; -1 is A1111's word for one by chance.
MAX_SEED, RANDOM = 2**32 - 1, -1

#: The largest number that a picture of any program is believed to name: what JSON writers agree on.
_MOST = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """Something that a person may ask of a picture. Options that share a flag, a key or a field are written as `AxB`.

    Attributes:
        name: In Python, JSON, records and the API.
        type: `int`, `float` or `str`.
        help: What it does, and what is taken unless it is named.
        flag: On the command line.
        key: In a recipe of a manifest.
        field: In A1111's infotext.
        usual: What is taken where neither the assets nor their family have their own; `None` where that is not a
            constant: a picture's size is the checkpoint's, its seed chance.
        bounds: The least and the most that can be asked for.
        believed: Likewise, of what other programs' pictures say.
        multiple: Of what it must be one.
        silent: What holds where a picture says nothing of it; it is not written where it is that. `None` where
            every picture says it.
        spelled: Returns the one spelling of a text, or raises `UsageError`.
        values: Texts that there are, for a shell to complete.
        others: What other programs and their interfaces call it.
    """

    name: str
    type: type[int | float | str]
    help: str
    flag: str
    key: str
    field: str
    usual: int | float | str | None = None
    bounds: tuple[float, float] | None = None
    believed: tuple[int, int] = (0, _MOST)
    multiple: int = 1
    silent: int | float | str | None = None
    spelled: Callable[[str], str] | None = None
    values: tuple[str, ...] = ()
    others: tuple[str, ...] = ()

    def checked(self, value: Any) -> Any:  # noqa: ANN401 - of the option's type, or refused
        """The value as it is meant.

        Raises:
            UsageError: It is of another type, out of bounds, or no such thing.
        """
        problem = self.problem(value)
        if problem is not None:
            called = f"The {self.name}" if problem.startswith("must be a multiple") else self.called
            raise UsageError(f"{called} {problem}.", SEE_HELP)
        return value if self.spelled is None else self.spelled(value)

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, to go on with behind a name: `must be 1 to 200, not 0`. Of words, nothing."""
        if isinstance(value, str) and self.type is str:
            return None
        if not is_number(value) or (self.type is int and not isinstance(value, int)) or self.type is str:
            wanted = {int: "a whole number", float: "a number", str: "a text"}[self.type]
            return f"must be {wanted}, not {shown(value)}"
        if self.bounds is not None and not self.bounds[0] <= value <= self.bounds[1]:
            low, high = self.bounds
            return f"must be {low:g} to {high:.12g}, not {shown(value)}"
        if self.multiple > 1 and value % self.multiple:
            nearest = int(value // self.multiple * self.multiple) or self.multiple
            return f"must be a multiple of {self.multiple}, not {value}: {nearest}, for example"
        return None

    @property
    def advice(self) -> str:
        """What to write for a value that makes no sense."""
        kind = {int: "a whole number", float: "a number", str: "a text"}[self.type]
        reach = "" if self.bounds is None else f" from {self.bounds[0]:g} to {self.bounds[1]:.12g}"
        return f"Write {kind}{reach}{f', a multiple of {self.multiple}' if self.multiple > 1 else ''}."

    @property
    def called(self) -> str:
        """Its flag; and which part of it, where several options share that."""
        return self.flag if len(together("flag")[self.flag]) == 1 else f"The {self.name} of {self.flag}"


#: Characters of a value that a complaint repeats.
_SHOWN = 40

#: What somebody does whose value is out of bounds.
SEE_HELP = "`--help` says what can be asked for."


def shown(value: object) -> str:
    """As much of a value as a complaint should repeat."""
    if isinstance(value, int) and abs(value) >= 2**127:  # Python writes no number of thousands of digits
        return "so large a number"
    text = f"{value:g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


#: The least and the most that an asset may weigh: sliders go to 10 or 20, and what is beyond is a slip of the keys.
WEIGHTS = (-100.0, 100.0)


def check_weight(weight: object, of: str) -> None:
    """See that a LoRA's weight is one.

    Raises:
        UsageError: It is no number, or out of bounds.
    """
    if not is_number(weight) or not WEIGHTS[0] <= weight <= WEIGHTS[1]:
        hint = f"Weights are numbers from {WEIGHTS[0]:g} to {WEIGHTS[1]:g}, usually between 0 and 1.5."
        raise UsageError(f"The weight of {of} is {shown(weight)}.", hint)


def is_number(value: object) -> TypeGuard[float]:
    """Whether this is a finite number, and no truth value."""
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and (isinstance(value, int) or math.isfinite(value))
    )


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

#: Canonical name, as A1111 prints it, to sampler. The mapping is that of diffusers' own documentation ("Schedulers
#: overview"). What diffusers lacks, or has only with scipy (`LMS`) or torchsde (`DPM++ SDE`), is left out.
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


_SIDE: dict[str, Any] = {
    "flag": "--size", "key": "size", "field": "Size", "bounds": (64, 4096), "believed": (1, 2**20), "multiple": 8,
    "help": "The checkpoint's own unless named.",
}  # fmt: skip

OPTIONS: tuple[Option, ...] = (
    Option(
        "steps", int, "Denoising steps: 20 unless named, or what a distilled model was made for.",
        "--steps", "steps", "Steps", 20, (1, 200), (0, 10_000), others=("num_inference_steps",),
    ),
    Option(
        "cfg_scale", float, "How closely to follow the prompt: 7 unless named, or what a distilled model wants.",
        "--cfg", "cfg", "CFG scale", 7.0, (0, 100), others=("cfgScale", "cfg", "guidance_scale"),
    ),
    Option(
        "sampler", str, "As A1111 names it, in any case: Euler a unless named.",
        "--sampler", "sampler", "Sampler", "Euler a", spelled=canonical_sampler, values=tuple(SAMPLERS),
        others=("sampler_name",),
    ),
    Option(
        "seed", int, "By chance unless named.",
        "--seed", "seed", "Seed", None, (RANDOM, MAX_SEED), (RANDOM, _MOST), others=("noise_seed",),
    ),
    Option("width", int, **_SIDE),
    Option("height", int, **_SIDE),
    Option(
        "clip_skip", int, "SD 1: which text layer to read, from the last.",
        "--clip-skip", "clip_skip", "Clip skip", 1, (1, 12), (1, 100), silent=1, others=("clipSkip",),
    ),
)  # fmt: skip
"""All of them, in the order of the help."""


def option(name: str) -> Option:
    """The option of this name.

    Raises:
        UsageError: There is none.
    """
    for each in OPTIONS:
        if each.name == name:
            return each
    meant = next((each.name for each in OPTIONS if name in (each.key, *each.others)), None)
    near = [meant] if meant else difflib.get_close_matches(name, [each.name for each in OPTIONS], n=1)
    hint = f"Did you mean {near[0]}? " if near else ""
    raise UsageError(
        f"There is no option {name!r:.40}.", f"{hint}There are: {', '.join(each.name for each in OPTIONS)}."
    )


def together(attribute: str) -> dict[str, list[Option]]:
    """Options by their `flag`, `key` or `field`."""
    found: dict[str, list[Option]] = {}
    for each in OPTIONS:
        found.setdefault(getattr(each, attribute), []).append(each)
    return found


def checked(settings: Settings) -> dict[str, Any]:
    """Settings as they are meant; those that are `None` are not asked for.

    Raises:
        UsageError: There is no such option, or a value makes no sense.
    """
    return {name: option(name).checked(value) for name, value in settings.items() if value is not None}


def parse_sides(options: Sequence[Option], text: str) -> dict[str, int]:
    """The values of options that are written together, `768x512`.

    Raises:
        UsageError: The text is no such thing.
    """
    sides = text[:40].lower().split("x")
    if len(sides) != len(options) or not all(re.fullmatch(r"\s*[0-9]{1,9}\s*", side) for side in sides):
        raise UsageError(f"{text[:20]!r} is no size.", "Write width and height in pixels, like 768x512.")
    return {each.name: int(side) for each, side in zip(options, sides, strict=True)}


def written(options: Sequence[Option], settings: Settings, number: str = "g") -> str | None:
    """The text of one option, or of several that are written together; `None` where nothing needs to be said."""
    values = [settings.get(each.name) for each in options]
    if None in values or all(value == each.silent for each, value in zip(options, values, strict=True)):
        return None
    return "x".join(_written(value, number) for value in values)


def _written(value: object, number: str) -> str:
    if isinstance(value, float):
        return f"{value:g}" if number == "g" else repr(value).removesuffix(".0")
    return str(value)


def filled(asked: Settings, family: Family | None, base_models: Sequence[str | None]) -> dict[str, Any]:
    """All settings that have a usual value: as asked, else as the assets, their family and the table have it.

    Args:
        asked: What somebody asked for.
        family: The checkpoint's.
        base_models: Of the checkpoint and the LoRAs that are at work; the first that was distilled counts.
    """
    distilled = {} if family is None else family.distilled
    own = next((found.usual for name in base_models if (found := distilled.get(name or ""))), {})
    common = {} if family is None or family.driven is None else family.driven.usual
    usual = {each.name: each.usual for each in OPTIONS if each.usual is not None}
    return {**usual, **common, **own, **asked}
