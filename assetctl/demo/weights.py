"""Tensors of made-up weights, and the safetensors file that holds them, from the standard library alone.

A tensor's noise follows from its name, so that files are the same on every machine and every run.
Format: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIGN_AND_FRACTION = 0x83FF
_FRACTION = 0x03FF
_EXPONENT_BIAS = 15
#: Root mean square of a number whose size is even in [1, 2).
_RMS = math.sqrt(7 / 3)


@dataclass(frozen=True, slots=True)
class Tensor:
    """Half-precision numbers: a shape, and two bytes little-endian for each."""

    shape: tuple[int, ...]
    data: bytes


Weights = dict[str, Tensor]


def noise(name: str, shape: tuple[int, ...], scale: float, *, positive: bool = False) -> Tensor:
    """Numbers of about the root mean square `scale`, of both signs unless `positive`.

    They are random bits with the exponent set: their sizes are even in [2**n, 2**(n + 1)), which takes no
    arithmetic on single numbers. IEEE 754 half precision has 1 sign, 5 exponent and 10 fraction bits.
    """
    count = math.prod(shape)
    bits = int.from_bytes(hashlib.shake_128(name.encode()).digest(2 * count), "little")
    exponent = round(math.log2(scale / _RMS)) + _EXPONENT_BIAS
    kept = int.from_bytes((_FRACTION if positive else _SIGN_AND_FRACTION).to_bytes(2, "little") * count, "little")
    fixed = int.from_bytes((exponent << 10).to_bytes(2, "little") * count, "little")
    return Tensor(shape, (bits & kept | fixed).to_bytes(2 * count, "little"))


def constant(value: float, shape: tuple[int, ...] = ()) -> Tensor:
    """The same number everywhere."""
    return Tensor(shape, struct.pack("<e", value) * math.prod(shape))


def linear(name: str, inputs: int, outputs: int, *, bias: bool = True) -> Weights:
    """A linear layer that keeps the size of what passes through it."""
    weights = {f"{name}.weight": noise(name, (outputs, inputs), 1 / math.sqrt(inputs))}
    return weights | ({f"{name}.bias": constant(0, (outputs,))} if bias else {})


def conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Weights:
    """A convolution that keeps the size of what passes through it."""
    weight = noise(name, (outputs, inputs, kernel, kernel), 1 / math.sqrt(inputs * kernel**2))
    return {f"{name}.weight": weight, f"{name}.bias": constant(0, (outputs,))}


def norm(name: str, channels: int) -> Weights:
    """A normalisation that changes nothing afterwards."""
    return {f"{name}.weight": constant(1, (channels,)), f"{name}.bias": constant(0, (channels,))}


def safetensors(weights: Weights, metadata: Mapping[str, str]) -> bytes:
    """The file that holds `weights`."""
    header: dict[str, object] = {"__metadata__": dict(metadata)}
    end = 0
    for name, tensor in weights.items():
        begin, end = end, end + len(tensor.data)
        header[name] = {"dtype": "F16", "shape": tensor.shape, "data_offsets": (begin, end)}
    raw = orjson.dumps(header)
    raw += b" " * (-len(raw) % 8)  # the tensors begin at a multiple of eight bytes
    return b"".join((len(raw).to_bytes(8, "little"), raw, *(tensor.data for tensor in weights.values())))
