"""NumPy's arrays: no models, but harmless, unless they are made of Python objects, for those are pickled.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError
from assetctl.files.pickles.restricted import unpickle
from assetctl.files.pickles.verdict import end_of_pickle, refuse_dangerous

if TYPE_CHECKING:
    from pathlib import Path

MAGIC = b"\x93NUMPY"
_LONGEST_HEADER = 64 * 2**10


def read_array(path: Path, data: bytes) -> None:
    """See that an array can be read, and that its objects, if it has any, do nothing when they are loaded.

    Raises:
        RefusedFileError: They would run code.
        CorruptFileError: It is damaged.
    """
    wide = 4 if data[6:7] in (b"\x02", b"\x03") else 2
    start = 8 + wide
    end = start + int.from_bytes(data[8:start], "little")
    try:
        described = ast.literal_eval(data[start : min(end, _LONGEST_HEADER)].decode("latin1").strip())
        has_objects = "O" in str(described["descr"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError) as error:
        raise CorruptFileError(f"{path} is a damaged NumPy array.", "Fetch it again from its source.") from error
    if has_objects:
        refuse_dangerous(path, data[end:])
        end_of_pickle(path, data, end)
        unpickle(path, data[end:])
