"""No byte of a person's is lost, whatever happens in whatever order; `benchmarks/nothing_lost.py` tries more."""

from __future__ import annotations

import sys

import pytest
from losing.steps import run_sequence, warm_up

#: Sequences a test, so that they spread over the workers.
EACH = 10


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("first", range(0, 80, EACH))
def test_nothing_of_a_persons_is_lost(tmp_path, first):
    warm_up(tmp_path)
    for seed in range(first, first + EACH):
        run_sequence(tmp_path, seed)
