"""JSON Schemas (2020-12) of documents, made of the classes that the documents are made of."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import orjson

from assetctl.errors import AssetctlError
from assetctl.options import OPTIONS
from assetctl.run import Event
from assetctl.wire.documents import event_name, is_record
from assetctl.wire.hints import (
    error_classes,
    error_hints,
    error_kinds,
    event_classes,
    is_list,
    meant,
    members_of,
    typed_keys,
)

if TYPE_CHECKING:
    from collections.abc import Collection

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null", bytes: "string"}
_MESSAGE = {"message": {"type": "string"}, "hint": {"type": ["string", "null"]}}


def result_schema(data: str, done: str | None = None) -> dict[str, Any]:
    """The schema of the one document of a command.

    Args:
        data: The type of its result, as in Python, with modules of this package: `list[types.Asset]`.
        done: That of what was finished before an error, where it is another.
    """
    schemas = _Schemas()
    made, before = schemas.of(named(data)), schemas.of(named(done or data))
    version = {"version": {"const": 1}}
    warnings = {"warnings": {"type": "array", "minItems": 1, "items": _closed(_MESSAGE)}}
    error = schemas.error(before)
    return {
        "$schema": DIALECT,
        "oneOf": [
            _closed(version | {"data": made} | warnings, {"warnings"}),
            _closed(version | {"error": error} | warnings, {"warnings"}),
        ],
        "$defs": schemas.definitions,
    }


def api_schemas(results: Collection[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The schemas of answers of an API: by the types of their results, and what those share, for OpenAPI.

    Of errors there is one for all, `ErrorDocument`.
    """
    schemas = _Schemas()
    frame = {"version": {"const": 1}}
    warnings = {"warnings": {"type": "array", "minItems": 1, "items": _closed(_MESSAGE)}}
    found = {
        each: _closed(frame | {"data": schemas.of(named(each))} | warnings, {"warnings"}) for each in sorted(results)
    }
    error = _closed(frame | {"error": schemas.error()} | warnings, {"warnings"})
    shared = {"ErrorDocument": {"description": "What every error is."} | error} | schemas.definitions
    at_home = orjson.dumps([found, shared]).replace(b'"#/$defs/', b'"#/components/schemas/')
    made: tuple[dict[str, Any], dict[str, Any]] = tuple(orjson.loads(at_home))
    return made


