"""The options of a picture, each declared once.

Flags, recipes of a manifest, JSON, records, infotexts, histories and help are made from this table. An option that is
added here is asked for, checked, filled in, handed to the backend in `Plan.settings`, written and read again; what
obeys it is all that is left to write.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

from assetctl.errors import UsageError
from assetctl.samplers import (
    AUTOMATIC,
    EMPHASES,
    FLAVOURS,
    LEGACY,
    NOISES,
    SAMPLERS,
    SCHEDULERS,
    canonical_emphasis,
    canonical_flavour,
    canonical_noise,
    canonical_sampler,
    canonical_scheduler,
    of_diffusers,
    sampled_by_diffusers,
    told_apart,
    usual_eta,
    usual_noise,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assetctl.identify.features import Family

#: Values of options by their names; what is not asked for is not in it.
Settings: TypeAlias = "Mapping[str, Any]"

#: Seeds by chance are numbers of 32 bits, as A1111's are; ComfyUI's have 64. -1 is A1111's word for one by chance.
MAX_SEED, LARGEST_SEED, RANDOM = 2**32 - 1, 2**64 - 1, -1

#: The largest number that a picture of any program is believed to name: what JSON writers agree on.
_MOST = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Option:
    """Something that a person may ask of a picture. Options that share a flag, a key or a field are written as `AxB`.

    Attributes:
        name: In Python, JSON, records and the API.
        type: `int`, `float`, `str` or `bool`.
        help: What it does, and what is taken unless it is named.
        flag: On the command line.
        key: In a recipe of a manifest.
        field: In A1111's infotext.
        usual: What is taken where neither the assets nor their family have their own; `None` where that is not a
            constant: a picture's size is the checkpoint's, its seed chance, its noise the flavour's.
        bounds: The least and the most that can be asked for.
        believed: Likewise, of what other programs' pictures say.
        multiple: Of what it must be one.
        silent: What holds where a picture says nothing of it; it is not written where it is that. `None` where
            every picture says it.
        spelled: Returns the one spelling of a text, or raises `UsageError`.
        values: Texts that there are, for a shell to complete.
        others: What other programs and their interfaces call it.
        sampled: Whether it is obeyed where we sample ourselves, and not where diffusers does.
    """

    name: str
    type: type[int | float | str | bool]
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
    sampled: bool = False

    def checked(self, value: Any) -> Any:  # noqa: ANN401 - of the option's type, or refused
        """The value as it is meant.

        Raises:
            UsageError: It is of another type, out of bounds, or no such thing.
        """
        problem = self.problem(value)
        if problem is not None:
            called = f"The {self.name}" if problem.startswith("must be a multiple") else self.called
            raise UsageError(f"{called} {problem}.", SEE_HELP)
        if self.type is float:  # 7 and 7.0 are one value: both must make the same bytes
            return float(value)
        return value if self.spelled is None else self.spelled(value)

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, to go on with behind a name: `must be 1 to 200, not 0`. Of words, nothing."""
        if self.type in (str, bool) and isinstance(value, self.type):
            return None
        if not is_number(value) or (self.type is int and not isinstance(value, int)) or self.type in (str, bool):
            return f"must be {_CALLED[self.type]}, not {shown(value)}"
        if self.bounds is not None and not self.bounds[0] <= value <= self.bounds[1]:
            low, high = self.bounds
            return f"must be {low:g} to {_number(high)}, not {shown(value)}"
        if self.multiple > 1 and value % self.multiple:
            nearest = int(value // self.multiple * self.multiple) or self.multiple
            return f"must be a multiple of {self.multiple}, not {value}: {nearest}, for example"
        return None

    @property
    def advice(self) -> str:
        """What to write for a value that makes no sense."""
        kind = _CALLED[self.type]
        reach = "" if self.bounds is None else f" from {self.bounds[0]:g} to {_number(self.bounds[1])}"
        return f"Write {kind}{reach}{f', a multiple of {self.multiple}' if self.multiple > 1 else ''}."

    @property
    def called(self) -> str:
        """Its flag; and which part of it, where several options share that."""
        return self.flag if len(together("flag")[self.flag]) == 1 else f"The {self.name} of {self.flag}"


_CALLED = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def _number(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"


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


_SIZES = re.compile(r"(\d{1,5})x(\d{1,5})\+(\d{1,5})\+(\d{1,5})-(\d{1,5})x(\d{1,5})")


def canonical_sizes(text: str) -> str:
    """What SDXL is told of a picture, in its one spelling; nothing for what it is."""
    if not text.strip():
        return ""
    return "{}x{}+{}+{}-{}x{}".format(*sizes_of(text))


_SIDE: dict[str, Any] = {
    "flag": "--size", "key": "size", "field": "Size", "bounds": (64, 4096), "believed": (1, 2**20), "multiple": 8,
    "help": "By default the checkpoint's own.",
}  # fmt: skip

#: The size whose first noise A1111 keeps in the middle of a picture of another size.
_FIRST_SIZE: dict[str, Any] = {
    "flag": "--resize-seed-from", "key": "resize_seed_from", "field": "Seed resize from", "usual": 0, "silent": 0,
    "bounds": (0, 4096), "multiple": 8, "sampled": True,
    "help": "Keep the middle of the noise that a picture of this size begins with.",
}  # fmt: skip

OPTIONS: tuple[Option, ...] = (
    Option(
        "steps", int, "Denoising steps: by default 20, or what a distilled model was made for.",
        "--steps", "steps", "Steps", 20, (1, 200), (0, 10_000), others=("num_inference_steps",),
    ),
    Option(
        "cfg_scale", float, "How closely to follow the prompt: by default 7, or what a distilled model wants.",
        "--cfg", "cfg", "CFG scale", 7.0, (0, 100), others=("cfgScale", "cfg", "guidance_scale"),
    ),
    Option(
        "sampler", str, "As A1111 or ComfyUI names it, in any case: by default Euler a.",
        "--sampler", "sampler", "Sampler", "Euler a", spelled=canonical_sampler, values=tuple(SAMPLERS),
        others=("sampler_name",),
    ),
    Option(
        "seed", int, "By default by chance.",
        "--seed", "seed", "Seed", None, (RANDOM, LARGEST_SEED), (RANDOM, _MOST), others=("noise_seed",),
    ),
    Option("width", int, **_SIDE),
    Option("height", int, **_SIDE),
    Option(
        "clip_skip", int, "SD 1: which text layer to read, from the last.",
        "--clip-skip", "clip_skip", "Clip skip", 1, (1, 12), (1, 100), silent=1, others=("clipSkip",),
    ),
    Option(
        "flavour", str, "Whose picture it is to be, as a1111, comfyui or diffusers makes it: by default a1111.",
        "--flavour", "flavour", "Flavour", FLAVOURS[0], silent=LEGACY, spelled=canonical_flavour, values=FLAVOURS,
    ),
    Option(
        "scheduler", str, "The noise levels of the steps, as A1111 or ComfyUI names them: see `assetctl samplers`.",
        "--scheduler", "scheduler", "Schedule type", "Automatic", silent="Automatic", spelled=canonical_scheduler,
        values=tuple(SCHEDULERS), others=("schedule_type",),
    ),
    Option(
        "noise", str, "Where noise comes from, cpu or nv (as on NVIDIA's cards): by default what the flavour has.",
        "--noise", "noise", "RNG", None, silent="CPU", spelled=canonical_noise, values=NOISES, sampled=True,
    ),
    Option(
        "eta", float, "How much noise is drawn anew at each step: by default what the sampler is made for.",
        "--eta", "eta", "Eta", None, (0, 1), silent=1.0, sampled=True,
    ),
    Option(
        "ensd", int, "A1111's eta noise seed delta: added to the seed for the noise between steps.",
        "--ensd", "ensd", "ENSD", 0, (0, MAX_SEED), silent=0, sampled=True,
    ),
    Option(
        "s_churn", float, "Noise added before each step, of Euler, Heun, DPM2: by default none.",
        "--s-churn", "s_churn", "Sigma churn", 0.0, (0, 100), silent=0.0, sampled=True,
    ),
    Option(
        "s_tmin", float, "The lowest noise level at which --s-churn adds noise.",
        "--s-tmin", "s_tmin", "Sigma tmin", 0.0, (0, 1000), silent=0.0, sampled=True,
    ),
    Option(
        "s_tmax", float, "The highest; 0 for no limit.",
        "--s-tmax", "s_tmax", "Sigma tmax", 0.0, (0, 1000), silent=0.0, sampled=True,
    ),
    Option(
        "s_noise", float, "What noise between steps is multiplied by: by default 1.",
        "--s-noise", "s_noise", "Sigma noise", 1.0, (0, 2), silent=1.0, sampled=True,
    ),
    Option(
        "discard_penultimate", bool, "Leave out the last noise level but one, as some samplers do anyway.",
        "--discard-penultimate", "discard_penultimate", "Discard penultimate sigma", False, silent=False, sampled=True,
    ),
    Option(
        "sgm_noise", bool, "Begin as Stability's own code does: A1111's SGM noise multiplier.",
        "--sgm-noise", "sgm_noise", "SGM noise multiplier", False, silent=False, sampled=True,
    ),
    Option(
        "variation_seed", int, "The seed of a second noise that is mixed into the first: by default 0.",
        "--variation-seed", "variation_seed", "Variation seed", 0, (0, LARGEST_SEED), silent=0,
        others=("subseed",), sampled=True,
    ),
    Option(
        "variation_strength", float, "How far to go towards it, 0 to 1: by default not at all.",
        "--variation-strength", "variation_strength", "Variation seed strength", 0.0, (0, 1), silent=0.0,
        others=("subseed_strength",), sampled=True,
    ),
    Option("resize_seed_width", int, **_FIRST_SIZE),
    Option("resize_seed_height", int, **_FIRST_SIZE),
    Option(
        "emphasis", str, "What weights of words do: Original, No norm (no mean is kept), Ignore, None (not read).",
        "--emphasis", "emphasis", "Emphasis", "Original", silent="Original", spelled=canonical_emphasis,
        values=EMPHASES, sampled=True,
    ),
    Option(
        "pad_prompts", bool, "End the shorter prompt in empty chunks, as long as the other: A1111's Pad conds.",
        "--pad-prompts", "pad_prompts", "Pad conds", False, silent=False, others=("pad_cond_uncond",), sampled=True,
    ),
    Option(
        "start_step", int, "Begin at this step, as ComfyUI's KSampler Advanced: by default the first, 0.",
        "--start-step", "start_step", "Start at step", 0, (0, 10_000), silent=0,
        others=("start_at_step",), sampled=True,
    ),
    Option(
        "end_step", int, "End before this step, as it does too: by default the last; 0 for no such limit.",
        "--end-step", "end_step", "End at step", 0, (0, 10_000), silent=0, others=("end_at_step",), sampled=True,
    ),
    Option(
        "leftover_noise", bool, "With --end-step: leave the noise that is left then.",
        "--leftover-noise", "leftover_noise", "Leftover noise", False, silent=False, sampled=True,
    ),
    Option(
        "latent_batch", int, "How many pictures ComfyUI drew noise for at once, of one seed: by default 1.",
        "--latent-batch", "latent_batch", "Latent batch size", 1, (1, 4096), silent=1, sampled=True,
    ),
    Option(
        "latent_index", int, "Which of them this is, counted from 0.",
        "--latent-index", "latent_index", "Latent batch index", 0, (0, 4095), silent=0, sampled=True,
    ),
    Option(
        "prompt_l", str, "What SDXL's first text encoder reads in the place of the prompt: ComfyUI's text_l.",
        "--prompt-l", "prompt_l", "Prompt L", "", silent="", sampled=True,
    ),
    Option(
        "negative_l", str, "Likewise, of what it must not show.",
        "--negative-l", "negative_l", "Negative prompt L", "", silent="", sampled=True,
    ),
    Option(
        "sizes", str, "What SDXL is told of its picture: original size, crop, size, like 2048x2048+0+0-1024x1024.",
        "--sizes", "sizes", "SDXL sizes", "", silent="", spelled=canonical_sizes, sampled=True,
    ),
    Option(
        "negative_sizes", str, "Likewise, beside the negative prompt.",
        "--negative-sizes", "negative_sizes", "SDXL negative sizes", "", silent="", spelled=canonical_sizes,
        sampled=True,
    ),
    Option(
        "old_editing", bool, "[a:b:N] changes at a share of the steps where N < 1, as in A1111 before 1.6.",
        "--old-editing", "old_editing", "Old prompt editing timelines", False, silent=False,
        others=("use_old_scheduling",), sampled=True,
    ),
    Option(
        "half_levels", bool, "Noise levels of half precision, as A1111 had them before 1.8.",
        "--half-levels", "half_levels", "Downcast alphas_cumprod", False, silent=False,
        others=("use_downcasted_alpha_bar",), sampled=True,
    ),
)  # fmt: skip
"""All of them, in the order of the help."""


def sizes_of(text: str) -> tuple[int, ...]:
    """Original width and height, what is cut off on the left and above, width and height, of `WxH+X+Y-WxH`.

    Raises:
        UsageError: The text is no such thing.
    """
    found = _SIZES.fullmatch(text.strip())
    if found is None:
        raise UsageError(f"{text!r:.40} are no sizes.", "Write them like 2048x2048+0+0-1024x1024.")
    return tuple(map(int, found.groups()))


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


def label(options: Sequence[Option]) -> str:
    """What options that are written together are called in a list: CFG, clip skip."""
    return options[0].field.replace("CFG scale", "CFG").lower().replace("cfg", "CFG")


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
    every = {**usual, **common, **own, **asked}
    if "scheduler" not in asked and (
        sampled_by_diffusers(every["flavour"]) or told_apart(every["sampler"])[1] != AUTOMATIC
    ):  # diffusers' schedulers space the steps themselves, and a sampler's name may tell of a schedule
        every["scheduler"] = AUTOMATIC
    return {"noise": usual_noise(every["flavour"]), "eta": usual_eta(every["sampler"]), **every}


def taken(settings: Settings, family: Family | None, base_models: Sequence[str | None]) -> dict[str, Any]:
    """What would be taken of each option of a picture whose sampler and flavour alone were asked for."""
    named = {name: settings[name] for name in ("flavour", "sampler") if name in settings}
    return filled(named, family, base_models) | {"flavour": option("flavour").usual}


def complete(settings: Settings) -> dict[str, Any]:
    """Settings of a picture, with what holds where it says nothing."""
    return {each.name: each.silent for each in OPTIONS if each.silent is not None} | dict(settings)


#: Options that one flavour alone obeys.
_OBEYED_BY = {
    "a1111": (
        "ensd", "sgm_noise", "variation_seed", "variation_strength", "resize_seed_width", "resize_seed_height",
        "emphasis", "pad_prompts", "old_editing",
    ),
    "comfyui": (
        "start_step", "end_step", "leftover_noise", "latent_batch", "latent_index", "prompt_l", "negative_l", "sizes",
        "negative_sizes",
    ),
}  # fmt: skip


def refuse_unobeyed(asked: Settings, filled_in: Settings) -> None:
    """Refuse what was asked for and would do nothing, or two things at once.

    Raises:
        UsageError: The flavour does not obey something that is asked for, or has it not; or two schedules are named.
    """
    flavour = filled_in["flavour"]
    elsewhere = {name: whose for whose, names in _OBEYED_BY.items() for name in names if whose != flavour}
    plain = sampled_by_diffusers(flavour)
    usual = {"eta": usual_eta(filled_in["sampler"])}
    for each in OPTIONS:
        unobeyed = each.sampled if plain else each.name in elsewhere
        if unobeyed and asked.get(each.name, each.silent) not in (each.silent, usual.get(each.name)):
            where = "where diffusers samples" if plain else f"with --flavour {flavour}"
            hint = f"Leave it out, or choose --flavour {elsewhere.get(each.name, FLAVOURS[0])}."
            raise UsageError(f"{each.called} does nothing {where}.", hint)
    _refuse_two_schedules(asked)


def _refuse_two_schedules(asked: Settings) -> None:
    named, scheduler = str(asked.get("sampler") or ""), asked.get("scheduler") or AUTOMATIC
    sampler, own = told_apart(named)
    if AUTOMATIC not in (own, scheduler) and own != scheduler:
        message = f"--sampler {named!r} and --scheduler {scheduler!r} name two schedules."
        raise UsageError(message, f"Write --sampler {sampler!r} for {scheduler}, or leave --scheduler out for {own}.")


def refuse_impossible(settings: Settings) -> None:
    """Refuse a sampler that diffusers has not, and a beginning behind the last step (as KSampler Advanced has them).

    Raises:
        UsageError: There is certainly no such thing. ComfyUI's schedule DDIM has more steps than are asked for: that
            is left to the run.
    """
    if sampled_by_diffusers(settings["flavour"]):
        of_diffusers(settings["sampler"], settings["scheduler"])
    start, end, steps = settings["start_step"], settings["end_step"], settings["steps"]
    if settings["flavour"] != "comfyui" or not start:
        return
    if 0 < end <= start:
        message = f"There is no step from --start-step {start} to --end-step {end}."
        raise UsageError(message, "Steps are counted from 0, and --end-step is the first that is not made.")
    longer = "DDIM" in (settings["scheduler"], told_apart(settings["sampler"])[0])
    if start >= steps and not longer:
        message = f"--start-step {start} is behind the last step: there are {steps}, counted from 0."
        raise UsageError(message, "Choose a lower --start-step, or more with --steps.")
