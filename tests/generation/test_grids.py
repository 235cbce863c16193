"""A grid with diffusers: a cell is the picture that `generate` makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetctl import Registry, Request
from assetctl.run import Run, Step

pytest.importorskip("torch")
pytestmark = pytest.mark.generation


def test_a_cell_is_the_picture_that_generate_makes(tmp_path):
    with Registry.open(tmp_path / "home") as registry:
        registry.pull_demo()
        told = []
        request = Request.of("a red star on white", steps=2, seed=7, width=64, height=64, output=tmp_path / "sheet.png")
        grid = "lora: demo-vintage, demo-sdxl-lora, none; prompt star: circle"
        result = registry.generate_grid(request, grid, run=Run(told.append))
        assert [cell.image is not None for cell in result.cells] == [True, False, True] * 2
        assert [event.picture for event in told if isinstance(event, Step)] == [1, 1, 2, 2, 3, 3, 4, 4]
        circle = result.cells[3]
        alone = registry.generate(
            Request.of("a red circle on white", loras=["demo-vintage"], steps=2, seed=7, width=64, height=64)
        )
        assert Path(alone.images[0].path).read_bytes() == Path(circle.image.path).read_bytes()
        Path(result.sheet).unlink()
        again = registry.generate_grid(request, grid)
        assert [cell.was_there for cell in again.cells] == [True, False, True] * 2
