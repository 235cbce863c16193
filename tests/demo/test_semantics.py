"""What prompts, LoRAs, embeddings and weights mean, counted in pictures: see `examples/demo_family/evaluate.py`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

pytest.importorskip("torch")
pytest.importorskip("diffusers")

RECIPE = Path(__file__).resolve().parents[2] / "examples" / "demo_family"


@pytest.fixture(scope="module")
def evaluate():
    sys.path.insert(0, str(RECIPE))
    try:
        import evaluate

        yield evaluate
    finally:
        sys.path.remove(str(RECIPE))


@pytest.fixture(scope="module")
def rows(evaluate, tmp_path_factory):
    studio = evaluate.Studio(tmp_path_factory.mktemp("home"))
    yield list(evaluate.rows(studio))
    studio.close()


def test_every_promise_is_kept_on_enough_of_64_prompts(rows):
    assert {row.prompts for row in rows} == {64}
    assert [row for row in rows if row.hits < row.threshold * row.prompts] == []


def test_no_promise_seems_kept_with_its_feature_switched_off(rows):
    assert [row for row in rows if row.without >= row.threshold * row.prompts] == []
