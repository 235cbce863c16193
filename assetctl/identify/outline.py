"""The outline of a header: its distinct module names, without block numbers and without the layout's own spelling.

A network of 60 equal blocks has thousands of tensors and some thirty distinct names. `double_blocks.7.img_attn.qkv`
(as its authors write it), `lora_unet_double_blocks_7_img_attn_qkv` (as kohya's trainer does) and
`model.diffusion_model.double_blocks.7…` (inside a checkpoint) are all one line here, so that what is asked of an
outline need not know layouts. It is made by a few passes at C speed, as thousands of files may be identified in a row.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import islice
from math import isqrt
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetctl.files.safetensors import Header

_DOTS = bytes.maketrans(b".", b"_")
_DIGITS = b"0123456789"

#: What stands before a network's own module names. `transformer_blocks` is a name, not a prefix; `model` is one only
#: where what follows is no language model.
_PREFIX = re.compile(
    rb"\n(?:(?:base_model_model|model_diffusion_model|diffusion_model|lora_unet|lora_transformer|lora_prior|lycoris"
    rb"|control_model|oft_unet|unet|net|params_ema|params|transformer(?!_blocks__|_resblocks|_text_model|_h__)"
    rb"|model(?=_(?:double_blocks|single_blocks|transformer_blocks|single_transformer_blocks|blocks|layers__attention)_"
    rb"))_)+"
)

#: Length of the beginnings that are kept apart: few are distinct, so that a search for one is short.
_HEAD = 32

_START = itemgetter(slice(3))
_NUMBER = re.compile(r"\d+")

#: Prefixes of layouts that write a module's whole path with underscores.
_FLAT = ("lora_unet_", "lora_te", "lora_transformer_", "lora_prior_", "lllite_", "lycoris_", "oft_unet_")

#: Ways to write the half of a change that reads a module's input.
_INPUTS = (
    ".weight", ".lora_down.weight", ".lora_A.weight", ".lora.down.weight", "_lora.down.weight",
    ".lora_linear_layer.down.weight", ".down.weight", ".down", ".lora_A", ".hada_w1_b", ".diff",
)  # fmt: skip
#: Likewise for the half that writes its output.
_OUTPUTS = (
    ".weight", ".lora_up.weight", ".lora_B.weight", ".lora.up.weight", "_lora.up.weight",
    ".lora_linear_layer.up.weight", ".up.weight", ".up", ".lora_B", ".hada_w1_a", ".diff",
)  # fmt: skip


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Spelling of a module's name in an outline: no digits, and underscores for dots."""
    return name.encode().translate(_DOTS, _DIGITS).decode()


def _path(name: str) -> str:
    return canonical(name.replace("#", "0"))


@lru_cache(maxsize=4096)
def _start(name: str) -> str:
    return "\n" + canonical(name)


