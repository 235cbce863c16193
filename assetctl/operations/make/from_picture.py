"""What a picture says of how it was made, as something to make another from, whoever wrote it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, FileError, UsageError
from assetctl.options import MAX_SEED, OPTIONS, canonical_sampler, together
from assetctl.pictures import UsedAsset
from assetctl.pictures.parameters import Collection
from assetctl.request import Request

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
        environment: Where it was made; empty where that is not known.
        threads: Their number, where it can be had.
    """

    exact: bool
    software: str | None
    request: Request
    assets: tuple[UsedAsset, ...]
    then: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...] = ()
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
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**32:
            raise self.nonsense(key)
        return value

    def setting(self, option: Option) -> Any:  # noqa: ANN401 - of the option's type
        """What the record says of an option, or what holds where it is silent."""
        if option.silent is not None and option.name not in self._entry:
            return option.silent
        readers = {int: self.whole, float: self.number, str: self.text}
        return readers[option.type](option.name)

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
        sources = (source,) if isinstance(source, str) else ()
        return UsedAsset(role, self.text("name"), sha256, weight, sources)

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


#: Samplers to which A1111 gives Karras sigmas where its schedule is "Automatic".
_KARRAS_BY_ITSELF = ("DPM++ 2M", "DPM2", "DPM2 a")
_PLAIN_SCHEDULES = ("", "automatic", "normal", "uniform", "simple", "karras", "exponential")

#: Fields that are used, or that say nothing of how the picture looks; those of options come with these.
_UNDERSTOOD = {
    "Model", "Model hash", "VAE", "VAE hash", "Lora hashes", "TI hashes", "Hashes", "Schedule type", "Version", "RNG",
    "Created Date", "Used embeddings", "AddNet Enabled", "User", "Civitai resources", "Civitai metadata", "Workflow",
    "Model 1", "Module 1", "App", "Operations", "Template", "Negative Template",
}  # fmt: skip


def recipe_of_other_program(parameters: PictureParameters) -> PictureRecipe:
    """A recipe for a picture that resembles one of A1111, ComfyUI or another program."""
    remarks = [_resemblance(parameters.software)]
    assets = _assets(parameters)
    ours = tuple(used for used in assets if used.role in _USABLE)
    return PictureRecipe(
        exact=False,
        software=parameters.software,
        request=_request(parameters, remarks),
        assets=ours,
        then=tuple(_token(used, f"{parameters.prompt}\n{parameters.negative_prompt}") for used in ours),
        remarks=(*remarks, *parameters.notes, *_left_out(parameters, assets)),
    )


def _resemblance(software: str | None) -> str:
    """Why the new picture will not be the original."""
    if software == "assetctl":
        return "assetctl's own record is lost from it, so the picture can only resemble the original."
    name = software or "Another program"
    return f"{name} makes noise differently, so the picture will resemble the original, not equal it."


def _assets(parameters: PictureParameters) -> tuple[UsedAsset, ...]:
    """What the picture names, and the LoRAs that only its prompt does."""
    found = Collection()
    found.extend(parameters.assets)
    found.add_loras(parameters.prompt or "", parameters.negative_prompt or "")
    return found.assets()


def _token(used: UsedAsset, prompts: str) -> dict[str, object]:
    """In other programs, an embedding's token is the name of its file; with folders where the prompt has these."""
    if used.role != "embedding" or not used.name:
        return {}
    return {"trigger_words": (used.name if used.name in prompts else used.name.rpartition("/")[2],)}


def _request(parameters: PictureParameters, remarks: list[str]) -> Request:
    settings = {each.name: _setting(each, parameters, remarks) for each in OPTIONS}
    return Request(prompt=parameters.prompt or "", negative_prompt=parameters.negative_prompt or "", settings=settings)


def _setting(option: Option, parameters: PictureParameters, remarks: list[str]) -> Any:  # noqa: ANN401 - of its type
    """What to take for an option, and a remark where that is not what the picture says."""
    name, said = option.name.replace("_", " ").replace("cfg scale", "CFG"), parameters.settings.get(option.name)
    if said is None and option.silent is not None:
        return option.silent
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
    if value > MAX_SEED:
        remarks.append(f"Its seed, {value}, is out of range: it is used modulo {MAX_SEED + 1}.")
    return value % (MAX_SEED + 1)


def _sampler(parameters: PictureParameters, usual: str, remarks: list[str]) -> str:
    """The nearest sampler that there is here."""
    name, schedule = parameters.settings["sampler"], parameters.fields.get("Schedule type", "").lower()
    try:
        known = canonical_sampler(name)
    except UsageError:
        plain = name.removesuffix(" Karras").removesuffix(" Exponential")
        try:
            known = canonical_sampler(plain)
        except UsageError:
            known = usual
        remarks.append(f"assetctl has no sampler {name!r}: {known} is used.")
        return known
    if schedule == "automatic" and known in _KARRAS_BY_ITSELF:
        return f"{known} Karras"
    if schedule not in _PLAIN_SCHEDULES:
        remarks.append(f"assetctl has no schedule {schedule!r}: the sampler's usual one is used.")
    return known


def _left_out(parameters: PictureParameters, assets: Sequence[UsedAsset]) -> list[str]:
    """One sentence on what is not carried over, if anything is: fields by the word they begin with."""
    unfit = [used for used in assets if used.role not in _USABLE]
    others = [f"the {used.role} {used.name or used.hash}" for used in unfit]
    named, known = set[str](), _UNDERSTOOD | together("field").keys()
    for key in (*parameters.fields, *parameters.extra):
        is_told = any(used.name and used.name in parameters.fields.get(key, "") for used in unfit)
        if not (is_told or key in parameters.understood or key in known or key.startswith("AddNet")):
            named.add(key)
    groups: dict[str, list[str]] = {}
    for key in sorted(named):
        groups.setdefault(key.split()[0], []).append(key)
    fields = [keys[0] if len(keys) == 1 else f"{first} ({len(keys)} settings)" for first, keys in groups.items()]
    left = [*others, *fields]
    if not left:
        return []
    shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
    return [f"Not carried over: {shown}."]


_SHOWN = 12
