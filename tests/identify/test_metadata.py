from __future__ import annotations

import json

import pytest
from headers import lora, write_safetensors

from assetctl.identify import identify

SDXL = lora({"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k": (2048, 640)})


@pytest.fixture
def told(tmp_path):
    """Identify an SDXL LoRA with the given metadata; values that are no strings are written as JSON."""

    def identified(metadata, shapes=SDXL, name="my-lora"):
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in metadata.items()}
        return identify(write_safetensors(tmp_path / f"{name}.safetensors", shapes, texts))

    return identified


def test_a_trigger_phrase_comes_first(told):
    said = {"modelspec.trigger_phrase": "ohwx man, in a suit", "ss_tag_frequency": {"1_x": {"other": 9}}}
    assert told(said).trigger_words == ("ohwx man", "in a suit")


def test_tags_on_nearly_all_pictures_are_trigger_words(told):
    said = {
        "ss_tag_frequency": {"10_ohwx woman": {"smile": 12, "ohwx woman": 20, "blue dress": 19, "outdoors": 3}},
        "ss_dataset_dirs": {"10_ohwx woman": {"n_repeats": 10, "img_count": 20}},
    }
    assert told(said).trigger_words == ("ohwx woman", "blue dress")


def test_a_folders_own_name_needs_fewer_pictures(told):
    said = {
        "ss_tag_frequency": {"5_gwei": {"gwei": 12, "smile": 12}},
        "ss_dataset_dirs": {"5_gwei": {"n_repeats": 5, "img_count": 20}},
    }
    assert told(said).trigger_words == ("gwei",)


def test_regularisation_pictures_give_no_words(told):
    said = {
        "ss_tag_frequency": {"1_woman": {"woman": 50}, "5_zkz": {"zkz": 9}},
        "ss_reg_dataset_dirs": {"1_woman": {"n_repeats": 1, "img_count": 50}},
    }
    assert told(said).trigger_words == ("zkz",)


def test_captions_that_differ_give_no_words(told):
    said = {
        "ss_tag_frequency": {"img": {f"a picture of thing {n}": 1 for n in range(40)}},
        "ss_dataset_dirs": {"img": {"n_repeats": 1, "img_count": 40}},
    }
    assert told(said).trigger_words == ()


def test_words_are_few_short_and_without_control_characters(told):
    said = {
        "ss_tag_frequency": {"1_a": {"x\x1b[31m\u202ered\n": 5, "y" * 5000: 5, **{f"tag{n}": 5 for n in range(100)}}}
    }
    words = told(said).trigger_words
    assert words[0] == "x [31m red"
    assert len(words) <= 8
    assert max(map(len, words)) <= 100


@pytest.mark.parametrize(
    "text",
    [
        "not json", "[]", "null", "{", "[" * 100_000, '{"a": 1}',
        '{"a": {"b": "c"}}', '{"a": {"b": -1}}', '{"a": {"b": NaN}}',
        '{"a": {"b": true}}', '{"a": {"b": 1e400}}', "",
    ],
)  # fmt: skip
def test_broken_tag_frequencies_are_no_error(told, text):
    found = told({"ss_tag_frequency": text, "ss_dataset_dirs": text, "ss_reg_dataset_dirs": text})
    assert found.family == "sdxl"
    assert found.trigger_words in ((), ("b",))


def test_broken_metadata_is_evidence(told):
    found = told({"ss_tag_frequency": "not json"})
    assert any("ss_tag_frequency is not" in item.detail for item in found.evidence)


def test_hostile_metadata_can_not_reach_the_evidence_unclean(told):
    found = told({"modelspec.architecture": "sd_xl\x1b]0;owned\x07" + "A" * 10**6, "ss_sd_model_name": "\x00" * 10**5})
    for item in found.evidence:
        assert item.detail.isprintable()
        assert len(item.detail) < 1000


@pytest.mark.parametrize(
    ("said", "base_model"),
    [
        ({"ss_sd_model_name": "ponyDiffusionV6XL_v6StartWithThisOne.safetensors"}, "Pony"),
        ({"ss_sd_model_name": "C:\\models\\Illustrious-XL-v0.1.safetensors"}, "Illustrious"),
        ({"ss_sd_model_name": "/data/noobaiXLNAIXL_vPred10Version.safetensors"}, "NoobAI"),
        ({"ss_sd_model_name": "sd_xl_base_1.0.safetensors"}, "SDXL 1.0"),
        ({"ss_sd_model_name": "sd_xl_base_1.0_0.9vae.safetensors"}, "SDXL 1.0"),
        ({"ss_sd_model_name": "sd_xl_turbo_1.0_fp16.safetensors"}, "SDXL Turbo"),
        ({"ss_sd_model_name": "sdxl_lightning_4step.safetensors"}, "SDXL Lightning"),
        ({"ss_sd_model_name": "juggernautXL_v9Rdphoto2Lightning.safetensors"}, "SDXL Lightning"),
        ({"ss_sd_model_name": "Hyper-SDXL-8steps.safetensors"}, "SDXL Hyper"),
        ({"ss_sd_model_name": "lcm-sdxl.safetensors"}, "SDXL 1.0 LCM"),
        ({"ss_sd_model_name": "ponyRealism_v21Lightning.safetensors"}, "Pony"),
        ({"ss_base_model_version": "sdxl_base_v1-0", "ss_sd_model_name": "someMerge.safetensors"}, None),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, None),
        ({"ss_sd_model_name": "v1-5-pruned.safetensors"}, None),
    ],
)
def test_a_base_model_is_named_where_metadata_name_it(told, said, base_model):
    assert told(said).base_model == base_model


