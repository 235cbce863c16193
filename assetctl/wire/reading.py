"""From documents back to values, for clients; what a document leaves out is as its class has it unless given."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import PurePath
from typing import Any, Literal, TypeVar, get_args, get_origin

from assetctl.errors import AssetctlError
from assetctl.options import OPTIONS
from assetctl.run import Event
from assetctl.wire.documents import field_names, is_record
from assetctl.wire.hints import error_classes, error_hints, event_classes, hints_of, is_list, members_of, typed_keys

_Read = TypeVar("_Read")

#: What stands for a field that no document has, and that its class has no default for.
_ABSENT = {int: 0, str: "", bool: False}


def read(kind: type[_Read], said: object) -> _Read:
    """The value of a type that a document is of; keys that are not known are passed over.

    Raises:
        ValueError: It is none.
    """
    try:
        found: _Read = _read(kind, said)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"This is no document of {kind}: {error}") from error
    return found


def _read(kind: Any, said: Any) -> Any:  # noqa: ANN401, C901, PLR0911 - a way for each sort of type
    members = members_of(kind)
    if len(members) > 1:
        return _first(members, said)
    (kind,) = members
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return _expected(said, said in parts)
    if is_list(kind):
        made = [_read(parts[0], each) for each in _expected(said, isinstance(said, list))]
        return made if origin is list else frozenset(made) if origin is frozenset else tuple(made)
    if origin is tuple:
        return tuple(_read(part, each) for part, each in zip(parts, said, strict=True))
    if origin is not None and issubclass(origin, Mapping):
        return {key: _read(parts[1], each) for key, each in said.items()}
    if kind is Any or kind is object:
        return said
    if issubclass(kind, Event):
        return _record(event_classes()[said["event"]], said)
    if is_record(kind):
        return _record(kind, said)
    if issubclass(kind, AssetctlError):
        return _error(said)
    if kind is bytes:
        return b64decode(said)
    if kind is float:
        return float(_expected(said, isinstance(said, (int, float))))
    if issubclass(kind, PurePath):
        return kind(said)
    return kind(said) if issubclass(kind, str) else _expected(said, type(said) is kind)


def _expected(said: Any, ok: bool) -> Any:  # noqa: ANN401, FBT001 - whatever JSON has
    if not ok:
        raise TypeError(f"{said!r} was not expected")
    return said


def _first(members: tuple[Any, ...], said: object) -> Any:  # noqa: ANN401 - whatever it is
    if said is None and type(None) in members:
        return None
    for member in members:
        try:
            return _read(member, said)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    raise TypeError(f"{said!r} is none of {members}")


def _record(kind: type, said: Mapping[str, Any]) -> object:
    names, hints = field_names(kind), hints_of(kind)
    given: dict[str, Any] = {}
    for key, path, hint in typed_keys(kind):
        if key is None and get_origin(hint) is Mapping:
            given[path] = {each.name: said[each.name] for each in OPTIONS if said.get(each.name) is not None}
        elif path in names and (key is None or key in said):
            given[path] = _read(hint, said if key is None else said[key])
    for name in names if is_dataclass(kind) else ():
        (field,) = (each for each in fields(kind) if each.name == name)
        if name not in given and field.default is MISSING and field.default_factory is MISSING:
            given[name] = _ABSENT[hints[name]]
    return kind(**given)


def _error(said: Mapping[str, Any]) -> AssetctlError:
    kind = error_classes()[said["code"]]
    error = kind(**{name: _read(hint, said[name]) for name, hint in error_hints(kind).items() if name in said})
    error.done = said.get("done")
    error.reference = said.get("reference")
    error.errors = [_error(each) for each in said.get("errors", ())] or None
    return error
