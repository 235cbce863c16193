"""Modules of a LoRA whose two halves make no change together, whatever checkpoint they are meant for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.adapters import HALVES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.adapters import Shape, Tensors
    from assetctl.files.safetensors import Header


def damaged_modules(header: Header) -> Iterator[tuple[str, str]]:
    """Each such module by its name in the file, and what such modules do."""
    tensors = header.tensors
    for down, up in HALVES.items():
        if not header.has(f"{down}\n", f"{up}\n"):
            continue
        for key, entry in tensors.items():
            if key.endswith(down):
                wrong = damage(tensors, down, key[: -len(down)], entry["shape"])
                if wrong is not None:
                    yield key[: -len(down)], wrong
            elif key.endswith(up) and key[: -len(up)] + down not in tensors:
                yield key[: -len(up)], "lack the half that leads down"


def damage(tensors: Tensors, ending: str, module: str, down: Shape) -> str | None:
    """What modules do that are broken as this one is, given how the first one ends; `None` for other methods too."""
    if ending not in HALVES:
        return None
    up = tensors.get(module + HALVES[ending])
    if up is None:
        return "lack the half that leads up"
    if 0 in down or 0 in up["shape"]:
        return "are of rank 0"
    if len(down) > 1 and len(up["shape"]) > 1 and down[0] != up["shape"][1]:
        return "have halves of different ranks"
    return None
