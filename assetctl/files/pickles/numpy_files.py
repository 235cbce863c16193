"""NumPy's arrays: no models, but harmless, unless they are made of Python objects, for those are pickled.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from assetctl.files.pickles.machine import build
from assetctl.files.pickles.verdict import refuse_dangerous

if TYPE_CHECKING:
    from assetctl.files.pickles.budget import Budget

MAGIC = b"\x93NUMPY"

#: Limit on the bytes that describe an array; NumPy has the same.
_LONGEST_HEADER = 10_000


def read_array(budget: Budget, data: bytes) -> None:
    """See that an array can be read, and that its objects, if it has any, do nothing when they are loaded.

    Raises:
        RefusedFileError: They would run code.
        CorruptFileError: It is damaged.
    """
    wide = 4 if data[6:7] in (b"\x02", b"\x03") else 2
    start = 8 + wide
    end = start + int.from_bytes(data[8:start], "little")
    budget.spend(max(1, end - start))  # to read a character takes about a step
    try:
        described = ast.literal_eval(data[start : min(end, start + _LONGEST_HEADER)].decode("latin1").strip())
        has_objects = "O" in str(described["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise budget.corrupt("is a damaged NumPy array") from error
    if has_objects:
        if not refuse_dangerous(budget, data, end):
            raise budget.corrupt("is not a valid pickle, or is cut short")
        build(budget, data, end)
