"""The tensors in what a pickle built, under the names that a safetensors file gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.files.pickles.restricted import Inert, Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Where training scripts put the model beside their own state.
_WRAPPERS = ("state_dict", "params_ema", "params", "model_state_dict", "model", "module")

#: How deep tensors are looked for, and in how many places: a small program can build a large maze.
_DEEPEST, _MOST_PLACES = 6, 200_000

#: What A1111 says of an embedding beside its vectors.
_SAID = ("name", "sd_checkpoint_name", "sd_checkpoint", "step")


def model_of(built: object) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and what is said of them in words."""
    if isinstance(built, dict):
        if "string_to_param" in built:
            said = {key: str(built[key]) for key in _SAID if isinstance(built.get(key), (str, int))}
            return dict(_walk({"string_to_param": built["string_to_param"]})), said
        for wrapper in _WRAPPERS:
            inside = dict(_walk(built.get(wrapper)))
            if inside:
                return inside, {}
    return dict(_walk(built)), {}


def _walk(root: object) -> Iterator[tuple[str, Tensor]]:
    left: list[tuple[str, object, int]] = [("", root, 0)]
    for _ in range(_MOST_PLACES):
        if not left:
            return
        name, item, depth = left.pop()
        if isinstance(item, Tensor):
            yield name or "tensor", item
        elif depth < _DEEPEST:
            inside = [(f"{name}.{key}" if name else key, value, depth + 1) for key, value in _items(item)]
            left += reversed(inside)


def _items(item: object) -> Iterator[tuple[str, Any]]:
    if isinstance(item, dict):
        yield from _named(item)
    elif isinstance(item, (list, tuple)):
        yield from ((str(index), value) for index, value in enumerate(item[:10_000]))
    elif isinstance(item, Inert) and isinstance(item.state, dict):
        parameters = item.state.get("_parameters")
        yield from _named(parameters if isinstance(parameters, dict) and parameters else item.state)


def _named(items: Mapping[object, object]) -> Iterator[tuple[str, object]]:
    return ((str(key), value) for key, value in items.items() if isinstance(key, (str, int)))
