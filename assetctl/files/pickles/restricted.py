"""Running a pickle against stand-ins: it may build lists, dictionaries and tensors' descriptions, and nothing else."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from assetctl.errors import CorruptFileError, RefusedFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Dtypes by the names of PyTorch's typed storages, and by PyTorch's own words.
_STORAGES = {
    "FloatStorage": "F32", "HalfStorage": "F16", "BFloat16Storage": "BF16", "DoubleStorage": "F64",
    "LongStorage": "I64", "IntStorage": "I32", "ShortStorage": "I16", "CharStorage": "I8", "ByteStorage": "U8",
    "BoolStorage": "BOOL", "ComplexFloatStorage": "C64", "UntypedStorage": "U8",
}  # fmt: skip
_DTYPES = {
    "float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64", "int64": "I64", "int32": "I32",
    "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL", "complex64": "C64", "uint16": "U16", "uint32": "U32",
    "uint64": "U64", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
}  # fmt: skip

#: What training scripts leave in a checkpoint beside its tensors. Each becomes an object that does nothing.
_INERT = frozenset({
    "builtins.set", "builtins.frozenset", "builtins.object", "builtins.bytearray", "builtins.complex",
    "__builtin__.set", "__builtin__.frozenset", "__builtin__.object", "__builtin__.bytearray",
    "copy_reg._reconstructor", "copyreg._reconstructor", "collections.defaultdict", "collections.Counter",
    "torch.Tensor", "torch.Size", "torch.device", "torch.nn.parameter.Parameter",
    "torch.nn.modules.container.ParameterDict", "torch.nn.modules.container.ParameterList",
    "torch.serialization._get_layout", "torch._utils._rebuild_device_tensor_from_numpy",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "pytorch_lightning.callbacks.ModelCheckpoint",
    "lightning_fabric.utilities.data.AttributeDict", "pytorch_lightning.utilities.parsing.AttributeDict",
    "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "argparse.Namespace",
})  # fmt: skip

_HINT = "Get the safetensors version. If you trust the file, load it with the program that made it and save it anew."


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the bytes of tensors lie: the key of a storage in its file, its dtype and how many elements it has."""

    key: str
    dtype: str
    elements: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's description: a view of a storage, in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    """An object of a class that was never looked up; it remembers what it was built of, and does nothing."""

    def __init__(self, *parts: object, **_named: object) -> None:
        self.parts = parts
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def append(self, _item: object) -> None:
        """Forget an item of what pretends to be a list."""

    def extend(self, _items: object) -> None:
        """Forget items."""

    add = append

    def __setitem__(self, _key: object, _value: object) -> None:
        """Forget an item of what pretends to be a dictionary."""

    def __call__(self, *parts: object, **_named: object) -> Inert:
        """Make another such object."""
        return Inert(*parts)


class _MalformedError(Exception):
    """A pickle's program makes no sense."""


@dataclass(frozen=True, slots=True)
class _Function:
    """A function of PyTorch's that is known to us; frozen, for a pickle may try to change what it finds."""

    call: Callable[..., Any]

    def __call__(self, *arguments: object) -> object:
        return self.call(*arguments)


@dataclass(frozen=True, slots=True)
class _Dtype:
    """A dtype, named by itself or by a typed storage."""

    name: str


