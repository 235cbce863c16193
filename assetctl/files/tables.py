"""Tensor tables seen before: files that one trainer made differ in their metadata and their numbers alone.

A header is `{"__metadata__":{…}` followed by the table of all tensors. Where a file's table is byte for byte one that
was verified a moment ago, for as many bytes of tensors, it need be neither parsed nor verified again: that is most of
the work in a folder of LoRAs.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def _metadata_alone(start: bytes) -> object | None:
    """The metadata, if `start` is a header's beginning up to its table, and holds nothing else."""
    try:
        document = orjson.loads(start + b"}")
    except orjson.JSONDecodeError:
        return None
    return document["__metadata__"] if document.keys() == {"__metadata__"} else None
