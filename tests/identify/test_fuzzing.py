"""Whatever a header holds, there is an answer or a refusal, soon and in bounded memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COUNT = 10_000


def test_ten_thousand_mutated_headers_give_an_answer_or_a_refusal():
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("fuzzing.py"), "20261124", str(COUNT)],
        env={"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}, capture_output=True, text=True, check=False, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    outcome = json.loads(done.stdout)
    assert outcome["answers"] + outcome["refusals"] == COUNT
    assert min(outcome["answers"], outcome["refusals"]) > COUNT / 10  # both the reader and identification were tried
    assert outcome["growth"] < 100e6
    assert outcome["slowest"] < 2
