"""A UNet or transformer in a file of its own takes the checkpoint's place in `check` and `list --fits`."""

from __future__ import annotations

import pytest
from material import write_safetensors

MODULE = "blocks.0.self_attn.q"


def lora(path, module, width=96):
    shapes = {f"{module}.lora_A.weight": (4, width), f"{module}.lora_B.weight": (width, 4)}
    return write_safetensors(path, shapes, {"modelspec.architecture": "wan/lora"})


@pytest.fixture
def models(assetctl, tmp_path):
    folder = tmp_path / "models"
    write_safetensors(folder / "wan.safetensors", {f"{MODULE}.weight": (96, 96)})
    lora(folder / "style.safetensors", f"diffusion_model.{MODULE}")
    lora(folder / "other.safetensors", "diffusion_model.blocks.0.attn1.to_q")
    lora(folder / "wide.safetensors", f"diffusion_model.{MODULE}", 128)
    assetctl("import", folder)
    assetctl("edit", "wan", "--kind", "diffusion-model", "--family", "wan")
    for name in ("style", "other", "wide"):
        assetctl("edit", name, "--kind", "lora", "--family", "wan")


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize("chosen", [("wan",), ("--checkpoint", "wan")])
def test_check_takes_it_by_name_and_by_option(assetctl, chosen):
    shown = assetctl("check", *chosen, "style", "--for", "comfyui")
    assert shown.code == 0
    assert "changes 1 of 1 modules" in shown.out
    assert "✓ This selection fits." in shown.out
    assert assetctl("check", *chosen, "wide").code == 4


@pytest.mark.usefixtures("models")
def test_what_was_not_compared_is_not_said_to_fit(assetctl):
    shown = assetctl("check", "wan", "other", "--for", "any")
    assert shown.code == 0
    assert "[not_compared]" in shown.out
    assert "This selection fits" not in shown.out
    assert "Nothing speaks against this selection" in shown.out


@pytest.mark.usefixtures("models")
def test_list_fits_takes_it(assetctl):
    assert assetctl("list", "--fits", "wan", "--quiet").out.split() == ["other", "style"]


@pytest.mark.usefixtures("models")
def test_generate_refuses_it_in_one_sentence(assetctl):
    ended = assetctl("generate", "a cat", "--checkpoint", "wan", "--dry-run", "--json")
    assert ended.code == 4
    assert "wan is a UNet or transformer alone" in ended.error["message"]
    assert "assetctl list --kind checkpoint" in ended.error["hint"]


@pytest.mark.usefixtures("models")
def test_one_that_is_named_twice_is_one(assetctl):
    assert assetctl("check", "wan", "--checkpoint", "wan", "--for", "any").code == 0
