from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from generation import tiny

if TYPE_CHECKING:
    from assetctl.types import Asset


@dataclass(frozen=True)
class Models:
    """Where the tiny models are: `folder` and `file` of each family, and the vocabulary of all."""

    root: Path

    @property
    def vocabulary(self) -> Path:
        return self.root / "vocabulary"

    def folder(self, family: str) -> Asset:
        return tiny.asset(self._made(family) / "pipeline", "checkpoint", family)

    def file(self, family: str) -> Asset:
        return tiny.asset(self._made(family) / "model.safetensors", "checkpoint", family)

    def _made(self, family: str) -> Path:
        folder = self.root / family
        if not folder.exists():
            tiny.write_family(family, folder, self.vocabulary)
        return folder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    for module in ("torch", "diffusers", "transformers", "peft"):
        pytest.importorskip(module)
    root = tmp_path_factory.mktemp("models")
    tiny.write_vocabulary(root / "vocabulary")
    return Models(root)


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Real headers and configurations, where they stand beside the checkout."""
    folder = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("no folder of real headers beside the checkout")
    return folder
