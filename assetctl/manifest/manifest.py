"""The manifest, `registry.toml`: which assets are wanted, where they come from, and recipes made of them."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from assetctl.errors import UsageError
from assetctl.files.safetensors import MODEL_SUFFIXES
from assetctl.manifest.tables import Document, shown_key
from assetctl.options import WEIGHTS, checked, parse_sides, together
from assetctl.request import Request, Use
from assetctl.text import air, escaped, visible
from assetctl.types import KINDS, LONGEST_NAME, can_be_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from assetctl.options import Option

NAME = "registry.toml"

_MISSING = "Write one (registry.example.toml shows how), or make one from your catalog: `assetctl export`."
_ASSET_KEYS = (
    "source", "sha256", "kind", "family", "base_model", "trigger_words", "tags", "default_weight", "notes",
)  # fmt: skip
_RECIPE_KEYS = ("checkpoint", "loras", "embeddings", "vae", "prompt", "negative_prompt", "auto_embeddings")
#: Texts of a recipe that may have lines.
_PROSE = ("prompt", "negative_prompt")
#: Lists that say something even where they are empty.
_CLEARABLE = ("trigger_words",)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
#: What to do about a name that cannot be one.
NAMING = f"Leave out slashes, colons, angle brackets, and blanks at its ends; {LONGEST_NAME} characters are the most."
#: What counts from no folder: addresses, and paths from the root, a person's home or a drive on.
_ELSEWHERE = re.compile(r"[a-z]{2,}:|[/~]|[a-z]:", re.IGNORECASE)
#: Pages as browsers show their addresses; only where nothing of that name lies beside.
_PAGE = re.compile(r"(?:www\.)?(?:huggingface\.co|hf\.co|civitai\.(?:com|red|green))[:/]", re.IGNORECASE)
_FAMILY = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)


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


@dataclass(frozen=True)
class Manifest:
    """What is wanted, in the order of the file."""

    assets: tuple[Wanted, ...] = ()
    recipes: Mapping[str, Request] = field(default_factory=dict)

    def get(self, name: str) -> Wanted | None:
        """The asset of this name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Wanted]:
        return {item.name: item for item in self.assets}


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        NotFoundError: There is none.
        UsageError: It makes no sense; says in which line and key.
    """
    document = Document(path, _MISSING)
    document.table((), document.tables, ("assets", "recipes"))
    assets = _tables(document, "assets")
    wanted = tuple(_wanted(document, name, of) for name, of in assets.items())
    recipes = {name: _recipe(document, name, of, assets) for name, of in _tables(document, "recipes").items()}
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


def rebased(reference: str, base: Path) -> str:
    """A path in a manifest counts from the manifest's folder."""
    counted = reference.startswith(("./", "../")) or (
        reference.lower().endswith(MODEL_SUFFIXES) and not _PAGE.match(reference)
    )
    if air(reference) is None and not _ELSEWHERE.match(reference) and (counted or os.path.lexists(base / reference)):
        return str(base / reference)
    return reference


def write_manifest(manifest: Manifest) -> str:
    """The text of a manifest; what is left to the file is left out."""
    import tomli_w  # noqa: PLC0415 - only `export` writes one

    assets = {item.name: _filled({key: getattr(item, key) for key in _ASSET_KEYS}) for item in manifest.assets}
    recipes = {name: _filled(_keys_of(recipe)) for name, recipe in manifest.recipes.items()}
    return escaped(tomli_w.dumps({"assets": assets} | ({"recipes": recipes} if recipes else {})))


