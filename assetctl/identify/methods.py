"""Methods of low-rank change that diffusers refuses, or takes for a plain LoRA and so gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assetctl.files.safetensors import Header

#: Part of a tensor's name, and the method it belongs to; a newline is a name's end.
_METHODS = {
    ".hada_": "LoHa",
    ".lokr_": "LoKr",
    ".dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
    ".oft_": "OFT",
    ".boft_": "BOFT",
    ".a1.weight\n": "GLoRA",
    ".on_input\n": "IA3",
    ".diff\n": "full difference",
    ".diff_b\n": "full difference",
}


def unsupported_method(header: Header) -> str | None:
    """Name of the method, if a LoRA's header shows one that can not be applied faithfully."""
    return next((method for part, method in _METHODS.items() if header.has(part)), None)
