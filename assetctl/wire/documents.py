"""From values to documents. It is on the way of every command, so that it reads no type hint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from assetctl.errors import AssetctlError
from assetctl.text import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.run import Warned


class Shape(NamedTuple):
    """How one class becomes a document.

    Attributes:
        flat: Fields whose own keys stand in their place; of settings, those of all options.
        keys: Key and where its value is: a field or property, or one of what a field holds: `asset.name`. Of a list,
            that of each of its items. The field itself is left out, unless it is named here too.
        without: Fields that are left out.
    """

    flat: tuple[str, ...] = ()
    keys: dict[str, str] = {}  # noqa: RUF012 - a default of a tuple's field, which nobody changes
    without: tuple[str, ...] = ()


#: By where the class is, so that nothing is imported for it. All others are their fields.
SHAPES = {
    "axes.Axis": Shape(keys={"values": "labels"}, without=("kind", "about", "labels")),
    "catalog.generations.Generation": Shape(
        flat=("settings",),
        keys={"path": "image_path", "sha256": "image_sha256", "is_there": "is_there"}, without=("record",)
    ),
    "compat.check.Rule": Shape(keys={"rule": "name"}, without=("told_as",)),
    "operations.acquire.enrich.Enriched": Shape(keys={"name": "asset.name"}),
    "operations.acquire.outdated.Newer": Shape(keys={"name": "asset.name"}),
    "operations.acquire.pull.PullPlan": Shape(("resolution",), {"here": "here.name", "missing": "missing"}),
    "operations.acquire.search.SearchHit": Shape(("found",), {"here": "here.name"}),
    "operations.library.convert.Conversion": Shape(
        keys={"size": "size"}, without=("asset", "known", "original", "warnings", "expected")
    ),
    "operations.library.identify_files.Identified": Shape(("identification",), without=("named",)),
    "operations.library.remove.Removal": Shape(
        keys={"name": "asset.name", "deleted": "deletes", "kept": "keeps"},
        without=("changed", "linked", "is_owned", "is_final"),
    ),
    "operations.library.trash.Emptied": Shape(keys={"size": "size"}),
    "operations.library.trash.Restored": Shape(without=("asset",)),
    "operations.library.upkeep.Duplicate": Shape(keys={"linked": "linked", "how": "shared"}),
    "operations.library.upkeep.Pruning": Shape(
        keys={"size": "size", "files": "leftovers", "missing": "missing.name"}
    ),
    "operations.make.jobs.JobResult": Shape(keys={"error": "failure"}),
    "operations.make.generate.GenerationResult": Shape(
        keys={"selection": "plan.uses", "plan": "plan", "findings": "report.findings"}
    ),
    "operations.make.generate.SavedPicture": Shape(without=("environment",)),
    "operations.make.grid.GridCell": Shape(
        keys={"selection": "plan.uses", "plan": "plan", "findings": "report.findings"}
    ),
    "operations.make.grid.GridResult": Shape(without=("title",)),
    "operations.make.history.Remade": Shape(("generation",), {"record": "generation.record"}),
    "operations.make.inspect_picture.PictureDetails": Shape(
        ("file",), {
            "parameters": "parameters", "software": "parameters.software", "record": "parameters.record",
            "silence": "silence",
        },
        without=("unhashed",),
    ),
    "operations.make.inspect_picture.ResolvedAsset": Shape(("used",), {"asset": "asset.name", "verdict": "verdict"}),
    "operations.make.reproduce.Reproduced": Shape(("reproduction", "result")),
    "operations.make.reproduce.Reproduction": Shape(
        keys={"original": "original.path", "original_is_there": "original.is_there"}, without=("plan", "report")
    ),
    "operations.provision.export.Export": Shape(keys={"manifest": "text"}, without=("unhashed",)),
    "operations.provision.lock.LockResult": Shape(keys={"changed": "changed"}, without=("lock", "failed")),
    "operations.provision.sync.Step": Shape(without=("asset", "locked")),
    "operations.select.prompts.PromptReading": Shape(
        keys={
            "segments": "parsed.segments", "loras": "parsed.weights", "lora_tags": "parsed.loras",
            "unet_weights": "parsed.unet_weights", "stretches": "parsed.stretches",
        },
        without=("why_none", "hint", "remarks", "ambiguous_loras"),
    ),
    "pictures.parameters.PictureParameters": Shape(
        flat=("settings",),
        without=("software", "assets", "record", "understood", "unread")
    ),
    "request.Plan": Shape(
        flat=("settings",),
        keys={
            "prompt": "prompt.segments", "negative_prompt": "negative_prompt.segments",
            "prompt_stretches": "prompt.stretches", "negative_stretches": "negative_prompt.stretches",
        },
        without=("uses", "prediction", "tokenizer"),
    ),
    "request.PlannedUse": Shape(keys={"weight": "applied_weight"}),
    "prompt.chunks.Chunk": Shape(keys={"tokens": "count", "text": "text"}, without=("weights",)),
    "sources.base.RemoteFile": Shape(keys={"sha256": "sha256"}, without=("digests", "url")),
    "sources.base.Resolution": Shape(keys={"size": "size"}, without=("facts", "warnings")),
    "store.leftovers.Leftover": Shape(keys={"why": "what"}, without=("files", "lock")),
    "store.trash.Entry": Shape(
        keys={"size": "size", "paths": "files.path"}, without=("asset", "folder", "store", "home")
    ),
    "types.Asset": Shape(without=("id",)),
    "types.AssetDetails": Shape(("asset",), {"autov2": "asset.autov2"}),
    "types.AssetFile": Shape(without=("mtime_ns",)),
    "types.Fitting": Shape(("asset",)),
}  # fmt: skip

#: What is its own document.
_PLAIN = frozenset({str, int, float, bool, type(None)})


def document(value: object) -> Any:  # noqa: ANN401 - whatever JSON has
    """What JSON has for a value: a dataclass, an error, an event, or lists and mappings of such."""
    if value.__class__ in _PLAIN:
        return value
    if isinstance(value, AssetctlError):
        return error_document(value)
    if is_record(type(value)):
        return _record(value)
    if isinstance(value, Mapping):
        return {str(key): document(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [document(each) for each in (sorted(value) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, bytes):
        from base64 import b64encode  # noqa: PLC0415 - pictures in events alone

        value = b64encode(value).decode()
    elif not isinstance(value, (str, PurePath)):
        raise TypeError(f"{type(value).__name__} has no document")
    return str(value)  # a word of an enumeration, or a path


def _record(value: Any) -> dict[str, Any]:  # noqa: ANN401 - a dataclass of any class
    made: dict[str, Any] = {}
    for key, get in _getters(value.__class__):
        found = get(value)
        said: Any = found if found.__class__ in _PLAIN else document(found)
        if key is None and isinstance(found, Mapping):
            from assetctl.options import OPTIONS  # noqa: PLC0415 - pictures alone

            made |= {each.name: said.get(each.name) for each in OPTIONS}
        elif key is None:
            made |= said
        else:
            made[key] = said
    return made


def error_document(error: AssetctlError) -> dict[str, Any]:
    """An error: its code, what it is made of, what was finished before, and what failed besides."""
    made = _own(error)
    if error.done is not None:
        made["done"] = document(error.done)
    if error.errors is not None:
        made["errors"] = [_own(each) for each in error.errors]
    return made


def _own(error: AssetctlError) -> dict[str, Any]:
    made: dict[str, Any] = {"code": error.code}
    if error.reference is not None:
        made["reference"] = redacted(error.reference)
    for name in parameters(type(error)):
        said = document(getattr(error, name))
        if said or name in ("message", "hint"):
            made[name] = redacted(said) if isinstance(said, str) else said
    return made


def parameters(error: type[AssetctlError]) -> Sequence[str]:
    """What errors of a class are made of: their message, their hint, and what else they say."""
    code = error.__init__.__code__
    more = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    return ("message", "hint", *(name for name in more if name not in ("message", "hint")))


def event_name(kind: type) -> str | None:
    """What a document calls events of a class; `None` for what is no event. `run` is loaded where there are events."""
    is_event = any((base.__module__, base.__name__) == ("assetctl.run", "Event") for base in kind.__mro__[1:])
    return kind.__name__.lower() if is_event else None


def is_record(kind: type) -> bool:
    """Whether values of a class are documents with a key for each field."""
    return is_dataclass(kind) or hasattr(kind, "_fields")


def field_names(kind: type) -> Sequence[str]:
    """The fields of a dataclass, or of a named tuple."""
    return [field.name for field in fields(kind)] if is_dataclass(kind) else kind._fields  # type: ignore[attr-defined]


def keys_of(kind: type) -> list[tuple[str | None, str]]:
    """Keys of a class's documents and where their values are; one whose own keys stand there has none."""
    shape = SHAPES.get(f"{kind.__module__}.{kind.__qualname__}".removeprefix("assetctl."), Shape())
    left_out = {*shape.without, *(path.partition(".")[0] for path in shape.keys.values())}
    keys: list[tuple[str | None, str]] = []
    for name in field_names(kind):
        if name in shape.flat:
            keys.append((None, name))
        keys += [(key, path) for key, path in shape.keys.items() if path.partition(".")[0] == name]
        if name not in (*left_out, *shape.keys, *shape.flat):
            keys.append((name, name))
    return keys + [each for each in shape.keys.items() if each not in keys]


