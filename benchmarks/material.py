"""LoRAs and checkpoints with true headers, made of third-party headers where those are at hand, else of our own."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "headers"
_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "I64": 8}
_LORAS = ("sd15-lora-kohya", "sd15-lora-shinkai", "flux1-lora-kohya", "flux1-lora-kohya-2", "sdxl-lora-alien")


def write_header(path: Path, tensors: dict[str, Any], metadata: dict[str, str]) -> None:
    """A sparse file of true size with this header."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    offset = 0
    for name, entry in tensors.items():
        size = math.prod(entry["shape"]) * _BYTES.get(entry["dtype"], 2)
        header[name] = {"dtype": entry["dtype"], "shape": entry["shape"], "data_offsets": [offset, offset + size]}
        offset += size
    raw = json.dumps(header, separators=(",", ":")).encode()
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        file.truncate(8 + len(raw) + offset)


def small_loras(folder: Path, count: int) -> None:
    """`count` LoRAs of about 2 MB with full headers, no two alike."""
    folder.mkdir(parents=True)
    kinds = [_at_rank(tensors, 1) for tensors, _ in map(_load, _LORAS)] if CORPUS.is_dir() else [_own_lora()]
    for number in range(count):
        write_header(folder / f"lora-{number:04}.safetensors", kinds[number % len(kinds)], {"number": str(number)})


def sdxl_selection(folder: Path) -> list[Path]:
    """An SDXL checkpoint and five LoRAs, all of true size and sparse."""
    folder.mkdir(parents=True)
    names = ["sdxl-base", *["sdxl-lora-alien", "sdxl-lora-lycoris"] * 2, "sdxl-lora-alien"]
    paths = []
    for number, name in enumerate(names):
        tensors, metadata = _load(name)
        paths.append(folder / f"{number}-{name}.safetensors")
        write_header(paths[-1], tensors, metadata | {"number": str(number)})
    return paths


def _load(name: str) -> tuple[dict[str, Any], dict[str, str]]:
    document = json.loads((CORPUS / f"{name}.json").read_text())
    metadata = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in document["metadata"].items()
    }
    return document["tensors"], metadata


def _at_rank(tensors: dict[str, Any], rank: int) -> dict[str, Any]:
    """The same LoRA at a lower rank: every name, and a fraction of the bytes."""
    changed = {}
    for name, entry in tensors.items():
        shape = list(entry["shape"])
        if ".lora_down." in name:
            shape[0] = rank
        elif ".lora_up." in name:
            shape[1] = rank
        changed[name] = entry | {"shape": shape}
    return changed


def _own_lora() -> dict[str, Any]:
    tensors: dict[str, Any] = {}
    for block in range(264):
        module = f"lora_unet_down_blocks_{block % 3}_attentions_{block % 2}_transformer_blocks_0_attn2_to_k_{block}"
        tensors[f"{module}.alpha"] = {"dtype": "F16", "shape": []}
        tensors[f"{module}.lora_down.weight"] = {"dtype": "F16", "shape": [1, 768]}
        tensors[f"{module}.lora_up.weight"] = {"dtype": "F16", "shape": [320, 1]}
    return tensors
