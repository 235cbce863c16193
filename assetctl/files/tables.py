"""Tensor tables seen before: files that one trainer made differ in their metadata and their numbers alone.

A header is `{"__metadata__":{…}` followed by the table of all tensors. Where a file's table is byte for byte one that
was verified a moment ago, for as many bytes of tensors, it need be neither parsed nor verified again: that is most of
the work in a folder of LoRAs.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

#: How many tables are kept, and how long each may be in bytes: together a few megabytes.
MOST, LONGEST = 6, 2**20


class Table(NamedTuple):
    """A verified table: its bytes to the header's end, the bytes of tensors it is for, and what it says."""

    written: bytes
    data_size: int
    tensors: Mapping[str, Any]


class Tables:
    """The last few tables, the latest first."""

    def __init__(self) -> None:
        self._tables: tuple[Table, ...] = ()

    def find(self, raw: bytes, data_size: int) -> tuple[Mapping[str, Any], object] | None:
        """Tensors and metadata of the header `raw`, if its table is known."""
        for table in self._tables:
            if table.data_size == data_size and raw.endswith(table.written):
                before = _metadata_alone(raw[: -len(table.written)])
                if before is not None:
                    return table.tensors, before
        return None

    def keep(
        self, raw: bytes, data_size: int, tensors: dict[str, Any], metadata: Mapping[str, str]
    ) -> Mapping[str, Any]:
        """Remember the table of a verified header; returns its tensors, read-only, as they may be shared."""
        shared = MappingProxyType(tensors)
        first = next(iter(tensors), None)
        start = -1 if first is None else raw.find(b"," + orjson.dumps(first) + b":")
        if start > 0 and len(raw) - start <= LONGEST and _metadata_alone(raw[:start]) == metadata:
            self._tables = (Table(raw[start:], data_size, shared), *self._tables[: MOST - 1])
        return shared


def _metadata_alone(start: bytes) -> object | None:
    """The metadata, if `start` is a header's beginning up to its table, and holds nothing else."""
    try:
        document = orjson.loads(start + b"}")
    except orjson.JSONDecodeError:
        return None
    return document["__metadata__"] if document.keys() == {"__metadata__"} else None
