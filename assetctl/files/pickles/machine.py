"""A machine for pickles' programs, which looks nothing up and calls nothing.

It builds lists, dictionaries, words, numbers and the stand-ins for tensors. The standard library's reader would do
more than that on a program's word: set attributes of what it finds, hash what it takes for keys (a tuple of two
tuples of two tuples … takes as long as there are paths through it), and call.
Source: https://github.com/python/cpython/blob/main/Lib/pickletools.py
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from assetctl.files.pickles.standins import Dtype, Function, Inert, Ordered, Storage, Tensor, named
from assetctl.files.pickles.verdict import LONGEST_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assetctl.files.pickles.verdict import Budget

_HINT = "Get the safetensors version. If you trust the file, load it with the program that made it, and save it again."

#: Limits on a tuple that is a key: its items, and those of tuples in it.
_MOST_IN_KEY = 64

#: Limit on a tensor's dimensions; safetensors has the same.
_MOST_DIMENSIONS = 16


@dataclass(frozen=True, slots=True)
class Built:
    """What a program built.

    Attributes:
        root: Its outcome.
        storages: All that it names, by key, whether tensors use them or not.
        end: Where the pickle ends.
    """

    root: Any
    storages: Mapping[str, Storage]
    end: int


class _MalformedError(Exception):
    """A pickle's program makes no sense."""


