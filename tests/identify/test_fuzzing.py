"""Whatever a header holds, there is an answer or a refusal, soon and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("count", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_headers_give_an_answer_or_a_refusal(count: int):
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzzing.py"), "20261124", str(count)],
        env={"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout)
    assert outcome["answers"] + outcome["refusals"] == count
    assert min(outcome["answers"], outcome["refusals"]) > count / 10  # both the reader and identification were tried
    assert outcome["growth"] < 100e6
    assert outcome["slowest"] < 2
