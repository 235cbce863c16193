from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from generation import tiny

from assetctl.errors import GenerationError, UnusableError
from assetctl.files.safetensors import Header
from assetctl.generation.configuration import (
    check_single_file,
    scheduler_config,
    text_encoder_configs,
    unet_config,
    vae_config,
    write_configuration,
)
from assetctl.generation.folders import check_folder, model_index
from assetctl.generation.weights import wanted

#: Keys that a configuration has without a say in what is computed.
NOTES = {"_class_name", "_diffusers_version", "_name_or_path", "architectures", "transformers_version", "torch_dtype"}
#: Real ones number the ends of CLIP's text wrongly (https://github.com/huggingface/transformers/pull/24773).
WRONG = {"bos_token_id", "eos_token_id"}


def header_of(corpus: Path, name: str) -> Header:
    tensors = json.loads((corpus / "headers" / f"{name}.json").read_text("utf-8"))["tensors"]
    return Header(Path(f"{name}.safetensors"), 0, 0, tensors, {})


@pytest.mark.parametrize(("name", "family", "folder"), [("sd15", "sd1", "sd15"), ("sdxl-base", "sdxl", "sdxl")])
def test_derived_configurations_equal_the_published_ones(corpus: Path, name: str, family: str, folder: str):
    header = header_of(corpus, name)
    encoders = text_encoder_configs(header, family)
    derived = {"unet": unet_config(header, family, encoders), "vae": vae_config(header, family), **encoders}
    for part, config in derived.items():
        published = json.loads((corpus / "diffusers-configs" / folder / part / "config.json").read_text("utf-8"))
        shared = (config.keys() & published.keys()) - NOTES - WRONG
        assert {key: config[key] for key in shared} == {key: published[key] for key in shared}
        told = published.keys() - config.keys() - NOTES - WRONG
        assert not told & {
            "block_out_channels",
            "layers_per_block",
            "cross_attention_dim",
            "hidden_size",
            "scaling_factor",
        }


def test_sd2_keeps_all_but_the_last_layer_of_its_text_encoder(corpus: Path):
    header = header_of(corpus, "sd21")
    encoders = text_encoder_configs(header, "sd2")
    assert encoders["text_encoder"]["num_hidden_layers"] == 23
    assert encoders["text_encoder"]["num_attention_heads"] == 16
    unet = unet_config(header, "sd2", encoders)
    assert unet["attention_head_dim"] == [5, 10, 20, 20]
    assert unet["use_linear_projection"]
    assert scheduler_config(header, "sd2", None)["prediction_type"] == "v_prediction"


@pytest.mark.parametrize("name", ["vae-ldm", "vae-diffusers-juggernaut"])
def test_a_vae_alone_is_described_in_either_layout(corpus: Path, name: str):
    config = vae_config(header_of(corpus, name), "sdxl")
    assert config["block_out_channels"] == [128, 256, 512, 512]
    assert (config["layers_per_block"], config["latent_channels"], config["scaling_factor"]) == (2, 4, 0.13025)


def test_tensors_say_that_a_checkpoint_predicts_velocities_from_pure_noise():
    empty: dict[str, Any] = {"v_pred": {"shape": []}, "ztsnr": {"shape": []}}
    config = scheduler_config(Header(Path("x"), 0, 0, empty, {}), "sdxl", None)
    assert config["prediction_type"] == "v_prediction"
    assert config["rescale_betas_zero_snr"]


