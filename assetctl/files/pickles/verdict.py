"""What a pickle would call, told from its opcodes alone."""

from __future__ import annotations

import io
import logging
import pickletools
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, RefusedFileError

if TYPE_CHECKING:
    from pathlib import Path

#: Limits on one pickle: bytes, opcodes, and how far its memo may be numbered. The largest real checkpoints have a
#: hundred thousand opcodes; a memo is a table, and a number out of the blue would allocate all that comes before it.
MAX_BYTES = 16 * 2**20
MAX_OPCODES = 500_000

_MEMO = ("PUT", "BINPUT", "LONG_BINPUT")
_MALFORMED = (ValueError, IndexError, OverflowError)

DO_NOT_LOAD = "Do not load it with any program. Get a safetensors version from a source that you trust."


def refuse_dangerous(path: Path, data: bytes) -> None:
    """Refuse bytes that hold a pickle, or several, or part of one, that names something known to do harm.

    Raises:
        RefusedFileError: Says what it would have called.
        CorruptFileError: It is made to exhaust memory.
    """
    start = 0
    while start < len(data) and (end := _bounded_end(path, data, start)) is not None:
        start = end
    called = _dangerous(data)
    if called:
        names = ", ".join(called[:3]) + (", …" if len(called) > 3 else "")
        raise RefusedFileError(f"{path} would run code when it is loaded: it calls {names}.", DO_NOT_LOAD)


def end_of_pickle(path: Path, data: bytes, start: int = 0) -> int:
    """Where the pickle that begins at `start` ends.

    Raises:
        CorruptFileError: There is none, it is cut short, or it is made to exhaust memory.
    """
    end = _bounded_end(path, data, start)
    if end is None:
        raise CorruptFileError(f"{path} is not a valid pickle, or is cut short.", "Fetch it again from its source.")
    return end


def _bounded_end(path: Path, data: bytes, start: int) -> int | None:
    stream = io.BytesIO(data)
    stream.seek(start)
    try:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if number > MAX_OPCODES or (opcode.name in _MEMO and not 0 <= (argument or 0) <= MAX_OPCODES):
                raise CorruptFileError(f"{path} holds a pickle that is made to exhaust memory.", DO_NOT_LOAD)
    except _MALFORMED:
        return None
    return stream.tell()


def _dangerous(data: bytes) -> list[str]:
    from picklescan.scanner import SafetyLevel, scan_pickle_bytes  # noqa: PLC0415 - few files are pickles

    logging.getLogger("picklescan").disabled = True  # what it finds is told once, by us
    try:
        found = scan_pickle_bytes(io.BytesIO(data), "a pickle").globals
    except _MALFORMED:  # it can not tell which names a pickle is after
        return ["something whose name it hides"]
    return sorted(f"{item.module}.{item.name}" for item in found if item.safety is SafetyLevel.Dangerous)
