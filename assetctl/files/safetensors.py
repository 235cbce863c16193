"""Safetensors headers: read alone, bounded in size, and believed only after every number adds up.

Format: eight bytes little-endian header length, a JSON object that maps tensor names to dtype,
shape and byte range, then the tensors without gaps. `__metadata__` maps strings to strings.
Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import math
import os
import shlex
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, compress
from operator import itemgetter, mul, not_, sub
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

import orjson

from assetctl.errors import CorruptFileError, OtherFormatError, RefusedFileError, StorageError
from assetctl.files.paths import open_regular

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path


#: Names under which the field keeps pickles; the oldest protocols have no magic number.
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")

#: Names under which people keep models; what a file is, its content decides.
MODEL_SUFFIXES = (".safetensors", ".sft", *PICKLE_SUFFIXES, ".gguf")

_PAGE = "Check the link, and that you are logged in where the source wants that; then fetch it again."
_LFS = "Fetch the real file: `git lfs pull`, or `assetctl pull hf://ORG/REPO/FILE`."
_CONVERT = "`assetctl convert {path}` makes a safetensors file of it."


def sniff(start: bytes, size: int) -> str | None:
    """Format of a file by its first bytes: `empty`, `html`, `lfs-pointer`, `pickle`, `gguf`, `json`,
    an image's, an archive's, or `None` where they say nothing."""
    if size == 0:
        return "empty"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<body", b"<script", b"<!--")):
        return "html"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "lfs-pointer"
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    return _by_grammar(start, text)


def _by_grammar(start: bytes, text: bytes) -> str | None:
    if start[0] == 0x80 and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if text.startswith((b"{", b"[")) and start[:1] in (b"{", b"[") and b"\0" not in start[:8]:
        return "json"  # and not a safetensors file: the length that it begins with ends in zeros
    return None


_MAGIC = (
    (b"PK\x03\x04", "pickle"),  # torch.save writes a zip around a pickle
    (b"\x93NUMPY", "pickle"),  # an array of objects holds one
    (b"GGUF", "gguf"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
)

_REASONS = {
    "empty": ("is empty", "The download failed: fetch it again."),
    "html": ("is a web page, not a model", _PAGE),
    "lfs-pointer": ("is a Git LFS pointer, not the file it stands for", _LFS),
    "text": ("is a text, not a model", "If a download left it, it may say what went wrong; else give a model's path."),
    "json": ("is JSON, not a model: perhaps an error message saved under a model's name", _PAGE),
}

#: Model files in other formats, which `identify` reads and nothing loads.
_FOREIGN = {
    "pickle": ("is a pickle, which could run code when it is loaded", _CONVERT),
    "gguf": ("is a GGUF file, which assetctl does not load", "Get the safetensors version."),
    "png": ("is a picture", "`assetctl convert {path}` makes a file of an embedding in it."),
}


def refuse(path: Path, start: bytes, size: int) -> None:
    """Raise if `start`, the first bytes of `path`, belong to something that is known and is no safetensors file.

    Raises:
        OtherFormatError: It is a model file in another format.
        RefusedFileError: Says what the file is instead.
    """
    found = sniff(start, size) or ("pickle" if path.suffix.lower() in PICKLE_SUFFIXES else None)
    found = found or ("text" if _is_text(start) else None)
    if found is not None:
        _raise(path, found)


def _is_text(start: bytes) -> bool:
    """Whether bytes are words that somebody could read: a server's excuse, a README."""
    words = start[:512].decode("utf-8", "ignore")
    return len(words.encode()) > len(start[:512]) - 4 and all(
        letter.isprintable() or letter.isspace() for letter in words
    )


def _raise(path: Path, found: str) -> NoReturn:
    if found in _FOREIGN:
        reason, hint = _FOREIGN[found]
        raise OtherFormatError(f"{path} {reason}.", hint.format(path=shlex.quote(str(path))), found)
    reason, hint = _REASONS.get(
        found, (f"is a {found.upper()} file, not a model", "Unpack it or get the safetensors version.")
    )
    raise RefusedFileError(f"{path} {reason}.", hint)


