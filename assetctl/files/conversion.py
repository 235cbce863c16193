"""Writing the tensors of a pickle, or of a picture's embedding, as a safetensors file; nothing is run or loaded.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import orjson

from assetctl.errors import CorruptFileError, OtherFormatError, RefusedFileError, UsageError
from assetctl.files.disk import COPY_CHUNK
from assetctl.files.headers import contained
from assetctl.files.safetensors import DTYPE_BITS, read_header

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Read = Callable[[int, int], bytes]
    from collections.abc import Callable
    from pathlib import Path
    from typing import IO, BinaryIO

    from assetctl.files.pickles import PickledTensors
    from assetctl.files.pickles.standins import Tensor
    from assetctl.files.png_embeddings import PictureEmbedding

    Pieces = Callable[[], Iterator[bytes]]
    Tensors = dict[str, tuple[str, tuple[int, ...], Pieces]]
    _Found = tuple[Tensors, object]


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


#: What A1111 calls an embedding's one tensor in a pickle, and what it and kohya call it in a safetensors file.
_A1111_EMBEDDING, _EMBEDDING = "string_to_param.*", "emb_params"

#: What a safetensors file calls its metadata, among its tensors.
_RESERVED = "__metadata__"

_DAMAGED = "Fetch it again from its source."


@dataclass(frozen=True, slots=True)
class Convertible:
    """A file that can be written as safetensors.

    Attributes:
        path: The file.
        state: What told, before it was looked at, whether anybody has written to it since.
        tensors: Name to dtype, shape and what gives its bytes.
        metadata: What the file says of itself.
    """

    path: Path
    state: tuple[int, ...]
    tensors: Tensors
    metadata: dict[str, str]

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(_length(dtype, shape) for dtype, shape, _ in self.tensors.values())


def read_convertible(path: Path) -> Convertible:
    """See what a pickle, or an embedding in a picture, holds.

    Raises:
        UsageError: It is a safetensors file already.
        RefusedFileError: It is nothing that can be converted, or would run code.
        CorruptFileError: It is damaged, or holds no tensors.
        StorageError: It cannot be opened.
    """
    state = _state(path)
    with contained(path):
        tensors, metadata = _found(path)
    found = Convertible(path, state, _renamed(tensors), dict(metadata) if isinstance(metadata, dict) else {})
    if not found.tensors:
        raise RefusedFileError(f"{path} holds no tensors, so it is no model.", "Nothing is to be converted.")
    if _RESERVED in found.tensors:
        raise RefusedFileError(f"{path} calls a tensor {_RESERVED}, which safetensors files have another use for.")
    return found


def _state(path: Path) -> tuple[int, ...]:
    """Which file it is, its size and time of writing; nothing of what is gone."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _found(path: Path) -> _Found:
    try:
        read_header(path)
    except OtherFormatError as other:
        if other.format == "gguf":
            raise
        return _of_picture(path) if other.format == "png" else _of_pickle(path)
    raise UsageError(f"{path} is a safetensors file already.", "Use it as it is.")


def write_tensors(found: Convertible, file: IO[bytes], on_bytes: Callable[[int], None] = lambda _: None) -> None:
    """Write `found` to a new file in safetensors' form; the widest numbers come first, so that all are aligned.

    Args:
        found: What `read_convertible` saw.
        file: Opened, and empty.
        on_bytes: Told of every piece by its length.

    Raises:
        CorruptFileError: The original changed meanwhile.
        OSError: The disk refused.
    """
    ordered = sorted(found.tensors.items(), key=lambda item: (-DTYPE_BITS[item[1][0]], item[0]))
    table: dict[str, object] = {_RESERVED: {"format": "pt"} | found.metadata}
    end = 0
    for name, (dtype, shape, _) in ordered:
        start, end = end, end + _length(dtype, shape)
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    header = orjson.dumps(table)
    header += b" " * (-len(header) % 8)
    file.write(len(header).to_bytes(8, "little") + header)
    for _, (_, _, pieces) in ordered:
        for piece in pieces():
            file.write(piece)
            on_bytes(len(piece))
    if _state(found.path) != found.state:  # its tensors may be of two states
        raise CorruptFileError(f"{found.path} changed while it was read.", "Wait until it is complete; then try again.")


def _of_pickle(path: Path) -> _Found:
    from assetctl.files.pickles import read_pickle  # noqa: PLC0415 - most files need no conversion

    read = read_pickle(path)
    for key, place in read.places.items():
        if not place.plain:
            raise RefusedFileError(
                f"{path} holds compressed tensors ({key}), which PyTorch never writes.", "Get it from its source."
            )
    tensors = {name: (item.dtype, item.shape, _pieces(path, read, item)) for name, item in read.tensors.items()}
    return tensors, read.header.metadata


def _of_picture(path: Path) -> _Found:
    from assetctl.files.png_embeddings import read_png_embedding  # noqa: PLC0415 - as above

    read = read_png_embedding(path)
    tensors: Tensors = {
        name: ("F32", (len(rows), len(rows[0])), _row_pieces(read, name)) for name, rows in read.vectors.items()
    }
    token = read.header.metadata.get("name")
    if token and list(tensors) == [_A1111_EMBEDDING]:
        tensors = {token: tensors[_A1111_EMBEDDING]}  # in a picture this is what A1111 calls it, not the file's name
    return tensors, read.header.metadata


def _renamed(tensors: Tensors) -> Tensors:
    """Tensors as safetensors files call them; none takes the name of another."""
    if _A1111_EMBEDDING not in tensors or _EMBEDDING in tensors:
        return tensors
    return {_EMBEDDING if name == _A1111_EMBEDDING else name: tensor for name, tensor in tensors.items()}


def _row_pieces(read: PictureEmbedding, name: str) -> Pieces:
    return lambda: (struct.pack(f"<{len(row)}f", *row) for row in read.vectors[name])


def _pieces(path: Path, read: PickledTensors, tensor: Tensor) -> Pieces:
    """A tensor's bytes in the order of its indices, whatever order its storage has."""
    width = DTYPE_BITS[tensor.dtype] // 8
    start = read.places[tensor.storage.key].start + tensor.offset * width

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from view_bytes(partial(_read, path, file), start, width, tensor.shape, tensor.stride)

    return pieces


def _read(path: Path, file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    data = file.read(length)
    if len(data) < length:
        raise CorruptFileError(f"{path} became shorter while it was read.", _DAMAGED)
    return data


def _length(dtype: str, shape: tuple[int, ...]) -> int:
    return prod(shape) * DTYPE_BITS[dtype] // 8
