"""The bytes of a view of some storage, in the order of its indices; little of it is in memory at a time."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from assetctl.files.disk import COPY_CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    #: Gives so many bytes from a place on.
    Read = Callable[[int, int], bytes]

#: Bytes up to which a view's whole stretch of its storage is kept, rather than read again for every row.
_KEPT = 256 * 2**20


def view_bytes(read: Read, start: int, width: int, shape: Sequence[int], stride: Sequence[int]) -> Iterator[bytes]:
    """The elements of a view, in pieces.

    Args:
        read: Reads the file.
        start: Where the view's first element lies.
        width: Bytes of an element.
        shape: Elements along each dimension.
        stride: Elements from one to the next along each dimension.
    """
    if not prod(shape):
        return
    dimensions = _joined(shape, stride)
    stretch = width * (1 + sum((length - 1) * step for length, step in dimensions))
    if len(dimensions) > 1 and stretch <= _KEPT:
        read, start = _from(read(start, stretch)), 0
    *outer, (count, step) = dimensions or [(1, 1)]
    for place in _places(start, width, outer):
        yield from _row(read, place, width, count, step)


def _from(kept: bytes) -> Read:
    return lambda place, length: kept[place : place + length]


def _joined(shape: Sequence[int], stride: Sequence[int]) -> list[tuple[int, int]]:
    """Lengths and steps of the fewest dimensions that make the same view: those of one element are none."""
    joined: list[tuple[int, int]] = []
    for length, step in zip(shape, stride, strict=True):
        if length == 1:
            continue
        if joined and joined[-1][1] == length * step:
            joined[-1] = (joined[-1][0] * length, step)
        else:
            joined.append((length, step))
    return joined


def _places(start: int, width: int, dimensions: Sequence[tuple[int, int]]) -> Iterator[int]:
    """Where each row begins."""
    if not dimensions:
        yield start
        return
    (length, step), *inner = dimensions
    for index in range(length):
        yield from _places(start + index * step * width, width, inner)


def _row(read: Read, start: int, width: int, count: int, step: int) -> Iterator[bytes]:
    """So many elements, so many apart."""
    most = max(1, COPY_CHUNK // (width * max(1, step)))
    for first in range(0, count, most):
        number = min(most, count - first)
        place = start + first * step * width
        if step == 1:
            yield read(place, number * width)
        elif step == 0:
            yield read(place, width) * number
        else:
            yield _thinned(read(place, ((number - 1) * step + 1) * width), width, number, step)


def _thinned(data: bytes, width: int, number: int, step: int) -> bytes:
    """Every so many-eth element."""
    row = bytearray(number * width)
    for byte in range(width):  # all first bytes, all second ones: as many steps as an element has bytes
        row[byte::width] = data[byte :: step * width]
    return bytes(row)
