"""How finely a LoRA is trained and how strongly it is scaled: its ranks and alphas, from its header alone.

A change is scaled by alpha / rank. Alphas lie in the file as single numbers, past the header; trainers also say
them in the metadata, which is what is read here.
"""

from __future__ import annotations

import json
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from assetctl.files.safetensors import Header

#: How the tensor ends whose first number is the rank.
_RANKED = (
    ".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", ".down.weight",
    ".hada_w1_b", ".lokr_w1_b", ".lokr_w2_b",
)  # fmt: skip

#: Kohya's trainer writes the alpha itself, and that of convolutions among the network's arguments.
_KOHYA, _KOHYA_MORE = "ss_network_alpha", "ss_network_args"

#: Where peft and diffusers keep a LoRA's configuration.
_PEFT = "lora_adapter_metadata"


def ranks(header: Header) -> tuple[int, ...]:
    """The ranks that occur in a LoRA, smallest first; none where nothing is decomposed."""
    shapes = (entry["shape"] for key, entry in header.tensors.items() if key.endswith(_RANKED))
    return tuple(sorted({shape[0] for shape in shapes if len(shape) > 1}))


def alphas(header: Header) -> tuple[float, ...]:
    """The alphas that a LoRA's metadata name, smallest first; none where they are silent."""
    said = [header.metadata.get(_KOHYA), _object(header.metadata, _KOHYA_MORE).get("conv_alpha")]
    said += _configured(_object(header.metadata, _PEFT))
    return tuple(sorted({number for value in said if (number := _number(value)) is not None}))


def _configured(fields: Mapping[str, object]) -> Iterator[object]:
    for name, value in fields.items():
        if name.endswith("lora_alpha"):
            yield value
        elif name.endswith("alpha_pattern") and isinstance(value, dict):
            yield from value.values()


def _object(metadata: Mapping[str, str], name: str) -> dict[str, object]:
    """A JSON object in the metadata; an empty one for anything else that a stranger wrote there."""
    try:
        found = json.loads(metadata.get(name, "{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
