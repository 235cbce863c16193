"""GGUF headers: quantised networks, as llama.cpp defined the format and as ComfyUI and Forge load them.

A GGUF file names its tensors as the original did, and lists each shape from the last dimension to the first.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING, NoReturn

from assetctl.errors import CorruptFileError, RefusedFileError, StorageError
from assetctl.files.safetensors import MAX_DIMENSIONS, Header

if TYPE_CHECKING:
    from pathlib import Path

_NEWER = "Get the safetensors version, or a newer assetctl."

#: Limit on a header's bytes. A language model's vocabulary is in it, of ten megabytes at most.
MAX_HEADER = 64 * 2**20

_MOST_TENSORS, _MOST_FIELDS, _DEEPEST = 100_000, 100_000, 4

#: Limit on the items of all lists that are not of one width: the largest vocabularies have half a million words.
_MOST_ITEMS = 2_000_000

#: Values in the list of fields, by number; 8 is a string and 9 a list.
_FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _LIST = 8, 9

#: Types of tensors by number: name, elements of one block, bytes of one block.
_TYPES = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 9: ("Q8_1", 32, 36), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144), 13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66), 17: ("IQ2_XS", 256, 74), 18: ("IQ3_XXS", 256, 98), 19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18), 21: ("IQ3_S", 256, 110), 22: ("IQ2_S", 256, 82), 23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1), 25: ("I16", 1, 2), 26: ("I32", 1, 4), 27: ("I64", 1, 8), 28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56), 30: ("BF16", 1, 2), 34: ("TQ1_0", 256, 54), 35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17), 40: ("NVFP4", 64, 36), 41: ("Q1_0", 128, 18),
}  # fmt: skip

#: Numbers of types up to which one is a newer or a retired one, and beyond which the header is damaged.
_LAST_TYPE = 255

#: Under this name a file tells the shape of a tensor that had more dimensions than GGUF has.
_TRUE_SHAPE = "comfy.gguf.orig_shape."


def read_gguf(path: Path) -> Header:
    """Read and verify the header of a GGUF file, and nothing else of it.

    A quantised tensor's dtype is its type's name, for example `Q4_K`.

    Raises:
        RefusedFileError: It is of a version that is not known, or has a tensor of such a type.
        CorruptFileError: It is damaged or cut short.
        StorageError: It cannot be opened.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            data = file.read(MAX_HEADER)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    try:
        return _Reader(path, data).header(size)
    except (struct.error, UnicodeDecodeError, OverflowError) as error:
        raise _corrupt(path, "its header is cut short or damaged") from error


class _Reader:
    """A place in the header, and what stands there."""

    def __init__(self, path: Path, data: bytes) -> None:
        self._path, self._data, self._at = path, data, 4
        self._items = 0

    def header(self, size: int) -> Header:
        version, tensors, fields = self._take("IQQ")
        if version not in (2, 3):
            raise RefusedFileError(f"{self._path} is a GGUF file of version {version}, and 2 and 3 are known.", _NEWER)
        if tensors > _MOST_TENSORS or fields > _MOST_FIELDS:
            self._fail("its header lists more than any model has")
        said = {self._string(): self._value(self._take("I")[0]) for _ in range(fields)}
        listed = [self._tensor() for _ in range(tensors)]
        alignment = said.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= 2**20:
            self._fail("its tensors are aligned to no number")
        start = -(-self._at // alignment) * alignment
        table = {}
        for name, (dtype, shape, begin, length) in listed:
            if start + begin + length > size:
                self._fail(f"it should hold {start + begin + length} bytes and holds {size}")
            table[name] = {"dtype": dtype, "shape": _shape(said, name, shape), "data_offsets": [begin, begin + length]}
        if len(table) != len(listed):
            self._fail("two of its tensors have one name")
        words = {key: value for key, value in said.items() if isinstance(value, str)}
        return Header(self._path, size, start, table, words, format="gguf")

    def _tensor(self) -> tuple[str, tuple[str, list[int], int, int]]:
        name = self._string()
        (count,) = self._take("I")
        if count > MAX_DIMENSIONS:
            self._fail("a tensor has more dimensions than any model has")
        shape = list(self._take(f"{count}Q"))[::-1]
        number, begin = self._take("IQ")
        if number > _LAST_TYPE:
            self._fail(f"a tensor is of the unknown type {number}")
        if number not in _TYPES:
            raise RefusedFileError(
                f"{self._path} is a GGUF file with tensors of type {number}, which is not known.", _NEWER
            )
        dtype, elements, width = _TYPES[number]
        total = prod(shape)
        if total % elements or total > 2**48:
            self._fail("a tensor's shape does not fit its type")
        return name, (dtype, shape, begin, total // elements * width)

    def _value(self, kind: int, depth: int = 0) -> object:
        """A field's value; of a list, only one of whole numbers that could be a shape."""
        if kind == _STRING:
            return self._string()
        if kind in _FIXED:
            return self._take(_FIXED[kind])[0]
        if kind != _LIST or depth > _DEEPEST:
            self._fail(f"a field is of the unknown type {kind}")
        return self._list(depth)

    def _list(self, depth: int) -> tuple[int, ...] | None:
        inner, count = self._take("IQ")
        if inner in _FIXED:
            if count <= MAX_DIMENSIONS:
                return self._take(f"{count}{_FIXED[inner]}")
            self._skip(count * struct.calcsize(f"<{_FIXED[inner]}"))
            return None
        self._items += count
        if self._items > _MOST_ITEMS:
            self._fail("its lists are longer than any model's")
        for _ in range(count):
            if inner == _STRING:  # of which there are many: they are not looked at
                self._skip(self._take("Q")[0])
            else:
                self._value(inner, depth + 1)
        return None

    def _string(self) -> str:
        (length,) = self._take("Q")
        start = self._at
        self._skip(length)
        return self._data[start : self._at].decode("utf-8")

    def _skip(self, length: int) -> None:
        self._at += length
        if self._at > len(self._data):
            self._fail("its header is cut short")

    def _take(self, layout: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return values

    def _fail(self, why: str) -> NoReturn:
        raise _corrupt(self._path, why)


def _shape(said: dict[str, object], name: str, shape: list[int]) -> list[int]:
    true = said.get(_TRUE_SHAPE + name)
    if isinstance(true, tuple) and all(type(length) is int and length >= 0 for length in true):
        return list(true) if prod(true) == prod(shape) else shape
    return shape


def _corrupt(path: Path, why: str) -> CorruptFileError:
    return CorruptFileError(f"{path} is not a valid GGUF file: {why}.", "Fetch it again from its source.")