def build(budget: Budget, data: bytes, start: int = 0) -> Built:
    """What the pickle that begins at `start` builds, of stand-ins.

    Raises:
        RefusedFileError: It names something that is not known to be harmless, or changes what it did not make.
        CorruptFileError: Its program makes no sense, or is made to exhaust memory or time.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    machine = _Machine(budget)
    try:
        root = machine.run(stream)
    except (_MalformedError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        # of these, the reader of opcodes raises some, and an empty stack or an unknown number of a memory the others
        raise budget.corrupt("is a pickle that cannot be read") from error
    return Built(root, machine.storages, stream.tell())


class _Machine:
    def __init__(self, budget: Budget) -> None:
        self.storages: dict[str, Storage] = {}
        self._budget = budget
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks below each mark
        self._memory: dict[int, Any] = {}

    def run(self, stream: io.BytesIO) -> object:
        """Follow the program to its end."""
        steps: dict[str, Callable[[_Machine, Any], None]] = _STEPS
        spend = self._budget.spend
        for opcode, argument, _ in pickletools.genops(stream):
            spend()
            steps[opcode.name](self, argument)
        return self._stack.pop()

    # What is pushed, dropped and remembered.

    def push(self, value: object) -> None:
        self._stack.append(value)

    def mark(self, _: None) -> None:
        self._below.append(self._stack)
        self._stack = []

    def since_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._below.pop()
        return items

    def pop(self, _: None) -> None:
        if self._stack:
            del self._stack[-1]
        else:
            self.since_mark()

    def pop_mark(self, _: None) -> None:
        self.since_mark()

    def duplicate(self, _: None) -> None:
        self._stack.append(self._stack[-1])

    def put(self, number: int) -> None:
        self._memory[number] = self._stack[-1]

    def memoize(self, _: None) -> None:
        self._memory[len(self._memory)] = self._stack[-1]

    def get(self, number: int) -> None:
        self._stack.append(self._memory[number])

    # Lists, tuples, sets and dictionaries.

    def make_list(self, _: None) -> None:
        items = self.since_mark()
        self._stack.append(items)

    def make_tuple(self, _: None) -> None:
        items = self.since_mark()
        self._stack.append(tuple(items))

    def make_tuple_of(self, length: int) -> None:
        items = [self._stack.pop() for _ in range(length)]
        self._stack.append(tuple(reversed(items)))

    def make_frozen_set(self, _: None) -> None:
        for item in self.since_mark():
            self._see_key(item)
        self._stack.append(Inert())

    def make_dictionary(self, _: None) -> None:
        items = self.since_mark()
        self._stack.append({})
        self._set(items)

    def append(self, _: None) -> None:
        item = self._stack.pop()
        self._extend([item])

    def appends(self, _: None) -> None:
        self._extend(self.since_mark())

    def add_items(self, _: None) -> None:
        for item in self.since_mark():
            self._see_key(item)
        if type(self._stack[-1]) is not Inert:
            raise _MalformedError

    def set_item(self, _: None) -> None:
        value, key = self._stack.pop(), self._stack.pop()
        self._set([key, value])

    def set_items(self, _: None) -> None:
        self._set(self.since_mark())

    def _extend(self, items: list[Any]) -> None:
        target = self._changeable()
        if type(target) is list:
            target += items
        elif type(target) is not Inert:  # what pretends to be a list forgets them
            raise _MalformedError

    def _set(self, items: list[Any]) -> None:
        if len(items) % 2:
            raise _MalformedError
        target = self._changeable()
        if type(target) not in (dict, Ordered, Inert):
            raise _MalformedError
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:
                self._see_key(key)
            if type(target) is not Inert and _is_name(key):
                target[key] = value

    def _changeable(self) -> Any:  # noqa: ANN401 - whatever a pickle builds
        """What lies on top, if the program made it.

        Raises:
            RefusedFileError: It is a function or a tensor: harmless ones, which a program would make something else of.
        """
        target = self._stack[-1]
        if type(target) in (Function, Dtype, Storage, Tensor):
            raise self._budget.refused("is a pickle that changes functions or tensors of PyTorch's")
        return target

    def _see_key(self, key: object) -> None:
        """See that a key can be one, and is no maze: other readers hash it."""
        left, seen = [key], 0
        while left:
            item = left.pop()
            if type(item) in (list, dict, Ordered):
                raise _MalformedError
            if type(item) is tuple:
                seen += len(item)
                if seen > _MOST_IN_KEY:
                    raise self._budget.exhausting()
                left += item

    # Names, and what is made by them.

    def name(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._stack.append(self._stand_in(module, name))

    def name_of_stack(self, _: None) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._stack.append(self._stand_in(module, name))

    def _stand_in(self, module: object, name: object) -> Function | Dtype:
        if not isinstance(module, str) or not isinstance(name, str) or len(module) + len(name) > LONGEST_NAME:
            raise _MalformedError
        found = named(module, name)
        if found is None:
            full = f"{module}.{name}"[:200]
            raise self._budget.refused(f"is a pickle that calls {full!r}, which is not known to be harmless", _HINT)
        return found

    def call(self, _: None) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        self._stack.append(self._made(function, arguments))

    def call_with_names(self, _: None) -> None:
        self._stack.pop()
        self.call(None)

    def call_since_mark(self, _: None) -> None:
        function, *arguments = self.since_mark()
        self._stack.append(self._made(function, tuple(arguments)))

    def call_name_since_mark(self, argument: str) -> None:
        arguments = self.since_mark()
        self.name(argument)
        self._stack.append(self._made(self._stack.pop(), tuple(arguments)))

    def state(self, _: None) -> None:
        state = self._stack.pop()
        target = self._changeable()
        if type(target) is Inert:
            target.state = state
        elif type(target) is not Ordered:
            raise _MalformedError

    def storage(self, _: None) -> None:
        """A storage, of which PyTorch writes `("storage", type, key, device, elements)`.

        Its older stream writes a sixth item, which is `None` unless the storage is a part of another.
        """
        pid = self._stack.pop()
        if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage" or pid[5:] not in ((), (None,)):
            raise _MalformedError
        kind, key, elements = pid[1], pid[2], pid[4]
        if type(kind) is not Dtype or type(key) is not str or not _is_count(elements):
            raise _MalformedError
        storage = Storage(key, kind.name, elements)
        if self.storages.setdefault(key, storage) != storage:
            raise _MalformedError  # the same bytes cannot be two things
        self._stack.append(storage)

    def none_such(self, _: object) -> None:
        """Opcodes that PyTorch never writes: names by number, buffers from elsewhere."""
        raise _MalformedError

    def _made(self, function: object, arguments: object) -> object:
        if type(arguments) is not tuple:
            raise _MalformedError
        if type(function) is Inert:
            return Inert()
        if type(function) is not Function:
            raise _MalformedError
        match function.makes:
            case "tensor":
                return _tensor(*arguments)
            case "tensor of a dtype":
                return _tensor_of_dtype(*arguments)
            case "what it is given":
                return arguments[0]
            case "dictionary":
                return self._dictionary(*arguments)
        return Inert()

    def _dictionary(self, pairs: object = ()) -> Ordered:
        if type(pairs) not in (list, tuple):
            raise _MalformedError
        self._budget.spend(len(cast("Any", pairs)))
        made = Ordered()
        for key, value in cast("Any", pairs):
            self._see_key(key)
            if _is_name(key):
                made[key] = value
        return made


def _is_name(key: object) -> bool:
    """Whether a key can be part of a tensor's name; what is under others is no tensor of a model, and is forgotten."""
    return type(key) is str or (isinstance(key, int) and -(2**63) <= key < 2**63)


