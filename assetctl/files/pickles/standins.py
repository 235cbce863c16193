"""What a pickle's program handles in place of functions, classes and tensors: descriptions that do nothing.

None of them can be changed by a program, and none outlives its file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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

#: Functions whose outcome counts, by what is made of it.
_FUNCTIONS = {
    "torch._utils._rebuild_tensor": "tensor",
    "torch._utils._rebuild_tensor_v2": "tensor",
    "torch._utils._rebuild_tensor_v3": "tensor of a dtype",
    "torch._utils._rebuild_parameter": "what it is given",
    "torch._utils._rebuild_parameter_with_state": "what it is given",
    "collections.OrderedDict": "dictionary",
}

#: What training scripts leave in a checkpoint beside its tensors. Each makes an object that does nothing.
_INERT = frozenset({
    "builtins.set", "builtins.frozenset", "builtins.object", "builtins.bytearray", "builtins.complex",
    "__builtin__.set", "__builtin__.frozenset", "__builtin__.object", "__builtin__.bytearray", "_codecs.encode",
    "copy_reg._reconstructor", "copyreg._reconstructor", "collections.defaultdict", "collections.Counter",
    "torch.Tensor", "torch.Size", "torch.device", "torch.nn.parameter.Parameter",
    "torch.nn.modules.container.ParameterDict", "torch.nn.modules.container.ParameterList",
    "torch.serialization._get_layout", "torch._utils._rebuild_device_tensor_from_numpy",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint", "pytorch_lightning.callbacks.ModelCheckpoint",
    "lightning_fabric.utilities.data.AttributeDict", "pytorch_lightning.utilities.parsing.AttributeDict",
    "numpy.dtype", "numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar", "argparse.Namespace",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the bytes of tensors lie: the key of a storage in its file, its dtype and how many elements it has."""

    key: str
    dtype: str
    elements: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor's description: a view of a storage, in elements of its own dtype."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Function:
    """A function or class by what a call of it makes: one of those above, or `object`, which does nothing."""

    makes: str


@dataclass(frozen=True, slots=True)
class Dtype:
    """A dtype, named by itself or by a typed storage."""

    name: str


class Ordered(dict[object, object]):
    """An `OrderedDict`, which may be given attributes; PyTorch leaves some on a model's, and they are forgotten."""


@dataclass(slots=True, eq=False)
class Inert:
    """An object of a class that was never looked up; only the state that it was given is remembered."""

    state: object = field(default=None)


def named(module: str, name: str) -> Function | Dtype | None:
    """The stand-in for a name; `None` if it is not known to be harmless. Nothing is imported, ever."""
    full = f"{module}.{name}"
    if full in _FUNCTIONS:
        return Function(_FUNCTIONS[full])
    dtype = _dtype(module, name)
    if dtype is not None:
        return Dtype(dtype)
    return Function("object") if full in _INERT else None


def _dtype(module: str, name: str) -> str | None:
    if module == "torch":
        return _STORAGES.get(name) or _DTYPES.get(name)
    return _STORAGES.get(name) if module in ("torch.storage", "torch.cuda") else None
