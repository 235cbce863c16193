"""Lineages inside a family, which no tensor shows: what a trainer wrote first, then a title, then the file's name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, cast

import orjson

from assetctl.files.paths import read_regular
from assetctl.text import visible
from assetctl.types import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from assetctl.identify.features import Family
    from assetctl.types import Identification


#: A file's name may be so long.
_LONGEST_ALIAS = 255

#: Limits, so that hostile metadata cost little: of JSON in characters, of a word, of words in all, of folders.
MAX_JSON = 8 * 2**20
MAX_WORD = 100
MAX_WORDS = 8
MAX_FOLDERS = 256

#: Limit on the separators in JSON that is longer than this, in characters: parsed, it takes some hundred bytes of each.
_LONG, _MOST_SEPARATORS = 2**20, 500_000

#: A tag is a trigger word if it is on this share of a folder's pictures; the folder's own name on fewer.
_NEARLY_ALL = 0.9
_OWN_NAME = 0.5

#: Keys that name what a file was trained on or is, the most telling first.
_ARCHITECTURE = ("modelspec.architecture", "ss_base_model_version")
_TRAINED_ON = (
    "ss_sd_model_name",
    "ss_pretrained_model_name_or_path",
    "modelspec.architecture",
    "ss_base_model_version",
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


@dataclass(slots=True)
class TriggerWords:
    """Trigger words, and what was wrong with the metadata that should hold them."""

    words: tuple[str, ...] = ()
    evidence: list[Evidence] = field(default_factory=list)


def clean_words(text: str, limit: int = MAX_WORD) -> str:
    """Text from outside without control characters, in one line, of bounded length."""
    return _one_line(text) if len(text) <= limit else _one_line(text[: 4 * limit])[:limit]


@lru_cache(maxsize=1024)  # trainers write the same in file after file
def _one_line(text: str) -> str:
    return " ".join(visible(text if text.isprintable() else _CONTROL.sub(" ", text)).split())


def claims(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys and lower-case values by which metadata name an architecture."""
    for key in _ARCHITECTURE:
        if metadata.get(key):
            yield key, clean_words(metadata[key]).lower()


