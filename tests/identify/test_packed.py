"""Weights with two numbers a byte are as wide as what they stand for, not as what they are stored as."""

from __future__ import annotations

import pytest
from headers import write_safetensors
from identify.networks import diffusers_unet, flux, joint, joint_diffusers, krea2, ldm_unet, qwen, z_image
from identify.relatives import nf4, nvfp4, twice

from assetctl.identify import identify

SD = "model.diffusion_model."


@pytest.mark.parametrize(
    ("family", "modules"),
    [
        ("sd1", diffusers_unet("sd1")),
        ("sd2", ldm_unet("sd2")),
        ("sdxl", ldm_unet("sdxl")),  # its text is 2048 wide, and stored as wide as that of SD 2
        ("flux1", flux() | {"vector_in.in_layer": (768, 3072)}),
        ("sd3", joint(1536, 24)),
        ("sd3", joint_diffusers(2432, 38)),
        ("qwen-image", qwen()),
        ("z-image", z_image()),
        ("krea2", krea2()),
        ("ltx", twice(2048, 28)),
        ("pixart", twice(1152, 28)),
        ("cosmos", twice(2048, 28, 1024)),
    ],
)
def test_a_packed_network_is_what_it_stands_for(tmp_path, family, modules):
    found = identify(write_safetensors(tmp_path / "file.safetensors", nvfp4(modules, SD), dtype="U8"))
    assert (found.kind, found.family) == ("diffusion-model", family), found.evidence


def test_blocks_stored_as_wide_as_those_of_sd3_are_not_sd3s(tmp_path):
    found = identify(write_safetensors(tmp_path / "file.safetensors", nvfp4(joint_diffusers(3072, 20), SD), dtype="U8"))
    assert found.family != "sd3"


def test_a_network_that_optimum_quanto_packed_is_what_it_stands_for(tmp_path):
    shapes = {}
    for name, (taken, given, *_) in (
        flux() | {"time_in.in_layer": (256, 3072), "vector_in.in_layer": (768, 3072)}
    ).items():
        shapes |= {f"{name}.weight._data": [given, taken], f"{name}.weight._scale": [given, 1]}
        shapes |= {f"{name}.input_scale": [], f"{name}.output_scale": [], f"{name}.bias": [given]}
    found = identify(write_safetensors(tmp_path / "file.safetensors", shapes, dtype="U8"))
    assert (found.kind, found.family) == ("diffusion-model", "flux1"), found.evidence


def test_a_packed_kolors_is_told_from_sdxl_by_its_projection_of_text(tmp_path):
    shapes = nf4(diffusers_unet("sdxl") | {"encoder_hid_proj": (4096, 2048)})
    found = identify(write_safetensors(tmp_path / "file.safetensors", shapes, dtype="U8"))
    assert (found.kind, found.family) == ("diffusion-model", "kolors"), found.evidence
