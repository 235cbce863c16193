"""Reading tables of TOML with care: every complaint names the file, the line and the key."""

from __future__ import annotations

import difflib
import math
import re
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from assetctl.errors import NotFoundError, StorageError, UsageError
from assetctl.settings import read_toml
from assetctl.text import hidden_in

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

T = TypeVar("T")

_CALLED = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}

#: How TOML writes such a thing.
_LIKE = {str: '"text"', int: "20", float: "0.8", bool: "true", list: '["one", "two"]', dict: "{}"}

#: Whole numbers as TOML has them.
_SMALLEST, _GREATEST = -(2**63), 2**63 - 1

#: Limits in characters: on a name or label, on what is prose, on what a complaint repeats of one, and on a key whose
#: line is looked for, which takes time with its length.
LONGEST_LABEL, LONGEST_PROSE, _LONGEST_SHOWN, _LONGEST_SOUGHT = 4_000, 1_000_000, 80, 500


def shown_key(text: str) -> str:
    """As much of a text from outside as a complaint should repeat."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


class Document:
    """A parsed file that remembers where each key stands."""

    def __init__(self, path: Path, missing: str, mend: str | None = None) -> None:
        self.path, self._mend = path, mend
        try:
            self.tables, text = read_toml(path, "Mend that line.")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"There is no {path}.", missing) from error
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
        self._lines = text.split("\n")

    def fail(self, where: tuple[str, ...], problem: str, hint: str) -> NoReturn:
        """Complain of a key.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.place(where)} {problem}.", hint)

    def place(self, where: tuple[str, ...]) -> str:
        """The file, line and name of a key, as a complaint begins with them."""
        line, key = self._line(where), ".".join(map(shown_key, where))
        return f"{self.path}, line {line}: {key}" if line else f"{self.path}: {key}"

    def table(self, where: tuple[str, ...], of: Mapping[str, Any], known: tuple[str, ...]) -> None:
        """See that a table has no keys but `known` ones."""
        for key in of:
            if key not in known:
                near = difflib.get_close_matches(key[:100], known, n=1)
                meant = f"Did you mean {near[0]}? " if near else ""
                self.fail((*where, key), "is not a known key", f"{meant}Keys are: {', '.join(known)}.")

    def get(self, where: tuple[str, ...], of: Mapping[str, Any], kind: type[T], default: T) -> T:
        """The value of the last part of `where` in the table `of`, of the right type."""
        value = of.get(where[-1], default)
        if type(value) is int and not _SMALLEST <= value <= _GREATEST:
            self.fail(where, "is too large a number", self._mend or "Write a smaller one.")
        if kind is float and type(value) is int:
            value = float(value)
        if value is not default and type(value) is not kind:
            self.fail(
                where, f"is not {_CALLED[kind]}", self._mend or f"Write, for example: {where[-1]} = {_LIKE[kind]}"
            )
        if isinstance(value, float) and not math.isfinite(value):
            self.fail(where, "is not a finite number", self._mend or f"Write, for example: {where[-1]} = 0.8")
        return value

    def text(self, where: tuple[str, ...], of: Mapping[str, Any], *, prose: bool = False) -> str:
        """A text in which all is to be seen, "" where there is none; `prose` may have lines."""
        value = self.get(where, of, str, "")
        if len(value) > (LONGEST_PROSE if prose else LONGEST_LABEL):
            self.fail(where, f"is {len(value):,} characters long", "Make it shorter.")
        self.see(where, value, prose=prose)
        return value

    def see(self, where: tuple[str, ...], value: str, *, prose: bool = False) -> None:
        """Complain of a text that holds what nobody sees."""
        hidden = hidden_in(value, prose=prose)
        if hidden is not None:
            self.fail(where, f"holds {hidden}, an invisible character", "Write it again, without that character.")

    def words(self, where: tuple[str, ...], of: Mapping[str, Any]) -> tuple[str, ...]:
        """A list of texts."""
        values: list[Any] = self.get(where, of, list, [])
        for value in values:
            if isinstance(value, str):
                self.see(where, value)
        if not all(isinstance(value, str) and value.strip() for value in values):
            self.fail(where, "is not a list of texts", 'Write ["one", "two"].')
        return tuple(values)

    def _line(self, where: tuple[str, ...]) -> int | None:
        """Where a key stands: behind the header of its table or in it, or before all headers."""
        if any(len(name) > _LONGEST_SOUGHT for name in where):
            return None
        names = [rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')" for name in where]
        for depth in range(len(where), 0, -1):
            end = r"\s*\]" if depth < len(where) else r"\s*[].]"  # a table that is not known, or one in it
            header = re.compile(r"\s*\[\s*" + r"\s*\.\s*".join(names[:depth]) + end)
            start = next((number for number, line in enumerate(self._lines) if header.match(line)), None)
            if start is not None:
                inside = self._key(names[depth:], start + 1)
                return (start if inside is None else inside) + 1
        own = self._key(names, 0)
        return None if own is None else own + 1

    def _key(self, names: list[str], start: int) -> int | None:
        """The index of the line from `start` on, before the next header, that gives a key a value."""
        key = re.compile(r"\s*" + r"\s*\.\s*".join(names) + r"\s*[.=]")
        for number, line in enumerate(self._lines[start:], start):
            if line.lstrip().startswith("["):
                return None
            if names and key.match(line):
                return number
        return None
