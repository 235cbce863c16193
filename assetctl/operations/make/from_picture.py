"""What a picture says of how it was made, as something to make another from, whoever wrote it."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, FileError, UsageError
from assetctl.identify.plugins import family_called
from assetctl.options import LARGEST_SEED, OPTIONS, option, together
from assetctl.pictures import UsedAsset
from assetctl.pictures.parameters import Collection, model_name, shown
from assetctl.prompt import parse_prompt
from assetctl.prompt.syntax import with_tags_as_words, without_networks
from assetctl.request import Request
from assetctl.samplers import (
    AUTOMATIC,
    canonical_sampler,
    canonical_scheduler,
    of_diffusers,
    steps_taken,
    told_apart,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from assetctl.options import Option
    from assetctl.pictures import PictureParameters


@dataclass(frozen=True, slots=True)
class PictureRecipe:
    """How to make one picture.

    Attributes:
        exact: Whether assetctl made it, and recorded everything.
        software: Who made it.
        assets: What it was made of, as it names them.
        then: What the catalog said of each of them when the picture was made, by the fields of `Asset`.
        remarks: What is not carried over, each in one sentence.
        last_layer: Whether it asks for the last layer of its text encoders, as SD 1 reads without being asked.
        environment: Where it was made; empty where that is not known.
        threads: Their number, where it can be had.
    """

    exact: bool
    software: str | None
    request: Request
    assets: tuple[UsedAsset, ...]
    then: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...] = ()
    last_layer: bool = False
    prediction: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    threads: int | None = None


#: What a picture can be made of here.
_USABLE = ("checkpoint", "lora", "embedding", "vae")
_PREDICTIONS = (None, "epsilon", "v_prediction")

#: The version of a record that is understood, and what it says beside options.
_VERSION = 1
_KEYS = {"version", "software", "prompt", "negative_prompt", "prediction", "assets", "environment"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AUTOV3 = re.compile(r"[0-9a-f]{12}")

#: Bounds of what is believed: assets of one picture, words of one asset, characters, threads.
_MAX_ASSETS, _MAX_WORDS, _MAX_TEXT, _MAX_THREADS = 100, 1000, 100_000, 128


def recipe_of_record(record: Mapping[str, Any], what: str) -> PictureRecipe:
    """The recipe in a record.

    Args:
        record: See `assetctl.pictures.record`.
        what: What it is, to begin a sentence with.

    Raises:
        CorruptFileError: It does not make sense.
        FileError: A newer assetctl wrote it.
    """
    reader = _Reader(record, what)
    _check_version(reader, record, what)
    settings = {each.name: reader.setting(each) for each in OPTIONS}
    entries = record.get("assets")
    if not isinstance(entries, list) or len(entries) > _MAX_ASSETS:
        raise reader.nonsense("assets")
    assets = [_Reader(entry if isinstance(entry, dict) else {}, what) for entry in entries]
    found = record.get("environment")
    environment = {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
    prediction = record.get("prediction")
    if prediction not in _PREDICTIONS:
        raise reader.nonsense("prediction")
    return PictureRecipe(
        exact=True,
        software="assetctl",
        request=reader.request(settings),
        assets=tuple(entry.used() for entry in assets),
        then=tuple(entry.then() for entry in assets),
        prediction=prediction,
        environment=environment,
        threads=_threads(environment.get("threads", "")),
    )


def _check_version(reader: _Reader, record: Mapping[str, Any], what: str) -> None:
    unknown = sorted(record.keys() - _KEYS - {each.name for each in OPTIONS})
    newer = reader.whole("version", _VERSION) > _VERSION
    if newer or unknown:  # an option that is not known would be lost, and the picture another one
        why = f"its version is {record['version']}" if newer else f"it has {unknown[0]!r:.60}"
        message = f"{what} was made by a newer assetctl: {why}."
        raise FileError(message, "Upgrade with `pip install -U assetctl`.")


def _threads(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[1-9]\d{0,2}", text) and int(text) <= _MAX_THREADS else None


class _Reader:
    """Takes values out of a JSON object, each of the type that it must have."""

    def __init__(self, entry: Mapping[str, Any], what: str) -> None:
        self._entry = entry
        self._what = what

    def nonsense(self, key: str) -> CorruptFileError:
        """What to raise where a value makes no sense."""
        hint = "Another program may have changed it: `assetctl inspect PICTURE` shows what it says."
        return CorruptFileError(f"{self._what} makes no sense: its {key} is {self._entry.get(key)!r:.60}.", hint)

    def text(self, key: str) -> str:
        value = self._entry.get(key)
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            raise self.nonsense(key)
        return value

    def whole(self, key: str, default: int | None = None) -> int:
        value = self._entry.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= LARGEST_SEED:
            raise self.nonsense(key)
        return value

    def setting(self, option: Option) -> Any:  # noqa: ANN401 - of the option's type
        """What the record says of an option, or what holds where it is silent."""
        if option.silent is not None and option.name not in self._entry:
            return option.silent
        readers = {int: self.whole, float: self.number, str: self.text, bool: self.truth}
        return readers[option.type](option.name)

    def truth(self, key: str) -> bool:
        value = self._entry.get(key)
        if not isinstance(value, bool):
            raise self.nonsense(key)
        return value

    def request(self, settings: Mapping[str, Any]) -> Request:
        """A request of these settings.

        Raises:
            CorruptFileError: One is none that can be asked for.
        """
        prompt, negative = self.text("prompt"), self.text("negative_prompt")
        try:
            return Request(prompt=prompt, negative_prompt=negative, settings=settings)
        except UsageError as error:
            message = f"{self._what} makes no sense. {error.message}"
            raise CorruptFileError(message, "`assetctl inspect PICTURE` shows what it says.") from error

    def number(self, key: str) -> float:
        value = self._entry.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self.nonsense(key)
        return value

    def used(self) -> UsedAsset:
        """An asset of the record, as something to look for."""
        role, sha256, source = self._entry.get("role"), self._entry.get("sha256"), self._entry.get("source")
        if role not in _USABLE:
            raise self.nonsense("role")
        if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
            raise self.nonsense("sha256")
        weight = self.number("weight") if role == "lora" else None
        text_weight = self.number("text_weight") if role == "lora" and "text_weight" in self._entry else None
        sources = (source,) if isinstance(source, str) else ()
        return UsedAsset(role, self.text("name"), sha256, weight, sources, text_weight)

    def then(self) -> dict[str, Any]:
        """What the catalog said of the asset, under the names of `Asset`'s fields."""
        words = self._entry.get("trigger_words", [])
        if not isinstance(words, list) or len(words) > _MAX_WORDS or not all(isinstance(word, str) for word in words):
            raise self.nonsense("trigger_words")
        autov3 = self._entry.get("autov3")
        if autov3 is not None and not (isinstance(autov3, str) and _AUTOV3.fullmatch(autov3)):
            raise self.nonsense("autov3")
        optional = {key: self._entry.get(key) for key in ("family", "base_model", "source", "found_by")}
        for key, value in optional.items():
            if value is not None and not isinstance(value, str):
                raise self.nonsense(key)
        return {"name": self.text("name"), "trigger_words": tuple(words), "autov3": autov3, **optional}


