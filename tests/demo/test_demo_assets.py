from __future__ import annotations

import hashlib
import json
import math
import struct
import subprocess
import sys
from dataclasses import astuple
from typing import TYPE_CHECKING

import pytest

from assetctl.demo import DemoAssets, make_demo_assets
from assetctl.errors import StorageError
from assetctl.files.safetensors import read_header

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> DemoAssets:
    return make_demo_assets(tmp_path_factory.mktemp("demo"))


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_makes_the_same_bytes_every_time_and_leaves_them_alone(assets: DemoAssets, tmp_path: Path):
    make_demo_assets(tmp_path)
    assert hashes(tmp_path) == hashes(assets.checkpoint.parent)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    make_demo_assets(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_mends_a_damaged_file(assets: DemoAssets, tmp_path: Path):
    (tmp_path / assets.style.name).write_bytes(b"damaged")
    made = make_demo_assets(tmp_path)
    assert made.style.read_bytes() == assets.style.read_bytes()


def test_every_file_is_whole_and_readable_like_any_other(assets: DemoAssets, tmp_path: Path):
    ordinary = tmp_path / "ordinary"
    ordinary.touch()
    for path in astuple(assets):
        if path.is_file():
            assert read_header(path).tensors
            assert path.stat().st_mode == ordinary.stat().st_mode
    assert not list(assets.checkpoint.parent.glob(".*"))


def test_the_checkpoint_has_stable_diffusions_layout_in_a_few_megabytes(assets: DemoAssets):
    header = read_header(assets.checkpoint)
    assert header.size < 20_000_000
    assert header.shape("model.diffusion_model.input_blocks.0.0.weight")[1:] == (4, 3, 3)
    for block in ("input_blocks.1.1", "input_blocks.8.1", "middle_block.1", "output_blocks.3.1", "output_blocks.11.1"):
        key = header.shape(f"model.diffusion_model.{block}.transformer_blocks.0.attn2.to_k.weight")
        assert key[1] == 768
    assert not header.has("input_blocks.10.1.", "output_blocks.2.2.", "\nmodel_ema")
    assert header.has("\nfirst_stage_model.quant_conv.weight\n")


def test_no_weight_is_infinite_or_none(assets: DemoAssets):
    for path in (assets.checkpoint, assets.style, assets.embedding):
        header = read_header(path)
        data = path.read_bytes()[header.data_start :]
        # The high byte of half precision holds the exponent; all ones are infinity or not a number.
        assert {entry["dtype"] for entry in header.tensors.values()} == {"F16"}
        assert not {byte & 0x7C for byte in set(data[1::2])} & {0x7C}


def test_the_text_encoder_has_a_row_for_each_token(assets: DemoAssets):
    vocabulary = json.loads((assets.config / "tokenizer/vocab.json").read_text("utf-8"))
    rows = read_header(assets.checkpoint).shape(
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    )
    assert rows == (len(vocabulary), 768)
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert [token for token, number in vocabulary.items() if number >= len(vocabulary) - 2] == [
        "<|startoftext|>",
        "<|endoftext|>",
    ]


@pytest.mark.parametrize(("name", "trigger"), [("style", "demo style"), ("subject", "demo subject")])
def test_a_lora_names_its_trigger_words_and_changes_something(assets: DemoAssets, name: str, trigger: str):
    path = getattr(assets, name)
    header = read_header(path)
    assert header.metadata["modelspec.trigger_phrase"] == trigger
    assert trigger in next(iter(json.loads(header.metadata["ss_tag_frequency"]).values()))
    up = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q.lora_up.weight"
    begin, end = header.tensors[up]["data_offsets"]
    numbers = struct.unpack(f"<{(end - begin) // 2}e", path.read_bytes()[header.data_start :][begin:end])
    assert math.sqrt(sum(number**2 for number in numbers) / len(numbers)) > 0.1
    assert header.shape("lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight") == (4, 768)


def test_the_sdxl_lora_has_sdxls_context(assets: DemoAssets):
    name = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight"
    assert read_header(assets.sdxl_lora).shape(name) == (4, 2048)


def test_the_embedding_has_two_vectors(assets: DemoAssets):
    assert read_header(assets.embedding).shape("emb_params") == (2, 768)


def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="can not be written"):
        make_demo_assets(tmp_path / "file" / "demo")


def test_needs_neither_torch_nor_numpy(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from assetctl.demo import make_demo_assets; "
        f"make_demo_assets(Path({str(tmp_path)!r})); "
        "sys.exit(bool({'torch', 'numpy', 'safetensors'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
