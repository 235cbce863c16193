"""What was read out of a picture, whichever program wrote it: values made clean, assets put together."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.options import OPTIONS
from assetctl.prompt import parse_prompt
from assetctl.text import MAX_LINE, MAX_TEXT, Altered, clean, is_altered, line, model_path, without_suffix

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from assetctl.options import Settings


#: Limit on what is taken out of a text.
MAX_DEPTH = 32

#: Numbers beyond these are no settings of a picture; the largest integer is what JSON writers agree on.
MAX_INTEGER = 2**64 - 1
MAX_NUMBER = 1e6

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?")
_DIGITS = re.compile(r"[0-9a-f]{4,64}")


def shown(value: object) -> str:
    """As much of a value that makes no sense as a sentence should repeat, or nothing."""
    text = line(f"{value:g}" if isinstance(value, float) else str(value)[:MAX_LINE]) or ""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


_SHOWN = 40

#: What to say of a picture whose text lost some.
LOST = "Its text has characters that cannot be shown: they are left out."


def prompt(value: object) -> str | None:
    """Text of several lines, trimmed; `None` where there is none."""
    return clean(value).strip() or None


def written(value: object) -> str | None:
    """A plain value as a field shows it; `None` for lists, objects and nothing."""
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else None
    return prompt(value)


def integer(value: object, low: int = 0, high: int = MAX_INTEGER) -> int | None:
    """An integer between two bounds, from a number or its digits."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None


def number(value: object) -> float | None:
    """A finite number of bearable size, from a number or its digits."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        return None
    return float(value)


def digits(value: object) -> str | None:
    """A hash's hex digits in lower case, without InvokeAI's `blake3:` and SwarmUI's `0x`; `None` for anything else."""
    method, _, text = value[:100].strip().lower().rpartition(":") if isinstance(value, str) else ("", "", "")
    text = text.removeprefix("0x")
    return text if method != "random" and _DIGITS.fullmatch(text) else None


def model_name(value: object) -> str | None:
    """The name in a model's path of any system: folders with `/` between them, and no suffix.

    Of a path from a disk's root, what lies in a folder for models remains; else the file's own name.
    """
    text = line(value[-MAX_LINE:] if isinstance(value, str) else value) or ""
    parts = model_path(text)
    if not parts:
        return None
    if text[:1] in ("/", "\\") or text[1:2] == ":":
        known = [at for at, part in enumerate(parts[:-1], 1) if part.lower() in _MODEL_FOLDERS]
        parts = parts[known[-1] if known else -1 :]
    return "/".join((*parts[:-1], without_suffix(parts[-1]) or parts[-1]))


def stem(value: object) -> str | None:
    """The same without folders."""
    return (model_name(value) or "").rpartition("/")[2] or None


#: What folders of models are called by the programs that have them.
_MODEL_FOLDERS = frozenset({
    "checkpoints", "controlnet", "diffusion_models", "embeddings", "lora", "loras", "lycoris", "models",
    "stable-diffusion", "textual_inversion", "unet", "upscale_models", "vae",
})  # fmt: skip


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def nested(said: Mapping[str, Any], read: Container[str]) -> dict[str, Any]:
    """Lists and objects of what a program says, by their names: those that hold anything, and are not `read`."""
    found = ((line(key), value) for key, value in said.items() if key not in read and isinstance(value, dict | list))
    return {key: value for key, value in islice(found, _MAX_NESTED) if key and _holds(value)}


_MAX_NESTED = 500


def _holds(value: object) -> bool:
    """Whether there is anything in JSON but empty lists and what is turned off."""
    if isinstance(value, dict | list):
        return any(map(_holds, value.values() if isinstance(value, dict) else value))
    return bool(value)


def parse_json(text: str | None) -> Any:  # noqa: ANN401 - JSON is anything
    """JSON as strangers write it, cleaned; `None` for anything else.

    ComfyUI writes NaN, which is no JSON: it becomes `None`, as do numbers that JSON cannot hold, and what is
    nested too deeply.
    """
    if text is None or len(text) > MAX_TEXT:
        return None
    try:
        return _tidy(json.loads(text, parse_constant=lambda _: None, strict=False), 0)
    except (ValueError, RecursionError):
        return None


