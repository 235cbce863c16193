"""The outline of a header: its distinct module names, without block numbers and without the layout's own spelling.

A network of 60 equal blocks has thousands of tensors and some thirty distinct names. `double_blocks.7.img_attn.qkv`
(as its authors write it), `lora_unet_double_blocks_7_img_attn_qkv` (as kohya's trainer does) and
`model.diffusion_model.double_blocks.7…` (inside a checkpoint) are all one line here, so that what is asked of an
outline need not know layouts. It is made by a few passes at C speed, as thousands of files may be identified in a row.
"""

from __future__ import annotations

import re
from functools import cached_property, lru_cache
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from assetctl.tensors.adapters import CHANGES, LAYOUTS, STACKS, denoiser_prefixes, plain_tensors

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetctl.files.safetensors import Header
    from assetctl.tensors.adapters import Change, Tensors

_DOTS = bytes.maketrans(b".", b"_")
_DIGITS = b"0123456789"

#: Length of the beginnings that are kept apart: few are distinct, so that a search for one is short.
_HEAD = 32

_START = itemgetter(slice(3))
_NUMBER = re.compile(r"\d+")


@lru_cache(maxsize=4096)
def canonical(name: str) -> str:
    """Spelling of a module's name in an outline: no digits, and underscores for dots."""
    return name.encode().translate(_DOTS, _DIGITS).decode()


#: Prefixes of networks' own module names, as often as they follow each other.
_PREFIX = re.compile(f"\n(?:{denoiser_prefixes(canonical)})+".encode())

#: `model.`, which is a prefix of all names once it is one of a stack's.
_STACK = re.compile(f"\n(?:model_)+(?:{'|'.join(map(canonical, STACKS))})".encode())
_MODEL = re.compile(rb"\n(?:model_)+")

#: Prefixes of layouts that write a module's whole path with underscores.
_FLAT = tuple(f"\n{layout.prefix}" for layout in LAYOUTS if layout.flat)


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
        bare = _PREFIX.sub(b"\n", written)
        if b"\nmodel_" in written and _STACK.search(written):
            bare = _MODEL.sub(b"\n", bare)
        text = bare.decode()
        self.text = text.replace("\ntransformer_blocks__", "\nblocks__") if prefixed else text
        self._heads = "\n" + "\n".join({line[:_HEAD] for line in self.text.split("\n")})
        self._has: dict[tuple[str, ...], bool] = {}
        self._begins: dict[tuple[str, ...], bool] = {}
        self._prefixed: dict[tuple[str, ...], bool] = {}
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}

    @cached_property
    def ways(self) -> tuple[tuple[Change, str, str], ...]:
        """Ways to write a change that may occur: each with what stands before the ending that marks it, and that."""
        return tuple(
            (change, between, mark)
            for change in CHANGES
            if change.measure is not None
            for mark in change.marks
            for between in change.between
            if any(canonical(between + end.removesuffix(".weight")) in self.text for end in change.ends(mark))
        )

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
        self._flat = header.has(*_FLAT)

    @cached_property
    def _tensors(self) -> Tensors:
        return plain_tensors(self.header)

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
        return self._first_width(modules, 1)

    def width_taken(self, beginning: str, pattern: re.Pattern[str]) -> int | None:
        """Width of what the first module takes whose name, as written, has `beginning` and matches `pattern`."""
        names = self.header.names
        at = names.find(beginning)
        found = pattern.search(names, at) if at >= 0 else None
        if found is None:
            return None
        return self._width(names[names.rfind("\n", 0, found.end()) + 1 : found.end()], 1)

    def output_width(self, *modules: str) -> int | None:
        """Width of what a module gives out, for the first of `modules` that shows it."""
        return self._first_width(modules, 0)

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
        for separator in "_." if self._flat else ".":  # some trainers join the first parts of a path alone
            starts = set(map(_START, names.split(f"{stack}{separator}")[1:]))
            found = max((int(digits[0]) for digits in map(_NUMBER.match, starts) if digits), default=-1)
            if found >= 0:
                return found
        return -1

    def _ending_in(self, name: str) -> str | None:
        names = self.header.names
        spelling = next((each for each in self._spellings(name) if each in names), name)
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
        at = max(map(example.rfind, self._spellings(part)))
        return example[: at + len(part)] if at >= 0 else None

    def _spellings(self, name: str) -> tuple[str, ...]:
        """A path as it may stand in a file, the likelier one first."""
        return (name.replace(".", "_"), name) if self._flat else (name,)

    def _first_width(self, modules: tuple[str, ...], axis: int) -> int | None:
        there = self._distinct.modules(modules)
        found = (self._width(name, axis) for name in map(self.module, there) if name)
        return next(filter(None, found), None)

    def _width(self, module: str, axis: int) -> int | None:
        weight = f"{module}.weight"
        shape = self.header.shape(weight)
        if shape is not None and len(shape) > 1 and shape[1:] != (1,):  # four-bit weights are [n, 1]
            return shape[axis] * (2 if axis == 1 and self._halved(weight) else 1)
        for change, between, mark in self._distinct.ways:
            width = change.width(self._tensors, module + between, mark, axis)
            if width is not None:
                return width
        bias = self.header.shape(f"{module}.bias")
        return bias[0] if axis == 0 and bias is not None and len(bias) == 1 else None

    def _halved(self, weight: str) -> bool:
        """Whether a matrix holds two four-bit numbers a byte (NVFP4), with a scale for each few of a row."""
        scales = self.header.shape(weight + "_scale") if self.header.tensors[weight].get("dtype") == "U8" else None
        return scales is not None and len(scales) == 2
