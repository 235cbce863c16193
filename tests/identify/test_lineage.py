"""The base model of a file, by its title or its name where nothing else tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from headers import lora, write_safetensors
from tables import table

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

FILES = {"checkpoint": TINY, "lora of sdxl": SDXL, "lora of sd1": SD1}


def called(folder: Path, name: str, shapes: dict[str, list[int]], said: dict[str, str] | None = None) -> Identification:
    return identify(write_safetensors(folder / f"{name}.safetensors", shapes, said))


@pytest.mark.parametrize("case", table("names/lineages"))
def test_a_name_tells_the_lineage_of_a_checkpoint_and_of_a_lora_only_that_it_distils(
    tmp_path: Path, case: dict[str, Any]
):
    found = called(tmp_path, case["name"], FILES[case["of"]])
    assert found.base_model == case["base_model"]
    if case["of"] == "checkpoint":
        assert (found.kind, found.family, found.confidence) == ("checkpoint", "sdxl", "certain")
        told = [item for item in found.evidence if item.claim.startswith("base_model=")]
        assert [item.source for item in told] == (["file name"] if case["base_model"] else [])


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
