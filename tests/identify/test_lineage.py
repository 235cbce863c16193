"""The base model of a file, by its title or its name where nothing else tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from headers import lora, write_safetensors

from assetctl.identify import identify

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.types import Identification

SDXL = lora({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (2048, 640)})
SD1 = lora({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (768, 640)})
TINY = {
    "model.diffusion_model.input_blocks.0.0.weight": [8, 4, 3, 3],
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight": [8, 2048],
    "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn1.to_q.weight": [8, 8],
    "model.diffusion_model.label_emb.0.0.weight": [8, 2816],
    "conditioner.embedders.0.transformer.text_model.embeddings.token_embedding.weight": [8, 768],
}


def called(folder: Path, name: str, shapes: dict[str, list[int]], said: dict[str, str] | None = None) -> Identification:
    return identify(write_safetensors(folder / f"{name}.safetensors", shapes, said))


@pytest.mark.parametrize(
    ("name", "base_model"),
    [
        ("sd_xl_turbo_1.0_fp16", "SDXL Turbo"),
        ("sdxl_lightning_4step", "SDXL Lightning"),
        ("ponyDiffusionV6XL_v6StartWithThisOne", "Pony"),
        ("sd_xl_base_1.0", "SDXL 1.0"),
        ("Illustrious-XL-v1.0", "Illustrious"),
        ("juggernautXL_v9Hyper", "SDXL Hyper"),
        ("hyperrealisticXL_v10", None),
        ("Hyper-Realistic-XL", None),
        ("hyperspaceXL", None),
        ("dreamshaperXL_v10", None),
        ("model", None),
    ],
)
def test_a_checkpoints_name_tells_its_lineage(tmp_path: Path, name: str, base_model: str | None):
    found = called(tmp_path, name, TINY)
    assert (found.kind, found.family, found.base_model, found.confidence) == (
        "checkpoint",
        "sdxl",
        base_model,
        "certain",
    )
    told = [item for item in found.evidence if item.claim.startswith("base_model=")]
    assert [item.source for item in told] == (["file name"] if base_model else [])


@pytest.mark.parametrize(
    ("name", "shapes", "base_model"),
    [
        ("lcm-lora-sdxl", SDXL, "SDXL 1.0 LCM"),
        ("LCM_LoRA_sdxl_weights", SDXL, "SDXL 1.0 LCM"),
        ("Hyper-SDXL-8steps-lora", SDXL, "SDXL Hyper"),
        ("Hyper-SDXL-1step-lora", SDXL, "SDXL Hyper"),
        ("Hyper-SDXL-12steps-CFG-lora", SDXL, "SDXL Hyper"),
        ("sdxl_lightning_4step_lora", SDXL, "SDXL Lightning"),
        ("sd_xl_turbo_lora_v1-64dim", SDXL, "SDXL Turbo"),
        ("lcm-lora-sdv1-5", SD1, "SD 1.5 LCM"),
        ("Hyper-SD15-8steps-lora", SD1, "SD 1.5 Hyper"),
        ("lightning bolts xl", SDXL, None),
        ("lightning_bolts_lora_xl", SDXL, None),
        ("porsche_turbo_lora_xl", SDXL, None),
        ("xl_hyperrealistic_lora", SDXL, None),
        ("my_little_pony_xl_lora", SDXL, None),
        ("illustrious_style", SDXL, None),
        ("sd15_watercolour", SD1, None),
        ("turbo_steps_xl", SDXL, None),
    ],
)
def test_a_loras_name_tells_only_that_it_distils(
    tmp_path: Path, name: str, shapes: dict[str, list[int]], base_model: str | None
):
    assert called(tmp_path, name, shapes).base_model == base_model


def test_what_was_trained_on_comes_before_the_title_and_the_title_before_the_name(tmp_path: Path):
    said = {"modelspec.title": "SDXL Lightning 4step", "ss_sd_model_name": "ponyDiffusionV6XL.safetensors"}
    assert called(tmp_path, "sd_xl_turbo_1.0", TINY, said).base_model == "Pony"
    del said["ss_sd_model_name"]
    found = called(tmp_path, "sd_xl_turbo_1.0", TINY, said)
    assert found.base_model == "SDXL Lightning"
    assert "modelspec.title" in next(item.detail for item in found.evidence if item.claim.startswith("base_model="))
    assert called(tmp_path, "mine", SDXL, said).base_model == "SDXL Lightning"
    assert called(tmp_path, "mine", SDXL, {"modelspec.title": "pony style"}).base_model is None


def test_files_of_one_table_have_each_the_lineage_of_their_own_name(tmp_path: Path):
    names = ("sd_xl_turbo_1.0", "mine", "ponyDiffusionV6XL")
    assert [called(tmp_path, name, TINY).base_model for name in names] == ["SDXL Turbo", None, "Pony"]


def test_a_name_decides_no_family(tmp_path: Path):
    vae = {"decoder.conv_in.weight": [512, 4, 3, 3], "encoder.conv_out.weight": [8, 512, 3, 3]}
    found = called(tmp_path, "sdxl_lightning_4step", vae)
    assert (found.family, found.base_model) == (None, None)