def _keys_of(recipe: Request) -> dict[str, Any]:
    """A recipe as its table has it; options by their keys."""
    named = {role: tuple(map(str, recipe.of_role(role))) for role in ("checkpoint", "lora", "embedding", "vae")}
    single = {role: next(iter(named[role]), None) for role in ("checkpoint", "vae")}
    settings = {}
    for key, options in together("key").items():
        values = [recipe.settings[each.name] for each in options if each.name in recipe.settings]
        settings[key] = None if not values else values[0] if len(options) == 1 else "x".join(map(str, values))
    prompts: dict[str, object] = {"prompt": recipe.prompt, "negative_prompt": recipe.negative_prompt}
    prompts["auto_embeddings"] = recipe.auto_embeddings
    return {**single, "loras": named["lora"], "embeddings": named["embedding"], **prompts, **settings}


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
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
    if weight is not None and not WEIGHTS[0] <= weight <= WEIGHTS[1]:
        document.fail((*where, "default_weight"), f"is {weight:g}", f"A weight is {WEIGHTS[0]:g} to {WEIGHTS[1]:g}.")
    for key, labels in (("trigger_words", words or ()), ("tags", tags)):
        odd = next((each for each in labels if not each.isprintable()), None)
        if odd is not None:
            document.fail((*where, key), f"has {shown_key(odd)!r}", "Use words without odd blanks.")
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


def _recipe(document: Document, name: str, of: Mapping[str, Any], assets: Mapping[str, object]) -> Request:
    where, by_key = ("recipes", name), together("key")
    document.table(where, of, (*_RECIPE_KEYS, *by_key))
    texts = {
        key: document.text((*where, key), of, prose=key in _PROSE) or None
        for key in ("checkpoint", "vae", "prompt", "negative_prompt")
    }
    uses = [Use(role, text) for role in ("checkpoint", "vae") if (text := texts[role])]
    for role in ("lora", "embedding"):
        uses += [_use(document, (*where, f"{role}s"), role, text) for text in document.words((*where, f"{role}s"), of)]
    for use in uses:
        if use.reference not in assets and str(use) not in assets:
            key = use.role if use.role in texts else f"{use.role}s"
            others = f", or choose one of: {', '.join(list(assets)[:10])}" if assets else ""
            hint = f"Add [assets.{shown_key(use.reference)}]{others}."
            problem = f"names {shown_key(str(use))!r}, which is not an asset of this file"
            document.fail((*where, str(key)), problem, hint)
    settings: dict[str, Any] = {}
    for key, options in by_key.items():
        if key in of:
            settings |= _settings(document, (*where, key), of, options)
    auto = document.get((*where, "auto_embeddings"), of, bool, True) if "auto_embeddings" in of else None
    return Request(tuple(uses), texts["prompt"], texts["negative_prompt"], settings, auto_embeddings=auto)


def _use(document: Document, where: tuple[str, ...], role: str, text: str) -> Use:
    try:
        return Use.parse(role, text) if role == "lora" else Use(role, text)
    except UsageError as error:
        document.fail(where, f"names {shown_key(text)!r}", str(error.hint))


def _settings(
    document: Document, where: tuple[str, ...], of: Mapping[str, Any], options: list[Option]
) -> dict[str, Any]:
    """The options of one key, and see that a picture can be made so; an empty text is none."""
    words = len(options) > 1 or options[0].type is str
    value: Any = document.text(where, of) if words else document.get(where, of, options[0].type, options[0].type(0))
    if value == "" and words:
        return {}
    try:
        settings = parse_sides(options, value) if len(options) > 1 else {options[0].name: value}
    except UsageError as error:
        document.fail(where, f"is {shown_key(value)!r}, which is no {where[-1]}", str(error.hint))
    for each in options:
        problem = each.problem(settings[each.name])
        if problem is not None:
            about = f"is {value}: its {each.name} " if len(options) > 1 else ""
            document.fail(where, about + problem, each.advice)
    try:
        return checked(settings)
    except UsageError as error:
        document.fail(where, f"is {shown_key(value)!r}, which is no {where[-1]}", str(error.hint))


def find_recipe(manifest: Manifest, name: str, path: Path) -> Request:
    """The recipe of this name.

    Raises:
        UsageError: There is none.
    """
    if name not in manifest.recipes:
        there = ", ".join(manifest.recipes) or "none"
        raise UsageError(f"{path} has no recipe {name!r}.", f"It has: {there}.")
    return manifest.recipes[name]
