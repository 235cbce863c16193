"""Reading tables of TOML with care: every complaint names the file, the line and the key."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from assetctl.errors import NotFoundError, StorageError, UsageError

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


class Document:
    """A parsed file that remembers where each key stands."""

    def __init__(self, path: Path, missing: str, mend: str = "Mend it.") -> None:
        self.path, self._mend = path, mend
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"There is no {path}.", missing) from error
        except OSError as error:
            raise StorageError(f"{path} can not be read: {error.strerror}.", "Check its permissions.") from error
        try:
            text = raw.decode("utf-8-sig")
            self.tables = tomllib.loads(text)
        except UnicodeDecodeError as error:
            raise UsageError(f"{path} is not UTF-8.", "Save it as UTF-8.") from error
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{path} is not valid TOML: {error}.", "Mend that line.") from error
        self._lines = text.splitlines()

    def fail(self, where: tuple[str, ...], problem: str, hint: str) -> NoReturn:
        """Complain of a key.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.place(where)} {problem}.", hint)

    def place(self, where: tuple[str, ...]) -> str:
        """The file, line and name of a key, as a complaint begins with them."""
        line = self._line(where)
        return f"{self.path}, line {line}: {'.'.join(where)}" if line else f"{self.path}: {'.'.join(where)}"

    def table(self, where: tuple[str, ...], of: Mapping[str, Any], known: tuple[str, ...]) -> None:
        """See that a table has no keys but `known` ones."""
        for key in of:
            if key not in known:
                self.fail((*where, key), "is nothing that is known here", f"Keys are: {', '.join(known)}.")

    def get(self, where: tuple[str, ...], of: Mapping[str, Any], kind: type[T], default: T) -> T:
        """The value of the last part of `where` in the table `of`, of the right type."""
        value = of.get(where[-1], default)
        if kind is float and type(value) is int:
            value = float(value)
        if value is not default and type(value) is not kind:
            self.fail(where, f"is not {_CALLED[kind]}", self._mend)
        return value

    def words(self, where: tuple[str, ...], of: Mapping[str, Any]) -> tuple[str, ...]:
        """A list of texts."""
        values: list[Any] = self.get(where, of, list, [])
        if not all(isinstance(value, str) and value.strip() and value.isprintable() for value in values):
            self.fail(where, "is not a list of texts", 'Write ["one", "two"].')
        return tuple(values)

    def _line(self, where: tuple[str, ...]) -> int | None:
        """Where a key stands: behind the header of its table or in it, or before all headers."""
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
