"""What ships as the demo family, looked at as any other files are."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from patience import fair

from assetctl.demo import demo_assets
from assetctl.files.safetensors import read_header
from assetctl.identify import identify

FOLDER = demo_assets().checkpoint.parent


def test_all_of_it_takes_no_more_than_15_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) <= 15_000_000


@pytest.mark.parametrize(
    ("name", "kind", "family", "words"),
    [
        ("checkpoint", "checkpoint", "sd1", ()),
        ("style", "lora", "sd1", ("vintage",)),
        ("subject", "lora", "sd1", ("cat",)),
        ("embedding", "embedding", "sd1", ("x",)),  # the file's name is the token
        ("negative", "embedding", "sd1", ("x",)),
        ("sdxl_lora", "lora", "sdxl", ("demo sdxl",)),
    ],
)
def test_the_ordinary_rules_tell_what_each_file_is(tmp_path, name, kind, family, words):
    anonymous = tmp_path / "x.safetensors"  # no help from the name
    anonymous.write_bytes(getattr(demo_assets(), name).read_bytes())
    found = identify(anonymous)
    confidence = "likely" if family == "sdxl" else "certain"  # it changes attention alone, and Kolors has the same
    assert (found.kind, found.family, found.trigger_words, found.confidence) == (kind, family, words, confidence)


def test_the_checkpoint_has_stable_diffusion_1s_layout():
    header = read_header(demo_assets().checkpoint)
    for block in ("input_blocks.1.1", "input_blocks.2.1", "middle_block.1", "output_blocks.8.1"):
        assert header.shape(f"model.diffusion_model.{block}.transformer_blocks.0.attn2.to_k.weight")[1] == 768
    assert header.has("\nfirst_stage_model.quant_conv.weight\n")
    assert {entry["dtype"] for entry in header.tensors.values()} == {"F16"}


def test_no_weight_is_infinite_or_none():
    for path in demo_assets().files:
        data = path.read_bytes()[read_header(path).data_start :]
        # the high byte of half precision holds the exponent: all ones are infinity, or no number
        assert not {byte & 0x7C for byte in set(data[1::2])} & {0x7C}


def test_the_text_encoder_has_a_row_for_each_token():
    family = demo_assets()
    vocabulary = json.loads((family.config / "tokenizer/vocab.json").read_text("utf-8"))
    words = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    assert read_header(family.checkpoint).shape(words) == (len(vocabulary), 768)


def test_each_asset_has_a_card_that_names_its_license():
    for path in demo_assets().files:
        card = path.with_suffix(".md").read_text("utf-8")
        assert card.startswith(f"# {path.stem}\n")
        assert "Apache-2.0" in card


def test_finding_the_files_needs_neither_torch_nor_numpy():
    code = (
        "import sys; from assetctl.demo import demo_assets; demo_assets(); "
        "sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=fair(60)).returncode == 0
