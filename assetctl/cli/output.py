"""Where words go: results to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING

import orjson

from assetctl.addresses import redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assetctl.sources.base import FetchProgress

_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[33m", "hint": "\x1b[36m", "note": "\x1b[2m"}
_PLAIN = "\x1b[0m"

#: What would speak to the terminal, or turn the order of what it shows: all but tabs and line ends.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

#: Wide enough for any table, where no terminal sets a width: what is piped is never cut.
UNLIMITED = 10_000


def safe(text: str, *, lines: bool = False) -> str:
    """The text without characters that a terminal obeys rather than shows.

    Line ends are shown as escapes, for what holds one may go on with `error: `; of whole `lines`, they stay.
    """
    text = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if lines else text.replace("\n", "\\n")


def print_json(document: object) -> None:
    """Print one JSON document; for a person at a terminal, indented."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    text = orjson.dumps(document, option=option).decode()
    sys.stdout.write((_escaped(text) if sys.stdout.isatty() else text) + "\n")
    sys.stdout.flush()


def _escaped(document: str) -> str:
    """A JSON document that says the same, with what a terminal would obey written as JSON's escapes."""
    return document if document.isascii() and "\x7f" not in document else _UNSAFE.sub(_escape, document)


def _escape(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\t\n\r" else f"\\u{ord(found[0]):04x}"


def to_stderr(label: str, text: str) -> None:
    """One line for the person: an error, a warning, a hint or a note."""
    sys.stdout.flush()  # results and remarks in the order they were made
    text = safe(redacted(text))
    prefix = "" if label == "note" else f"{label}: "
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        prefix = f"{_COLOURS[label]}{prefix}{_PLAIN if prefix else ''}"
        text += _PLAIN
    sys.stderr.write(f"{prefix}{text}\n")


class Output:
    """How one command speaks.

    Args:
        json: Print one document, and nothing else, on stdout.
        quiet: Print names alone; keep hints and notes to ourselves.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet

    def result(self, data: object, render: Callable[[], None], names: Iterable[str] = ()) -> None:
        """Give the command's result: as data, as names, or rendered for a person."""
        if self.json:
            print_json({"version": 1, "data": data})
        elif self.quiet:
            for name in names:  # another program gets names as they are
                sys.stdout.write(f"{safe(name) if sys.stdout.isatty() else name}\n")
        else:
            render()

    def line(self, text: str) -> None:
        """One line of a result for a person."""
        sys.stdout.write(safe(text) + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        """Lines of a result for a person."""
        for text in texts:
            self.line(text)

    def labelled(self, label: str, text: str, *, prose: bool = False) -> None:
        """A label and what it is of; further lines of prose stand below its first."""
        for line in text.split("\n") if prose else (text,):
            self.line(f"{label:>14}  {line}")
            label = ""

    def warning(self, text: str) -> None:
        """Something the person should know."""
        to_stderr("warning", text)

    def hint(self, text: str) -> None:
        """What the person could do next."""
        if not (self.quiet or self.json):
            to_stderr("hint", text)

    def note(self, text: str) -> None:
        """What was done."""
        if not (self.quiet or self.json):
            to_stderr("note", text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> None:
        """A table of plain text; `right` names columns that are aligned to the right."""
        from rich import box  # noqa: PLC0415 - 60 ms that only tables pay
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        person = sys.stdout.isatty()
        table = Table(box=box.SIMPLE_HEAD if person else None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, justify="right" if column in right else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(safe(cell)) for cell in row))
        Console(width=None if person else UNLIMITED, highlight=False).print(table)

    @contextlib.contextmanager
    def byte_progress(self) -> Iterator[Callable[[FetchProgress], None]]:
        """A bar of bytes on stderr, for a person at a terminal; the callback takes a `FetchProgress`."""
        if self.quiet or not sys.stderr.isatty():
            yield lambda _: None
            return
        from assetctl.cli.progress import byte_bar  # noqa: PLC0415 - needs Rich

        with byte_bar() as advance:
            yield advance
