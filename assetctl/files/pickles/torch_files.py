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
from assetctl.files.pickles.archives import Place, read_archive
from assetctl.files.pickles.flatten import model_of
from assetctl.files.pickles.numpy_files import MAGIC as NUMPY_MAGIC
from assetctl.files.pickles.numpy_files import read_array
from assetctl.files.pickles.restricted import unpickle
from assetctl.files.pickles.verdict import DO_NOT_LOAD, MAX_BYTES, end_of_pickle, refuse_dangerous
from assetctl.files.safetensors import DTYPE_BITS, Header

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path
    from typing import BinaryIO

    from assetctl.files.pickles.restricted import Tensor

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
        StorageError: It can not be opened.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(0)
            built, places = _archive(path, file) if file.peek(4)[:4] == b"PK\x03\x04" else _stream(path, file, size)
    except OSError as error:
        raise StorageError(f"{path} can not be read: {error.strerror}.", "Check its permissions.") from error
    tensors, said = model_of(built)
    _check_storages(path, size, tensors.values(), places)
    return PickledTensors(_header(path, size, tensors, said), tensors, places)


def _archive(path: Path, file: BinaryIO) -> tuple[object, dict[str, Place]]:
    program, places = read_archive(path, file)
    if program is None:
        return None, {}
    end_of_pickle(path, program)
    return unpickle(path, program), places


def _stream(path: Path, file: BinaryIO, size: int) -> tuple[object, dict[str, Place]]:
    data = file.read(MAX_BYTES)
    if data.startswith(NUMPY_MAGIC):
        read_array(path, data)
        return None, {}
    first = _end(path, data, 0)
    refuse_dangerous(path, data[:first])
    if unpickle(path, data[:first]) != _TORCH_NUMBER:
        refuse_dangerous(path, data)  # what follows is loaded by nobody, and should not be there
        return unpickle(path, data), {}
    ends = [first]
    for _ in range(4):
        ends.append(_end(path, data, ends[-1]))
    refuse_dangerous(path, data[: ends[-1]])
    built, keys = unpickle(path, data[ends[2] : ends[3]]), unpickle(path, data[ends[3] : ends[4]])
    return built, _legacy_places(path, file, built, keys, ends[-1], size)


def _end(path: Path, data: bytes, start: int) -> int:
    """Where a pickle ends; of one that is broken, what it names counts first, for names are what runs code."""
    try:
        return end_of_pickle(path, data, start)
    except CorruptFileError:
        refuse_dangerous(path, data[start:])
        raise


def _legacy_places(path: Path, file: BinaryIO, built: object, keys: object, start: int, size: int) -> dict[str, Place]:
    """Places of an older stream's storages: each is the number of its elements, in 8 bytes, and then those."""
    widths = {tensor.storage.key: _width(tensor.storage.dtype) for tensor in model_of(built)[0].values()}
    places = {}
    for key in keys if isinstance(keys, list) else ():
        file.seek(start)
        count = int.from_bytes(file.read(8), "little")
        if not isinstance(key, str) or key not in widths:
            break  # a storage that no tensor of the model uses: how wide its elements are is not known
        places[key] = Place(start + 8, count * widths[key])
        start += 8 + count * widths[key]
        if start > size:
            raise _cut_short(path)
    return places


def _check_storages(path: Path, size: int, tensors: Iterable[Tensor], places: Mapping[str, Place]) -> None:
    """See that what tensors are views of is in the file, whole, and that they do not multiply it.

    Raises:
        CorruptFileError: Otherwise.
    """
    total = 0
    for tensor in tensors:
        place = places.get(tensor.storage.key)
        if place is None or place.length < tensor.storage.elements * _width(tensor.storage.dtype):
            raise _cut_short(path)
        if place.plain and place.start + place.length > size:
            raise _cut_short(path)
        total += prod(tensor.shape) * _width(tensor.dtype)
    stored = sum(place.length for place in places.values())
    if total > _MOST_SHARED * stored:
        raise CorruptFileError(f"{path} holds tensors that are made to exhaust memory.", DO_NOT_LOAD)


def _header(path: Path, size: int, tensors: Mapping[str, Tensor], said: Mapping[str, str]) -> Header:
    ends = list(accumulate(prod(tensor.shape) * _width(tensor.dtype) for tensor in tensors.values()))
    table = {
        name: {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [start, end]}
        for (name, tensor), start, end in zip(tensors.items(), [0, *ends], ends, strict=False)
    }
    return Header(path, size, 0, table, said, format="pickle")


def _width(dtype: str) -> int:
    return DTYPE_BITS[dtype] // 8


def _cut_short(path: Path) -> CorruptFileError:
    return CorruptFileError(f"{path} is cut short: tensors are missing.", "The download was stopped: fetch it again.")
