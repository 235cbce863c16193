"""Weights belong to LoRAs."""

from __future__ import annotations

import pytest
from material import write_embedding, write_lora

from assetctl import Registry, Request
from assetctl.errors import UsageError


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
    ("name", "code"), [("cat:nan", 2), (":0.5", 3), ("cat:", 3), ("cat:0.5:0.5", 0), ("cat:1:0.5:0.5", 3)]
)
def test_odd_weights_are_told_of(assetctl, name, code):
    assert assetctl("check", name).code == code


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize("command", [("check",), ("generate", "a cat", "--dry-run")])
@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (("--embedding", "soft:0.5"), 2, "soft:0.5 gives a weight to soft"),
        (("--lora", "cat:abc"), 3, "'abc' is no weight: write a number behind the colon, like cat:0.8"),
        (("--embedding", "soft:abc"), 3, "Name it alone: soft."),
        (("--lora", "nobody:abc"), 3, "nobody:abc"),
    ],
)
def test_what_stands_behind_a_name_is_explained_whoever_is_asked(assetctl, command, typed, code, told):
    ended = assetctl(*command, *typed)
    assert (ended.code, told in ended.err) == (code, True), ended.err


@pytest.mark.usefixtures("filled")
def test_weights_by_name_are_taken_in_python_and_never_dropped(home):
    with Registry.open(home) as registry:
        asked = Request.of(loras={"cat": 0.5, "other": None})
        assert [(use.reference, use.weight) for use in asked.uses] == [("cat", 0.5), ("other", None)]
        with pytest.raises(UsageError, match=r"soft:0\.5 gives a weight"):
            registry.check(Request.of(embeddings=["soft:0.5"]))
    assert Request.of(loras={"cat": 1}) == Request.of(loras=["cat:1"])
    for wrong in (
        {"loras": {"cat": "0.5"}},
        {"loras": {7: 0.5}},
        {"embeddings": {"soft": 0.5}},
        {"loras": [("cat", 1)]},
    ):
        with pytest.raises(UsageError):
            Request.of(**wrong)