class _Text:
    """The distinct names of a header, and what was asked of them before.

    Files about one network have few sets of names between them, however much their ranks and blocks differ: what the
    names alone answer is answered once.
    """

    def __init__(self, written: bytes, *, prefixed: bool) -> None:
        self.written = written.decode()
        text = _PREFIX.sub(b"\n", written).decode()
        self.text = text.replace("\ntransformer_blocks__", "\nblocks__") if prefixed else text
        self._heads = "\n" + "\n".join({line[:_HEAD] for line in self.text.split("\n")})
        self._has: dict[tuple[str, ...], bool] = {}
        self._begins: dict[tuple[str, ...], bool] = {}
        self._prefixed: dict[tuple[str, ...], bool] = {}
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}

    def has(self, names: tuple[str, ...]) -> bool:
        known = self._has.get(names)
        if known is None:
            known = self._has[names] = any(canonical(name) in self.text for name in names)
        return known

    def begins(self, names: tuple[str, ...]) -> bool:
        known = self._begins.get(names)
        if known is None:
            starts = map(_start, names)
            known = any(start in (self._heads if len(start) <= _HEAD else self.text) for start in starts)
            self._begins[names] = known
        return known

    def prefixed(self, prefixes: tuple[str, ...]) -> bool:
        known = self._prefixed.get(prefixes)
        if known is None:
            known = self._prefixed[prefixes] = any(_start(prefix) in self.written for prefix in prefixes)
        return known

    def modules(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `names` that some module's path contains; `#` in one is any block's number."""
        known = self._modules.get(names)
        if known is None:
            known = self._modules[names] = tuple(name for name in names if _path(name) in self.text)
        return known


#: Characters of all names of a header up to which what is made of them is kept for the next one.
_MOST_KEPT = 2**18


def _lines_of(names: str) -> tuple[list[bytes], _Text]:
    """The lines of all names, and their distinct ones.

    Files that one trainer made have the same names: in a folder of them this is done once.
    """
    return _kept_lines_of(names) if len(names) <= _MOST_KEPT else _read_lines_of(names, _Text)


@lru_cache(maxsize=16)
def _kept_lines_of(names: str) -> tuple[list[bytes], _Text]:
    return _read_lines_of(names, _text_of)


def _read_lines_of(names: str, text_of: Callable[..., _Text]) -> tuple[list[bytes], _Text]:
    lines = names[1:-1].encode().translate(_DOTS, _DIGITS).split(b"\n")
    written = b"\n" + b"\n".join(sorted(set(lines))) + b"\n"
    # `transformer.` may be a prefix after all, before a network's own `blocks`.
    prefixed = "\ntransformer.blocks." in names
    return lines, text_of(written, prefixed=prefixed)


@lru_cache(maxsize=64)
def _text_of(written: bytes, *, prefixed: bool) -> _Text:
    return _Text(written, prefixed=prefixed)


class Outline:
    r"""What a header names, and how wide it is.

    Names are asked for as the network's authors write them, `attn.to_k`, and found in every layout's spelling.

    Attributes:
        header: The header.
        text: One line for each distinct name from its network's root on, `\n` before and after each.
        written: The same with whatever prefix the layout gives them.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self._lines, self._distinct = _lines_of(header.names)
        self.written, self.text = self._distinct.written, self._distinct.text
        self._flat = self.prefixed(*_FLAT)

    def has(self, *names: str) -> bool:
        """Whether some module's path contains one of `names`."""
        return self._distinct.has(names)

    def has_all(self, *names: str) -> bool:
        """Whether each of `names` is contained in some module's path."""
        return all(canonical(name) in self.text for name in names)

    def begins(self, *names: str) -> bool:
        """Whether some module's path, counted from its network's root, begins with one of `names`."""
        return self._distinct.begins(names)

    def prefixed(self, *prefixes: str) -> bool:
        """Whether some name, as it is written, begins with one of `prefixes`."""
        return self._distinct.prefixed(prefixes)

    def input_width(self, *modules: str) -> int | None:
        """Width of what a module takes in, for the first of `modules` that shows it."""
        return self._first_width(modules, _INPUTS, 1)

    def width_taken(self, beginning: str, pattern: re.Pattern[str]) -> int | None:
        """Width of what the first module takes whose name, as written, has `beginning` and matches `pattern`."""
        names = self.header.names
        at = names.find(beginning)
        found = pattern.search(names, at) if at >= 0 else None
        if found is None:
            return None
        return self._width(names[names.rfind("\n", 0, found.end()) + 1 : found.end()], _INPUTS, 1)

    def output_width(self, *modules: str) -> int | None:
        """Width of what a module gives out, for the first of `modules` that shows it."""
        return self._first_width(modules, _OUTPUTS, 0)

    def square_width(self, *modules: str) -> int | None:
        """Width of modules that give out as much as they take in: four-bit weights show it by their biases alone."""
        return self.input_width(*modules) or self.output_width(*modules)

    def shape(self, *modules: str) -> tuple[int, ...] | None:
        """Shape of the weights of the first of `modules` that has any."""
        found = (self.header.shape(f"{name}.weight") for name in map(self.module, modules) if name)
        return next(filter(None, found), None)

    def module(self, name: str) -> str | None:
        """Full name, as written, of the first module whose path ends in `name`; `#` in it is any block's number."""
        path = _path(name)
        if path not in self.text:
            return None
        block, _, part = name.rpartition("#.")
        return self._in_block(path, part) if block else self._ending_in(name)

    def highest(self, stack: str) -> int:
        """Highest number of a block in `stack` (`double_blocks`), or -1 if there is none."""
        if not self.has(f"{stack}.0"):
            return -1
        names = self.header.names.replace(f"single_{stack}", "")
        separator = "_" if self._flat else "."
        parts = names.split(f"{stack}{separator}")[1:]
        starts = set(map(_START, parts))
        return max((int(digits[0]) for digits in map(_NUMBER.match, starts) if digits), default=-1)

    def _ending_in(self, name: str) -> str | None:
        names = self.header.names
        spelling = self._spell(name)
        at = names.find(spelling)
        while at >= 0 and names[at + len(spelling)] not in "._":
            at = names.find(spelling, at + 1)
        return names[names.rfind("\n", 0, at) + 1 : at + len(spelling)] if at >= 0 else None

    def _in_block(self, path: str, part: str) -> str | None:
        start = self.text.find("\n" + path + "_")
        if start < 0:
            return None
        line = self.text[start + 1 : self.text.index("\n", start + 1) + 1]
        end = self.written.index(line) + len(line) - 1
        written = self.written[self.written.rfind("\n", 0, end) + 1 : end].encode()
        example = next(islice(self.header.tensors, self._lines.index(written), None), "")
        at = example.rfind(self._spell(part))
        return example[: at + len(part)] if at >= 0 else None

    def _spell(self, name: str) -> str:
        return name.replace(".", "_") if self._flat else name

    def _first_width(self, modules: tuple[str, ...], endings: tuple[str, ...], axis: int) -> int | None:
        there = self._distinct.modules(modules)
        found = (self._width(name, endings, axis) for name in map(self.module, there) if name)
        return next(filter(None, found), None)

    def _width(self, module: str, endings: tuple[str, ...], axis: int) -> int | None:
        for ending in endings:
            shape = self.header.shape(module + ending)
            packed = ending == ".weight" and shape is not None and shape[1:] == (1,)  # four-bit weights are [n, 1]
            if shape is not None and len(shape) > 1 and not packed:
                return shape[axis] * (2 if axis == 1 and self._halved(module + ending) else 1)
        bias = self.header.shape(module + ".bias")
        if axis == 0 and bias is not None and len(bias) == 1:
            return bias[0]
        return (
            self._kronecker_width(module, axis)
            or self._glora_width(module, axis)
            or self._adapter_width(module, axis)
            or self._orthogonal_width(module, axis)
        )

    def _halved(self, weight: str) -> bool:
        """Whether a matrix holds two four-bit numbers a byte (NVFP4), with a scale for each few of a row."""
        scales = self.header.shape(weight + "_scale") if self.header.tensors[weight].get("dtype") == "U8" else None
        return scales is not None and len(scales) == 2

    def _adapter_width(self, module: str, axis: int) -> int | None:
        """Peft with an adapter's name within: `lora_A.default.weight`."""
        if not self.has("_lora_A_"):
            return None
        half = f"\n{module}.lora_{'BA'[axis]}."
        names = self.header.names
        at = names.find(half)
        shape = self.header.shape(names[at + 1 : names.index("\n", at + 1)]) if at >= 0 else None
        return shape[axis] if shape is not None and len(shape) > 1 else None

    def _kronecker_width(self, module: str, axis: int) -> int | None:
        """LoKr: a change is the Kronecker product of two matrices, each whole or itself a product `a` times `b`."""
        width = 1
        for factor in (".lokr_w1", ".lokr_w2"):
            shape = self.header.shape(module + factor) or self.header.shape(module + factor + "_" + "ab"[axis])
            if shape is None or len(shape) < 2:
                return None
            width *= shape[axis]
        return width

    def _glora_width(self, module: str, axis: int) -> int | None:
        """GLoRA: `W a + b`, each a product; older files hold the halves of both the other way round."""
        first = self.header.shape(module + ".a1.weight")
        if first is None or len(first) != 2:
            return None
        if axis == 1:
            return max(first)
        last = self.header.shape(module + (".b1.weight" if first[0] > first[1] else ".b2.weight"))
        return last[0] if last else None

    def _orthogonal_width(self, module: str, axis: int) -> int | None:
        """OFT by Peft: as many rotations as the input is wide divided by their size, each the half above a diagonal."""
        rotations = self.header.shape(module + ".oft_R.weight") if axis == 1 else None
        if rotations is None or len(rotations) != 2:
            return None
        return rotations[0] * (1 + isqrt(1 + 8 * rotations[1])) // 2
