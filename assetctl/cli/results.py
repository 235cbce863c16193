"""Standard output, which says in a sentence that it takes no more: a full disk behind it, or nothing at all."""

from __future__ import annotations

import io
import os
import sys
from typing import IO

from assetctl.errors import StorageError


class LostOutputError(StorageError):
    """Results can not be written: where they went is full, or closed."""


class EnoughError(Exception):
    """Whoever reads the results has seen enough: `| head`. No `OSError`, of which Click would make a failure."""


class Results(io.TextIOWrapper):
    """A stream of results; what could not be written is told once, and let go."""

    _lost = False

    def write(self, text: str) -> int:
        """Take some text."""
        try:
            return len(text) if self._lost else super().write(text)
        except OSError as error:
            raise self._told(error) from error

    def flush(self) -> None:
        """Send what was taken."""
        try:
            if not self._lost:
                super().flush()
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> EnoughError | LostOutputError:
        """The error as it goes on; what the buffers below hold goes nowhere, so that leaving is quiet."""
        self._lost = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        if isinstance(error, BrokenPipeError):
            return EnoughError()
        reason = error.strerror or "standard output is closed"
        hint = "Send them to a file or a program that takes them, and run the command again."
        return LostOutputError(f"The results can not be written: {reason}.", hint)


def guard_results() -> None:
    """Make this process's standard output one of these; a closed one becomes one that takes nothing."""
    was = sys.stdout
    if was is None:
        nothing: IO[bytes] = open(os.devnull, "rb", buffering=0)  # noqa: PTH123, SIM115 - it takes the place of a stream
        sys.stdout = Results(nothing, encoding="utf-8")
    elif isinstance(was, io.TextIOWrapper):
        encoding, errors, by_line, at_once = was.encoding, was.errors, was.line_buffering, was.write_through
        sys.stdout = Results(was.detach(), encoding, errors, line_buffering=by_line, write_through=at_once)
