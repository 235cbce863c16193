"""The manifest, `registry.toml`: which assets are wanted, where they come from, and recipes made of them."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assetctl.errors import UsageError
from assetctl.manifest.tables import Document, shown_key
from assetctl.text import escaped, visible
from assetctl.types import KINDS, LONGEST_NAME, can_be_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

NAME = "registry.toml"

_MISSING = "Write one (registry.example.toml shows how), or make one from your catalog: `assetctl export`."
_ASSET_KEYS = (
    "source", "sha256", "kind", "family", "base_model", "trigger_words", "tags", "default_weight", "notes",
)  # fmt: skip
_RECIPE_KEYS = (
    "checkpoint", "loras", "embeddings", "vae", "prompt", "negative_prompt", "steps", "cfg", "sampler", "size",
    "clip_skip", "seed",
)  # fmt: skip
#: Texts of a recipe that may have lines.
_PROSE = ("prompt", "negative_prompt")
#: Lists that say something even where they are empty.
_CLEARABLE = ("trigger_words",)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
#: What to do about a name that cannot be one.
NAMING = f"Leave out slashes, colons, angle brackets, and blanks at its ends; {LONGEST_NAME} characters are the most."
_FAMILY = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_SIZE = re.compile(r"\d{2,4}x\d{2,4}", re.ASCII)
_WEIGHT = re.compile(r":-?[\d.]+$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One asset of a manifest; `None` leaves a thing to the file and its source, what is empty takes it away."""

    name: str
    source: str
    sha256: str | None = None
    kind: str | None = None
    family: str | None = None
    base_model: str | None = None
    trigger_words: tuple[str, ...] | None = None
    tags: tuple[str, ...] = ()
    default_weight: float | None = None
    notes: str | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named selection with defaults for the prompt and the settings; LoRAs are `NAME` or `NAME:WEIGHT`."""

    name: str
    checkpoint: str | None = None
    loras: tuple[str, ...] = ()
    embeddings: tuple[str, ...] = ()
    vae: str | None = None
    prompt: str | None = None
    negative_prompt: str | None = None
    steps: int | None = None
    cfg: float | None = None
    sampler: str | None = None
    size: str | None = None
    clip_skip: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What is wanted, in the order of the file."""

    assets: tuple[Wanted, ...] = ()
    recipes: Mapping[str, Recipe] = field(default_factory=dict)

    def get(self, name: str) -> Wanted | None:
        """The asset of this name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Wanted]:
        return {item.name: item for item in self.assets}


def read_manifest(path: Path, sampler: Callable[[str], str] = str) -> Manifest:
    """Read a manifest.

    Args:
        path: The file.
        sampler: Raises `UsageError`, with a hint, for what is no sampler's name.

    Raises:
        NotFoundError: There is none.
        UsageError: It makes no sense; says in which line and key.
    """
    document = Document(path, _MISSING)
    document.table((), document.tables, ("assets", "recipes"))
    assets = _tables(document, "assets")
    wanted = tuple(_wanted(document, name, of) for name, of in assets.items())
    recipes = {name: _recipe(document, name, of, assets, sampler) for name, of in _tables(document, "recipes").items()}
    lowered = Counter(item.name.lower() for item in wanted)
    for item in wanted:
        if lowered[item.name.lower()] > 1:
            document.fail(
                ("assets", item.name), "differs from another only in upper and lower case", "Choose another name."
            )
    return Manifest(wanted, recipes)


def place_of(path: Path, *where: str) -> str:
    """The file, line and name of a key of a manifest, for a complaint that takes more than the manifest to make."""
    return Document(path, _MISSING).place(where)


def write_manifest(manifest: Manifest) -> str:
    """The text of a manifest; what is left to the file is left out."""
    import tomli_w  # noqa: PLC0415 - only `export` writes one

    assets = {item.name: _filled(item, _ASSET_KEYS) for item in manifest.assets}
    recipes = {name: _filled(recipe, _RECIPE_KEYS) for name, recipe in manifest.recipes.items()}
    return escaped(tomli_w.dumps({"assets": assets} | ({"recipes": recipes} if recipes else {})))


def _filled(item: Wanted | Recipe, keys: tuple[str, ...]) -> dict[str, Any]:
    values = {key: getattr(item, key) for key in keys}
    return {
        key: _writable(key, value)
        for key, value in values.items()
        if value is not None and (value != () or key in _CLEARABLE)
    }


def _writable(key: str, value: object) -> object:
    """A value as it can be read again: an old catalog may hold texts with characters that nobody sees."""
    if isinstance(value, tuple):
        return [text for each in value if (text := visible(each).strip())]
    prose = key in (*_PROSE, "notes")
    return visible(value, prose=prose) if isinstance(value, str) and key != "source" else value


def _tables(document: Document, name: str) -> dict[str, dict[str, Any]]:
    tables: dict[str, Any] = document.get((name,), document.tables, dict, {})
    for key, value in tables.items():
        if not isinstance(value, dict):
            document.fail((name, key), "is not a table", f"Write [{name}.{key}] above its keys.")
        document.see((name, key), key)
        if not can_be_name(key):
            document.fail((name, key), "cannot be a name", NAMING)
    return tables


def _wanted(document: Document, name: str, of: Mapping[str, Any]) -> Wanted:
    where = ("assets", name)
    document.table(where, of, _ASSET_KEYS)
    source = document.text((*where, "source"), of)
    if not source.strip():
        document.fail(
            (*where, "source"), "is missing", "Say where it comes from: hf://…, civitai:…, https://…, a path."
        )
    sha256 = document.get((*where, "sha256"), of, str, "").lower() or None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        document.fail((*where, "sha256"), "is no SHA256", "It has 64 hexadecimal digits.")
    texts = {
        key: document.text((*where, key), of, prose=key == "notes") if key in of else None
        for key in ("kind", "family", "base_model", "notes")
    }
    _check_kind_and_family(document, where, texts)
    weight = document.get((*where, "default_weight"), of, float, 1.0) if "default_weight" in of else None
    words = document.words((*where, "trigger_words"), of) if "trigger_words" in of else None
    tags = document.words((*where, "tags"), of)
    return Wanted(name, source, sha256, trigger_words=words, tags=tags, default_weight=weight, **texts)


def _check_kind_and_family(document: Document, where: tuple[str, ...], texts: Mapping[str, str | None]) -> None:
    """See that a kind is known, and a family not misspelled: that would be found out only when all is fetched.

    A family that nothing here is like is taken: a person may label what no plugin knows.
    """
    kind, family = texts["kind"], texts["family"]
    if kind is not None and kind not in KINDS:
        document.fail((*where, "kind"), f"is {shown_key(kind)!r}, which is not a kind", _choose(kind, KINDS))
    if not family:
        return
    from assetctl.identify.plugins import families  # noqa: PLC0415 - loads every family there is

    known = [each.name for each in families()]
    near = family not in known and difflib.get_close_matches(family[:100].lower(), known, n=1)
    if near or not _FAMILY.fullmatch(family):
        document.fail(
            (*where, "family"), f"is {shown_key(family)!r}, which is not a known family", _choose(family, known)
        )


def _choose(word: str, known: Iterable[str]) -> str:
    """A hint for a word that is none of those that are known."""
    near = difflib.get_close_matches(word[:100].lower(), known, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"Choose one of: {', '.join(known)}."


def _recipe(
    document: Document,
    name: str,
    of: Mapping[str, Any],
    assets: Mapping[str, object],
    sampler: Callable[[str], str],
) -> Recipe:
    where = ("recipes", name)
    document.table(where, of, _RECIPE_KEYS)
    texts = {
        key: document.text((*where, key), of, prose=key in _PROSE) or None
        for key in ("checkpoint", "vae", "prompt", "negative_prompt", "sampler", "size")
    }
    _check_settings(document, where, texts, sampler)
    loras, embeddings = document.words((*where, "loras"), of), document.words((*where, "embeddings"), of)
    numbers = {
        key: document.get((*where, key), of, int, 0) if key in of else None for key in ("steps", "clip_skip", "seed")
    }
    cfg = document.get((*where, "cfg"), of, float, 0.0) if "cfg" in of else None
    used = {"checkpoint": texts["checkpoint"], "vae": texts["vae"]}
    for key, names in (
        *((key, [value]) for key, value in used.items() if value),
        ("loras", loras),
        ("embeddings", embeddings),
    ):
        for used_name in names:
            if used_name not in assets and _WEIGHT.sub("", used_name) not in assets:
                others = f", or choose one of: {', '.join(list(assets)[:10])}" if assets else ""
                hint = f"Add [assets.{shown_key(used_name)}]{others}."
                problem = f"names {shown_key(used_name)!r}, which is not an asset of this file"
                document.fail((*where, key), problem, hint)
    return Recipe(name, loras=loras, embeddings=embeddings, cfg=cfg, **texts, **numbers)  # type: ignore[arg-type]  # as read


def _check_settings(
    document: Document, where: tuple[str, ...], texts: Mapping[str, str | None], sampler: Callable[[str], str]
) -> None:
    """See that a picture can be made so."""
    size, named = texts["size"], texts["sampler"]
    if size is not None and not _SIZE.fullmatch(size):
        document.fail((*where, "size"), "is no size", 'Write "768x512".')
    if size is not None and any(int(side) % 8 for side in size.split("x")):
        hint = "Its sides must be multiples of 8: {}x{}, say.".format(
            *(int(side) // 8 * 8 or 8 for side in size.split("x"))
        )
        document.fail((*where, "size"), f"is {size}", hint)
    if named is not None:
        try:
            sampler(named)
        except UsageError as error:
            document.fail((*where, "sampler"), f"is {shown_key(named)!r}, which is not a sampler", str(error.hint))


def find_recipe(manifest: Manifest, name: str, path: Path) -> Recipe:
    """The recipe of this name.

    Raises:
        UsageError: There is none.
    """
    if name not in manifest.recipes:
        there = ", ".join(manifest.recipes) or "none"
        raise UsageError(f"{path} has no recipe {name!r}.", f"It has: {there}.")
    return manifest.recipes[name]