#: Fields that are used, or that say nothing of how the picture looks; those of options come with these.
_UNDERSTOOD = {
    "Model", "Version", "Created Date", "AddNet Enabled", "User", "Civitai resources", "Civitai metadata", "Workflow",
    "App", "Operations", "Template", "Negative Template", "Batch size", "Batch pos",
    "Time taken", "Wildcard prompt", "Wildcard negative prompt", "sv_prompt", "sv_negative", "Source Identifier",
}  # fmt: skip


def recipe_of_other_program(parameters: PictureParameters) -> PictureRecipe:
    """A recipe for a picture that resembles one of A1111, ComfyUI or another program.

    Raises:
        FileError: One of its prompts is there and cannot be read: without it, that is another picture.
    """
    for name in ("prompt", "negative_prompt"):
        if name in parameters.illegible and getattr(parameters, name) is None:
            hint = "`assetctl inspect PICTURE` shows what it says; `assetctl generate` makes one of words of your own."
            raise FileError(f"The picture's {name.replace('_', ' ')} could not be read.", hint)
    parameters, remarks = _with_its_tags(parameters), list[str]()
    assets = _assets(parameters)
    ours = tuple(used for used in assets if used.role in _USABLE)
    request = _request(parameters, remarks)
    remarks += [*_of_tags(parameters), *_of_weights(ours, parameters)]
    remarks += [*_of_version(parameters), *_of_machine(request), *parameters.notes, *_left_out(parameters, assets)]
    first = _resemblance(parameters.software, request.settings, whole=not remarks)
    remarks.insert(0, _another(parameters) or first)
    return PictureRecipe(
        exact=False,
        software=parameters.software,
        request=request,
        assets=ours,
        then=tuple(_token(used, f"{parameters.prompt}\n{parameters.negative_prompt}") for used in ours),
        remarks=tuple(remarks),
        last_layer=parameters.fields.get("stop_at_clip_layer") == "-1",
    )


