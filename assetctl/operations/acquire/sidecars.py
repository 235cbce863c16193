"""Sidecars: what other programs left beside a file. What may be about another file, or be misread, says nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.files.paths import read_regular
from assetctl.sources import base
from assetctl.sources.base import UNREADABLE, dictionaries, dictionary, words
from assetctl.text import visible
from assetctl.types import Facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Limit on a sidecar's bytes.
_LARGEST = 4 * 2**20

#: What programs write where they know of no base model.
_NO_BASE_MODELS = ("unknown", "none", "null", "undefined", "n/a")

#: SHA256, and AutoV2, which is how it begins.
_HASH = re.compile(r"[0-9a-f]{64}|[0-9a-f]{10}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says: facts, what its program's user set by hand, and the SHA256s of its files, or their begin."""

    facts: Facts
    weight: float | None = None
    notes: str | None = None
    tags: tuple[str, ...] = ()
    hashes: frozenset[str] = frozenset()


def read_sidecars(path: Path, sha256: str | None = None, page: str | None = None) -> list[Sidecar]:
    """What lies beside a file: first what names its hash, then the most exact; what cannot be read says nothing.

    Nor does a link that leads to elsewhere, unless to beside what the file itself is a link to: it may lead to texts
    that are nobody's business here. Nor does a sidecar that names another hash than the file's, or names none and
    another page than `page` or a sidecar before it: it was left behind.
    """
    found = [each for each in _all(path) if sha256 is None or not each.hashes or _names(each, sha256)]
    sure = [each for each in found if sha256 is not None and each.hashes]
    others = [each for each in found if each not in sure]
    known = page or next((each.facts.page for each in (*sure, *others) if each.facts.page), None)
    return [
        *sure,
        *(each for each in others if each.facts.page is None or _version(each.facts.page) == _version(known)),
    ]


def _all(path: Path) -> Iterator[Sidecar]:
    for name, read in (
        (f"{path.stem}.civitai.info", _civitai_info),
        (f"{path.stem}.metadata.json", _lora_manager),
        (f"{path.stem}.cm-info.json", _stability_matrix),
        (f"{path.name}.rgthree-info.json", _rgthree),
        (f"{path.stem}.swarm.json", _swarm),
        (f"{path.stem}.json", _a1111),
        (f"{path.stem}.json", _sdnext),
    ):
        said = _parsed(path.with_name(name), path)
        sidecar = None if said is None else read(said)
        told = sidecar if isinstance(sidecar, list) else filter(None, [sidecar])
        yield from (each for each in told if each != Sidecar(Facts(source=each.facts.source), hashes=each.hashes))


def _names(sidecar: Sidecar, sha256: str) -> bool:
    return any(sha256.startswith(each) for each in sidecar.hashes)


def _version(page: str | None) -> str:
    """What a page on Civitai, or on what stands for it, is about."""
    return (page or "").partition("/models/")[2]


def _civitai_info(said: Mapping[str, Any]) -> Sidecar:
    hashes = [_hashes(each.get("hashes")) for each in dictionaries(said.get("files"))[:1000]]
    return Sidecar(_facts_of_version(said, "civitai.info"), hashes=frozenset().union(*hashes))


def _facts_of_version(said: Mapping[str, Any], source: str) -> Facts:
    """Facts of a version as Civitai's API writes it."""
    return Facts(
        base_model=_base_model(said.get("baseModel")),
        trigger_words=words(said.get("trainedWords")),
        page=_page(said.get("modelId"), said.get("id")),
        air=_text(said.get("air")),
        source=source,
    )


def _page(model: object, version: object) -> str | None:
    whole = [number for number in (model, version) if isinstance(number, int) and not isinstance(number, bool)]
    known = len(whole) == 2 and all(0 < number < 2**53 for number in whole)
    return f"https://civitai.com/models/{model}?modelVersionId={version}" if known else None


def _lora_manager(said: Mapping[str, Any]) -> Sidecar:
    facts = _facts_of_version(dictionary(said.get("civitai")), "LoRA Manager")
    tips = said.get("usage_tips")
    return Sidecar(
        replace(facts, base_model=_base_model(said.get("base_model")) or facts.base_model),
        _weight(dictionary(_from_json(tips) if isinstance(tips, str) else tips).get("strength")),
        _note(said.get("notes")),
        words(said.get("tags")),
        _hashes({"sha256": said.get("sha256")}),
    )