def trained_on(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Keys and lower-case values by which metadata name the model that a file was trained on."""
    for key in _TRAINED_ON:
        if metadata.get(key):
            name = metadata[key][-400:].replace("\\", "/").rsplit("/", 2)
            yield key, clean_words("/".join(name[-2:])).lower()


def names(metadata: Mapping[str, str], pattern: str) -> bool:
    """Whether metadata name something that matches as an architecture, or as what a file was trained on."""
    return any(re.search(pattern, text) for _, text in trained_on(metadata))


def alias(metadata: Mapping[str, str]) -> str:
    """What a trainer called the file that it wrote; empty where it does not say."""
    return unicodedata.normalize("NFC", clean_words(metadata.get("ss_output_name", ""), _LONGEST_ALIAS))


def prediction(metadata: Mapping[str, str]) -> str | None:
    """`epsilon` or `v_prediction`, if metadata say so."""
    said = metadata.get("modelspec.prediction_type", "").strip().lower()
    if said in {"v", "v_prediction", "v-prediction"}:
        return "v_prediction"
    if re.search(r"-768-v(?:/|$)", metadata.get("modelspec.architecture", "")[:MAX_WORD]):
        return "v_prediction"
    return "epsilon" if said in {"epsilon", "eps"} else None


def trigger_words(metadata: Mapping[str, str]) -> TriggerWords:
    """Words that a file was trained on: the phrase that its author gave, else tags on nearly all pictures."""
    phrase = metadata.get("modelspec.trigger_phrase", "")
    if phrase.strip():
        found = TriggerWords(_distinct(re.split(r"[,\n]", phrase[: MAX_WORD * MAX_WORDS * 2])))
        found.evidence.append(_evidence("modelspec.trigger_phrase gives them", found.words))
        return found
    if "ss_tag_frequency" not in metadata:
        return TriggerWords()
    return _from_tags(metadata)


def _from_tags(metadata: Mapping[str, str]) -> TriggerWords:
    folders = _json_object(metadata, "ss_tag_frequency")
    if folders is None:
        return TriggerWords(evidence=[_evidence("ss_tag_frequency is not the JSON that it should be", ("?",))])
    counts, ours = _json_object(metadata, "ss_dataset_dirs") or {}, []
    regular = _json_object(metadata, "ss_reg_dataset_dirs") or {}
    for folder, tags in list(folders.items())[:MAX_FOLDERS]:
        if isinstance(tags, dict) and folder not in regular:
            ours += _tags_on_nearly_all(folder, tags, counts.get(folder))
    words = _distinct(ours)
    if not words:
        return TriggerWords()
    return TriggerWords(words, [_evidence("ss_tag_frequency has them on nearly all training pictures", words)])


def _tags_on_nearly_all(folder: str, tags: dict[str, object], described: object) -> list[str]:
    """Tags on nearly all pictures of one training folder, the most frequent first."""
    uses = cast("dict[str, int]", tags)
    if set(map(type, tags.values())) != {int}:
        uses = {tag: count for tag, count in tags.items() if isinstance(count, int)}
    most = max(uses.values(), default=0)
    if most <= 0:
        return []
    pictures = described.get("img_count") if isinstance(described, dict) else None
    if not isinstance(pictures, int) or pictures <= 0:
        pictures = most
    own_name = folder.partition("_")[2].strip().lower()
    many = _NEARLY_ALL * pictures
    enough = _OWN_NAME * pictures if own_name in "\n".join(uses).lower() else many
    found = [
        tag for tag, count in uses.items() if count >= many or (count >= enough and tag.strip().lower() == own_name)
    ]
    return sorted(found, key=uses.__getitem__, reverse=True)


def _json_object(metadata: Mapping[str, str], key: str) -> dict[str, object] | None:
    text = metadata.get(key, "")
    if not text or len(text) > MAX_JSON or (len(text) > _LONG and sum(map(text.count, ",[{")) > _MOST_SEPARATORS):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, map(clean_words, words))))[:MAX_WORDS]


def _evidence(detail: str, words: Iterable[str]) -> Evidence:
    return Evidence("metadata", f"trigger_words={', '.join(words)}", detail)


#: CompVis' configurations have 3 KB. In one, the key that says what a network predicts; nothing else is read of it.
_MOST_CONFIGURATION = 2**16
_PARAMETERIZATION = re.compile(
    rb"""^[ \t]{0,40}["']?parameterization["']?[ \t]{0,9}:[ \t]{0,9}["']?(v|eps)["']?[ \t]{0,9}(?:\#[^\n]*)?\r?$""",
    re.MULTILINE | re.VERBOSE,
)


def configured(found: Identification, path: Path) -> Identification:
    """What a checkpoint predicts by the configuration beside it, `NAME.yaml`, which A1111 reads as well.

    It is searched for that one key, and nothing that it names is looked for. What says both says nothing.
    """
    place = path.with_suffix(".yaml")
    try:
        said = set(_PARAMETERIZATION.findall(read_regular(place, _MOST_CONFIGURATION)))
    except (OSError, ValueError):
        return found
    if len(said) != 1:
        return found
    prediction = "v_prediction" if said == {b"v"} else "epsilon"
    why = Evidence("metadata", f"prediction={prediction}", f"{place.name} beside it sets its parameterization")
    return replace(found, prediction=prediction, evidence=(*found.evidence, why))


#: Kinds that are what their names say: a LoRA's name says what it shows, and Pony may be a pony.
_WHOLE = frozenset({"checkpoint", "diffusion-model"})

_DISTILLED = re.compile(r"turbo|lightning|hyper|lcm", re.IGNORECASE)

#: Names of LoRAs that distil and do nothing else: `sdxl_lightning_4step`, `lcm-lora-sdxl`, `sd_xl_turbo_lora_v1`.
#: A word alone is none: lightning bolts and cars have LoRAs as well.
_MODEL = r"(?:[-_ .\d]|sd|xl|v)*+"
_DISTILS = re.compile(
    rf"(?<![a-z])lcm[-_ ]?lora|lora[-_ ]lcm(?![a-z])"
    rf"|(?:turbo|lightning|hyper|lcm){_MODEL}(?:(?<=\d)|(?<=\d[-_ ]))steps?(?![a-z])"
    rf"|\A{_MODEL}(?:turbo|lightning|hyper|lcm){_MODEL}lora(?![a-z])"
)


def lineage(family: Family, kind: str, said: Mapping[str, str], name: str) -> Evidence | None:
    """The base model that a file of this kind names, and where; `name` is that of the file."""
    for key, text in trained_on(said):
        base_model = _named(family.lineages, text)
        if base_model is not None:
            return Evidence("metadata", f"base_model={base_model}", f"{key} is {text!r}")
    for source, what, text in _called(said, name):
        base_model = _own_lineage(family, kind, text)
        if base_model is not None:
            return Evidence(source, f"base_model={base_model}", f"{what} is {text!r}")
    return None


def _called(said: Mapping[str, str], name: str) -> Iterator[tuple[str, str, str]]:
    """What a file is called: the source, what of it that is, and the words in lower case."""
    yield "metadata", "modelspec.title", clean_words(said.get("modelspec.title", "")).lower()
    yield "file name", "its name", clean_words(name).lower()


def _own_lineage(family: Family, kind: str, text: str) -> str | None:
    """The lineage of what is called so; of LoRAs, only of those that make of a model what a distilled one is."""
    if kind in _WHOLE:
        return _named(family.lineages, text)
    if kind == "lora" and _DISTILLED.search(text) and _DISTILS.search(text):  # the first is short, and seldom true
        found = (base for pattern, base in family.lineages if _DISTILLED.search(base) and re.search(pattern, text))
        return next(found, None)
    return None


@lru_cache(maxsize=1024)
def _named(lineages: tuple[tuple[str, str], ...], text: str) -> str | None:
    return next((base_model for pattern, base_model in lineages if re.search(pattern, text)), None)