def with_family(recipe: PictureRecipe, family: str | None) -> PictureRecipe:
    """The recipe where its checkpoint's family is known, with a remark on what that makes another picture."""
    known = family_called(family)
    reads_last = known is not None and known.driven is not None and known.driven.clip_skip
    if not recipe.last_layer or recipe.exact or reads_last:
        return recipe
    remark = "It reads the last layer of its text encoders, where the last but one is usual: that one is read here."
    told = recipe.remarks[0].startswith(ANOTHER)
    first = recipe.remarks[0] if told else f"{ANOTHER}: its text encoders are read up to another layer."
    return replace(recipe, remarks=(first, *recipe.remarks[1:], remark))


#: How a recipe begins that certainly gives another picture.
ANOTHER = "It will be another picture"


def _another(parameters: PictureParameters) -> str | None:
    """What certainly makes it another picture, where anything does: later passes, and a picture to begin with."""
    fields = parameters.fields
    upscale, strength = (fields.get(key, "") for key in ("Hires upscale", "Denoising strength"))
    if _number(upscale) not in (None, 0, 1):
        return f"{ANOTHER}, and of another size: the original was scaled, by {shown(upscale)}, which is left out."
    if parameters.software == "A1111" and _number(strength) not in (None, 0, 1):
        done = "in two passes, or over another picture"
        return f"{ANOTHER}: the original was painted {done} (Denoising strength {shown(strength)}), which is left out."
    return None


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None


def _resemblance(software: str | None, settings: Mapping[str, Any], *, whole: bool) -> str:
    """Why the new picture will not be the original, to the last bit; `whole` if nothing is left out or unknown."""
    if software == "assetctl":
        return "assetctl's own record is lost from it, so the picture can only resemble the original."
    flavour = settings["flavour"]
    if _PROGRAMS.get(software or "") == flavour and not whole:
        return f"It is made as {software} makes it, as far as that is known: what follows may make it another picture."
    if _PROGRAMS.get(software or "") == flavour:
        card = ", if it was made on an NVIDIA card" if flavour == "a1111" and not settings.get("noise") else ""
        return (
            f"It is made as {software} makes it, with the same noise and steps{card}; "
            "another machine or precision than it was made with still differs in last digits."
        )
    name = software or "Another program"
    return f"{name} makes noise differently, so the picture will resemble the original, not equal it."


def _assets(parameters: PictureParameters) -> tuple[UsedAsset, ...]:
    """What the picture names, and the LoRAs that only its prompt does."""
    found = Collection()
    found.extend(parameters.assets)
    found.add_loras(parameters.prompt or "", parameters.negative_prompt or "")
    return found.assets()


