"""How `assetctl edit` takes what a person says."""

from __future__ import annotations

import pytest
from material import write_lora

from assetctl import Registry
from assetctl.errors import UsageError
from assetctl.operations.library.edit import Changes


@pytest.fixture
def edit(assetctl, tmp_path):
    """Edit the one asset of the catalog."""
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    return lambda *arguments: assetctl("edit", "whiskers", *arguments, "--json")


@pytest.mark.parametrize("undo", [("--reset", "default-weight"), ("--default-weight", "")])
def test_a_default_weight_can_be_taken_back(edit, undo):
    assert edit("--default-weight", "0.7").data[0]["default_weight"] == 0.7
    assert edit(*undo).data[0]["default_weight"] is None


def test_notes_can_be_taken_back(edit):
    assert edit("--notes", "lovely").data[0]["notes"] == "lovely"
    assert edit("--reset", "notes").data[0]["notes"] is None


@pytest.mark.parametrize("weight", ["heavy", "nan"])
def test_a_default_weight_is_a_number(edit, weight):
    ended = edit("--default-weight", weight)
    assert (ended.code, ended.error["code"]) == (2, "usage")


def test_what_a_person_took_away_is_told_in_words(assetctl, edit):
    edit("--family", "", "--base-model", "Pony", "--trigger-word", "ohwx", "--trigger-word", "man")
    shown = assetctl("inspect", "whiskers").out
    assert "set by you  base model Pony; no family; trigger words ohwx, man" in shown


@pytest.mark.parametrize("typed", ["sdxl turbo", "SDXL-Turbo", "SDXL Turbo"])
def test_a_base_model_is_known_whatever_its_case(edit, typed):
    ended = edit("--base-model", typed)
    assert ended.data[0]["base_model"] == "SDXL Turbo"
    assert ended.err == ""


def test_a_base_model_that_nobody_knows_is_kept_with_a_warning(assetctl, edit):
    assert edit("--base-model", "Ponny").data[0]["base_model"] == "Ponny"
    told = assetctl("edit", "whiskers", "--base-model", "Ponny").err
    assert "warning: Ponny is not a base model" in told
    assert "Did you mean Pony" in told
    assert "not a base model" in assetctl("edit", "whiskers", "--base-model", "qqqq").err
    assert edit("--base-model", "").err == ""


@pytest.mark.parametrize("weight", [10**400, 1e9, float("nan"), float("-inf")], ids=["huge", "large", "nan", "inf"])
def test_a_weight_that_nothing_can_reckon_with_is_refused(assetctl, home, tmp_path, weight):
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    with Registry.open(home) as registry:
        with pytest.raises(UsageError, match="by default"):
            registry.edit("whiskers", Changes(default_weight=weight))
        assert registry.edit("whiskers", Changes(default_weight=100)).default_weight == 100.0