def test_a_written_tokenizer_pads_and_splits_as_the_published_one(corpus: Path, tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    from assetctl.generation.folders import TokenizerSource, write_tokenizer

    real = corpus / "diffusers-configs" / "sdxl"
    text = "Wow! a  photo, of a (cat):1.2 -- émigré 猫!! it's <b>"
    for part, pad in (("tokenizer", "<|endoftext|>"), ("tokenizer_2", "!")):
        write_tokenizer(TokenizerSource(real / "tokenizer", own=False), tmp_path / part, pad, 77)
        ids = [
            transformers.CLIPTokenizer.from_pretrained(folder / part)(
                text, padding="max_length", truncation=True
            ).input_ids
            for folder in (real, tmp_path)
        ]
        assert ids[0] == ids[1]


def small_header(rows: int) -> Header:
    """A small SD 1 checkpoint, whose last level has no attention."""
    unet = {"block_out_channels": [32, 64], "layers_per_block": 1, "cross_attention_dim": 64,
            "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}  # fmt: skip
    vae = {"block_out_channels": [32], "down_block_types": ["DownEncoderBlock2D"]}
    text = {"vocab_size": rows, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1}
    tables = (
        wanted(unet, "unet", "model.diffusion_model.", "ldm"),
        wanted(vae, "vae", "first_stage_model.", "ldm"),
        wanted(text, "text_encoder", "cond_stage_model.transformer.text_model."),
    )
    shapes = {name: shape for table in tables for name, shape in zip(table.names, table.shapes, strict=True)}
    tensors = {name: {"dtype": "F32", "shape": shape} for name, shape in shapes.items()}
    return Header(Path("small.safetensors"), 0, 0, tensors, {})


def test_a_level_without_attention_at_the_end_is_seen():
    header = small_header(9)
    # the last level has no downsampler after it
    config = unet_config(header, "sd1", {})
    assert config["block_out_channels"] == [32, 64]
    assert config["down_block_types"] == ["CrossAttnDownBlock2D", "DownBlock2D"]
    assert config["up_block_types"] == ["UpBlock2D", "CrossAttnUpBlock2D"]


@pytest.mark.parametrize("inside", ["", "tokenizer"])
def test_a_configuration_is_written_with_the_checkpoints_own_numbers(tmp_path: Path, inside: str):
    tiny.write_vocabulary(tmp_path / "clip" / inside)
    words = json.loads((tmp_path / "clip" / inside / "vocab.json").read_text("utf-8"))
    folder = write_configuration(small_header(len(words)), "sd1", "v_prediction", tmp_path / "clip", tmp_path / "out")
    text = json.loads((folder / "text_encoder" / "config.json").read_text("utf-8"))
    assert (text["vocab_size"], text["eos_token_id"]) == (len(words), words["<|endoftext|>"])
    assert (
        json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))["prediction_type"]
        == "v_prediction"
    )
    check_folder(folder, "sd1")


@pytest.mark.parametrize(
    "marks",
    [{"edm_mean": [1, 4, 1, 1], "edm_std": [1, 4, 1, 1]}, {"edm_vpred.sigma_max": [], "edm_vpred.sigma_min": []}],
    ids=["Playground v2.5", "CosXL"],
)
def test_a_checkpoint_that_is_sampled_as_edm_is_refused(tmp_path: Path, marks: dict[str, list[int]]):
    tiny.write_vocabulary(tmp_path / "clip")
    plain = small_header(len(json.loads((tmp_path / "clip" / "vocab.json").read_text("utf-8"))))
    more = {name: {"dtype": "F32", "shape": shape} for name, shape in marks.items()}
    header = Header(plain.path, 0, 0, plain.tensors | more, {})
    assert check_single_file(plain, "sd1", tmp_path / "clip") == ()
    with pytest.raises(UnusableError, match="EDM"):
        check_single_file(header, "sd1", tmp_path / "clip")
    with pytest.raises(UnusableError, match="EDM"):
        write_configuration(header, "sd1", None, tmp_path / "clip", tmp_path / "out")