def parse_exactly(text: str | None) -> Any:  # noqa: ANN401 - JSON is anything
    """JSON as the standard has it, with every character as it was written; `None` for anything else.

    Lone surrogates, numbers that JSON cannot hold, and deep nesting are refused. Its texts may hold anything that
    Unicode has: whoever shows one must clean it.
    """
    if text is None or len(text) > MAX_TEXT:
        return None
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if _is_bearable(found, 0) else None


def _is_bearable(value: object, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth < MAX_DEPTH and all(_is_bearable(each, depth + 1) for each in inner)
    return not isinstance(value, float) or (math.isfinite(value) and abs(value) < 2.0**64)


def _tidy(value: object, depth: int) -> object:
    if isinstance(value, str):
        return Altered(clean(value)) if is_altered(value) else clean(value)
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {clean(key): _tidy(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_tidy(each, depth + 1) for each in value]
    absurd = isinstance(value, float) and not math.isfinite(value)
    absurd |= isinstance(value, int) and not -(2**63) <= value <= MAX_INTEGER
    return None if absurd else value


@dataclass(frozen=True, slots=True)
class UsedAsset:
    """An asset as a picture names it: by a name, a hash, or a place to get it from.

    Attributes:
        role: `checkpoint`, `lora`, `embedding`, `vae`, `controlnet`, `upscaler`, or `other`.
        name: As written, with its folders and without suffix: `char/sample`.
        hash: Lower-case hex digits of whatever hash it is: SHA256, AutoV1, AutoV2, AutoV3 or BLAKE3.
        weight: As it was applied; `None` where the picture does not say.
        sources: References that `pull` may understand, or pages: where it could come from.
        text_weight: As a LoRA was applied to text encoders, where that is not as it was to all else.
    """

    role: str
    name: str | None = None
    hash: str | None = None
    weight: float | None = None
    sources: tuple[str, ...] = ()
    text_weight: float | None = None


@dataclass(frozen=True, slots=True)
class PictureParameters:
    """How a picture was made, as far as it says; what it does not say is `None`.

    Attributes:
        software: Who wrote it: `assetctl`, `A1111`, `ComfyUI`, `InvokeAI`, `Civitai`, ….
        prompt: LoRA tags included, as A1111 writes them.
        settings: Values by the names of `assetctl.options`, as they were written: the seed may be of any size.
        assets: What it was made of, the checkpoint first; within a role in the order of the text.
        fields: Everything that was said in named fields, as it was written, by its name there; with what is
            understood above, so that nothing is lost that was not.
        extra: Nested data by name, such as `Civitai metadata`.
        understood: Those names in `fields` and `extra` that say nothing beyond the attributes above.
        record: assetctl's own record, whole and exactly as it was written, where the picture is ours. Its texts are
            not clean: they are for making the picture again.
        text: The infotext itself, where there is one.
        notes: What it says that is not carried over, each in one sentence.
        illegible: Those of `prompt` and `negative_prompt` that were there and could not be read: none is not empty.
        unread: Names of texts that may be parameters, of a program that is not known here. All else is empty then.
    """

    software: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    settings: Settings = field(default_factory=dict)
    assets: tuple[UsedAsset, ...] = ()
    fields: dict[str, str] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] | None = None
    text: str | None = None
    understood: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    illegible: frozenset[str] = frozenset()
    unread: tuple[str, ...] = ()


def truth(value: object) -> bool | None:
    """Whether something is so, from what other programs write for it."""
    return {"true": True, "false": False}.get(str(value).strip().lower())


_READERS: dict[type, Callable[[object], Any]] = {float: number, str: line, bool: truth, int: integer}


def settings(said: Mapping[str, Any], other: Settings = MappingProxyType({})) -> dict[str, Any]:
    """What somebody's object says of options, by their own or others' names; what it does not say is as in `other`."""
    found = {}
    for each in OPTIONS:
        value = next((said[name] for name in (each.name, *each.others) if said.get(name) is not None), None)
        read = _READERS[each.type](value) if each.type is not int else integer(value, *each.believed)
        read = other.get(each.name) if read is None else read
        if read is not None:
            found[each.name] = read
    return found


def with_understood(
    found: PictureParameters, attributes: Mapping[str, str], roles: Mapping[str, str] = MappingProxyType({})
) -> PictureParameters:
    """Parameters that know which of their fields they express: by an attribute, or by assets of a role."""
    here = {each.role for each in found.assets}
    said = {"software": found.software, "prompt": found.prompt, "negative_prompt": found.negative_prompt}
    said |= found.settings
    names = {name for name, attribute in attributes.items() if said.get(attribute) is not None}
    names |= {name for name, role in roles.items() if role in here}
    return replace(found, understood=found.understood | (names & (found.fields.keys() | found.extra.keys())))


#: Assets of one picture, and sources of one asset, that are kept.
MAX_ASSETS = 500
_MAX_SOURCES = 20

#: What stands in the place of a name where no file is chosen.
NO_FILE = frozenset({"", "none", "automatic", "auto", "baked vae", "default (model)"})

#: The order in which assets are listed; within a role it is that of the text.
_ROLES = ("checkpoint", "lora", "embedding", "vae", "controlnet", "upscaler", "other")

#: Roles by what others call them.
_OTHER_NAMES = {
    "model": "checkpoint", "main": "checkpoint", "unet": "checkpoint", "diffusionmodel": "checkpoint",
    "lyco": "lora", "lycoris": "lora", "locon": "lora", "dora": "lora",
    "embed": "embedding", "embeddings": "embedding", "textualinversion": "embedding", "ti": "embedding",
}  # fmt: skip


def role_of(value: object) -> str:
    """The role by any of its names; `other` for what is not known."""
    name = (line(value) or "").lower().replace(" ", "").replace("-", "").replace("_", "")
    name = _OTHER_NAMES.get(name, name)
    return name if name in _ROLES else "other"


#: A name with its hash behind it, as A1111 lists checkpoints.
_TITLE = re.compile(r"(.*\S)\s*\[([0-9A-Fa-f]{4,64})\]\s*", re.DOTALL)


class Collection:
    """Assets by role and name: a list, in which a name may stand twice, in two folders or with two hashes."""

    def __init__(self) -> None:
        self._found: list[UsedAsset] = []
        self._places: dict[tuple[str, str], list[int]] = {}
        self._mentions = 0

    def add(
        self,
        role: str,
        name: object = None,
        *,
        digest: object = None,
        weight: object = None,
        text_weight: object = None,
        sources: Iterable[str] = (),
        turn: int | None = None,
    ) -> None:
        """Note one mention; values come as they were found. The longest hash and the first weight count.

        Args:
            role: See `UsedAsset`.
            name: With or without folders: a bare name is one with folders that is known, if there is just one.
            digest: Two different hashes of one sort are of two assets.
            weight: As it was applied.
            text_weight: As it was to text encoders, if that is another one.
            sources: Where it could come from.
            turn: Which use of this name in one text it is, from 0: each is an asset of its own.
        """
        self._mentions += 1
        if self._mentions > _MAX_MENTIONS:
            return
        text = line(name) or ""
        if text.startswith("urn:air:"):  # Civitai's nodes take these for names
            name, sources = None, (text, *sources)
        title = _TITLE.fullmatch(text) if role == "checkpoint" else None
        if title is not None:
            name, digest = title[1], digest or title[2]
        weights = (number(weight), number(text_weight))
        said = UsedAsset(
            role,
            model_name(name),
            digits(digest),
            weights[0],
            tuple(sources),
            None if weights[0] is None else weights[1],
        )
        if not (said.name or said.hash or said.sources):
            return
        at = self._same(said, turn)
        if at is not None:
            self._found[at] = _joined(self._found[at], said)
        elif len(self._found) < MAX_ASSETS:
            self._places.setdefault(_place(said), []).append(len(self._found))
            self._found.append(said)

    def _same(self, said: UsedAsset, turn: int | None) -> int | None:
        """Which of the assets this is, if it is one of them."""
        places = self._places.get(_place(said), [])[:MAX_SAME]
        alike = [at for at in places if _folded(self._found[at].name) == _folded(said.name)]
        if not alike and said.name and turn is None:  # uses of one text are told apart by all of their names
            paths = [at for at in places if ("/" in said.name) != ("/" in (self._found[at].name or ""))]
            alike = paths if len({_folded(self._found[at].name) for at in paths}) == 1 else []
        if not said.name:
            alike = [at for at in places if self._found[at].sources == said.sources]
        if turn is not None and turn >= len(alike):
            return None
        order = alike[turn or 0 :] + alike[: turn or 0]
        return next((at for at in order if _agree(self._found[at].hash, said.hash)), None)

    def uses(self, role: str, name: object) -> int:
        """How many assets of this name there are: the turn of the next one."""
        wanted = UsedAsset(role, model_name(name))
        places = self._places.get(_place(wanted), [])[:MAX_SAME]
        return sum(_folded(self._found[at].name) == _folded(wanted.name) for at in places)

    def attach(self, role: str, sources: tuple[str, ...]) -> bool:
        """Give sources to the one asset of a role, if there is exactly one and it has none."""
        own = [at for at, each in enumerate(self._found) if each.role == role]
        if len(own) != 1 or self._found[own[0]].sources:
            return False
        self._found[own[0]] = _joined(self._found[own[0]], UsedAsset(role, sources=sources))
        return True

    def complete(self, said: UsedAsset) -> bool:
        """Give an asset that is known what another text says of it, but for its weight; whether there is one."""
        at = self._same(said, None)
        if at is not None:
            self._found[at] = _joined(self._found[at], replace(said, weight=None, text_weight=None))
        return at is not None

    def extend(self, assets: Iterable[UsedAsset]) -> None:
        """Note assets that were put together before."""
        uses = Counter[tuple[str, str]]()
        for each in assets:
            key = (each.role, _folded(each.name))
            turn = uses[key] if each.name else None
            uses[key] += 1
            self.add(
                each.role,
                each.name,
                digest=each.hash,
                weight=each.weight,
                text_weight=each.text_weight,
                sources=each.sources,
                turn=turn,
            )

    def add_loras(self, *prompts: str) -> None:
        """Note the LoRAs that prompts name in tags: as often as one of them does."""
        for text in prompts:
            uses = Counter[str]()
            parsed = parse_prompt(text)
            for (name, weight), unet in zip(parsed.loras[:MAX_ASSETS], parsed.unet_weights, strict=False):
                turn = uses[_folded(model_name(name))]
                text_weight = None if unet is None else weight
                self.add("lora", name, weight=weight if unet is None else unet, text_weight=text_weight, turn=turn)
                uses[_folded(model_name(name))] += 1

    def assets(self) -> tuple[UsedAsset, ...]:
        """All assets, the checkpoint first."""
        return tuple(sorted(self._found, key=lambda each: _ROLES.index(each.role)))


#: How often assets of one picture are mentioned.
_MAX_MENTIONS = 20 * MAX_ASSETS

#: How many assets of one name are told apart.
MAX_SAME = 50


def _place(used: UsedAsset) -> tuple[str, str]:
    return used.role, _folded(used.name).rpartition("/")[2]


def _folded(name: str | None) -> str:
    return unicodedata.normalize("NFC", name or "").casefold()


def _agree(one: str | None, other: str | None) -> bool:
    """Whether two hashes may be of one file: where they are of one sort, they are the same."""
    return one is None or other is None or len(one) != len(other) or one == other


def _joined(known: UsedAsset, said: UsedAsset) -> UsedAsset:
    return UsedAsset(
        known.role,
        max(known.name or "", said.name or "", key=lambda name: name.count("/") if name else -1) or None,
        max(known.hash or "", said.hash or "", key=len) or None,
        said.weight if known.weight is None else known.weight,
        tuple(dict.fromkeys((*known.sources, *said.sources)))[:_MAX_SOURCES],
        said.text_weight if known.weight is None else known.text_weight,
    )


def civitai_sources(resource: dict[str, Any]) -> tuple[str, ...]:
    """Where a resource of Civitai's comes from: its AIR, or the page of its version."""
    air = line(resource.get("air"))
    if air and air.startswith("urn:air:"):
        return (air,)
    version = resource.get("modelVersionId")
    known = isinstance(version, int) and not isinstance(version, bool) and version > 0
    return (f"https://civitai.com/model-versions/{version}",) if known else ()


@dataclass(frozen=True, slots=True)
class Dialect:
    """One program's way to write parameters into a picture.

    Attributes:
        name: The program's.
        rank: Lower ones are asked first; the first answer counts.
        read: From a picture's texts by name (see `read_texts`) what they say, or `None` if they are not of this
            dialect. It must take anything and raise nothing.
    """

    name: str
    rank: int
    read: Callable[[Mapping[str, str]], PictureParameters | None]