def _with_its_tags(parameters: PictureParameters) -> PictureParameters:
    """Parameters with those tags of LoRAs alone that A1111 read as such, where it made the picture.

    It reads those of the negative prompt as words, and takes tags of all networks out of the prompt.
    """
    if parameters.software != "A1111":
        return parameters
    prompt, left = without_networks(parameters.prompt or "")
    negative, notes = parameters.negative_prompt, parameters.notes
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        notes += (f"Not carried over: {', '.join(map(shown, left[:_SHOWN]))}{more}.",)
    return replace(
        parameters,
        prompt=parameters.prompt and prompt,
        negative_prompt=negative and with_tags_as_words(negative),
        notes=notes,
    )


#: A LoRA in a prompt that has more than a name.
_TAG = re.compile(r"<lora:[^:<>]{1,500}:[^<>]{1,500}>")


def _of_tags(parameters: PictureParameters) -> Iterator[str]:
    """Weights of LoRAs in prompts that are no numbers."""
    tags = _TAG.finditer(f"{parameters.prompt}\n{parameters.negative_prompt}")
    for tag in dict.fromkeys(match[0] for match in islice(tags, _MAX_ASSETS)):
        if any(weight is None for _, weight in parse_prompt(tag).loras):
            yield f"The weight in {shown(tag)} is no number: 1 is taken."


def _of_weights(assets: Sequence[UsedAsset], parameters: PictureParameters) -> Iterator[str]:
    """LoRAs of which nothing says how strongly they were applied: a tag without a weight says 1."""
    prompts = (parse_prompt(text or "") for text in (parameters.prompt, parameters.negative_prompt))
    tagged = {_file_of(model_name(name)) for each in prompts for name, _ in each.loras[:_MAX_ASSETS]}
    for used in assets:
        if used.role == "lora" and used.weight is None and (used.name is None or _file_of(used.name) not in tagged):
            yield f"It does not say the weight of the LoRA {shown(used.name or used.hash or '?')}: 1 is taken."


def _file_of(name: str | None) -> str:
    return (name or "").rpartition("/")[2].casefold()


def _token(used: UsedAsset, prompts: str) -> dict[str, object]:
    """In other programs, an embedding's token is the name of its file; with folders where the prompt has these."""
    if used.role != "embedding" or not used.name:
        return {}
    return {"trigger_words": (used.name if used.name in prompts else used.name.rpartition("/")[2],)}


def _request(parameters: PictureParameters, remarks: list[str]) -> Request:
    settings = {each.name: _setting(each, parameters, remarks) for each in OPTIONS if each.name not in _TOGETHER}
    settings |= _sampled(parameters, settings["sampler"], remarks)
    asked = parameters.settings.get("steps") or 0
    if asked > settings["steps"] and settings["start_step"]:  # as many steps are taken of fewer
        how = settings["sampler"], settings["scheduler"]
        all_, fewer = (steps_taken(*how, each) for each in (asked, settings["steps"]))
        settings["start_step"] = max(settings["start_step"] - all_ + fewer, 0)
    if settings["flavour"] == "diffusers":  # which knows nothing of what tunes samplers elsewhere
        settings = {name: value for name, value in settings.items() if not option(name).sampled}
    return Request(prompt=parameters.prompt or "", negative_prompt=parameters.negative_prompt or "", settings=settings)


