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
from functools import lru_cache
from itertools import islice
from math import isqrt
from operator import itemgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from assetctl.files.safetensors import Header

#: How names begin that a trainer wrote flat. `lora_te` is one of several numbers.
_FLAT = ("lora_unet_", "lora_te", "lora_transformer_", "lora_prior_", "lllite_", "lycoris_", "oft_unet_")
_FLAT_LINES = tuple(f".{beginning}" for beginning in _FLAT)

#: A component that is a number, in names that each begin with a separator.
_NUMBER_DOTTED = re.compile(r"\.\d+(?=[.\n])")
_NUMBER_FLAT = re.compile(r"/\d+(?=[/\n])")

#: What stands before a network's own module names. `transformer_blocks` is a name, not a prefix; `model` is one only
#: where what follows is no language model.
_PREFIX = re.compile(
    r"\n(?:\.((?:base_model\.model|model\.diffusion_model|diffusion_model|control_model|unet|net|params_ema|params"
    r"|transformer(?!\.(?:resblocks|text_model|h)\.)"
    r"|model(?=\.(?:double_blocks|single_blocks|transformer_blocks|single_transformer_blocks|blocks|layers\.#\.attention)\.)"
    r")\.)+|/(?:(?:lora/unet|lora/transformer|lora/prior|lycoris|oft/unet|diffusion/model|unet"
    r"|transformer(?!/blocks/#))/)+)"
)

#: Length of the beginnings that are kept apart: few are distinct, so that a search for one is short.
_HEAD = 32

_START = itemgetter(slice(3))
_NUMBER = re.compile(r"\d+")

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


class _Lines(dict[str, str]):
    """Each tensor's name, to its line in an outline: names come back in file after file."""

    def __init__(self) -> None:
        super().__init__()
        self._size = 0

    def of(self, tensors: Mapping[str, object], names: str) -> list[str]:
        """The lines of all tensors in their order; `names` are theirs, each between newlines."""
        if len(names) > _MOST_KEPT // 8:  # few are so large, and would push out what many share
            return _lines(tensors)
        try:
            return list(map(self.__getitem__, tensors))
        except KeyError:
            if self._size > _MOST_KEPT:
                self.clear()
                self._size = 0
            new = [name for name in tensors if name not in self]
            self.update(zip(new, _lines(new), strict=True))
            self._size += sum(map(len, new))
            return list(map(self.__getitem__, tensors))


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


class _Text:
    """The distinct names of a header, and what was asked of them before.

    Files about one network have few sets of names between them, however much their ranks and blocks differ: what the
    names alone answer is answered once.
    """

    def __init__(self, lines: frozenset[str]) -> None:
        self.written = "\n" + "\n".join(sorted(lines)) + "\n"
        self.text = _PREFIX.sub(lambda found: found[0][:2], self.written)
        self.flat, self.dotted = "\n/" in self.text, "\n." in self.text
        self._heads = "\n" + "\n".join({line[:_HEAD] for line in self.text.split("\n")})
        self._has: dict[tuple[str, ...], bool] = {}
        self._shows: dict[tuple[str, ...], bool] = {}
        self._begins: dict[tuple[str, ...], bool] = {}
        self._prefixed: dict[tuple[str, ...], bool] = {}
        self._modules: dict[tuple[str, ...], tuple[str, ...]] = {}

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


_text_of = lru_cache(maxsize=64)(_Text)


class Outline:
    r"""What a header names, and how wide it is.

    Names are asked for as the network's authors write them, `attn.to_k`, and found in every layout's spelling.

    Attributes:
        header: The header.
        text: One line for each distinct name from its network's root on, `\n` before and after each.
        written: The same with whatever prefix the layout gives them.
        flat: Whether some names are written flat.
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self._lines = _kept_lines.of(header.tensors, header.names)
        self._distinct = _text_of(frozenset(self._lines))
        self.written, self.text, self.flat = self._distinct.written, self._distinct.text, self._distinct.flat

    def has(self, *names: str) -> bool:
        """Whether some module's path contains one of `names`."""
        return self._distinct.has(names)

    def has_all(self, *names: str) -> bool:
        """Whether each of `names` is contained in some module's path."""
        return all(map(self._distinct.holds, names))

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
        if not self._distinct.holds(name):
            return None
        block, _, part = name.rpartition("#.")
        for needle, separator, spelling in zip(_needles(name), "._", (part, _underscored(part)), strict=True):
            found = self._in_block(needle, separator, spelling) if block else self._ending_in(separator, spelling)
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

    def _in_block(self, path: str, separator: str, spelling: str) -> str | None:
        """The first module whose path begins, at its network's root, with `path`, the last of it in this spelling."""
        start = self.text.find(f"\n{path}{path[0]}")
        if start < 0:
            return None
        line = self.text[start + 1 : self.text.index("\n", start + 1) + 1]
        end = self.written.index(line) + len(line) - 1
        written = self.written[self.written.rfind("\n", 0, end) + 1 : end]
        example = next(islice(self.header.tensors, self._lines.index(written), None), "")
        at = example.rfind(separator + spelling)
        return example[: at + 1 + len(spelling)] if at >= 0 else None

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
        if not self.has("lora_A."):
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
