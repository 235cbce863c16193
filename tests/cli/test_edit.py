"""How `assetctl edit` takes what a person says."""

from __future__ import annotations

import pytest
from material import write_lora


@pytest.fixture
def edit(assetctl, tmp_path):
    """Edit the one asset of the catalog."""
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    return lambda *arguments: assetctl("edit", "whiskers", *arguments, "--json")


@pytest.mark.parametrize("typed", ["sdxl turbo", "SDXL-Turbo", "SDXL Turbo"])
def test_a_base_model_is_known_whatever_its_case(edit, typed):
    ended = edit("--base-model", typed)
    assert ended.data[0]["base_model"] == "SDXL Turbo"
    assert ended.err == ""


def test_a_base_model_that_nobody_knows_is_kept_with_a_warning(assetctl, edit):
    assert edit("--base-model", "Ponny").data[0]["base_model"] == "Ponny"
    told = assetctl("edit", "whiskers", "--base-model", "Ponny").err
    assert "warning: Ponny is no base model" in told
    assert "Did you mean Pony" in told
    assert "no base model" in assetctl("edit", "whiskers", "--base-model", "qqqq").err
    assert edit("--base-model", "").err == ""
