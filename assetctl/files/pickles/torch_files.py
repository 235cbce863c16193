"""What `torch.save` and its like write: zip archives, PyTorch's older stream, and bare pickles.

The older stream is five pickles (a magic number, a version, the machine, the object, the storages' keys) and then
the storages themselves, each behind its length. Source: PyTorch's `torch/serialization.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, StorageError
from assetctl.files.pickles.archives import (
    NUMPY_MAGIC,
    Archive,
    Place,
    read_archive,
    read_array,
    refuse_second_readings,
)
from assetctl.files.pickles.machine import build
from assetctl.files.pickles.standins import model_of
from assetctl.files.pickles.verdict import MAX_BYTES, Budget, refuse_dangerous
from assetctl.files.safetensors import DTYPE_BITS, Header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from assetctl.files.pickles.machine import Built
    from assetctl.files.pickles.standins import Tensor

_TORCH_NUMBER = 0x1950A86A20F9469CFC6C

#: All tensors of a file may be this many times as large as the file: some are views of one storage.
_MOST_SHARED = 8


@dataclass(frozen=True, slots=True)
class PickledTensors:
    """A pickle that was read.

    Attributes:
        header: As a safetensors file of the same tensors would have it; its byte ranges are those of such a file.
        tensors: Name to description.
        places: A storage's key to where its bytes are.
    """

    header: Header
    tensors: dict[str, Tensor]
    places: dict[str, Place]


def read_pickle(path: Path) -> PickledTensors:
    """Read the names, dtypes and shapes of a pickle's tensors. Nothing of it is run, and no tensor is read.

    Raises:
        RefusedFileError: It would run code when it is loaded, or is an archive of something else.
        CorruptFileError: It is damaged, cut short or made to exhaust memory.
        StorageError: It cannot be opened.
    """
    budget = Budget(path)
    try:
        with Archive(path.open("rb", buffering=0)) as file:
            size = file.seek(0, 2)
            file.seek(0)
            is_archive = file.peek(4)[:4] == b"PK\x03\x04"
            built, places = _archive(budget, file) if is_archive else _stream(budget, file, size)
    except OSError as error:
        raise StorageError(f"{path} cannot be read: {error.strerror}.", "Check its permissions.") from error
    tensors, said = model_of(budget, built)
    _check_storages(budget, size, tensors.values(), places)
    return PickledTensors(_header(path, size, tensors, said), tensors, places)


def _archive(budget: Budget, file: Archive) -> tuple[object, dict[str, Place]]:
    program, places = read_archive(budget, file)
    return (None if program is None else build(budget, program).root), places


def _stream(budget: Budget, file: Archive, size: int) -> tuple[object, dict[str, Place]]:
    refuse_second_readings(budget, file)
    file.longest = MAX_BYTES
    data = file.read(MAX_BYTES)
    if data.startswith(NUMPY_MAGIC):
        read_array(budget, data)
        return None, {}
    (first,) = _ends(budget, data, 0, 1)
    built = build(budget, data)
    if built.root != _TORCH_NUMBER:
        refuse_dangerous(budget, data, first)  # what follows is loaded by nobody, and should not be there
        return built.root, {}
    _, begin, keys, last = _ends(budget, data, first, 4)
    built = build(budget, data, begin)
    return built.root, _legacy_places(budget, file, built, build(budget, data, keys).root, last, size)


def _ends(budget: Budget, data: bytes, start: int, number: int) -> list[int]:
    """Where each of so many pickles ends; of one that is broken, what it names counts first, for names run code."""
    ends = refuse_dangerous(budget, data, start, number)
    if len(ends) < number:
        raise budget.corrupt("is not a valid pickle, or is cut short")
    return ends


def _legacy_places(
    budget: Budget, file: BinaryIO, built: Built, keys: object, start: int, size: int
) -> dict[str, Place]:
    """Places of an older stream's storages: each is the number of its elements, in 8 bytes, and then those."""
    places: dict[str, Place] = {}
    for key in keys if isinstance(keys, list) else ():
        file.seek(start)
        count = int.from_bytes(file.read(8), "little")
        storage = built.storages.get(key) if isinstance(key, str) else None
        if storage is None or key in places:
            raise budget.corrupt("lists a storage that it does not have")
        length = count * _width(storage.dtype)
        places[key] = Place(start + 8, length)
        start += 8 + length
        if start > size:
            raise _cut_short(budget)
    return places


def _check_storages(budget: Budget, size: int, tensors: Iterable[Tensor], places: Mapping[str, Place]) -> None:
    """See that what tensors are views of is in the file, whole, and that they do not multiply it.

    Raises:
        CorruptFileError: Otherwise.
    """
    total = 0
    for tensor in tensors:
        place = places.get(tensor.storage.key)
        if place is None or place.length < tensor.storage.elements * _width(tensor.storage.dtype):
            raise _cut_short(budget)
        if place.plain and place.start + place.length > size:
            raise _cut_short(budget)
        if _end(tensor) * _width(tensor.dtype) > tensor.storage.elements * _width(tensor.storage.dtype):
            raise budget.corrupt("holds a tensor that reaches beyond what is stored of it")
        total += prod(tensor.shape) * _width(tensor.dtype)
    stored = sum(place.length for place in places.values())
    if total > _MOST_SHARED * stored:
        raise budget.exhausting()


def _end(tensor: Tensor) -> int:
    """How many elements of its storage, from the first on, a tensor needs."""
    if not prod(tensor.shape):
        return 0
    steps = sum((length - 1) * step for length, step in zip(tensor.shape, tensor.stride, strict=True))
    return tensor.offset + steps + 1


def _header(path: Path, size: int, tensors: Mapping[str, Tensor], said: Mapping[str, str]) -> Header:
    ends = list(accumulate(prod(tensor.shape) * _width(tensor.dtype) for tensor in tensors.values()))
    table = {
        name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
        for (name, tensor), start, end in zip(tensors.items(), [0, *ends], ends, strict=False)
    }
    return Header(path, size, 0, table, said, format="pickle")


def _width(dtype: str) -> int:
    return DTYPE_BITS[dtype] // 8


def _cut_short(budget: Budget) -> CorruptFileError:
    hint = "The download was stopped: fetch it again."
    return CorruptFileError(f"{budget.path} is cut short: tensors are missing.", hint)