def test_an_embedding_goes_by_its_own_token_or_the_files_name(told):
    assert told({}, {"emb_params": [8, 768]}, "easynegative").trigger_words == ("easynegative",)
    assert told({}, {"clip_l": [2, 768], "clip_g": [2, 1280]}, "zavy").trigger_words == ("zavy",)
    assert told({}, {"<cat-toy>": [768], "<cat-toy>_1": [768]}, "x").trigger_words == ("<cat-toy>", "<cat-toy>_1")
    assert told({}, {"\x1b[2Jbad": [768]}, "x").trigger_words == ("[2Jbad",)


def test_metadata_that_agree_are_evidence_too(told):
    found = told({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})
    assert ("metadata", "family=sdxl") in {(item.source, item.claim) for item in found.evidence}


@pytest.mark.parametrize(
    ("said", "base_model"),
    [
        ("stable-diffusion-3-5-large/lora", "SD 3.5 Large"),
        ("stable-diffusion-3-5-large-turbo", "SD 3.5 Large Turbo"),
        ("stable-diffusion-3-5-medium/lora", "SD 3.5 Medium"),
        ("stable-diffusion-3-medium/lora", "SD 3"),
        ("stable-diffusion-3.5-large", "SD 3.5 Large"),
        ("stable-diffusion-3-5/lora", None),
        ("stable-diffusion-3/lora", None),
    ],
)
def test_the_size_of_an_sd3_is_known_by_each_spelling_of_its_trainers(told, said, base_model):
    shapes = {"joint_blocks.0.x_block.attn.qkv.lora_A.weight": [4, 2432]}
    found = told({"modelspec.architecture": said}, shapes)
    assert (found.family, found.base_model) == ("sd3", base_model)


def test_chroma_is_known_by_metadata_alone(told):
    shapes = lora(
        {f"diffusion_model.double_blocks.{n}.img_attn.qkv": (3072, 9216) for n in range(19)}, down="lora_A", up="lora_B"
    )
    assert (told({}, shapes).family, told({}, shapes).confidence) == ("flux1", "likely")
    assert told({"ss_base_model_version": "chroma"}, shapes).family == "chroma"
    assert told({"ss_base_model_version": "sd_1.5"}, shapes).family == "flux1"


def test_files_of_one_table_are_told_apart_by_what_is_their_own(tmp_path):
    """Tables are looked at once; metadata and names belong to each file."""
    shapes = {
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": [4, 768],
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_up.weight": [320, 4],
    }
    said = [{"modelspec.trigger_phrase": "ink", "n": "1"}, {"ss_sd_model_name": "v1-5.ckpt"}, {"n": "3"}]
    found = [identify(write_safetensors(tmp_path / f"{n}.safetensors", shapes, text)) for n, text in enumerate(said)]
    assert [one.trigger_words for one in found] == [("ink",), (), ()]
    assert [one.base_model for one in found] == [None, "SD 1.5", None]
    assert {one.family for one in found} == {"sd1"}
    vectors = {"emb_params": [5, 768]}
    named = [identify(write_safetensors(tmp_path / f"{n}.safetensors", vectors, {"n": n})) for n in ("easy", "bad")]
    assert [one.trigger_words for one in named] == [("easy",), ("bad",)]


@pytest.mark.parametrize("name", ["black-forest-labs/FLUX.1-dev", "flux1-dev.safetensors", "/models/flux_1_dev.sft"])
def test_flux_dev_is_known_by_each_of_its_names(told, name):
    shapes = lora({"lora_unet_double_blocks_0_img_mod_lin": (3072, 18432)})
    shapes |= lora({"lora_unet_double_blocks_0_img_attn_qkv": (3072, 9216)})
    assert told({"ss_sd_model_name": name}, shapes).base_model == "Flux.1 D"


def test_metadata_can_not_make_one_transformer_block_deep_a_sdxl(told):
    stem = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1"
    shapes = lora({f"{stem}_{part}": (1280, 1280) for part in ("to_q", "to_k", "to_v")})
    assert told({"ss_base_model_version": "sdxl_base_v1-0"}, shapes).family is None
    assert told({"ss_base_model_version": "sd_v1"}, shapes).family == "sd1"
