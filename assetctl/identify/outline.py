"""The outline of a header: its distinct module names, without block numbers and without what a layout puts before them.

A network of 60 equal blocks has thousands of tensors and some thirty distinct names. `double_blocks.7.img_attn.qkv`
(as its authors write it), `lora_unet_double_blocks_7_img_attn_qkv` (as kohya's trainer does) and
`model.diffusion_model.double_blocks.7…` (inside a checkpoint) all answer to `double_blocks.0.img_attn.qkv`, so that
what is asked of an outline need not know layouts.

Names with dots are matched by whole components: `attn.to_gate.` is neither `attn1.to_gate.` nor `attn.to_gate_logits.`.
Names that a trainer wrote flat, with underscores for the dots, keep what is ambiguous in them: which underscore was a
dot, no file says.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import compress, islice
from operator import itemgetter
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, cast

from assetctl.files.safetensors import FLOATS
from assetctl.tensors.adapters import (
    CHANGES,
    DENOISERS,
    EMBEDDINGS,
    HALVES,
    LAYOUTS,
    MARKS,
    STACKS,
    TEXT_ENCODERS,
    VAES,
    plain_tensors,
    prefixes,
    with_adapters_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from assetctl.files.safetensors import Header
    from assetctl.tensors.adapters import Change

_Made = TypeVar("_Made")

#: How lines begin of names that a trainer wrote flat, with underscores for dots.
_FLAT_LINES = tuple(f".{layout.prefix}" for layout in LAYOUTS if layout.flat)

#: A component that is a number, in names that each begin with a separator.
_NUMBER_DOTTED = re.compile(r"\.\d+(?=[.\n])")
_NUMBER_FLAT = re.compile(r"/\d+(?=[/\n])")

#: How the tensor of a whole matrix ends.
_WEIGHT = ".weight"

#: Length of the beginnings that are kept apart: few are distinct, so that a search for one is short.
_HEAD = 32

_START = itemgetter(slice(3))
_NUMBER = re.compile(r"\d+")


class _Lines(dict[str, str]):
    """Each tensor's name, to its line in an outline: names come back in file after file."""

    def __init__(self) -> None:
        super().__init__()
        self._size = 0
        self._lock = Lock()  # whoever reads while another clears asks again in here

    def of(self, tensors: Mapping[str, object], names: str) -> list[str]:
        """The lines of all tensors in their order; `names` are theirs, each between newlines."""
        if len(names) > _MOST_KEPT // 8:  # few are so large, and would push out what many share
            return _lines(tensors)
        try:
            return list(map(self.__getitem__, tensors))
        except KeyError:
            with self._lock:
                return self._learned(tensors)

    def _learned(self, tensors: Mapping[str, object]) -> list[str]:
        if self._size > _MOST_KEPT:
            self.clear()
            self._size = 0
        new = [name for name in tensors if name not in self]
        self.update(zip(new, _lines(new), strict=True))
        self._size += sum(map(len, new))
        return list(map(self.__getitem__, tensors))


#: How halves of a product end, each of which shows a width by itself.
_PRODUCTS = frozenset({*HALVES, *HALVES.values()})
_ALONE = _PRODUCTS | {_WEIGHT}

#: Characters of names whose lines are kept.
_MOST_KEPT = 2**22

_kept_lines = _Lines()


def _lines(names: Collection[str]) -> list[str]:
    """Lines of names: `.` before each component of a dotted one, `/` of a flat one, `#` for a block's number."""
    dotted = _NUMBER_DOTTED.sub(".#", "".join([f".{name}\n" for name in names])).split("\n")[:-1]
    if len(dotted) != len(names):  # a hostile name that holds a newline
        dotted = [_NUMBER_DOTTED.sub(".#", f".{name.replace(chr(10), '?')}\n")[:-1] for name in names]
    flat = [line for line in dotted if line.startswith(_FLAT_LINES)]
    if not flat:
        return dotted
    respelled = iter(_flat("\n".join(flat)).split("\n"))
    return [next(respelled) if line.startswith(_FLAT_LINES) else line for line in dotted]


