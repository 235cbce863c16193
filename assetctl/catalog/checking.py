"""Whether rows hold what they should: a catalog can be damaged, or come from anybody."""

from __future__ import annotations

from types import NoneType
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from assetctl.catalog.schema import DamagedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: What a column may hold.
Kinds: TypeAlias = frozenset[type]
TEXT: Kinds = frozenset({str})
TEXT_OR_NONE: Kinds = frozenset({str, NoneType})
NUMBER: Kinds = frozenset({int})
NUMBER_OR_NONE: Kinds = frozenset({int, NoneType})
REAL: Kinds = frozenset({int, float})
REAL_OR_NONE: Kinds = frozenset({int, float, NoneType})

_Rows: TypeAlias = "Sequence[Sequence[Any]]"


def check(rows: _Rows, columns: dict[str, Kinds]) -> None:
    """See to it that every value of every row is of the kind that its column holds.

    Args:
        rows: As SQLite gave them.
        columns: Name and kinds of each, in the order of the rows.

    Raises:
        DamagedError: One is not.
    """
    for shape in {tuple(map(type, row)) for row in rows}:  # there are few, whatever the number of rows
        for kind, (name, kinds) in zip(shape, columns.items(), strict=True):
            if kind not in kinds:
                raise DamagedError(f"a {name} in it is {_words(kind)}")


def check_paths(paths: Collection[str]) -> None:
    """See to it that these can be paths of files.

    Raises:
        DamagedError: One holds a null character, which no system takes.
    """
    if any("\0" in path for path in paths):
        raise DamagedError("a path in it holds a null character")


def from_json(text: object, what: str) -> Any:  # noqa: ANN401 - whatever it holds
    """A value that was kept as JSON.

    Raises:
        DamagedError: It is none.
    """
    try:
        return orjson.loads(text)  # type: ignore[arg-type]  # what is no text is no JSON either
    except orjson.JSONDecodeError as error:
        raise DamagedError(f"{what} in it is no valid JSON") from error


def words(value: object, what: str) -> tuple[str, ...]:
    """A list of texts.

    Raises:
        DamagedError: It is something else.
    """
    found = items(value, what)
    if set(map(type, found)) - {str}:
        raise DamagedError(f"{what} in it are no list of texts")
    return tuple(found)


def items(value: object, what: str) -> list[Any]:
    """A list.

    Raises:
        DamagedError: It is something else.
    """
    if not isinstance(value, list):
        raise DamagedError(f"{what} in it are no list")
    return value


def set_by_hand(field: str, value: object) -> Any:  # noqa: ANN401 - as many types as there are fields
    """What a person set, as it was kept: a list of trigger words, or a text, or nothing.

    Raises:
        DamagedError: It is something else.
    """
    if field == "trigger_words":
        return list(words(value, "trigger words"))
    if not isinstance(value, str | NoneType):
        raise DamagedError(f"what was set as {field} in it is no text")
    return value


def fields(value: object, kinds: dict[str, Kinds], what: str) -> dict[str, Any]:
    """The fields of an object, none of which needs to be there, and no others are.

    Raises:
        DamagedError: It is something else.
    """
    if not isinstance(value, dict) or not kinds.keys() >= value.keys():
        raise DamagedError(f"{what} in it is not what assetctl writes")
    check([list(value.values())], {name: kinds[name] for name in value})
    return value


def _words(kind: type) -> str:
    return {NoneType: "missing", bytes: "no text", str: "a text", int: "a number", float: "a number"}.get(
        kind, f"a {kind.__name__}"
    )
