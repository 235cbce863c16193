"""Thousands of LoRAs' headers: all with tables of their own, or as in a grown folder; short, or whole networks."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from material import write_header

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes after which a header ends: 12 KB are those of a very small LoRA; whole networks are 17 to 70 KB here, 37 on
#: average, and mostly 45 to 530 among LoRAs that people share.
SHORT, WHOLE = 12_000, 100_000

#: Share of a grown folder whose tables no other file has: odd ranks, chosen blocks.
_ODD = 0.2

_BOTH = ("lora_down.weight", "lora_up.weight")
_PEFT = ("lora_A.weight", "lora_B.weight")


def all_different(folder: Path, count: int, longest: int = SHORT) -> None:
    """`count` LoRAs, no two with the same tensor table: trainer, network, blocks, modules and rank vary."""
    folder.mkdir(parents=True)
    for number in range(count):
        _write(folder, number, _table(random.Random(number), number, longest))


def grown(folder: Path, count: int, longest: int = SHORT) -> None:
    """`count` LoRAs as people collect them: most have one of 24 tables, a fifth have one of their own."""
    folder.mkdir(parents=True)
    tables = [_table(random.Random(number), 0, longest) for number in range(24)]
    chance = random.Random(0)
    for number in range(count):
        odd = chance.random() < _ODD
        table = _table(chance, number, longest) if odd else tables[int(len(tables) * chance.random() ** 2)]
        _write(folder, number, table)


def _write(folder: Path, number: int, table: dict[str, Any]) -> None:
    tags = {f"tag {word}": 3 + (number * word) % 37 for word in range(20)}
    metadata = {
        "ss_base_model_version": "sd_v1",
        "ss_network_module": "networks.lora",
        "ss_output_name": f"lora-{number}",
        "ss_tag_frequency": json.dumps({f"10_thing{number}": tags}),
    }
    write_header(folder / f"lora-{number:05}.safetensors", table, metadata)


def _table(chance: random.Random, number: int, longest: int) -> dict[str, Any]:
    """A table of about `longest` bytes at most; `number` goes into its shapes, so that no other has the same."""
    modules, prefix, ends, alphas = chance.choice((_sd1, _sdxl, _flux_kohya, _flux_diffusers, _wan))(chance)
    rank = chance.choice((1, 2, 4, 6, 8, 12, 16, 24, 32))
    table: dict[str, Any] = {}
    length = 900
    for name, taken, given in modules:
        module = prefix + name
        if alphas:
            table[f"{module}.alpha"] = {"dtype": "F16", "shape": []}
        table[f"{module}.{ends[0]}"] = {"dtype": "F16", "shape": [rank, taken]}
        table[f"{module}.{ends[1]}"] = {"dtype": "F16", "shape": [given, rank]}
        length += (2 + alphas) * (len(module) + 78)
        if length > longest:
            break
    if number:
        table[f"{prefix}{name}_extra.{ends[1]}"] = {"dtype": "F16", "shape": [number, 1]}
    return table


def _sd1(chance: random.Random) -> tuple[list[tuple[str, int, int]], str, tuple[str, str], bool]:
    widths = {
        "down_blocks_0": 320,
        "down_blocks_1": 640,
        "down_blocks_2": 1280,
        "up_blocks_1": 1280,
        "up_blocks_2": 640,
    }
    modules = []
    for level, width in widths.items():
        for attention in range(2):
            inner = f"{level}_attentions_{attention}_transformer_blocks_0"
            modules += [(f"{inner}_attn1_{part}", width, width) for part in ("to_q", "to_k", "to_v", "to_out_0")]
            modules += [(f"{inner}_attn2_{part}", 768, width) for part in ("to_k", "to_v")]
    return _some(modules, chance, "attn2_to_k"), "lora_unet_", _BOTH, True


def _sdxl(chance: random.Random) -> tuple[list[tuple[str, int, int]], str, tuple[str, str], bool]:
    modules = []
    for level, depth, width in (
        ("input_blocks_4_1", 2, 640),
        ("input_blocks_7_1", 10, 1280),
        ("middle_block_1", 10, 1280),
    ):
        for block in range(depth):
            inner = f"{level}_transformer_blocks_{block}"
            modules += [(f"{inner}_attn1_{part}", width, width) for part in ("to_q", "to_k", "to_v")]
            modules += [(f"{inner}_attn2_{part}", 2048, width) for part in ("to_k", "to_v")]
    return _some(modules, chance, "attn2_to_k"), "lora_unet_", _BOTH, True


def _flux_kohya(chance: random.Random) -> tuple[list[tuple[str, int, int]], str, tuple[str, str], bool]:
    modules = []
    for block in range(19):
        modules += [
            (f"double_blocks_{block}_{side}_{part}", 3072, given)
            for side in ("img", "txt")
            for part, given in (("attn_proj", 3072), ("attn_qkv", 9216), ("mlp_0", 12288))
        ]
    return _some(modules, chance, "img_attn_qkv"), "lora_unet_", _BOTH, True


def _flux_diffusers(chance: random.Random) -> tuple[list[tuple[str, int, int]], str, tuple[str, str], bool]:
    parts = ("attn.to_q", "attn.to_k", "attn.to_v", "attn.add_q_proj", "attn.add_k_proj", "attn.to_out.0")
    modules = [(f"transformer_blocks.{block}.{part}", 3072, 3072) for block in range(19) for part in parts]
    return _some(modules, chance, "attn.to_q"), "transformer.", _PEFT, False


def _wan(chance: random.Random) -> tuple[list[tuple[str, int, int]], str, tuple[str, str], bool]:
    parts = ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "cross_attn.q", "cross_attn.k", "cross_attn.v")
    modules = [(f"blocks.{block}.{part}", 5120, 5120) for block in range(40) for part in parts]
    return _some(modules, chance, "cross_attn.k"), "diffusion_model.", _PEFT, False


def _some(modules: list[tuple[str, int, int]], chance: random.Random, always: str) -> list[tuple[str, int, int]]:
    """What one training chose of a network: two thirds of it or more, and what tells the network in any case."""
    share = chance.uniform(0.67, 1)
    return [module for module in modules if always in module[0] or chance.random() < share]