def _flat(lines: str) -> str:
    return _NUMBER_FLAT.sub("/#", lines.replace(".", "/").replace("_", "/") + "\n")[:-1]


@lru_cache(maxsize=4096)
def _needles(name: str) -> tuple[str, str]:
    """What to search lines for to find a module's name: among dotted ones, and among flat ones.

    It begins a component, unless it begins with an underscore, as `_lora.down.` does; a dot at its end ends one.
    """
    inner = name.startswith("_")
    dotted = _NUMBER_DOTTED.sub(".#", f".{name.removeprefix('.')}\n\n")[:-2]
    return dotted[inner:], _flat(dotted)


def _underscored(path: str) -> str:
    return path.replace(".", "_")


def _dotted_line(name: str) -> str:
    return _NUMBER_DOTTED.sub(".#", f".{name}\n")[1:-1]


def _flat_line(name: str) -> str:
    return _flat(f".{name}")[1:]


#: What stands before a network's own module names, as often as such things follow each other. A `++` keeps no way back:
#: one name of megabytes that is nothing but prefixes would take a hundred bytes for each of them.
_PREFIX = re.compile(
    rf"\n(?:\.(?:{prefixes((each for each in DENOISERS if not each.flat), _dotted_line)})++"
    rf"|/(?:{prefixes((each for each in DENOISERS if each.network == 'denoiser'), _flat_line)})++)"
)

#: Stacks of a transformer's blocks: all of one stack are as wide.
_STACKED = (
    "double_blocks", "single_blocks", "transformer_blocks", "single_transformer_blocks", "joint_transformer_blocks",
    "blocks", "layers", "double_layers", "single_layers", "joint_blocks", "double_stream_blocks",
    "single_stream_blocks",
)  # fmt: skip

#: What stands beside a network in its file and is none of its blocks: encoders, VAEs, averages, embeddings, resamplers.
_BESIDE = tuple(
    needle
    for name in (
        *(each.prefix for each in LAYOUTS if each.network.startswith("text_encoder") and each.prefix),
        *TEXT_ENCODERS, *VAES, EMBEDDINGS, "model_ema.", "text_model.", "text_encoder", "image_proj",
    )
    for needle in (_dotted_line(name), _flat_line(name))
)  # fmt: skip
_UNDERSCORES = str.maketrans("./", "__")

#: Blocks of which a network has several.
_STACK_OF_BLOCKS = re.compile(
    r"[^#]*(?:blocks|layers|refiner)(?:_block\d+_blocks)?_#_(?!weight|bias|lora|diff|hada|lokr)"
)
#: Prefixes that say nothing of who wrote them, and which of two networks alike it is.
_SILENT_PREFIX = re.compile(r"base[./_]model[./_]model|_orig_mod|module|_2(?=\Z|\.)|/+\Z")

#: `model.`, which is a prefix of all names once one of them goes on with a stack of blocks.
_STACK = re.compile(rf"\n\.(?:model\.)++(?:{'|'.join(re.escape(_dotted_line(name)) for name in STACKS)})")
_MODEL = re.compile(r"\n\.(?:model\.)++")


