"""The types of what documents are made of, as their classes say; read for a schema or a value alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
import types
import typing
from collections.abc import Collection
from functools import cache
from typing import Any

from assetctl.errors import AssetctlError
from assetctl.run import Event
from assetctl.wire.documents import event_name, keys_of, parameters

if typing.TYPE_CHECKING:
    from collections.abc import Iterator


class Names(dict[str, Any]):
    """The names of a module, those too that it imports for type checkers alone; loaded when they are asked for."""

    def __init__(self, module: str) -> None:
        super().__init__(vars(importlib.import_module(module)))
        self._elsewhere = _imported(module)

    def __missing__(self, name: str) -> object:
        """Load a name that the module imports for type checkers."""
        place, called = self._elsewhere[name]
        found = getattr(importlib.import_module(place), called)
        self[name] = found = meant(found, Names(place)) if isinstance(found, str) else found  # an alias may be a text
        return found


@cache
def _imported(module: str) -> dict[str, tuple[str, str]]:
    """What a module imports: each name, the module it is from, and its name there."""
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return {each.asname or each.name: (str(node.module), each.name) for node in froms for each in node.names}


def meant(said: Any, names: dict[str, Any]) -> Any:  # noqa: ANN401 - types are of no type
    """The type that an annotation means."""
    text = getattr(said, "__forward_arg__", said)  # a named tuple has its own way to keep them
    return eval(text, {}, names) if isinstance(text, str) else text  # noqa: S307 - our own source


def hints_of(kind: type) -> dict[str, Any]:
    """The types of a class's fields and properties."""
    found: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if each.__module__ != "builtins":
            names = Names(each.__module__)
            said = dict(inspect.get_annotations(each))
            said |= {
                name: value.fget.__annotations__["return"]
                for name, value in vars(each).items()
                if isinstance(value, property) and value.fget is not None
            }
            found |= {name: meant(text, names) for name, text in said.items() if not str(text).startswith("ClassVar")}
    return found


def typed_keys(kind: type) -> Iterator[tuple[str | None, str, Any]]:
    """Keys of a class's documents, where their values are, and their types; see `keys_of`."""
    for key, path in keys_of(kind):
        yield key, path, _along(kind, path)


def _along(kind: Any, path: str) -> Any:  # noqa: ANN401 - types are of no type
    name, _, rest = path.partition(".")
    held = hints_of(kind)[name]
    if not rest:
        return held
    members = [each for each in members_of(held) if each is not type(None)]
    (inner,) = members
    if is_list(inner):
        return types.GenericAlias(list, (_along(typing.get_args(inner)[0], rest),))
    return _along(inner, rest) | None if len(members) < len(members_of(held)) else _along(inner, rest)


def members_of(said: Any) -> tuple[Any, ...]:  # noqa: ANN401 - types are of no type
    """The types that a union has, or the one."""
    return typing.get_args(said) if typing.get_origin(said) in (typing.Union, types.UnionType) else (said,)


def is_list(said: Any) -> bool:  # noqa: ANN401 - types are of no type
    """Whether a type is of many of one kind: a list, a set, a tuple of any length."""
    origin, parts = typing.get_origin(said), typing.get_args(said)
    if origin is tuple:
        return len(parts) == 2 and parts[1] is Ellipsis
    return isinstance(origin, type) and issubclass(origin, Collection) and len(parts) == 1


def event_classes(base: type[Event] = Event) -> dict[str, type[Event]]:
    """Every class of events, by the name that documents have for it."""
    found: dict[str, type[Event]] = {}
    for kind in base.__subclasses__():  # where `dataclass` made a class anew, the new one comes later
        found |= {str(event_name(kind)): kind} | event_classes(kind)
    return found


def error_kinds(base: type[AssetctlError] = AssetctlError) -> list[type[AssetctlError]]:
    """Every class of errors that is raised, those first that others are kinds of."""
    return [found for kind in base.__subclasses__() for found in (kind, *error_kinds(kind))]


def error_classes() -> dict[str, type[AssetctlError]]:
    """Errors by their codes; of several with one code, that which the others are kinds of."""
    found: dict[str, type[AssetctlError]] = {}
    for kind in error_kinds():
        found.setdefault(kind.code, kind)
    return found


def error_hints(kind: type[AssetctlError]) -> dict[str, Any]:
    """The types of what errors of a class are made of."""
    made = kind.__init__
    names = Names(made.__module__)
    return {name: meant(made.__annotations__[name], names) for name in parameters(kind)}