def event_schema() -> dict[str, Any]:
    """The schema of what is told while a command runs: one event."""
    schemas = _Schemas()
    return {"$schema": DIALECT} | schemas.of(Event) | {"$defs": schemas.definitions}


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """A code of errors, and what a process ends with that meets one."""

    code: str
    exit_code: int
    description: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """An argument or option of a command.

    Attributes:
        names: How it is typed; that of an argument is in no command line.
        type: `text`, `integer`, `number`, `boolean`, `path` or `choice`.
        choices: The words that it can be.
        many: Whether it can be repeated.
    """

    names: list[str]
    type: str
    choices: list[str]
    default: Any
    required: bool
    many: bool
    help: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and the JSON Schema of what it prints with `--json`."""

    name: str
    help: str
    arguments: list[Parameter]
    options: list[Parameter]
    document: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Description:
    """Commands, the errors that end them, and the JSON Schema of the events that a run tells."""

    commands: list[Command]
    errors: list[ErrorCode]
    events: dict[str, Any]


def error_codes() -> list[ErrorCode]:
    """Every code that an error can have, by how processes end."""
    found = [ErrorCode(code, kind.exit_code, _attributes(kind)[""]) for code, kind in error_classes().items()]
    return sorted(found, key=lambda each: (each.exit_code, each.code))


def named(text: str) -> Any:  # noqa: ANN401 - types are of no type
    """The type that a text means, whose classes are named by their place in this package."""
    classes: dict[str, Any] = {"Any": Any}

    def bind(match: re.Match[str]) -> str:
        name = match[0].replace(".", "_")
        classes[name] = getattr(importlib.import_module(f"assetctl.{match[1]}"), match[2])
        return name

    return meant(re.sub(r"\b([a-z_][\w.]*)\.([A-Z]\w*)", bind, text), classes)


class _Schemas:
    """Schemas that share their definitions."""

    def __init__(self) -> None:
        self.definitions: dict[str, Any] = {}
        self._named: dict[str, Any] = {}

    def of(self, said: Any) -> dict[str, Any]:  # noqa: ANN401, C901, PLR0911 - a way for each sort
        """The schema of a type."""
        members, origin, parts = members_of(said), get_origin(said), get_args(said)
        if len(members) > 1:
            return {"anyOf": [self.of(each) for each in members]}
        if said in _SIMPLE:
            return {"type": _SIMPLE[said]} | ({"contentEncoding": "base64"} if said is bytes else {})
        if said is Any or said is object:
            return {}
        if origin is Literal:
            return {"enum": list(parts)}
        if is_list(said):
            return {"type": "array", "items": self.of(parts[0])}
        if origin is tuple:
            items = [self.of(each) for each in parts]
            return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
        if origin is not None and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(parts[1])}
        if issubclass(said, Enum):
            return {"enum": [each.value for each in said]}
        if issubclass(said, (str, PurePath)):
            return {"type": "string"}
        if issubclass(said, Mapping):
            return {"type": "object"}
        return self._defined(said)

    def _defined(self, kind: type) -> dict[str, Any]:
        name = kind.__name__
        while self._named.setdefault(name, kind) is not kind:
            name = f"{kind.__module__.rpartition('.')[2].title()}{name}"
        if name not in self.definitions:
            self.definitions[name] = {}  # it may be within itself
            self.definitions[name] = self._made(kind)
        return {"$ref": f"#/$defs/{name}"}

    def _made(self, kind: type) -> dict[str, Any]:
        if kind is Event:
            return {"oneOf": [self.of(each) for each in event_classes().values()]}
        if issubclass(kind, AssetctlError):
            return self.error()
        if not is_record(kind):
            raise TypeError(f"{kind} has no schema")
        said = _attributes(kind)
        name = event_name(kind)
        made: dict[str, Any] = {"event": {"const": name}} if name else {}
        made |= self._properties(kind)
        return {"description": said.pop("", "")} | _closed(
            {key: each | ({"description": said[key]} if key in said else {}) for key, each in made.items()}
        )

    def _properties(self, kind: type) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, _, said in typed_keys(kind):
            if key is None and get_origin(said) is Mapping:
                made |= {each.name: self.of(each.type | None) for each in OPTIONS}
            else:
                made |= self._properties(said) if key is None else {key: self.of(said)}
        return made

    def error(self, done: dict[str, Any] | None = None) -> dict[str, Any]:
        """The schema of errors: what any class of them says, and what was done before."""
        made: dict[str, Any] = {"code": {"enum": sorted(error_classes())}, "reference": {"type": "string"}}
        for kind in error_kinds():
            made |= {name: self.of(said) for name, said in error_hints(kind).items()}
        more = {"done": done or {}, "errors": {"type": "array", "items": self.of(AssetctlError)}}
        return _closed(made | more, {*made, *more} - {"code", "message", "hint"})


def _closed(properties: dict[str, Any], optional: set[str] | frozenset[str] = frozenset()) -> dict[str, Any]:
    required = [key for key in properties if key not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _attributes(kind: type) -> dict[str, str]:
    """What a class's docstring says of its attributes, by name, and of itself, by ""."""
    text = inspect.getdoc(kind) or ""
    summary, _, attributes = text.partition("\nAttributes:\n")
    found = {"": summary.strip().partition("\n\n")[0].replace("\n", " ")}
    for name, said in re.findall(r"^ {4}(\w+): (.*(?:\n {6,}.*)*)", attributes, re.MULTILINE):
        found[name] = re.sub(r"\s+", " ", said)
    return found