#: Those that torch computes with, or turns into such.
FLOATS = frozenset({"F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})

#: What the others are, for a person.
NUMBERS = {
    "BOOL": "truth values", "C64": "complex numbers", "F4": "packed numbers", "F6_E2M3": "packed numbers",
    "F6_E3M2": "packed numbers", "F8_E8M0": "scales",
} | {f"{sign}{bits}": "whole numbers" for sign in "IU" for bits in (8, 16, 32, 64)}  # fmt: skip


#: Bytes of headers that are kept, those that were used last: parsed, as shared ones are, they take five times as much.
MOST = 4 * 2**20

#: Bytes at a header's end by which it is looked up: where its last tensors lie tells most tables from each other.
_END = 128


@dataclass
class _Kept:
    """A verified header; its tensors are parsed again once a second file has them, as most tables have but one."""

    raw: bytes
    first: str | None
    metadata: Mapping[str, str]

    @cached_property
    def table(self) -> bytes | None:
        """The bytes of its table up to the header's end, or `None` where metadata do not come first and alone."""
        start = -1 if self.first is None else self.raw.find(b"," + orjson.dumps(self.first) + b":")
        if start > 0 and _metadata_alone(self.raw[:start]) == self.metadata:
            return self.raw[start:]
        return None

    @cached_property
    def tensors(self) -> Mapping[str, Any]:
        """Its tensors, read-only, as they are shared."""
        tensors = orjson.loads(self.raw)
        tensors.pop("__metadata__", None)
        return MappingProxyType(tensors)


class Tables:
    """The tables that were used last."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, bytes], _Kept] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def find(self, raw: bytes, data_size: int) -> tuple[Mapping[str, Any], object] | None:
        """Tensors and metadata of the header `raw`, if its table is known for so many bytes of tensors."""
        key = (data_size, raw[-_END:])
        kept = self._kept.get(key)
        if kept is None or kept.table is None or not raw.endswith(kept.table):
            return None
        metadata = _metadata_alone(raw[: -len(kept.table)])
        if metadata is None:
            return None
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
        return kept.tensors, metadata

    def keep(self, raw: bytes, data_size: int, tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        """Remember the table of a verified header."""
        if len(raw) > MOST // 2:
            return
        key = (data_size, raw[-_END:])
        with self._lock:
            before = self._kept.pop(key, None)
            self._kept[key] = _Kept(raw, next(iter(tensors), None), metadata)
            self._size += len(raw) - (len(before.raw) if before else 0)
            while self._size > MOST:
                _, oldest = self._kept.popitem(last=False)
                self._size -= len(oldest.raw)


#: How a header names its metadata.
_NAMED = b'"__metadata__"'


#: How letters of that name are written that are escaped; text that is no English seldom holds these.
_ESCAPED = (b"\\u005", b"\\u006", b"\\u007")


def _named_once(start: bytes) -> bool:
    """Whether metadata are named at most once in a header's beginning, as far as its bytes tell."""
    return start.count(_NAMED) <= 1 and not any(map(start.__contains__, _ESCAPED))


def _metadata_alone(start: bytes) -> object | None:
    """The metadata, if `start` is a header's beginning up to its table, and holds nothing else, and that once."""
    if not _named_once(start):
        return None
    try:
        document = orjson.loads(start + b"}")
    except orjson.JSONDecodeError:
        return None
    return document["__metadata__"] if document.keys() == {"__metadata__"} else None


#: Limit on the header's length in bytes. The reference library takes 100 MB; no real model comes near this.
MAX_HEADER = 32 * 2**20

#: Bytes that are read at first: the whole header of most LoRAs.
_FIRST = 16 * 2**10

#: Limit on the separators in a header that is longer than this: parsed, it would take twenty times as much memory.
_LONG, _MOST_SEPARATORS = 2 * 2**20, 1_000_000

#: Dimensions of a tensor up to which their product is made without a look at how it grows; no model's has more.
MAX_DIMENSIONS = 16

#: What may stand around JSON.
SPACE = b" \t\n\r"

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

    @cached_property
    def kinds(self) -> frozenset[str]:
        """The kinds of number of all tensors."""
        return frozenset(map(_COLUMNS[0], self.tensors.values()))

    @cached_property
    def has_empty(self) -> bool:
        """Whether a tensor holds nothing."""
        return 0 in chain.from_iterable(map(_COLUMNS[1], self.tensors.values()))

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
        StorageError: It cannot be opened, or is a folder, a pipe or a device.
    """
    try:
        descriptor, status = open_regular(path)
        size = status.st_size
        try:
            start = os.read(descriptor, _FIRST)
            length = int.from_bytes(start[:8], "little")
            if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
                refuse(path, start[:4096], size)
                raise corrupt(path, "its header's length does not fit in the file", truncated=start[8:9] == b"{")
            raw = start[8 : 8 + length]
            while len(raw) < length and (more := os.read(descriptor, length - len(raw))):
                raw += more
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if raw.lstrip(SPACE)[:1] != b"{":
        refuse(path, length.to_bytes(8, "little") + raw[:4088], size)
        raise corrupt(path, "its header is not JSON")
    try:
        tensors, metadata, shared = _parse(raw, size - 8 - length)
    except _MalformedError as error:
        raise corrupt(path, str(error), truncated=isinstance(error, _CutShortError)) from error
    return Header(path, size, 8 + length, tensors, metadata, shared=shared)


def corrupt(path: Path, why: str, *, truncated: bool = False) -> CorruptFileError:
    """The error of a file whose header, or what it says of the rest, is wrong."""
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
    metadata = _verified_metadata(tensors.pop("__metadata__", None))
    if not _is_usual(raw, tensors) or not _verified(tensors, data_size):
        tensors = _read_odd(raw)
        _verify(tensors, data_size)
        return tensors, metadata, False
    _tables.keep(raw, data_size, tensors, metadata)
    return tensors, metadata, False


def _verified(tensors: dict[str, Any], data_size: int) -> bool:
    """Whether a table is as usual, and adds up.

    Raises:
        _MalformedError: It does not.
    """
    try:
        _verify(tensors, data_size)
    except _MalformedError as error:
        if isinstance(error.__cause__, TypeError):  # something is of another type, which may be odd and right
            return False
        raise
    return True


def _is_usual(raw: bytes, tensors: dict[str, Any]) -> bool:
    """Whether each tensor has its three fields and nothing else is in the table, told by its quotation marks: two for
    each name and dtype. It says no where names hold any themselves, and where metadata do not stand first.
    """
    first = next(iter(tensors), None)
    if first is None:
        return _named_once(raw)
    start = max(0, raw.find(orjson.dumps(first) + b":"))
    if raw.count(b'"', start) != 10 * len(tensors) or not _named_once(raw[:start]):
        return False
    return raw.find(b"-", start) < 0 or raw.find(b"-0", start) < 0  # which is no whole number there


def _read_odd(raw: bytes) -> dict[str, Any]:
    from assetctl.files.odd_headers import OddHeaderError, read_odd_header  # noqa: PLC0415 - hardly any is written so

    try:
        tensors, entries = read_odd_header(raw)
    except (OddHeaderError, ValueError, RecursionError) as error:
        raise _MalformedError(str(error)) from error
    _columns(entries)
    return tensors


def separators(json: bytes) -> int:
    """As many as a JSON document has values, or more: what it is parsed to takes some hundred bytes of each."""
    return sum(map(json.count, (b",", b"[", b"{")))


def _verified_metadata(metadata: object) -> Mapping[str, str]:
    if metadata is None:  # as the reference library takes it
        return {}
    if not isinstance(metadata, dict) or not set(map(type, metadata.values())) <= {str}:
        raise _MalformedError("its metadata are not all strings")
    return metadata


def _verify(tensors: dict[str, Any], data_size: int) -> None:
    """Check a parsed table by whole columns, for it has thousands of rows.

    Raises:
        _MalformedError: With what is wrong.
    """
    begins, ends, fits = _columns(tensors.values())
    if not _tiles(begins, ends):
        raise _MalformedError("its tensors overlap or leave gaps")
    if max(ends) != data_size:
        why = _CutShortError if max(ends) > data_size else _MalformedError
        raise why(f"it should hold {max(ends)} bytes of tensors and holds {data_size}")
    if not fits:
        raise _MalformedError("a tensor's shape does not fit its byte range")


def _columns(entries: Collection[dict[str, Any]]) -> tuple[Sequence[int], Sequence[int], bool]:
    """First byte and end of every tensor, and whether as many bytes as its shape and dtype want lie between."""
    if not entries:
        return (0,), (0,), True
    try:
        dtypes, shapes, offsets = (list(map(column, entries)) for column in _COLUMNS)
        begins, ends = zip(*offsets, strict=True)
        element_sizes = list(map(_DTYPE_SIZES.__getitem__, dtypes))
        if not _whole(shapes, offsets):
            raise _MalformedError("a shape or byte range is not a whole number")
        if max(map(len, shapes)) > MAX_DIMENSIONS:
            _bounded(shapes)
        sizes = list(map(mul, map(math.prod, shapes), element_sizes))
        if 0 in sizes:
            _bounded(compress(shapes, map(not_, sizes)))
        return begins, ends, sizes == list(map(sub, ends, begins))
    except (KeyError, TypeError, ValueError) as error:
        raise _MalformedError("a tensor lacks a known dtype, a shape or a byte range") from error
    except OverflowError as error:
        raise _MalformedError("a tensor's shape does not fit its byte range") from error


def _bounded(shapes: Iterable[Sequence[int]]) -> None:
    """Hold products of lengths to 64 bits at each step, be it that a later length is 0, as the reference library does.

    Raises:
        OverflowError: One goes beyond.
    """
    if any(product >= 2**64 for shape in shapes for product in accumulate(shape, mul)):
        raise OverflowError


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
