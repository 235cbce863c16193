"""Whatever a header holds, there is an answer or a refusal, soon and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import pytest
from headers import write_safetensors
from patience import fair

from assetctl.files.odd_headers import read_odd_header
from assetctl.identify import identify
from assetctl.tensors.adapters import kohya_names

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    "count", [500, pytest.param(1500, marks=pytest.mark.slow), pytest.param(10_000, marks=pytest.mark.long)]
)
def test_mutated_headers_give_an_answer_or_a_refusal(count: int):
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzzing.py"), "20261124", str(count)],
        env={"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}, capture_output=True, text=True, check=False, timeout=fair(240),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout)
    assert outcome["answers"] + outcome["refusals"] == count
    assert min(outcome["answers"], outcome["refusals"]) > count / 10  # both the reader and identification were tried
    assert outcome["growth"] < 100e6
    assert outcome["slowest"] < 2


HOSTILE_NAMES = {
    "prefixes of a text encoder": "lora_te_" * 30_000 + "z.lora_down.weight",
    "dotted prefixes of one": "text_encoder." * 20_000 + "z.lora_A.weight",
    "prefixes of a network": "lora_unet_" + "transformer_" * 60_000 + "x.lora_down.weight",
    "roots": "unet." * 100_000 + "x.lora_A.weight",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_of_many_prefixes_takes_no_time(tmp_path: Path, name: str):
    path = write_safetensors(tmp_path / "long.safetensors", {HOSTILE_NAMES[name]: [4, 8]})
    begun = time.process_time()
    identify(path)
    assert list(kohya_names(HOSTILE_NAMES[name].removesuffix(".lora_down.weight")))
    assert time.process_time() - begun < fair(1)


def test_an_odd_header_of_a_large_text_takes_no_memory(tmp_path: Path):
    entry = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4], "extra": 1}
    header = {"a": entry, "__metadata__": {"x": "y" * 4_000_000}}
    raw = json.dumps(header).encode()
    tracemalloc.start()
    read_odd_header(raw)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10 * len(raw)
