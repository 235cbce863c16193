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
def studio(evaluate, tmp_path_factory):
    studio = evaluate.Studio(tmp_path_factory.mktemp("home"))
    yield studio
    studio.close()


#: The longest first, so that the last to end are short.
PARTS = ("samplers", "style LoRA", "prompts", "weights", "subject LoRA", "prompts never shown", "embeddings")

#: A mark is in one picture of five that nobody asks to be without.
LEAST = {"embeddings": 8}


#: Parts whose many prompts are asked for before each change; those of the others, with all that takes long.
OFTEN = ("prompts", "subject LoRA")


@pytest.mark.parametrize(
    ("part", "prompts"),
    [
        *((part, 3) for part in PARTS),
        *(pytest.param(part, 64, marks=pytest.mark.slow if part in OFTEN else pytest.mark.long) for part in PARTS),
    ],
)
def test_every_promise_is_kept_on_enough_prompts_and_not_with_its_feature_switched_off(evaluate, studio, part, prompts):
    prompts = max(prompts, LEAST.get(part, 0))
    rows = list(evaluate.PARTS[part](studio, prompts))
    assert rows
    assert [row for row in rows if row.hits < row.threshold * row.prompts] == []
    assert [row for row in rows if row.without >= row.threshold * row.prompts] == []


def test_no_part_of_the_table_is_left_out(evaluate):
    assert set(evaluate.PARTS) == set(PARTS)
