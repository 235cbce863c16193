from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from compat.sparse import asset_at, write_sparse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assetctl.types import Asset

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus"
FOLDERS = ("headers", "headers2")


@pytest.fixture(name="asset")
def make_asset(tmp_path: Path) -> Callable[..., Asset]:
    """Write `shapes` to a file `name` and make an asset of it."""

    def make(name: str, kind: str, family: str | None, shapes: Mapping[str, list[int]], **other: object) -> Asset:
        return asset_at(write_sparse(tmp_path / f"{name}.safetensors", shapes), kind, family, **other)

    return make


@pytest.fixture(name="real")
def real_asset(tmp_path: Path) -> Callable[..., Asset]:
    """An asset with the header of a published model."""

    def make(name: str, kind: str, family: str, **other: object) -> Asset:
        source = next(
            (CORPUS / folder / f"{name}.json" for folder in FOLDERS if (CORPUS / folder / f"{name}.json").exists()),
            None,
        )
        if source is None:
            pytest.skip("needs headers of published models, in ../shared/corpus")
        tensors = json.loads(source.read_text())["tensors"]
        shapes = {key: entry["shape"] for key, entry in tensors.items()}
        return asset_at(write_sparse(tmp_path / f"{name}.safetensors", shapes), kind, family, **other)

    return make
