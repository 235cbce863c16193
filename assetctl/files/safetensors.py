"""Safetensors headers: read alone, bounded in size, and believed only after every number adds up.

Format: eight bytes little-endian header length, a JSON object that maps tensor names to dtype,
shape and byte range, then the tensors without gaps. `__metadata__` maps strings to strings.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter, mul, sub
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import CorruptFileError, StorageError
from assetctl.files.regular import open_regular
from assetctl.files.sniff import refuse
from assetctl.files.tables import Tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: Limit on the header's length in bytes. The reference library takes 100 MB; no real model comes near this.
MAX_HEADER = 32 * 2**20

#: Bytes that are read at first: the whole header of most LoRAs.
_FIRST = 16 * 2**10

#: Limit on the separators in a header that is longer than this: parsed, it would take twenty times as much memory.
_LONG, _MOST_SEPARATORS = 2 * 2**20, 1_000_000

#: Limit on a tensor's dimensions, so that no product of them grows without bound.
MAX_DIMENSIONS = 16

#: Bits of one element, by dtype. Sub-byte types exist since safetensors 0.6.
DTYPE_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
    "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip

#: Bytes of one element. Halves and quarters of a byte are exact as floats.
_DTYPE_SIZES = {name: bits // 8 if bits % 8 == 0 else bits / 8 for name, bits in DTYPE_BITS.items()}

_COLUMNS = tuple(map(itemgetter, ("dtype", "shape", "data_offsets")))


@dataclass(frozen=True)
class Header:
    """The header of one safetensors file.

    Attributes:
        path: The file.
        size: Its whole size in bytes.
        data_start: Where the tensors begin: eight bytes and the header's length.
        tensors: Tensor name to `{"dtype", "shape", "data_offsets"}`, in the file's order.
        metadata: What the writer said of the file; strings from outside, to be believed last.
        format: `safetensors`, unless other formats were read as if they were: `pickle`, `gguf`, `png`.
        shared: Whether `tensors` is one object with that of other headers: what was seen of it holds for them.
    """

    path: Path
    size: int
    data_start: int
    tensors: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, str]
    format: str = "safetensors"
    shared: bool = False

    @cached_property
    def names(self) -> str:
        """All tensor names, each between newlines: one C-speed search instead of a loop over names."""
        return "\n" + "\n".join(self.tensors) + "\n"

    def has(self, *parts: str) -> bool:
        """Whether some tensor name contains some of `parts`; a newline anchors an end."""
        return any(part in self.names for part in parts)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """Shape of a tensor, or `None` if there is none of that name."""
        entry = self.tensors.get(name)
        return None if entry is None else tuple(entry["shape"])


def read_header(path: Path) -> Header:
    """Read and verify the header of `path`, and nothing else of it.

    Raises:
        RefusedFileError: The file is something else: a pickle, a web page, an LFS pointer, empty.
        CorruptFileError: It is damaged or cut short.
        StorageError: It can not be opened, or is a folder, a pipe or a device.
    """
    try:
        descriptor, status = open_regular(path)
        size = status.st_size
        try:
            start = os.read(descriptor, _FIRST)
            length = int.from_bytes(start[:8], "little")
            if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
                refuse(path, start[:4096], size)
                raise _corrupt(path, "its header's length does not fit in the file", truncated=start[8:9] == b"{")
            raw = start[8 : 8 + length]
            while len(raw) < length and (more := os.read(descriptor, length - len(raw))):
                raw += more
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"{path} can not be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if raw[:1] != b"{":
        refuse(path, length.to_bytes(8, "little") + raw[:4088], size)
        raise _corrupt(path, "its header is not JSON")
    try:
        tensors, metadata, shared = _parse(raw, size - 8 - length)
    except _MalformedError as error:
        raise _corrupt(path, str(error), truncated=isinstance(error, _CutShortError)) from error
    return Header(path, size, 8 + length, tensors, metadata, shared=shared)


def _corrupt(path: Path, why: str, *, truncated: bool = False) -> CorruptFileError:
    hint = "The download was probably cut short: fetch it again." if truncated else "Fetch it again from its source."
    return CorruptFileError(f"{path} is not a valid safetensors file: {why}.", hint)


class _MalformedError(Exception):
    """What is wrong with a parsed header."""


class _CutShortError(_MalformedError):
    """There are fewer bytes than it says."""


_tables = Tables()


def _parse(raw: bytes, data_size: int) -> tuple[Mapping[str, Any], Mapping[str, str], bool]:
    """Tensors and metadata of a header, verified; and whether other headers share the tensors."""
    if len(raw) > _LONG and separators(raw) > _MOST_SEPARATORS:
        raise _MalformedError("its header lists more than any model has")
    known = _tables.find(raw, data_size)
    if known is not None:
        return known[0], _verified_metadata(known[1]), True
    try:
        tensors = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _MalformedError("its header is not JSON") from error
    metadata = _verified_metadata(tensors.pop("__metadata__", {}))
    _verify(tensors, data_size)
    _tables.keep(raw, data_size, tensors, metadata)
    return tensors, metadata, False


def separators(json: bytes) -> int:
    """As many as a JSON document has values, or more: what it is parsed to takes some hundred bytes of each."""
    return sum(map(json.count, (b",", b"[", b"{")))


def _verified_metadata(metadata: object) -> Mapping[str, str]:
    if not isinstance(metadata, dict) or not set(map(type, metadata.values())) <= {str}:
        raise _MalformedError("its metadata are not all strings")
    return metadata


def _verify(tensors: dict[str, Any], data_size: int) -> None:
    """Check a parsed table by whole columns, for it has thousands of rows.

    Raises:
        _MalformedError: With what is wrong.
    """
    begins, ends, fits = _columns(tensors) if tensors else ((0,), (0,), True)
    if not _tiles(begins, ends):
        raise _MalformedError("its tensors overlap or leave gaps")
    if max(ends) != data_size:
        why = _CutShortError if max(ends) > data_size else _MalformedError
        raise why(f"it should hold {max(ends)} bytes of tensors and holds {data_size}")
    if not fits:
        raise _MalformedError("a tensor's shape does not fit its byte range")


def _columns(tensors: dict[str, Any]) -> tuple[Sequence[int], Sequence[int], bool]:
    """First byte and end of every tensor, and whether as many bytes as its shape and dtype want lie between."""
    try:
        dtypes, shapes, offsets = (list(map(column, tensors.values())) for column in _COLUMNS)
        begins, ends = zip(*offsets, strict=True)
        element_sizes = list(map(_DTYPE_SIZES.__getitem__, dtypes))
        if max(map(len, shapes)) > MAX_DIMENSIONS:
            raise _MalformedError("a tensor has more dimensions than any model has")
        if not _whole(shapes, offsets):
            raise _MalformedError("a shape or byte range is not a whole number")
        sizes = list(map(mul, map(math.prod, shapes), element_sizes))
        return begins, ends, sizes == list(map(sub, ends, begins))
    except (KeyError, TypeError, ValueError) as error:
        raise _MalformedError("a tensor lacks a known dtype, a shape or a byte range") from error
    except OverflowError as error:
        raise _MalformedError("a tensor's shape does not fit its byte range") from error


def _whole(*columns: Sequence[Sequence[Any]]) -> bool:
    """Whether rows hold whole numbers from 0 on and nothing else, by their JSON: at C speed, where to look at each
    number's type and sign would take several passes.
    """
    text = orjson.dumps(columns)
    nested = text.count(b"[") != 1 + len(columns) + sum(map(len, columns))
    return not nested and not text.translate(None, b"0123456789,[]")  # no sign, point, word, string or object is left


def _tiles(begins: Sequence[int], ends: Sequence[int]) -> bool:
    """Whether the ranges follow each other from 0 on, in whatever order, without overlap or gap."""
    if begins[0] == 0 and begins[1:] == ends[:-1]:
        return True  # they stand in order, as in most files
    first, last = zip(*sorted(zip(begins, ends, strict=True)), strict=True)
    return bool(first[0] == 0 and first[1:] == last[:-1])
