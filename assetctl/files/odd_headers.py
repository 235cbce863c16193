"""Safetensors headers that are not written as usual, read as the reference library reads them: no more, no less.

It takes the last of two tensors of one name, and no field twice; a tensor as a list of its three fields in order; what
stands beside them, as long as nothing is nested beyond its parser's limit. No known writer makes such headers, but two
readers who disagree on one could be shown two different files.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

_FIELDS = ("dtype", "shape", "data_offsets")
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # keeps no way back, which would outgrow the header
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

#: Objects and lists within each other.
_DEEPEST = 127


class OddHeaderError(Exception):
    """What the reference library refuses of a header, in words."""


class _Pairs(list[tuple[str, Any]]):
    """An object as it is written, names that occur twice included."""


def read_odd_header(raw: bytes) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Tensors of a header that is known to be JSON, and the entries of all, those included that a later one replaces.

    Raises:
        OddHeaderError: The reference library would not read it.
    """
    if _depth(raw) > _DEEPEST:
        raise OddHeaderError("its header is nested too deeply")
    written = json.loads(raw, object_pairs_hook=_Pairs, parse_int=_whole, parse_float=float)
    if [name for name, _ in written].count("__metadata__") > 1:
        raise OddHeaderError("it holds metadata twice")
    entries = [(name, _entry(value)) for name, value in written if name != "__metadata__"]
    return dict(entries), [entry for _, entry in entries]


def _depth(raw: bytes) -> int:
    brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
    return max(accumulate(1 if bracket in b"[{" else -1 for bracket in brackets), default=0)


def _whole(digits: str) -> int | float:
    """A number as the parser there takes it: -0 is none of its whole ones, nor is what fits in no 64 bits."""
    return int(digits) if len(digits) <= 20 and digits != "-0" else float(digits)


def _entry(value: object) -> dict[str, Any]:
    """A tensor's three fields, each of which stands in it once."""
    if isinstance(value, _Pairs):
        found = [(name, each) for name, each in value if name in _FIELDS]
    else:
        found = list(zip(_FIELDS, value, strict=False)) if isinstance(value, list) and len(value) == 3 else []
    if sorted(name for name, _ in found) != sorted(_FIELDS):
        raise OddHeaderError("a tensor lacks a dtype, a shape or a byte range, or has one twice")
    return {name: _dtype(each) if name == "dtype" else each for name, each in found}


def _dtype(value: object) -> object:
    """The name of a dtype, which may stand alone or as the only one in an object."""
    return value[0][0] if isinstance(value, _Pairs) and len(value) == 1 and value[0][1] is None else value
