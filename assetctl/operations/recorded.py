"""assetctl's own record of a picture becomes a recipe. It may be anyone's, and is believed where it makes sense."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, FileError
from assetctl.generation.metadata import UsedAsset
from assetctl.generation.plan import GenerationRequest
from assetctl.operations.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROLES = ("checkpoint", "lora", "embedding", "vae")
_PREDICTIONS = (None, "epsilon", "v_prediction")

#: The version of a record that is understood.
_VERSION = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
_AUTOV3 = re.compile(r"[0-9a-f]{12}")

#: Bounds of what is believed: assets of one picture, words of one asset, characters, threads.
_MAX_ASSETS, _MAX_WORDS, _MAX_TEXT, _MAX_THREADS = 100, 1000, 100_000, 128


def recorded_recipe(record: Mapping[str, Any], what: str) -> Recipe:
    """The recipe in a record.

    Args:
        record: See `assetctl.generation.metadata.record`.
        what: What it is, to begin a sentence with.

    Raises:
        CorruptFileError: It does not make sense.
        FileError: A newer assetctl wrote it.
    """
    reader = _Reader(record, what)
    _check_version(reader, record, what)
    request = GenerationRequest(
        prompt=reader.text("prompt"),
        negative_prompt=reader.text("negative_prompt"),
        steps=reader.whole("steps"),
        cfg_scale=reader.number("cfg_scale"),
        sampler=reader.text("sampler"),
        seed=reader.whole("seed"),
        width=reader.whole("width"),
        height=reader.whole("height"),
        clip_skip=reader.whole("clip_skip", 1),
    )
    entries = record.get("assets")
    if not isinstance(entries, list) or len(entries) > _MAX_ASSETS:
        raise reader.nonsense("assets")
    assets = [_Reader(entry if isinstance(entry, dict) else {}, what) for entry in entries]
    found = record.get("environment")
    environment = {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
    prediction = record.get("prediction")
    if prediction not in _PREDICTIONS:
        raise reader.nonsense("prediction")
    return Recipe(
        exact=True,
        software="assetctl",
        request=request,
        assets=tuple(entry.used() for entry in assets),
        then=tuple(entry.then() for entry in assets),
        prediction=prediction,
        environment=environment,
        threads=_threads(environment.get("threads", "")),
    )


def _check_version(reader: _Reader, record: Mapping[str, Any], what: str) -> None:
    if reader.whole("version", _VERSION) > _VERSION:
        message = f"{what} was made by a newer assetctl: its version is {record['version']}."
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

    def number(self, key: str) -> float:
        value = self._entry.get(key)
        if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
            raise self.nonsense(key)
        return value

    def used(self) -> UsedAsset:
        """An asset of the record, as something to look for."""
        role, sha256, source = self._entry.get("role"), self._entry.get("sha256"), self._entry.get("source")
        if role not in _ROLES:
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
        optional = {key: self._entry.get(key) for key in ("family", "base_model", "source")}
        for key, value in optional.items():
            if value is not None and not isinstance(value, str):
                raise self.nonsense(key)
        return {"name": self.text("name"), "trigger_words": tuple(words), "autov3": autov3, **optional}
