"""The ways in which a LoRA writes down a change of a weight, and whether that change fits a given weight.

LoRA: a weight `[out, in, *kernel]` changes by `up [out, rank] @ down [rank, in, *kernel]`, with the kernel in
a third tensor, `mid`, where it is decomposed too. LoHa, LoKr and others are LyCORIS's.
Sources: Hu et al. 2021, https://arxiv.org/abs/2106.09685; https://github.com/KohakuBlueleaf/LyCORIS.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Tensors = Mapping[str, Mapping[str, Any]]
    Shape = list[int]
    #: Given a LoRA's tensors, a module's name in it, the shape of the tensor listed in `ADAPTERS`, and a weight's.
    Fits = Callable[[Tensors, str, Shape, Shape], bool]


#: How the halves of a LoRA end: down, and up.
HALVES = {
    ".lora_down.weight": ".lora_up.weight",
    ".lora_A.weight": ".lora_B.weight",
    ".lora_A.default.weight": ".lora_B.default.weight",
    ".down.weight": ".up.weight",  # after `.lora`, `_lora`, `_lora1` or `.lora_linear_layer`
}


def _low_rank(up_ending: str, mid_ending: str = "") -> Fits:
    def fits(tensors: Tensors, module: str, down: Shape, weight: Shape) -> bool:
        other = tensors.get(module + up_ending)
        up: Shape = [] if other is None else other["shape"]
        if len(up) < 2 or len(down) < 2 or up[0] != weight[0] or up[1] != down[0]:
            return False
        if down[1:] == weight[1:]:
            return True
        mid = _shape(tensors, module + mid_ending) if mid_ending else []
        return _flat([down[1], *mid[2:]] if mid else down[1:]) == _flat(weight[1:])

    return fits


def _flat(shape: Shape) -> Shape:
    """Without ones behind the first number: a convolution of one pixel is a linear layer."""
    end = len(shape)
    while end > 1 and shape[end - 1] == 1:
        end -= 1
    return shape[:end]


def _hadamard(tensors: Tensors, module: str, a: Shape, weight: Shape) -> bool:
    b, kernel = _shape(tensors, f"{module}.hada_w1_b"), _shape(tensors, f"{module}.hada_t1")
    if len(a) != 2 or len(b) != 2:
        return False
    if kernel:
        return [a[1], b[1], *kernel[2:]] == weight
    return a[0] == weight[0] and b[1] == prod(weight[1:])


def _kronecker(tensors: Tensors, module: str, _first: Shape, weight: Shape) -> bool:
    outer, inner = _factor(tensors, f"{module}.lokr_w1"), _factor(tensors, f"{module}.lokr_w2")
    if len(outer) != 2 or len(inner) < 2:
        return False
    return outer[0] * inner[0] == weight[0] and outer[1] * prod(inner[1:]) == prod(weight[1:])


def _factor(tensors: Tensors, name: str) -> Shape:
    """Shape of one factor of a Kronecker product, which may be decomposed itself."""
    a, b = _shape(tensors, f"{name}_a"), _shape(tensors, f"{name}_b")
    if len(a) < 2 or len(b) < 2:
        return _shape(tensors, name)
    kernel = _shape(tensors, name.replace("lokr_w", "lokr_t"))
    return [a[1], b[1], *kernel[2:]] if kernel else [a[0], *b[1:]]


def _orthogonal(_tensors: Tensors, _module: str, blocks: Shape, weight: Shape) -> bool:
    return len(blocks) >= 3 and prod(blocks[-3:-1]) == weight[0]


def _whole(_tensors: Tensors, _module: str, difference: Shape, weight: Shape) -> bool:
    return _flat(difference) == _flat(weight)


def _skew(_tensors: Tensors, _module: str, halves: Shape, weight: Shape) -> bool:
    """Whether blocks along the input fit, each written as the upper half of a skew-symmetric matrix (peft)."""
    if len(halves) != 2 or not halves[0]:
        return False
    size = prod(weight[1:]) // halves[0]
    return size * halves[0] == prod(weight[1:]) and size * (size - 1) // 2 == halves[1]


def _generalised(_tensors: Tensors, _module: str, first: Shape, weight: Shape) -> bool:
    """GLoRA's first matrix reads the input; old and new versions lay it on different sides."""
    return len(weight) > 1 and weight[1] in first[:2]


def _rescaling(tensors: Tensors, module: str, _flag: Shape, weight: Shape) -> bool:
    """Whether (IA)³ has one factor for each input or output; which, a number that is not in the header says."""
    factors = _shape(tensors, f"{module}.weight")
    return bool(factors) and prod(factors) in weight[:2]


def _shape(tensors: Tensors, name: str) -> Shape:
    entry = tensors.get(name)
    return [] if entry is None else entry["shape"]


#: How the tensor ends that each changed module has once, and whether its change fits a weight.
ADAPTERS: dict[str, Fits] = {
    **{down: _low_rank(up, ".lora_mid.weight") for down, up in HALVES.items()},
    ".hada_w1_a": _hadamard,
    ".lokr_w1": _kronecker,
    ".lokr_w1_a": _kronecker,
    ".oft_blocks": _orthogonal,
    ".oft_diag": _orthogonal,
    ".oft_R.weight": _skew,
    ".diff": _whole,
    ".w_norm": _whole,
    ".a1.weight": _generalised,
    ".on_input": _rescaling,
}

#: How the other tensors of a module end, which change nothing by themselves.
COMPANIONS = (
    ".alpha", ".scale", ".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight", ".diff_b", ".b_norm",
    ".lora_up.weight", ".lora_mid.weight", ".lora_B.weight", ".lora_B.default.weight", ".up.weight", ".mid.weight",
    ".lora_up.bias", ".lora_B.bias", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2",
    ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t1", ".lokr_t2", ".rescale", ".oft_R.bias",
    ".a2.weight", ".b1.weight", ".b2.weight", ".bm.weight",
)  # fmt: skip
