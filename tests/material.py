"""Small safetensors files of true layout, made for a test."""

from __future__ import annotations

import json
import math
import random
from typing import TYPE_CHECKING

from assetctl.files.conversion import read_convertible, write_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WIDTHS = {"sd1": 768, "sd2": 1024, "sdxl": 2048}


def write_safetensors(
    path: Path, shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str] | None = None, seed: int = 0
) -> Path:
    """A valid file of F16 tensors with seeded noise in them."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + numbers(random.Random(seed).randbytes(offset)))
    return path


#: The higher byte of an F16 without the bit that large numbers, infinite ones and NaN have.
_SMALL = bytes(byte & ~0x40 for byte in range(256))


def numbers(noise: bytes) -> bytes:
    """Finite numbers of F16, each below 2, of as many bytes of noise."""
    made = bytearray(noise)
    made[1::2] = made[1::2].translate(_SMALL)
    return bytes(made)


def write_lora(
    path: Path, family: str = "sd1", *, words: str = "long whiskers", rank: int = 4, seed: int = 0, alias: str = ""
) -> Path:
    """A kohya LoRA on the cross-attention of one block of the family's UNet."""
    block = "down_blocks_1_attentions_0" if family == "sdxl" else "down_blocks_0_attentions_0"
    inner = 640 if family == "sdxl" else 320
    shapes: dict[str, tuple[int, ...]] = {}
    for part, width in (("attn1_to_k", inner), ("attn2_to_k", WIDTHS[family]), ("attn2_to_v", WIDTHS[family])):
        module = f"lora_unet_{block}_transformer_blocks_0_{part}"
        shapes |= {
            f"{module}.alpha": (),
            f"{module}.lora_down.weight": (rank, width),
            f"{module}.lora_up.weight": (inner, rank),
        }
    metadata = {"modelspec.trigger_phrase": words, "ss_network_module": "networks.lora"}
    metadata |= {"ss_output_name": alias} if alias else {}
    return write_safetensors(path, shapes, metadata, seed)


def write_embedding(path: Path, width: int = 768, vectors: int = 2, seed: int = 0) -> Path:
    """A textual inversion."""
    return write_safetensors(path, {"emb_params": (vectors, width)}, seed=seed)


def convert(source: Path, target: Path) -> None:
    """Write a safetensors file of a pickle, or of an embedding in a picture."""
    found = read_convertible(source)
    with target.open("xb") as file:
        write_tensors(found, file)
