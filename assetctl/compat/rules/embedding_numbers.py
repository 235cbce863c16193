"""Embeddings whose vectors are of no kind of number that a text encoder takes, or hold what is no number."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import StorageError, UnusableError
from assetctl.files.paths import open_regular
from assetctl.files.safetensors import DTYPE_BITS, FLOATS, NUMBERS, corrupt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from assetctl.compat.check import Context
    from assetctl.files.safetensors import Header
    from assetctl.types import Asset, Finding

RULE = Rule(
    "embedding_numbers",
    "The vectors of every embedding are real numbers with fractions, and none is NaN or infinite.",
    {
        "error": "An embedding's vectors are whole or complex numbers, or truth values: it never was one; or some are "
        "NaN or infinite: its training failed, or its file is damaged."
    },
    told_as=UnusableError,
)


def check(context: Context) -> Iterator[Finding]:
    """Look at the kind of number of each tensor, and at the numbers: an embedding has so few that all can be read."""
    for asset in context.embeddings:
        header = context.header(asset)
        kinds = [] if header is None else [entry["dtype"] for entry in header.tensors.values()]
        odd = next((kind for kind in kinds if kind not in FLOATS), None)
        if odd is not None:
            yield _told(asset, f"its vectors are {NUMBERS.get(odd, odd)}")
        elif header is not None and _all_finite(header) is False:
            yield _told(asset, "it is damaged: some of its numbers are NaN or infinite")


def _told(asset: Asset, why: str) -> Finding:
    hint = "Fetch it again from its source, or leave it out."
    return RULE.finding("error", f"The embedding {asset.name} cannot be used: {why}.", hint, asset)


#: Bytes of tensors that are looked at for numbers that are none: a hundred times what most embeddings hold.
_MOST = 8 * 2**20


def _all_finite(header: Header) -> bool | None:
    """Whether every number of a small file is one: neither NaN nor infinite, nor larger than an F32 holds.

    Returns:
        `None` where the file is too large to be looked through, or no safetensors file of numbers with fractions.

    Raises:
        StorageError: It cannot be read.
        CorruptFileError: It became shorter.
    """
    size = header.size - header.data_start
    if header.format != "safetensors" or size > _MOST or not header.kinds <= {*_ODD, "F64"}:
        return None
    try:
        descriptor, _ = open_regular(header.path)
        with os.fdopen(descriptor, "rb") as file:
            file.seek(header.data_start)
            data = file.read(size)
    except OSError as error:
        raise StorageError(
            f"{header.path} cannot be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    if len(data) != size:
        raise corrupt(header.path, "it became shorter while it was read", truncated=True)
    for entry in header.tensors.values():
        start, end = entry["data_offsets"]
        if _is_odd_in(entry["dtype"], data[start:end]):
            return False
    return True


def _is_odd_in(kind: str, data: bytes) -> bool:
    """Whether some number's highest bytes, those of its exponent, are all as no finite number has them."""
    if kind == "F64":
        return not all(-_INFINITE < number < _INFINITE for (number,) in struct.iter_unpack("<d", data))
    width = DTYPE_BITS[kind] // 8
    lanes = [data[place::width].translate(table) for place, table in _ODD[kind]]
    if not all(1 in lane for lane in lanes):
        return False
    both = int.from_bytes(lanes[0], "little")
    for lane in lanes[1:]:
        both &= int.from_bytes(lane, "little")
    return both != 0


def _marked(odd: Collection[int]) -> bytes:
    """A table that turns these bytes into 1, and all others into 0."""
    return bytes(byte in odd for byte in range(256))


#: What an F32, which all are made for a text encoder, takes for infinite.
_INFINITE = 2.0**128 - 2.0**103

_UPPER = _marked(range(0x80, 0x100))
#: By kind, which of a number's bytes to look at, and how they are where it is NaN or infinite.
_ODD = {
    "F16": [(1, _marked([*range(0x7C, 0x80), *range(0xFC, 0x100)]))],
    "BF16": [(1, _marked((0x7F, 0xFF))), (0, _UPPER)],
    "F32": [(3, _marked((0x7F, 0xFF))), (2, _UPPER)],
    "F8_E4M3": [(0, _marked((0x7F, 0xFF)))],
    "F8_E5M2": [(0, _marked([*range(0x7C, 0x80), *range(0xFC, 0x100)]))],
    "F8_E4M3FNUZ": [(0, _marked((0x80,)))],
    "F8_E5M2FNUZ": [(0, _marked((0x80,)))],
}
