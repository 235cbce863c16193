"""Safetensors files of a given header and true apparent size, sparse on disk, for tests of what headers tell."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SIZES = {"F32": 4, "F16": 2, "BF16": 2, "U8": 1, "I64": 8, "C64": 8, "BOOL": 1}


def write_safetensors(
    path: Path, shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str] | None = None, dtype: str = "F16"
) -> Path:
    """Write a file at `path` with tensors of `shapes`, all zero and taking no room."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + math.prod(shape) * SIZES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    return write_raw(path, raw, end)


def write_raw(path: Path, raw: bytes, data: int) -> Path:
    """Write a file at `path` with `raw` as its header and `data` bytes of tensors."""
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + data)
    return path


def lora(
    modules: Mapping[str, tuple[int, int]], rank: int = 4, down: str = "lora_down", up: str = "lora_up"
) -> dict[str, list[int]]:
    """Shapes of a LoRA over `modules`, each given as input and output width."""
    shapes = {}
    for module, (taken, given) in modules.items():
        shapes[f"{module}.{down}.weight"] = [rank, taken]
        shapes[f"{module}.{up}.weight"] = [given, rank]
    return shapes
