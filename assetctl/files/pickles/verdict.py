"""What a pickle would run, and how much work reading it may make."""

from __future__ import annotations

import io
import logging
import pickletools
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, RefusedFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    Name = tuple[str, str]


#: Limits on a file: bytes of one pickle in it, and steps to read all of them, twice each. The largest real checkpoints
#: have a hundred thousand opcodes; a step takes a microsecond, and what it leaves behind some hundred bytes.
MAX_BYTES = 16 * 2**20
MAX_STEPS = 1_000_000

DO_NOT_LOAD = "Do not load it with any program. Get a safetensors version from a source that you trust."
_FETCH_AGAIN = "Fetch it again from its source."


class Budget:
    """The steps that are left for one file; and what is said of it where it is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = MAX_STEPS

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            CorruptFileError: There are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise self.exhausting()

    def exhausting(self) -> CorruptFileError:
        """The error for a file that asks for too much."""
        return CorruptFileError(f"{self.path} holds a pickle that is made to exhaust memory or time.", DO_NOT_LOAD)

    def corrupt(self, why: str) -> CorruptFileError:
        """The error for a file that is damaged: it `why`, for example "is cut short"."""
        return CorruptFileError(f"{self.path} {why}.", _FETCH_AGAIN)

    def refused(self, why: str, hint: str = DO_NOT_LOAD) -> RefusedFileError:
        """The error for a file that is never loaded."""
        return RefusedFileError(f"{self.path} {why}.", hint)


#: Steps that it costs to begin with a pickle, however short it is.
_TO_BEGIN = 16

#: Characters of a module's or function's name; the longest real ones have a hundred.
LONGEST_NAME = 1000

_PUT, _GET = frozenset({"PUT", "BINPUT", "LONG_BINPUT"}), frozenset({"GET", "BINGET", "LONG_BINGET"})
_STRINGS = frozenset({
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
})  # fmt: skip
_FROM_MODULE = frozenset({"GLOBAL", "INST"})

#: What picklescan calls a name that cannot be told.
_HIDDEN = "unknown"

#: What the reader of opcodes raises where there are none.
_MALFORMED = (ValueError, IndexError, OverflowError)


def refuse_dangerous(budget: Budget, data: bytes, start: int = 0, most: int = MAX_STEPS) -> list[int]:
    """Refuse bytes that hold pickles, or part of one, that name something known to do harm.

    Args:
        budget: Of the file.
        data: What may hold pickles, one behind the other.
        start: Where the first begins.
        most: How many are looked at.

    Returns:
        Where each of the whole ones ends.

    Raises:
        RefusedFileError: Says what it would have called.
        CorruptFileError: It is made to exhaust memory or time.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    ends: list[int] = []
    names: set[Name] = set()
    while len(ends) < most and stream.tell() < len(data):
        try:
            _Lister(budget, names).read(stream)
        except _MALFORMED:
            break
        ends.append(stream.tell())
    called = _dangerous(names)
    if called:
        some = ", ".join(called[:3]) + (", …" if len(called) > 3 else "")
        raise budget.refused(f"would run code when it is loaded: it calls {some}")
    return ends


def begins_program(budget: Budget, data: bytes) -> bool:
    """Whether bytes that should be something else begin with a whole pickle, or with one that names something.

    Raises:
        CorruptFileError: It is made to exhaust memory or time.
    """
    names: set[Name] = set()
    try:
        _Lister(budget, names).read(io.BytesIO(data))
    except _MALFORMED:
        return bool(names)
    return True


class _Lister:
    """Lists the names in one pickle, without following what its program does to its stack.

    A name is a string that stands in the program, or was remembered where it stood there, just before it is used.
    Whatever else it is made of only hides it: it counts as unknown, which is dangerous.
    """

    def __init__(self, budget: Budget, names: set[Name]) -> None:
        self._budget = budget
        self._names = names
        self._remembered: dict[int, str | None] = {}
        self._before: str | None = None  # what was pushed last, if it is a string,
        self._before_that: str | None = None  # and what was pushed before that

    def read(self, stream: io.BytesIO) -> None:
        """Read up to the end of a pickle."""
        self._budget.spend(_TO_BEGIN)
        operations: Iterator[tuple[pickletools.OpcodeInfo, Any, int | None]] = pickletools.genops(stream)
        for opcode, argument, _ in operations:
            self._budget.spend()
            name = opcode.name
            if name in _PUT or name == "MEMOIZE":
                self._remember(len(self._remembered) if name == "MEMOIZE" else argument)
                continue
            if name == "FRAME":  # which may begin anywhere, and does nothing
                continue
            if name in _FROM_MODULE:
                self._add(*argument.split(" ", 1))
            elif name == "STACK_GLOBAL":
                self._add(self._before_that, self._before)
            pushed = self._remembered.get(argument) if name in _GET else argument if name in _STRINGS else None
            self._before_that, self._before = self._before, pushed

    def _remember(self, number: int) -> None:
        if not 0 <= number <= MAX_STEPS:  # a table: a number out of the blue would allocate all that comes before it
            raise self._budget.exhausting()
        self._remembered[number] = self._before

    def _add(self, *words: str | None) -> None:
        module, name = (_HIDDEN if word is None or len(word) > LONGEST_NAME else word for word in words)
        if (module, name) not in self._names:
            self._budget.spend(len(module) + len(name))  # they are judged part by part
            self._names.add((module, name))


def _dangerous(names: Iterable[Name]) -> list[str]:
    """Those names that are known to do harm, or could."""
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # noqa: PLC0415 - few files are pickles

    logging.getLogger("picklescan").disabled = True  # what it finds is told once, by us
    program = b"".join(_pushed(module) + _pushed(name) + b"\x93" for module, name in names) + b"."
    found = scan_pickle_bytes(io.BytesIO(program), "names alone").globals
    return sorted(f"{item.module}.{item.name}"[:200] for item in found if item.safety is SafetyLevel.Dangerous)


def _pushed(word: str) -> bytes:
    encoded = word.encode("utf-8", "surrogatepass")
    return b"X" + len(encoded).to_bytes(4, "little") + encoded
