from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compat.sparse import asset_at, low_rank, write_sparse
from selections import lora_use, selection_of

from assetctl.compat.check import run_rules

if TYPE_CHECKING:
    from pathlib import Path

    from compat.sparse import Make

    from assetctl.types import CheckReport

ATTENTION = "down_blocks.1.attentions.0.transformer_blocks.0"
UNET = {
    "conv_in.weight": [8, 4, 3, 3],
    "down_blocks.0.resnets.0.conv1.weight": [8, 8, 3, 3],
    "down_blocks.0.resnets.1.conv1.weight": [8, 8, 3, 3],
    "down_blocks.0.downsamplers.0.conv.weight": [8, 8, 3, 3],
    "down_blocks.1.resnets.0.conv1.weight": [8, 8, 3, 3],
    f"{ATTENTION}.attn2.to_k.weight": [8, 16],
}
TEXT = {"encoder.layers.0.mlp.fc1.weight": [24, 16], "embeddings.token_embedding.weight": [20, 16]}

#: The convolution, the sampler and the attention above, as LDM numbers them.
LORA = (
    low_rank("lora_unet_input_blocks_2_0_in_layers_2", 8, [8, 3, 3])
    | low_rank("lora_unet_input_blocks_3_0_op", 8, [8, 3, 3])
    | low_rank("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 8, [16])
    | low_rank("lora_te_text_model_encoder_layers_0_mlp_fc1", 24, [16])
)


def checked(folder: Path, asset: Make) -> CheckReport:
    checkpoint = asset_at(folder, "checkpoint", "sd1", format="diffusers")
    return run_rules(selection_of(checkpoint, (lora_use(asset("style", "lora", "sd1", LORA)),)))


@pytest.mark.parametrize("variant", ["", ".fp16", ".non_ema"])
@pytest.mark.parametrize("start", ["", "text_model."])
def test_folder_of_any_variant_is_understood(tmp_path: Path, asset: Make, variant: str, start: str):
    write_sparse(tmp_path / f"model/unet/diffusion_pytorch_model{variant}.safetensors", UNET)
    text = {start + key: shape for key, shape in TEXT.items()}
    write_sparse(tmp_path / f"model/text_encoder/model{variant}.safetensors", text)
    report = checked(tmp_path / "model", asset)
    assert report.findings == ()
    assert (report.coverage[0].modules, report.coverage[0].matched) == (7, 4)


def test_plain_weights_go_before_variants(tmp_path: Path, asset: Make):
    write_sparse(tmp_path / "model/unet/diffusion_pytorch_model.safetensors", UNET)
    write_sparse(tmp_path / "model/unet/diffusion_pytorch_model.fp16.safetensors", {"conv_in.weight": [8, 4, 3, 3]})
    write_sparse(tmp_path / "model/text_encoder/model.safetensors", TEXT)
    assert checked(tmp_path / "model", asset).coverage[0].matched == 4


def test_shards_are_taken_together(tmp_path: Path, asset: Make):
    write_sparse(tmp_path / "model/text_encoder/model.safetensors", TEXT)
    for number in (1, 2):
        half = dict(list(UNET.items())[number - 1 :: 2])
        write_sparse(tmp_path / f"model/unet/diffusion_pytorch_model-0000{number}-of-00002.safetensors", half)
    assert checked(tmp_path / "model", asset).coverage[0].matched == 4


def test_missing_shard_is_a_finding(tmp_path: Path, asset: Make):
    write_sparse(tmp_path / "model/unet/diffusion_pytorch_model.fp16-00001-of-00002.safetensors", UNET)
    report = checked(tmp_path / "model", asset)
    assert [(finding.rule, finding.severity) for finding in report.findings] == [("unreadable_file", "error")]
    assert "1 of 2 shards" in report.findings[0].message


def test_weights_in_pickles_alone_are_a_finding(tmp_path: Path, asset: Make):
    (tmp_path / "model/unet").mkdir(parents=True)
    (tmp_path / "model/unet/diffusion_pytorch_model.bin").write_bytes(b"PK\x03\x04")
    (finding,) = checked(tmp_path / "model", asset).findings
    assert (finding.rule, finding.assets) == ("unreadable_file", ("model",))


def test_damaged_weights_are_a_finding(tmp_path: Path, asset: Make):
    write_sparse(tmp_path / "model/unet/diffusion_pytorch_model.safetensors", UNET).write_bytes(b"<html>")
    (finding,) = checked(tmp_path / "model", asset).findings
    assert (finding.rule, "web page" in finding.message) == ("unreadable_file", True)


def test_folder_that_is_gone_is_one_finding(tmp_path: Path, asset: Make):
    assert [finding.rule for finding in checked(tmp_path / "model", asset).findings] == ["missing_file"]


def test_folder_without_a_unet_gets_no_coverage(tmp_path: Path, asset: Make):
    write_sparse(tmp_path / "model/transformer/diffusion_pytorch_model.safetensors", UNET)
    report = checked(tmp_path / "model", asset)
    assert ([finding.rule for finding in report.findings], report.coverage) == (["not_compared"], ())