def _setting(option: Option, parameters: PictureParameters, remarks: list[str]) -> Any:  # noqa: ANN401 - of its type
    """What to take for an option, and a remark where that is not what the picture says."""
    name, said = option.name.replace("_", " ").replace("cfg scale", "CFG"), parameters.settings.get(option.name)
    if said is None and option.silent is not None:
        return option.silent if option.usual == option.silent else None
    if option.name == "seed":
        return _seed(said, remarks)
    if said is None:
        taken = "the checkpoint's own is used" if option.usual is None else f"{_shown(option.usual)} is taken"
        remarks.append(f"It does not say its {name}: {taken}.")
        return option.usual
    if option.name == "sampler":
        return _sampler(parameters, str(option.usual), remarks)
    if option.bounds is None:
        return said
    low, high = option.bounds
    nearest = option.type(
        min(max(said // option.multiple * option.multiple if option.multiple > 1 else said, low), high)
    )
    if nearest != said and option.multiple > 1:
        remarks.append(
            f"Its {name}, {said}, is not a multiple of {option.multiple} from {low} to {high}: {nearest} is used."
        )
    elif nearest != said:
        remarks.append(f"Its {name}, {said:g}, is out of bounds: {nearest:g} is used.")
    return nearest


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _seed(value: int | None, remarks: list[str]) -> int | None:
    """A seed of ours; a negative one stands for chance."""
    if value is None or value < 0:
        remarks.append("It does not say its seed: a random one is used.")
        return None
    if value > LARGEST_SEED:
        remarks.append(f"Its seed, {value}, is out of range: it is used modulo {LARGEST_SEED + 1}.")
    return value % (LARGEST_SEED + 1)


def _sampler(parameters: PictureParameters, usual: str, remarks: list[str]) -> str:
    """The nearest sampler that there is here."""
    name = parameters.settings["sampler"]
    for spelled in (name, name.removesuffix(" Karras").removesuffix(" Exponential")):
        try:
            known = canonical_sampler(spelled)
        except UsageError:
            continue
        if spelled != name:
            remarks.append(f"assetctl has no sampler {name!r}: {known} is used.")
        return known
    remarks.append(f"assetctl has no sampler {name!r}: {usual} is used.")
    return usual


#: Options that are told by all of what a picture says.
_TOGETHER = (
    "flavour", "scheduler", "noise", "emphasis", "discard_penultimate", "sgm_noise", "half_levels", "old_editing",
)  # fmt: skip

#: Programs by the names that pictures are known by, whose pictures can be made as they make them.
_PROGRAMS = {"A1111": "a1111", "ComfyUI": "comfyui"}


def _sampled(parameters: PictureParameters, sampler: str, remarks: list[str]) -> dict[str, Any]:
    """In whose way to sample, with which levels and noise."""
    said = parameters.settings
    scheduler = _scheduler(parameters, sampler, remarks)
    flavour = said.get("flavour") or _PROGRAMS.get(parameters.software or "", "diffusers")
    try:
        flavour = option("flavour").checked(flavour)
        if flavour == "diffusers":
            of_diffusers(sampler, scheduler)
    except UsageError:
        flavour = "a1111"  # which has them all
    found: dict[str, Any] = {"flavour": flavour, "scheduler": scheduler}
    found |= _once(parameters)
    for name in ("noise", "emphasis", "discard_penultimate", "sgm_noise"):
        try:
            found[name] = option(name).checked(said[name]) if said.get(name) is not None else None
        except UsageError:
            remarks.append(f"Its {option(name).field}, {said[name]!r:.40}, is not known: what is usual is taken.")
    return found


#: Versions of A1111 up to which it was otherwise: prompts that change, DDIM and PLMS; 16 bits; names of schedules.
_OLD_EDITING, _HALF = (1, 6), (1, 7, 0, 225)

#: The version in a field of that name; and other programs that write one like it.
_VERSION_OF_A1111 = re.compile(r"v?(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:-(\d{1,6})(?=-|$))?")
_FORGE = re.compile(r"f\d|neo\b|classic\b|forge", re.IGNORECASE)


def _version(parameters: PictureParameters) -> tuple[int, ...] | None:
    """A1111's version, with the number of changes behind it; `None` where it says none."""
    found = _VERSION_OF_A1111.match(parameters.fields.get("Version", ""))
    return tuple(int(part or 0) for part in found.groups()) if found and parameters.software == "A1111" else None


def _once(parameters: PictureParameters) -> dict[str, bool]:
    """What a version of A1111 did otherwise, unless the picture says so itself."""
    version, said = _version(parameters), parameters.settings
    since = {"old_editing": _OLD_EDITING, "half_levels": _HALF}
    return {name: bool(said.get(name, version is not None and version < by)) for name, by in since.items()}


def _of_version(parameters: PictureParameters) -> Iterator[str]:
    """What the version that made a picture leaves open."""
    if parameters.software != "A1111":
        return
    version, written = _version(parameters), parameters.fields.get("Version", "")
    sampler = parameters.settings.get("sampler") or ""
    if _FORGE.match(written):
        yield f"Version {written:.40} is Forge's, which samples much like A1111, and not in all the same."
    elif version is None:
        vae = "" if any(each.role == "vae" for each in parameters.assets) else ", with the checkpoint's own VAE"
        unknown = f"Its version, {shown(written)}, is not known" if written else "It does not say its version"
        yield f"{unknown}: it is taken as A1111 1.10 makes it{vae}."
    elif version < _OLD_EDITING and sampler in ("DDIM", "PLMS"):
        yield f"A1111 had another {sampler} before 1.6: today's is used."


#: Samplers that draw noise between steps, and not off a Brownian path.
_DRAWING = (
    "Euler a", "DPM2 a", "DPM++ 2S a", "LCM", "DDPM", "Euler a CFG++", "DPM++ 2S a CFG++", "RES a", "RES a CFG++",
    "ER SDE", "SEEDS 2", "SEEDS 3", "SA-Solver", "SA-Solver PECE",
)  # fmt: skip


def _of_machine(request: Request) -> Iterator[str]:
    """ComfyUI draws noise between steps where it samples, and does not say where that was."""
    asked = request.settings
    if asked["flavour"] == "comfyui" and told_apart(asked["sampler"])[0] in _DRAWING and not asked.get("noise"):
        yield (
            "It does not say on what it ran: noise between steps is drawn as a processor draws it, "
            "and NVIDIA's cards draw another."
        )


def _scheduler(parameters: PictureParameters, sampler: str, remarks: list[str]) -> str:
    """The schedule. Before A1111 told samplers and schedules apart, one that named none had none of its own."""
    said = parameters.settings.get("scheduler")
    if said is None:
        plain, schedule = told_apart(sampler)
        once = parameters.software == "A1111" and plain != "Restart"
        return "Uniform" if once and schedule == AUTOMATIC else schedule
    try:
        return canonical_scheduler(said)
    except UsageError:
        remarks.append(f"assetctl has no schedule {said!r:.40}: the sampler's usual one is used.")
        return AUTOMATIC


def _left_out(parameters: PictureParameters, assets: Sequence[UsedAsset]) -> list[str]:
    """What is not carried over, if anything is: fields by the word they begin with, and what makes no sense whole."""
    unfit = [used for used in assets if used.role not in _USABLE]
    others = [f"the {'model' if used.role == 'other' else used.role} {used.name or used.hash}" for used in unfit]
    named, options = set[str](), {**together("field"), "Eta DDIM": [], "Model hash": [], "VAE hash": []}
    for key in filter(str.strip, (*parameters.fields, *parameters.extra)):
        is_told = any(used.name and used.name in parameters.fields.get(key, "") for used in unfit)
        if not (is_told or key in parameters.understood or key in _UNDERSTOOD or key.startswith("AddNet")):
            named.add(key)
    groups: dict[str, list[str]] = {}
    told = sorted(key for key in named if key in options and key in parameters.fields)
    unread = ", ".join(f"{key} ({shown(parameters.fields[key])})" for key in told[:_SHOWN])
    for key in sorted(named.difference(told)):
        groups.setdefault(key.split()[0], []).append(key)
    fields = [keys[0] if len(keys) == 1 else f"{first} ({len(keys)} settings)" for first, keys in groups.items()]
    left = [*others, *fields]
    sentences = [f"Not understood: {unread}. What is usual is taken."] if told else []
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        sentences.append(f"Not carried over: {', '.join(left[:_SHOWN])}{more}.")
    return sentences


_SHOWN = 12
