"""What can be asked over HTTP, each declared once: checked, answered and described from its declaration."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar

import orjson
from anyio import to_thread

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from anyio import CapacityLimiter

    from assetctl.registry import Registry
    from assetctl.server.queue import Queue

Result = TypeVar("Result")

#: The JSON Schema of one value.
Schema: TypeAlias = "dict[str, Any]"

#: Characters of a text that is neither a prompt nor a note, and of a name.
LONGEST = 1000

TEXT: Schema = {"type": "string", "maxLength": LONGEST}
NAME: Schema = {"type": "string", "minLength": 1, "maxLength": LONGEST}
PROMPT: Schema = {"type": "string", "maxLength": 10**6}
WHOLE: Schema = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
NAMES: Schema = {"type": "array", "items": NAME, "maxItems": 1000}

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
    "object": (dict,), "null": (type(None),),
}  # fmt: skip

#: How deep a body may be nested, and how many values may be in it: more than a body has that is no picture.
DEEPEST, _MOST_VALUES = 64, 2**20

#: Bytes up to which a body is read by two readers, which must agree; a larger one takes long enough to be read once.
_READ_TWICE = 2**20

#: The largest file that is taken in over HTTP, and the largest picture that is looked into.
LARGEST_FILE, LARGEST_PICTURE = 2**40, 64 * 2**20


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
        headers: Those of the request, in lower case.
        chunks: What an upload consists of, piece by piece as it comes; nothing where there is none.
        size: How many bytes those will be.
        few: Lets a few at a time work something out that takes a processor's time, while others are answered.
        worded: Puts a document into the words of the face that was asked.
    """

    registry: Registry
    queue: Queue
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]
    base: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    chunks: Iterable[bytes] = ()
    size: int = 0
    few: CapacityLimiter | None = None
    worded: Callable[[Any], Any] = lambda document: document

    async def worked_out(self, work: Callable[..., Result], *arguments: object) -> Result:
        """What something comes to that takes a processor's time, in a thread."""
        return await to_thread.run_sync(work, *arguments, limiter=self.few)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, where there is more to it than the data.

    Attributes:
        data: What the document has.
        status: Another one than the endpoint's.
        headers: More of them.
        warnings: What a person should know.
    """

    data: object
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()


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
        also: Another status that it may have, with the same document.
        upload: Whether the body is a file, as it is.
        largest: How many bytes a body may have; `None` for what any may.
        slow: Whether it waits for others, such as a source: those wait in a row of their own.
        heavy: Whether it takes a processor's time: few of those are answered at a time, and keep no other waiting.
        produces: Of which type the answer is, where it is no JSON.
        group: What it is listed under.
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
    also: int | None = None
    upload: bool = False
    largest: int | None = None
    slow: bool = False
    heavy: bool = False
    produces: str = "application/json"
    group: str = ""

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

    def body_of(self, data: bytes | bytearray) -> dict[str, Any]:
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


def read_object(data: bytes | bytearray) -> dict[str, Any]:
    """A JSON object, of bounded depth, each of whose keys is there once.

    Raises:
        UsageError: It is none.
    """
    if not _OBJECT.match(data):  # a list of a million others is not even taken apart
        raise UsageError("The body is no JSON object.", _AS_JSON)
    values = sum(data.count(each) for each in (b",", b"[", b"{"))
    if values > _MOST_VALUES:  # a large body is base64, which has none of them
        raise UsageError("The body has too many values.", "A large one is a picture.")
    try:
        if len(data) <= _READ_TWICE:
            orjson.loads(data)  # which goes no deeper than it can, and takes no half of a character
        found: dict[str, Any] = json.loads(data.decode(), object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError as error:
        raise UsageError("The body is nested too deep.", "Send a flatter one.") from error
    except ValueError as error:
        raise UsageError(f"The body is no JSON: {error}.", _AS_JSON) from error
    if _is_deeper(found, DEEPEST):
        raise UsageError(f"The body is nested deeper than {DEEPEST} levels.", "Send a flatter one.")
    return found


_OBJECT = re.compile(rb"[ \t\r\n]*\{")

_AS_JSON = "Send an object as application/json."


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise UsageError(f"The body says {twice!r:.60} twice.", "Say it once: which of them would count?")
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _is_deeper(value: object, levels: int) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels < 0 or any(_is_deeper(each, levels - 1) for each in inside if isinstance(each, (dict, list)))


def check_value(value: object, schema: Schema, name: str) -> None:
    """See that a value is what a schema says.

    Raises:
        UsageError: It is not.
    """
    kinds = schema.get("type", ())
    words = [kinds] if isinstance(kinds, str) else list(kinds)
    if words and not any(_is(value, word) for word in words):
        raise UsageError(f"{name} must be {_spoken(words)}.", "The description of the API is at /docs.")
    if isinstance(value, str) and not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", LONGEST):
        raise UsageError(f"{name} is empty, or too long.", "The description of the API is at /docs.")
    if isinstance(value, str) and "\0" in value:
        raise UsageError(f"{name} has a zero character, which no text has.", "Leave it out.")
    if isinstance(value, (int, float)) and not _within(value, schema):
        low, high = schema.get("minimum"), schema.get("maximum")
        said = f"{low} to {high}" if high is not None else f"at least {low}"
        raise UsageError(f"{name} must be {said}.", "The description of the API is at /docs.")
    if isinstance(value, int) and value % schema.get("multipleOf", 1):
        raise UsageError(
            f"{name} must be a multiple of {schema['multipleOf']}.", "The description of the API is at /docs."
        )
    _check_inside(value, schema, name)
    if "enum" in schema and value not in schema["enum"]:
        raise UsageError(f"{name} is {value!r:.40}.", f"Choose one of: {', '.join(map(str, schema['enum']))}.")


def _check_inside(value: object, schema: Schema, name: str) -> None:
    """Likewise, of what a list or an object holds."""
    if isinstance(value, list):
        if len(value) > (most := schema.get("maxItems", 10_000)):
            raise UsageError(f"{name} has more than {most} items.", "Send fewer.")
        if len(value) < schema.get("minItems", 0):
            raise UsageError(f"{name} is empty.", "Leave it out.")
        for each in value:
            check_value(each, schema.get("items", {}), f"each of {name}")
    if isinstance(value, dict) and any(len(each) > LONGEST for each in value):
        raise UsageError(f"{name} has a name of more than {LONGEST} characters.", "Names are shorter.")
    if isinstance(value, dict) and "additionalProperties" in schema:
        if len(value) > schema.get("maxProperties", 1000):
            raise UsageError(f"{name} has too many entries.", "Send fewer.")
        for each in value.values():
            check_value(each, schema["additionalProperties"], f"each of {name}")


def _within(value: float, schema: Schema) -> bool:
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


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
