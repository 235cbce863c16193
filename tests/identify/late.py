"""Tables that are made when they are first looked into: there are hundreds, and most tests need few of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, wraps
from typing import Any


class Late(Mapping[str, Any]):
    """What a function returns."""

    def __init__(self, make: Callable[[], Mapping[str, Any]]) -> None:
        self.make = make

    @cached_property
    def made(self) -> Mapping[str, Any]:
        return self.make()

    def __getitem__(self, name: str) -> Any:
        return self.made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.made)

    def __len__(self) -> int:
        return len(self.made)

    def __or__(self, more: Mapping[str, Any]) -> Late:
        return Late(lambda: {**self, **more})

    def __ror__(self, fewer: Mapping[str, Any]) -> Late:
        return Late(lambda: {**fewer, **self})


def late(function: Callable[..., Mapping[str, Any]]) -> Callable[..., Any]:
    """A function whose table is made when it is first looked into."""

    @wraps(function)
    def call(*arguments: object, **options: object) -> Late:
        return Late(lambda: function(*arguments, **options))

    return call
