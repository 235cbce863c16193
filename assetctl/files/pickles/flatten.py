"""The tensors in what a pickle built, under the names that a safetensors file gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.files.pickles.budget import MAX_STEPS
from assetctl.files.pickles.standins import Inert, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.files.pickles.budget import Budget

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