def _tensor(storage: object, offset: object, shape: object, stride: object, *_rest: object) -> Tensor:
    if type(storage) is not Storage:
        raise _MalformedError
    return _view(storage, storage.dtype, offset, shape, stride)


def _tensor_of_dtype(
    storage: object, offset: object, shape: object, stride: object, _grad: object, _hooks: object, dtype: object,
    *_rest: object,
) -> Tensor:  # fmt: skip
    """A view of an untyped storage, whose size is in bytes."""
    if type(storage) is not Storage or type(dtype) is not Dtype:
        raise _MalformedError
    return _view(storage, dtype.name, offset, shape, stride)


def _view(storage: Storage, dtype: str, offset: object, shape: object, stride: object) -> Tensor:
    """A tensor of whole numbers; whether it lies inside its storage, who knows the storage's place sees."""
    if type(shape) is not tuple or type(stride) is not tuple or len(shape) != len(stride):
        raise _MalformedError
    if len(shape) > _MOST_DIMENSIONS or not all(map(_is_count, (offset, *shape, *stride))):
        raise _MalformedError
    return Tensor(storage, dtype, cast("int", offset), shape, stride)


def _is_count(number: object) -> bool:
    return type(number) is int and 0 <= number < 2**48


def _nothing(_: _Machine, __: object) -> None:
    """What a program says of itself."""


_PUSHED = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip

#: What each opcode does.
_STEPS: dict[str, Callable[[_Machine, Any], None]] = dict.fromkeys(_PUSHED, _Machine.push) | {
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(value=True),
    "NEWFALSE": lambda machine, _: machine.push(value=False),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(Inert()),
    "TUPLE1": lambda machine, _: machine.make_tuple_of(1),
    "TUPLE2": lambda machine, _: machine.make_tuple_of(2),
    "TUPLE3": lambda machine, _: machine.make_tuple_of(3),
    "MARK": _Machine.mark, "POP": _Machine.pop, "POP_MARK": _Machine.pop_mark, "DUP": _Machine.duplicate,
    "PUT": _Machine.put, "BINPUT": _Machine.put, "LONG_BINPUT": _Machine.put, "MEMOIZE": _Machine.memoize,
    "GET": _Machine.get, "BINGET": _Machine.get, "LONG_BINGET": _Machine.get,
    "LIST": _Machine.make_list, "TUPLE": _Machine.make_tuple, "DICT": _Machine.make_dictionary,
    "FROZENSET": _Machine.make_frozen_set,
    "APPEND": _Machine.append, "APPENDS": _Machine.appends, "ADDITEMS": _Machine.add_items,
    "SETITEM": _Machine.set_item, "SETITEMS": _Machine.set_items,
    "GLOBAL": _Machine.name, "STACK_GLOBAL": _Machine.name_of_stack,
    "REDUCE": _Machine.call, "NEWOBJ": _Machine.call, "NEWOBJ_EX": _Machine.call_with_names,
    "OBJ": _Machine.call_since_mark, "INST": _Machine.call_name_since_mark, "BUILD": _Machine.state,
    "BINPERSID": _Machine.storage, "PERSID": _Machine.none_such,
    "EXT1": _Machine.none_such, "EXT2": _Machine.none_such, "EXT4": _Machine.none_such,
    "NEXT_BUFFER": _Machine.none_such, "READONLY_BUFFER": _Machine.none_such,
    "PROTO": _nothing, "FRAME": _nothing, "STOP": _nothing,
}  # fmt: skip