def unpickle(path: Path, data: bytes) -> Any:  # noqa: ANN401 - whatever the pickle builds
    """What the pickle at the start of `data` builds, with `Tensor` for tensors and `Inert` for other objects.

    Raises:
        RefusedFileError: It names something that is not known to be harmless; nothing was called.
        CorruptFileError: Its program makes no sense.
    """
    try:
        return _Unpickler(path, data).load()
    except RefusedFileError:
        raise
    except (pickle.UnpicklingError, _MalformedError) as error:
        raise _corrupt(path) from error
    except (AttributeError, EOFError, ImportError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        # The standard library's reader raises any of these on a program that applies an opcode to the wrong thing.
        raise _corrupt(path) from error
    except (MemoryError, RecursionError) as error:
        raise _corrupt(path) from error


def _corrupt(path: Path) -> CorruptFileError:
    return CorruptFileError(f"{path} is a pickle that can not be read.", "Fetch it again from its source.")


class _Unpickler(pickle.Unpickler):
    def __init__(self, path: Path, data: bytes) -> None:
        super().__init__(io.BytesIO(data))
        self._path = path

    def find_class(self, module: str, name: str) -> object:
        """A stand-in for a name; nothing is imported, ever."""
        full = f"{module}.{name}"
        if full in _KNOWN:
            return _KNOWN[full]
        dtype = _dtype(module, name)
        if dtype is not None:
            return _Dtype(dtype)
        if full == "collections.OrderedDict":
            return type("OrderedDict", (dict,), {"__setstate__": lambda _self, _state: None})
        if full in _INERT:
            return type(name, (Inert,), {})  # a new one each time: a pickle can spoil no other's
        raise RefusedFileError(
            f"{self._path} is a pickle that calls {full[:200]!r}, which is not known to be harmless.", _HINT
        )

    def persistent_load(self, pid: object) -> Storage:
        """A storage, of which PyTorch writes `("storage", type, key, device, elements)`."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise _MalformedError
        kind, key, elements = pid[1], pid[2], pid[4]
        if not isinstance(kind, _Dtype) or not isinstance(key, str) or not _is_count(elements):
            raise _MalformedError
        return Storage(key, kind.name, elements)


def _dtype(module: str, name: str) -> str | None:
    if module == "torch":
        return _STORAGES.get(name) or _DTYPES.get(name)
    return _STORAGES.get(name) if module in ("torch.storage", "torch.cuda") else None


def _tensor(storage: object, offset: object, shape: object, stride: object, *_rest: object) -> Tensor:
    if not isinstance(storage, Storage):
        raise _MalformedError
    return _view(storage, storage.dtype, storage.elements, offset, shape, stride)


def _tensor_of_dtype(
    storage: object, offset: object, shape: object, stride: object, _grad: object, _hooks: object, dtype: object,
    *_rest: object,
) -> Tensor:  # fmt: skip
    """A view of an untyped storage, whose size is in bytes."""
    from assetctl.files.safetensors import DTYPE_BITS  # noqa: PLC0415 - that module reads us on a pickle

    if not isinstance(storage, Storage) or not isinstance(dtype, _Dtype):
        raise _MalformedError
    return _view(storage, dtype.name, storage.elements * 8 // DTYPE_BITS[dtype.name], offset, shape, stride)


def _view(storage: Storage, dtype: str, elements: int, offset: object, shape: object, stride: object) -> Tensor:
    """A tensor that lies inside its storage."""
    if not isinstance(shape, tuple) or not isinstance(stride, tuple) or len(shape) != len(stride) or len(shape) > 16:
        raise _MalformedError
    if not all(map(_is_count, (offset, *shape, *stride))):
        raise _MalformedError
    count, last = 1, cast("int", offset)
    for length, step in zip(shape, stride, strict=True):
        count *= length
        last += (length - 1) * step
    if count and last >= elements:
        raise _MalformedError
    return Tensor(storage, dtype, cast("int", offset), shape, stride)


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**48


def _encoded(*arguments: object) -> object:
    """Python 2 and 3 share bytes through `_codecs.encode`."""
    if len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] == "latin1":
        return arguments[0].encode("latin1")
    raise _MalformedError


_KNOWN: dict[str, _Function] = {
    "torch._utils._rebuild_tensor": _Function(_tensor),
    "torch._utils._rebuild_tensor_v2": _Function(_tensor),
    "torch._utils._rebuild_tensor_v3": _Function(_tensor_of_dtype),
    "torch._utils._rebuild_parameter": _Function(lambda data, *_rest: data),
    "torch._utils._rebuild_parameter_with_state": _Function(lambda data, *_rest: data),
    "_codecs.encode": _Function(_encoded),
}
