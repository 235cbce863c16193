"""No byte of a person's is lost, whatever happens in whatever order; `benchmarks/nothing_lost.py` tries more."""

from __future__ import annotations

import sys

import pytest
from losing.steps import run_sequence, warm_up

#: Sequences a test, so that they spread over the workers.
EACH = 10

#: Where each test's sequences begin: one test is the short form.
SOME = (pytest.param(first, marks=pytest.mark.slow) for first in range(EACH, 3 * EACH, EACH))
REST = (pytest.param(first, marks=pytest.mark.long) for first in range(3 * EACH, 8 * EACH, EACH))


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("first", [0, *SOME, *REST])
def test_nothing_of_a_persons_is_lost(tmp_path, first):
    warm_up(tmp_path)
    for seed in range(first, first + EACH):
        run_sequence(tmp_path, seed)