def _from_json(said: str) -> object:
    """What a text in JSON inside of JSON says; nothing, if it is none."""
    try:
        return orjson.loads(said)
    except ValueError:
        return None


def _stability_matrix(said: Mapping[str, Any]) -> Sidecar:
    facts = Facts(
        base_model=_base_model(said.get("BaseModel")),
        trigger_words=words(said.get("TrainedWords")),
        page=_page(said.get("ModelId"), said.get("VersionId")),
        source="Stability Matrix",
    )
    return Sidecar(facts, hashes=_hashes(said.get("Hashes")))


def _rgthree(said: Mapping[str, Any]) -> Sidecar:
    """rgthree's, which has tags of the training pictures among its words, marked as of the file's metadata."""
    entries = said.get("trainedWords")
    listed = entries if isinstance(entries, list) else []
    objects = [each if isinstance(each, dict) else {"word": each} for each in listed]
    own = [each.get("word") for each in objects if each.get("civitai") or not each.get("metadata")]
    facts = _facts_of_version(dictionary(dictionary(said.get("raw")).get("civitai")), "rgthree")
    facts = replace(
        facts,
        base_model=facts.base_model or _base_model(said.get("baseModel")),
        trigger_words=facts.trigger_words or words(own),
    )
    return Sidecar(facts, hashes=_hashes({"sha256": said.get("sha256")}))


def _swarm(said: Mapping[str, Any]) -> Sidecar:
    return Sidecar(
        Facts(trigger_words=words(said.get("modelspec.trigger_phrase")), source="SwarmUI"),
        _weight(said.get("modelspec.lora_default_weight")),
        tags=words(said.get("modelspec.tags")),
    )


def _a1111(said: Mapping[str, Any]) -> Sidecar:
    """A1111's card, to which an extension that browses Civitai adds where the file is from."""
    page = _page(said.get("modelId"), said.get("modelVersionId"))
    return Sidecar(
        Facts(trigger_words=words(said.get("activation text")), page=page, source="A1111"),
        _weight(said.get("preferred weight")),  # its "sd version" says no more than tensors do
        _note(said.get("notes")),
        hashes=_hashes({"sha256": said.get("sha256")}),
    )


def _sdnext(said: Mapping[str, Any]) -> list[Sidecar]:
    """SD.Next's: a model as Civitai tells it, with its versions; which is meant, hashes tell, or there is just one."""
    versions = dictionaries(said.get("modelVersions"))[:1000]
    found = [_civitai_info({**version, "modelId": said.get("id")}) for version in versions]
    told = [replace(each, facts=replace(each.facts, source="SD.Next")) for each in found]
    return told if len(told) == 1 else [each for each in told if each.hashes]


def _base_model(said: object) -> str | None:
    name = _text(said)
    return None if name is None or name.lower() in _NO_BASE_MODELS else name


def _text(said: object) -> str | None:
    name = base.text(said)
    return None if name is None or UNREADABLE in name else name


def _weight(said: object) -> float | None:
    try:
        weight = 0.0 if isinstance(said, bool) or not isinstance(said, (int, float, str)) else float(said)
    except (ValueError, OverflowError):
        return None
    return weight if 0 < abs(weight) <= 10 else None


def _hashes(said: object) -> frozenset[str]:
    """SHA256 and AutoV2 of an object of hashes, whose kinds may be written in any letters."""
    told = (text.strip().lower() for kind, text in dictionary(said).items()
            if kind.lower() in ("sha256", "autov2") and isinstance(text, str))  # fmt: skip
    return frozenset(text for text in told if _HASH.fullmatch(text))


def _parsed(sidecar: Path, asset: Path) -> Mapping[str, Any] | None:
    """The object that a sidecar holds, in UTF-8 or any other Unicode; of a text in another encoding, what is ASCII."""
    try:
        if sidecar.is_symlink() and sidecar.resolve().parent not in (asset.parent.resolve(), asset.resolve().parent):
            return None
        raw = read_regular(sidecar, _LARGEST)
        said = orjson.loads(raw.decode(json.detect_encoding(raw), "replace"))
    except (OSError, RuntimeError, ValueError):  # a loop of links is the second
        return None
    return said if isinstance(said, dict) else None


def _note(said: object) -> str | None:
    if not isinstance(said, str) or UNREADABLE in said:
        return None
    return visible(said, prose=True).strip()[:10_000] or None