@cache
def _getters(kind: type) -> Sequence[tuple[str | None, Callable[[Any], object]]]:
    name = event_name(kind)
    keys = [(key, _getter(path)) for key, path in keys_of(kind)]
    return keys if name is None else [("event", lambda _: name), *((key, _redacted(get)) for key, get in keys)]


def _redacted(get: Callable[[Any], object]) -> Callable[[Any], object]:
    """Likewise, without secrets in texts: an event leaves the process."""

    def found(value: object) -> object:
        said = get(value)
        return redacted(said) if isinstance(said, str) else said

    return found


def _getter(path: str) -> Callable[[Any], object]:
    """What finds a value along a path; of a list, that of each of its items."""
    name, _, rest = path.partition(".")
    if not rest:
        return attrgetter(name)
    beyond = _getter(rest)

    def walk(value: object) -> object:
        held = getattr(value, name)
        if isinstance(held, (list, tuple)) and not is_record(type(held)):
            return [beyond(each) for each in held]
        return None if held is None else beyond(held)

    return walk


class Outcome(NamedTuple):
    """What a command came to, and what its one document is made of.

    Attributes:
        data: Its result.
        warnings: What a person should know.
        errors: What failed; where anything did, the document is that of the first, and has the data as what was done.
    """

    data: object
    warnings: Sequence[Warned] = ()
    errors: Sequence[AssetctlError] = ()

    @property
    def failure(self) -> AssetctlError:
        """The first of its errors, which says of all the others and of what was done."""
        first = self.errors[0]
        first.done, first.errors = self.data, self.errors
        return first

    def document(self) -> dict[str, Any]:
        """The document: `data`, or `error`; with `warnings`, if there are any."""
        said = {"error": error_document(self.failure)} if self.errors else {"data": document(self.data)}
        return envelope(said, self.warnings)


def envelope(said: Mapping[str, Any], warnings: Sequence[Warned]) -> dict[str, Any]:
    """The one document around a result or an error."""
    told = [{"message": redacted(each.message), "hint": each.hint and redacted(each.hint)} for each in warnings]
    return {"version": 1, **said} | ({"warnings": told} if told else {})
