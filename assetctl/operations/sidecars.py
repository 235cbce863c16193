"""What other programs wrote beside a file: `NAME.json` (A1111), `NAME.civitai.info`, `NAME.cm-info.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.files.regular import read_regular
from assetctl.sources._said import text, texts
from assetctl.types import Facts
from assetctl.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

#: Limit on a sidecar's bytes.
_LARGEST = 4 * 2**20
_MOST_WORDS, _LONGEST = 64, 500


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says: facts, and what A1111's user set by hand."""

    facts: Facts
    weight: float | None = None
    notes: str | None = None


def read_sidecars(path: Path) -> Iterator[Sidecar]:
    """What lies beside a file, the most exact first; what can not be read says nothing.

    Nor does a link that leads to elsewhere, unless to beside what the file itself is a link to: it may lead to texts
    that are nobody's business here.
    """
    for suffix, read in ((".civitai.info", _civitai_info), (".cm-info.json", _stability_matrix), (".json", _a1111)):
        said = _parsed(path.with_name(path.stem + suffix), path)
        if said is not None:
            yield read(said)


def _civitai_info(said: Mapping[str, Any]) -> Sidecar:
    model, number = said.get("modelId"), said.get("id")
    known = isinstance(model, int) and isinstance(number, int)
    return Sidecar(
        Facts(
            base_model=text(said.get("baseModel")),
            trigger_words=_words(said.get("trainedWords")),
            page=f"https://civitai.com/models/{model}?modelVersionId={number}" if known else None,
            air=text(said.get("air")),
            source="civitai.info",
        )
    )


def _stability_matrix(said: Mapping[str, Any]) -> Sidecar:
    words = _words(said.get("TrainedWords"))
    return Sidecar(Facts(base_model=text(said.get("BaseModel")), trigger_words=words, source="Stability Matrix"))


def _a1111(said: Mapping[str, Any]) -> Sidecar:
    words = [word for word in str(said.get("activation text") or "").split(",") if word.strip()]
    weight = said.get("preferred weight")
    usable = isinstance(weight, (int, float)) and not isinstance(weight, bool) and 0 < abs(weight) <= 10
    return Sidecar(
        Facts(trigger_words=_words(words), source="A1111"),  # its "sd version" says no more than tensors do
        float(weight) if usable and isinstance(weight, (int, float)) else None,
        _note(said.get("notes")),
    )


def _parsed(sidecar: Path, asset: Path) -> Mapping[str, Any] | None:
    try:
        if sidecar.is_symlink() and sidecar.resolve().parent not in (asset.parent.resolve(), asset.resolve().parent):
            return None
        said = orjson.loads(read_regular(sidecar, _LARGEST))
    except (OSError, RuntimeError, ValueError):  # a loop of links is the second
        return None
    return said if isinstance(said, dict) else None


def _words(said: object) -> tuple[str, ...]:
    words = [word.strip(" ,") for word in texts(said)]
    return tuple(dict.fromkeys(word[:_LONGEST] for word in words if word and word.isprintable()))[:_MOST_WORDS]


def _note(said: object) -> str | None:
    return visible(said, prose=True).strip()[:10_000] or None if isinstance(said, str) else None
