"""Which kinds of numbers weights are made of, by safetensors' names for them."""

from __future__ import annotations

#: Those that torch computes with, or turns into such.
FLOATS = frozenset({"F16", "BF16", "F32", "F64", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"})

#: What the others are, for a person.
NUMBERS = {
    "BOOL": "truth values", "C64": "complex numbers", "F4": "packed numbers", "F6_E2M3": "packed numbers",
    "F6_E3M2": "packed numbers", "F8_E8M0": "scales",
} | {f"{sign}{bits}": "whole numbers" for sign in "IU" for bits in (8, 16, 32, 64)}  # fmt: skip