class _Text:
    """The distinct names of a header, and what was asked of them before.

    Files about one network have few sets of names between them, however much their ranks and blocks differ: what the
    names alone answer is answered once.
    """

    def __init__(self, lines: frozenset[str]) -> None:
        self.written = "\n" + "\n".join(sorted(lines)) + "\n"
        self.text = _PREFIX.sub(lambda found: found[0][:2], self.written)
        if "\n.model." in self.written and _STACK.search(self.written):
            self.text = _MODEL.sub("\n.", self.text)
        self.flat, self.dotted = "\n/" in self.text, "\n." in self.text
        self._heads = "\n" + "\n".join({line[:_HEAD] for line in self.text.split("\n")})
        self._has: dict[tuple[str, ...], bool] = {}
        self._shows: dict[tuple[str, ...], bool] = {}
        self._begins: dict[tuple[str, ...], bool] = {}
        self._prefixed: dict[tuple[str, ...], bool] = {}
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._made: dict[int, tuple[object, Any]] = {}
        self._showing: dict[tuple[tuple[str, ...], int], dict[str, tuple[str, int, tuple[str, ...]]]] = {}

    def once(self, key: object, make: Callable[[], _Made]) -> _Made:
        asked, made = self._made.get(id(key), (None, None))
        if asked is not key:
            asked, made = self._made[id(key)] = key, make()  # it is kept too, so that its number stays its own
        return cast("_Made", made)

    @cached_property
    def with_adapters(self) -> bool:
        """Whether names of peft's adapters stand in them."""
        return self.dotted and with_adapters_names(self.text)

    @cached_property
    def ways(self) -> tuple[tuple[Change, str, str], ...]:
        """Ways to write a change that may occur: each with what stands before the ending that marks it, and that."""
        return tuple(
            (change, between, mark)
            for change in CHANGES
            if change.measure is not None
            for mark in change.marks
            for between in change.between
            if any(self._ends(between + end.removesuffix(".weight")) for end in change.ends(mark))
        )

    def without(self, parts: tuple[str, ...], beginnings: tuple[str, ...]) -> frozenset[str]:
        """Lines, as written, of names that have none of `parts` and none of `beginnings`."""

        def left() -> frozenset[str]:
            starts = tuple(needle for name in beginnings for needle in _needles(name))
            lines = (line for line in self.written[1:-1].split("\n") if not line.startswith(starts))
            return frozenset(line for line in lines if not any(part in f"{line}\n" for part in parts))

        return self.once(parts, left)

    def showing(self, modules: tuple[str, ...], axis: int) -> Mapping[str, tuple[str, int, tuple[str, ...]]]:
        """Lines of the tensors that may show how wide `modules` are, from the root on where they name a block.

        To each, how such a tensor ends, how long what stands behind its module is, and how that module ends.
        """
        known = self._showing.get((modules, axis))
        if known is None:
            known = self._showing[modules, axis] = {}
            ends = self._ends_of_widths(axis)
            asked = [
                (needle, "^" in name or "#." in name, name.rpartition("#.")[2].lstrip("^"))
                for name in modules
                if self.holds(name.lstrip("^"))
                for needle in _needles(name.lstrip("^"))
            ]
            for written, line in zip(self.written.split("\n"), self.text.split("\n"), strict=True):
                for needle, rooted, part in asked:
                    before, met, end = line.rpartition(needle)
                    if met and end in ends and not (before and rooted):
                        spelled = known.get(written, ("", 0, ()))[2] + (part, _underscored(part))
                        known[written] = ends[end], len(end), spelled
        return known

    @cached_property
    def stacked(self) -> Mapping[str, tuple[str, int, str]]:
        """Lines of the tensors that may show what modules of a transformer's blocks take in, one module of each block.

        To each, how such a tensor ends, how long what stands behind its module is, and the module.
        """
        starts = tuple(f"{needle}{needle[0]}#{needle[0]}" for stack in _STACKED for needle in _needles(stack))
        ends = self._ends_of_widths(1)
        found = {}
        for written, line in zip(self.written.split("\n"), self.text.split("\n"), strict=True):
            if line.startswith(starts) and line.count("#") == 1:
                end = max((end for end in ends if line.endswith(end)), key=len, default="")
                if end:
                    found[written] = ends[end], len(end), line[: -len(end)]
        return found

    @cached_property
    def _in_stacks(self) -> list[tuple[str, str, str]]:
        """Lines of blocks, with underscores alone, as written, and from their network's root on."""
        lines = zip(
            self.text.translate(_UNDERSCORES).split("\n"), self.written.split("\n"), self.text.split("\n"), strict=True
        )
        return [
            (path, written, line)
            for path, written, line in lines
            if "#_" in path and _STACK_OF_BLOCKS.match(path) and not written.startswith(_BESIDE, 1)
        ]

    def blocks(self, stacks: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
        """What stands before the blocks of these `stacks`, and another block's module that is none of them."""

        def sort() -> tuple[tuple[str, ...], str | None]:
            starts = tuple(map(_underscored, stacks))
            own = [(written, line) for path, written, line in self._in_stacks if path.startswith(starts, 1)]
            before = {written.removesuffix(line) for written, line in own}
            other = None
            if len(own) < len(self._in_stacks):
                other = next(path[1:] for path, _, _ in self._in_stacks if not path.startswith(starts, 1))
            return tuple(sorted({_SILENT_PREFIX.sub("", prefix) for prefix in before})), other

        return self.once(stacks, sort)

    def _ends_of_widths(self, axis: int) -> dict[str, str]:
        """What stands behind modules' names in lines of tensors that show a width, to how such a tensor ends."""
        ends = dict.fromkeys((_WEIGHT, _flat(_WEIGHT)), _WEIGHT)
        for _, between, mark in self.ways:  # of a product, the second half gives out
            ending = HALVES.get(mark, mark) if axis == 0 else mark
            ends |= dict.fromkeys((between + ending, _flat(between + ending)), ending)
        return ends

    def _ends(self, ending: str) -> bool:
        dotted = _NUMBER_DOTTED.sub(".#", f"{ending}\n")[:-1]
        return (self.dotted and dotted in self.text) or (self.flat and _flat(dotted) in self.text)

    def holds(self, name: str) -> bool:
        dotted, flat = _needles(name)
        return (self.dotted and dotted in self.text) or (self.flat and flat in self.text)

    def has(self, names: tuple[str, ...]) -> bool:
        known = self._has.get(names)
        if known is None:
            known = self._has[names] = any(map(self.holds, names))
        return known

    def shows(self, names: tuple[str, ...]) -> bool:
        known = self._shows.get(names)
        if known is None:
            rooted = tuple(name[1:] for name in names if name[0] == "^")
            anywhere = tuple(name for name in names if name[0] != "^")
            known = self._shows[names] = bool((rooted and self.begins(rooted)) or (anywhere and self.has(anywhere)))
        return known

    def begins(self, names: tuple[str, ...]) -> bool:
        known = self._begins.get(names)
        if known is None:
            starts = ("\n" + needle for name in names for needle in _needles(name))
            known = any(start in (self._heads if len(start) <= _HEAD else self.text) for start in starts)
            self._begins[names] = known
        return known

    def prefixed(self, prefixes: tuple[str, ...]) -> bool:
        known = self._prefixed.get(prefixes)
        if known is None:
            starts = ("\n" + needle for prefix in prefixes for needle in _needles(prefix))
            known = self._prefixed[prefixes] = any(start in self.written for start in starts)
        return known

    def modules(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `names` that some module's path contains; `#` in one is any block's number."""
        known = self._modules.get(names)
        if known is None:
            known = self._modules[names] = tuple(filter(self.holds, names))
        return known


_kept_text = lru_cache(maxsize=64)(_Text)

#: Characters up to which a text is kept; those of real models have a tenth.
_MOST_TEXT = 2**18


def _text_of(lines: frozenset[str]) -> _Text:
    return _kept_text(lines) if sum(map(len, lines)) <= _MOST_TEXT else _Text(lines)


class Outline:
    r"""What a header names, and how wide it is.

    Names are asked for as the network's authors write them, `attn.to_k`, and found in every layout's spelling.

    Attributes:
        header: The header, without the names of adapters that peft writes into those of its tensors.
        text: One line for each distinct name from its network's root on, `\n` before and after each.
        written: The same with whatever prefix the layout gives them.
        flat: Whether some names are written flat.
    """

    def __init__(self, header: Header) -> None:
        self._read(header)
        if self._distinct.with_adapters:
            self._read(replace(header, tensors=plain_tensors(header)))
        self.written, self.text, self.flat = self._distinct.written, self._distinct.text, self._distinct.flat

    def _read(self, header: Header) -> None:
        self.header = header
        self._lines = _kept_lines.of(header.tensors, header.names)
        self._distinct = _text_of(frozenset(self._lines))

    def once(self, key: object, make: Callable[[], _Made]) -> _Made:
        """What `make` makes of the names alone, under a `key` that is one object: once for all files of such names."""
        return self._distinct.once(key, make)

    def without(self, parts: tuple[str, ...], beginnings: tuple[str, ...]) -> Outline | None:
        """The outline of those tensors whose names have none of `parts` and none of `beginnings`; `None` of none.

        A newline in a part is a name's end.
        """
        lines = self._distinct.without(parts, beginnings)
        if not lines:
            return None
        tensors = self.header.tensors
        left = {name: tensors[name] for line, name in zip(self._lines, tensors, strict=True) if line in lines}
        return Outline(replace(self.header, tensors=left))

    def has(self, *names: str) -> bool:
        """Whether some module's path contains one of `names`."""
        return self._distinct.has(names)

    def begins(self, *names: str) -> bool:
        """Whether some module's path, counted from its network's root, begins with one of `names`."""
        return self._distinct.begins(names)

    def shows(self, names: tuple[str, ...]) -> bool:
        """Whether some module's path contains one of `names`, or begins with one that has a `^` before it."""
        return self._distinct.shows(names)

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

    def widths(self, modules: tuple[str, ...], axis: int) -> frozenset[int]:
        """All widths of what `modules` take in (1) or give out (0), in whatever block: one network has one."""
        if not (showing := self._distinct.showing(modules, axis)):
            return frozenset()
        found = set()
        for line, name in self._of_lines(showing):
            ending, length, spelled = showing[line]
            if name.endswith(spelled, 0, len(name) - length):  # in a line, all numbers are one
                found.add(self._shown(name, ending, axis))
        return frozenset(found - {0})

    def _of_lines(self, lines: Mapping[str, tuple[Any, ...]]) -> Iterable[tuple[str, str]]:
        """Tensors that have one of `lines`, each with its line; of those that show the same alone, but one.

        Modules that differ in the number that they end in share a line, and each of them is there.
        """
        there = compress(
            zip(self._lines, self.header.tensors.items(), strict=True), map(lines.__contains__, self._lines)
        )
        if not all(about[0] in _ALONE for about in lines.values()):
            return ((line, name) for line, (name, _) in there)
        shown = {(line, name[~lines[line][1]], *entry["shape"]): name for line, (name, entry) in there}
        return ((key[0], name) for key, name in shown.items())

    def uneven(self) -> tuple[str, int, int] | None:
        """A module of a transformer's blocks that takes in more in one of them than in another, and both widths."""
        if not (stacked := self._distinct.stacked):
            return None
        widths: dict[str, int] = {}
        for line, name in self._of_lines(stacked):
            ending, _, module = stacked[line]
            width = self._shown(name, ending, 1)
            if width and widths.setdefault(module, width) != width:
                return module[1:], widths[module], width
        return None

    def blocks(self, stacks: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
        """What stands before the blocks of these `stacks`, and another block's module that is none of them."""
        return self._distinct.blocks(stacks)

    def _shown(self, name: str, ending: str, axis: int) -> int:
        """The width that a tensor shows which ends so, or 0; of packed numbers, none."""
        entry = self.header.tensors[name]
        shape = entry["shape"]
        if ending in _PRODUCTS:
            return shape[axis] if len(shape) > 1 else 0
        if ending != _WEIGHT:
            return MARKS[ending].width(self.header.tensors, name[: -len(ending)], ending, axis) or 0
        packed = entry["dtype"] not in FLOATS or list(shape[1:]) == [1]  # four-bit weights are [n, 1]
        return shape[axis] if len(shape) > 1 and not packed else 0

    def shape(self, *modules: str) -> tuple[int, ...] | None:
        """Shape of the weights of the first of `modules` that has any."""
        found = (self.header.shape(f"{name}.weight") for name in map(self.module, modules) if name)
        return next(filter(None, found), None)

    def module(self, name: str) -> str | None:
        """Full name, as written, of the first module whose path ends in `name`; `#` in it is any block's number."""
        if not self._distinct.holds(name):
            return None
        block, _, part = name.rpartition("#.")
        for needle, separator, spelling in zip(_needles(name), "._", (part, _underscored(part)), strict=True):
            found = self._in_block(needle, separator, spelling, part) if block else self._ending_in(separator, spelling)
            if found is not None:
                return found
        return None

    def highest(self, stack: str) -> int:
        """Highest number of a block in `stack` (`double_blocks`), or -1 if there is none."""
        if not self.has(f"{stack}.0"):
            return -1
        names = self.header.names
        parts = [*names.split(f".{stack}.")[1:], *names.split(f"\n{stack}.")[1:]]
        if self.flat:
            parts += names.replace(f"single_{stack}", "").split(f"{stack}_")[1:]
        starts = set(map(_START, parts))
        return max((int(digits[0]) for digits in map(_NUMBER.match, starts) if digits), default=-1)

    def _ending_in(self, separator: str, spelling: str) -> str | None:
        """The first module whose path ends in whole components of this spelling."""
        names = self.header.names
        at = names.find(spelling)
        while at >= 0:
            end = at + len(spelling)
            if names[at - 1] in (separator, "\n") and (
                names[end] in (".", separator) or names.startswith("_lora.", end)
            ):
                return names[names.rfind("\n", 0, at) + 1 : end]
            at = names.find(spelling, at + 1)
        return None

    def _in_block(self, path: str, separator: str, spelling: str, dotted: str) -> str | None:
        """The first module whose path begins, at its network's root, with `path`, the last of it in this spelling."""
        start = self.text.find(f"\n{path}{path[0]}")
        if start < 0:
            return None
        line = self.text[start + 1 : self.text.index("\n", start + 1) + 1]
        end = self.written.index(line) + len(line) - 1
        written = self.written[self.written.rfind("\n", 0, end) + 1 : end]
        example = next(islice(self.header.tensors, self._lines.index(written), None), "")
        at = example.rfind(separator + spelling)
        if at < 0:  # some trainers join the first parts of a path alone
            spelling = dotted
            at = example.rfind(f".{spelling}")
        return example[: at + 1 + len(spelling)] if at >= 0 else None

    def _first_width(self, modules: tuple[str, ...], axis: int) -> int | None:
        there = self._distinct.modules(modules)
        found = (self._width(name, axis) for name in map(self.module, there) if name)
        return next(filter(None, found), None)

    def _width(self, module: str, axis: int) -> int | None:
        weight = f"{module}.weight"
        shape = self.header.shape(weight) or self.header.shape(f"{weight}._data")  # as optimum-quanto packs them
        if shape is not None and len(shape) > 1 and shape[1:] != (1,):  # four-bit weights are [n, 1]
            return shape[axis] * (2 if axis == 1 and self._halved(weight) else 1)
        for change, between, mark in self._distinct.ways:
            width = change.width(self.header.tensors, module + between, mark, axis)
            if width is not None:
                return width
        bias = self.header.shape(f"{module}.bias")
        return bias[0] if axis == 0 and bias is not None and len(bias) == 1 else None

    def _halved(self, weight: str) -> bool:
        """Whether a matrix holds two four-bit numbers a byte (NVFP4), with a scale for each few of a row."""
        packed = self.header.tensors.get(weight, {}).get("dtype") == "U8"
        scales = self.header.shape(weight + "_scale") if packed else None
        return scales is not None and len(scales) == 2
