"""Weights belong to LoRAs."""

from __future__ import annotations

import pytest
from material import write_embedding, write_lora


@pytest.fixture
def filled(assetctl, tmp_path):
    write_lora(tmp_path / "mine" / "cat.safetensors")
    write_embedding(tmp_path / "mine" / "soft.safetensors")
    assetctl("import", tmp_path / "mine")


@pytest.mark.usefixtures("filled")
def test_a_weight_for_what_has_none_is_wrong_usage(assetctl):
    ended = assetctl("check", "cat:0.5", "soft:0.5", "--json")
    assert ended.code == 2
    assert "soft:0.5 gives a weight to soft" in ended.error["message"]
    assert "(soft:1.2)" in ended.error["hint"]
    assert assetctl("check", "cat:0.5", "soft").code == 0


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("name", "code"), [("cat:nan", 2), (":0.5", 3), ("cat:", 3), ("cat:0.5:x:0.5", 3), ("cat:0.5:0.7", 0)]
)
def test_odd_weights_are_told_of(assetctl, name, code):
    assert assetctl("check", name).code == code
