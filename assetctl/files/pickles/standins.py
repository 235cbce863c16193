"""What a pickle makes here in place of what it names, and the tensors found among it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from assetctl.files.pickles.verdict import MAX_STEPS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.files.pickles.verdict import Budget


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


#: Where training scripts put the model beside their own state.
_WRAPPERS = ("state_dict", "params_ema", "params", "model_state_dict", "model", "module")

#: How deep tensors are looked for, and in how many places: a small program can build a large maze. One without
#: shared parts has fewer places than its program has steps.
_DEEPEST, _MOST_PLACES = 6, MAX_STEPS // 2

#: Limits on tensors, and on the characters of their names together: in a maze, a long word is part of many.
_MOST_TENSORS, _MOST_TEXT = 100_000, 8 * 2**20

#: What A1111 says of an embedding beside its vectors, and how many characters of it are believed to be words.
_SAID = ("name", "sd_checkpoint_name", "sd_checkpoint", "step")
_LONGEST_SAID = 1000


def model_of(budget: Budget, built: object) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and what is said of them in words.

    Raises:
        CorruptFileError: It is made to exhaust memory or time, or tensors go by one name or by none that is text.
    """
    if isinstance(built, dict):
        if "string_to_param" in built:
            said = {key: word for key in _SAID if (word := _word(built.get(key))) is not None}
            return _tensors(budget, {"string_to_param": built["string_to_param"]}), said
        for wrapper in _WRAPPERS:
            inside = _tensors(budget, built.get(wrapper))
            if inside:
                return inside, {}
    return _tensors(budget, built), {}


def _word(value: object) -> str | None:
    if type(value) is int and -(2**63) <= value < 2**63:
        return str(value)
    return value if isinstance(value, str) and len(value) <= _LONGEST_SAID and _is_text(value) else None


def _tensors(budget: Budget, root: object) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    text = 0
    for parts, tensor in _walk(budget, root):
        text += sum(map(len, parts)) + len(parts)
        if text > _MOST_TEXT or len(tensors) >= _MOST_TENSORS:
            raise budget.exhausting()
        name = ".".join(parts) or "tensor"
        if name in tensors or not _is_text(name):
            raise budget.corrupt("holds two tensors of one name" if name in tensors else "names a tensor by no text")
        tensors[name] = tensor
    return tensors


def _walk(budget: Budget, root: object) -> Iterator[tuple[list[str], Tensor]]:
    """Tensors, each with the keys that lead to it."""
    if isinstance(root, Tensor):
        yield [], root
        return
    keys: list[str] = []
    left = [_items(root)]
    places = 0
    while left:
        key, item = next(left[-1], (None, None))
        if key is None:
            left.pop()
            del keys[-1:]
            continue
        places += 1
        if places > _MOST_PLACES:
            raise budget.exhausting()
        if isinstance(item, Tensor):
            yield [*keys, key], item
        elif len(left) < _DEEPEST:
            keys.append(key)
            left.append(_items(item))


def _items(item: object) -> Iterator[tuple[str, Any]]:
    if isinstance(item, Inert) and isinstance(item.state, dict):
        parameters = item.state.get("_parameters")
        item = parameters if isinstance(parameters, dict) and parameters else item.state
    if isinstance(item, dict):
        return ((str(key), value) for key, value in item.items())
    if isinstance(item, (list, tuple)):
        return ((str(index), value) for index, value in enumerate(item))
    return iter(())


def _is_text(word: str) -> bool:
    """Whether a word can be written as UTF-8: pickles may hold half characters."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
