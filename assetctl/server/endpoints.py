"""What can be asked over HTTP, each declared once: checked, answered and described from its declaration."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assetctl.registry import Registry
    from assetctl.server.queue import Queue

#: The JSON Schema of one value.
Schema: TypeAlias = "dict[str, Any]"

TEXT: Schema = {"type": "string"}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": 1000}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
NAMES: Schema = {"type": "array", "items": NAME, "maxItems": 1000}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip

#: How deep a body may be nested.
DEEPEST = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, checked against what its endpoint declares.

    Attributes:
        registry: The home that is served.
        queue: Its jobs.
        path: The values of the path's parameters.
        query: Those of the query.
        body: The fields of the body; nothing where there is none.
        base: How whoever asked calls this server: `http://127.0.0.1:7860`.
    """

    registry: Registry
    queue: Queue
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    base: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Something that can be asked.

    Attributes:
        method: Of HTTP.
        path: With its parameters in braces.
        answer: Makes what is answered; called in a thread, unless it is a coroutine.
        summary: One line for people.
        gives: The type of the document's `data`, as `wire.schema` reads it; "" where the face has a shape of its own.
        query: Parameters, with their schemas.
        body: Fields, with their schemas; `None` where no body is taken.
        required: Names of those that must be there.
        open: Whether fields that are not declared are let through, as faces of other programs do.
        status: Of the answer.
    """

    method: str
    path: str
    answer: Callable[[Asked], object]
    summary: str
    gives: str = ""
    query: Mapping[str, Schema] = field(default_factory=dict)
    body: Mapping[str, Schema] | None = None
    required: tuple[str, ...] = ()
    open: bool = False
    status: int = 200

    def query_of(self, given: Mapping[str, list[str]]) -> dict[str, Any]:
        """The query's values.

        Raises:
            UsageError: One is not declared, or of another type.
        """
        found: dict[str, Any] = {}
        for name, texts in given.items():
            schema = self.query.get(name)
            if schema is None:
                if self.open:
                    continue
                raise UsageError(f"{self.path} takes no {name!r:.60}.", _there_are(self.query))
            values = [_typed(text, schema.get("items", schema), name) for text in texts]
            if schema["type"] != "array" and len(values) > 1:
                raise UsageError(f"{name} was given {len(values)} times.", "Give it once.")
            found[name] = values if schema["type"] == "array" else values[0]
        self._require(found, self.query)
        return found

    def body_of(self, data: bytes) -> dict[str, Any]:
        """The body's fields.

        Raises:
            UsageError: It is no JSON object, has a field that is not declared, or one of another type.
        """
        fields = read_object(data) if data else {}
        for name, value in fields.items():
            schema = (self.body or {}).get(name)
            if schema is None:
                if self.open:
                    continue
                raise UsageError(f"{self.path} takes no field {name!r:.60}.", _there_are(self.body or {}))
            check_value(value, schema, name)
        self._require(fields, self.body or {})
        return fields

    def _require(self, given: Mapping[str, Any], declared: Mapping[str, Schema]) -> None:
        for name in self.required:
            if name in declared and name not in given:
                raise UsageError(f"{self.path} needs {name}.", _there_are(declared))


def _there_are(names: Mapping[str, Schema]) -> str:
    return f"It takes: {', '.join(names)}." if names else "It takes nothing."


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object, of bounded depth.

    Raises:
        UsageError: It is none.
    """
    if too_deep(data):
        raise UsageError(f"The body is nested deeper than {DEEPEST} levels.", "Send a flatter one.")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise UsageError("The body is no JSON.", "Send an object as application/json.") from error
    if not isinstance(found, dict):
        raise UsageError("The body is no JSON object.", "Send an object as application/json.")
    return found


_OUTSIDE_TEXTS = re.compile(rb'"(?:[^"\\]|\\.)*+"', re.DOTALL)


def too_deep(data: bytes) -> bool:
    """Whether brackets stand deeper than any request needs."""
    depth = 0
    for character in _OUTSIDE_TEXTS.sub(b"", data):
        depth += (character in b"[{") - (character in b"]}")
        if depth > DEEPEST:
            return True
    return False


def check_value(value: object, schema: Schema, name: str) -> None:
    """See that a value is what a schema says.

    Raises:
        UsageError: It is not.
    """
    kinds = schema.get("type", ())
    words = [kinds] if isinstance(kinds, str) else list(kinds)
    if words and not any(_is(value, word) for word in words):
        raise UsageError(f"{name} must be {_spoken(words)}.", "The description of the API is at /docs.")
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6):
        raise UsageError(f"{name} is empty, or too long.", "The description of the API is at /docs.")
    if isinstance(value, list):
        if len(value) > schema.get("maxItems", 10_000):
            raise UsageError(f"{name} has more than {schema['maxItems']} items.", "Send fewer.")
        for each in value:
            check_value(each, schema.get("items", {}), f"each of {name}")
    if isinstance(value, dict) and "additionalProperties" in schema:
        if len(value) > schema.get("maxProperties", 1000):
            raise UsageError(f"{name} has too many entries.", "Send fewer.")
        for each in value.values():
            check_value(each, schema["additionalProperties"], f"each of {name}")
    if "enum" in schema and value not in schema["enum"]:
        raise UsageError(f"{name} is {value!r:.40}.", f"Choose one of: {', '.join(map(str, schema['enum']))}.")


def _is(value: object, word: str) -> bool:
    if isinstance(value, bool):
        return word == "boolean"
    return isinstance(value, _TYPES[word])


def _spoken(words: list[str]) -> str:
    said = {"string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
            "array": "a list", "object": "an object", "null": "null"}  # fmt: skip
    return " or ".join(said[word] for word in words)


def _typed(text: str, schema: Schema, name: str) -> Any:  # noqa: ANN401 - of the schema's type
    kind = schema["type"]
    value: Any = text
    if kind == "boolean":
        value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
    elif kind in ("integer", "number") and re.fullmatch(r"-?[0-9]{1,18}(\.[0-9]{1,18})?", text):
        value = int(text) if "." not in text else float(text)
    check_value(value, schema, name)
    return value