ATTENTION = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q"


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({f"{ATTENTION}.weight_scale": []}, {}),
        ({f"{ATTENTION}.comfy_quant": [26]}, {}),
        ({}, {"_quantization_metadata": '{"layers": {}}'}),
    ],
    ids=["weight_scale", "comfy_quant", "metadata"],
)
def test_scales_that_are_not_applied_are_in_doubt(
    tmp_path: Path, tensors: dict[str, list[int]], metadata: dict[str, str]
):
    tiny.write_vocabulary(tmp_path / "clip")
    plain = small_header(len(json.loads((tmp_path / "clip" / "vocab.json").read_text("utf-8"))))
    more = {name: {"dtype": "F32", "shape": shape} for name, shape in tensors.items()}
    (doubt,) = check_single_file(Header(plain.path, 0, 0, plain.tensors | more, metadata), "sd1", tmp_path / "clip")
    assert "scaled" in doubt
    read = {f"{ATTENTION}.scale_input": {"dtype": "F32", "shape": []}}
    assert check_single_file(Header(plain.path, 0, 0, plain.tensors | read, {}), "sd1", tmp_path / "clip") == ()


def without(header: Header, *starts: str) -> Header:
    left = {name: entry for name, entry in header.tensors.items() if not name.startswith(starts)}
    assert len(left) < len(header.tensors)
    return Header(header.path, 0, 0, left, {})


@pytest.mark.parametrize(
    "missing",
    [
        ("model.diffusion_model.input_blocks.8.1.transformer_blocks.9.",),
        tuple(f"model.diffusion_model.input_blocks.{block}.1.transformer_blocks.9." for block in (7, 8)),
        tuple(
            f"model.diffusion_model.{block}.1.transformer_blocks.9."
            for block in ("input_blocks.7", "input_blocks.8", *(f"output_blocks.{block}" for block in range(3)))
        ),
        ("first_stage_model.encoder.down.3.",),
        ("first_stage_model.encoder.down.0.block.1.",),
        ("first_stage_model.decoder.up.0.block.2.",),
    ],
    ids=["one block", "the way down", "all but the middle", "a level", "a layer", "a layer of the decoder"],
)
def test_the_last_parts_of_a_network_are_missed_where_any_other_shows_them(corpus: Path, missing: tuple[str, ...]):
    header, words = header_of(corpus, "sdxl-base"), corpus / "diffusers-configs" / "sdxl" / "tokenizer"
    assert check_single_file(header, "sdxl", words) == ()
    with pytest.raises(UnusableError, match="lacks"):
        check_single_file(without(header, *missing), "sdxl", words)


@pytest.mark.parametrize("layers", [11, 7, 6, 1])
def test_a_text_encoder_of_few_layers_is_in_doubt(corpus: Path, layers: int):
    header, words = header_of(corpus, "sd15"), corpus / "diffusers-configs" / "sd15" / "tokenizer"
    place = "cond_stage_model.transformer.text_model.encoder.layers."
    (doubt,) = check_single_file(without(header, *(f"{place}{gone}." for gone in range(layers, 12))), "sd1", words)
    assert f"has {layers} layers, where others have 12" in doubt


def test_a_tokenizer_of_another_vocabulary_or_none_is_refused(tmp_path: Path):
    tiny.write_vocabulary(tmp_path / "clip")
    with pytest.raises(GenerationError, match="49408"):
        write_configuration(small_header(49408), "sd1", None, tmp_path / "clip", tmp_path / "a")
    with pytest.raises(GenerationError, match="no tokenizer"):
        write_configuration(small_header(49408), "sd1", None, None, tmp_path / "b")


def test_a_family_that_can_not_be_generated_with_is_refused(tmp_path: Path):
    with pytest.raises(GenerationError, match="flux1"):
        write_configuration(small_header(9), "flux1", None, None, tmp_path)


@pytest.mark.parametrize(
    "entry", [["os", "system"], ["evil", "UNet2DConditionModel"], None, "x", ["diffusers", "Evil"]]
)
def test_a_folder_that_names_strange_code_is_refused(tmp_path: Path, entry: Any):
    (tmp_path / "model_index.json").write_text(json.dumps(model_index("sd1") | {"unet": entry}), "utf-8")
    with pytest.raises(GenerationError, match="unet"):
        check_folder(tmp_path, "sd1")


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_index_is_refused(tmp_path: Path, content: str):
    (tmp_path / "model_index.json").write_text(content, "utf-8")
    with pytest.raises(GenerationError, match=r"model_index\.json"):
        check_folder(tmp_path, "sd1")
