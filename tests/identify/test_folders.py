from __future__ import annotations

import json

import pytest
from headers import write_safetensors
from identify.diffusers_models import PUBLISHED, family_of

from assetctl.errors import CorruptFileError, RefusedFileError
from assetctl.identify import identify
from assetctl.identify.identification import is_diffusers

UNET = {"_class_name": "UNet2DConditionModel", "cross_attention_dim": 768, "in_channels": 4}
ATTENTION = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"


@pytest.fixture
def pipeline(tmp_path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text(json.dumps(UNET))
    return tmp_path


def weights(folder, context, name="diffusion_pytorch_model.safetensors"):
    shapes = {
        "conv_in.weight": [320, 4, 3, 3],
        "time_embedding.linear_1.weight": [1280, 320],
        ATTENTION: [320, context],
    }
    return write_safetensors(folder / name, shapes)


def test_weights_make_a_pipeline_certain(pipeline):
    weights(pipeline / "unet", 768)
    found = identify(pipeline)
    assert (found.kind, found.family, found.confidence) == ("checkpoint", "sd1", "certain")


def test_weights_outrank_the_configuration(pipeline):
    weights(pipeline / "unet", 1024, "diffusion_pytorch_model.fp16.safetensors")
    found = identify(pipeline)
    assert found.family == "sd2"
    assert ("folder", "family=sd1") in {(item.source, item.claim) for item in found.evidence}


def test_weights_in_parts_are_read_together(pipeline):
    write_safetensors(
        pipeline / "unet/model-00001-of-00002.safetensors", {"time_embedding.linear_1.weight": [1280, 320]}
    )
    write_safetensors(pipeline / "unet/model-00002-of-00002.safetensors", {ATTENTION: [320, 2048]})
    assert identify(pipeline).family == "sdxl"


def test_the_scheduler_tells_what_is_predicted(pipeline):
    (pipeline / "scheduler").mkdir()
    (pipeline / "scheduler/scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    assert identify(pipeline).prediction == "v_prediction"


def test_inpainting_shows_in_the_configuration(pipeline):
    (pipeline / "unet/config.json").write_text(json.dumps({**UNET, "in_channels": 9}))
    assert identify(pipeline).variant == "inpainting"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("FluxTransformer2DModel", "flux1"),
        ("SD3Transformer2DModel", "sd3"),
        ("QwenImageTransformer2DModel", "qwen-image"),
    ],
)
def test_a_transformer_is_known_by_its_class(tmp_path, name, family):
    (tmp_path / "model_index.json").write_text('{"_class_name": "DiffusionPipeline"}')
    (tmp_path / "transformer").mkdir()
    (tmp_path / "transformer/config.json").write_text(json.dumps({"_class_name": name}))
    found = identify(tmp_path)
    assert (found.kind, found.family, found.prediction) == ("checkpoint", family, "flow")


@pytest.mark.parametrize(
    ("config", "kind", "family"),
    [
        (UNET, "diffusion-model", "sd1"),
        ({"_class_name": "ControlNetModel", "cross_attention_dim": 2048}, "controlnet", "sdxl"),
        ({"_class_name": "AutoencoderKL", "latent_channels": 4}, "vae", None),
    ],
)
def test_a_component_is_identified_alone(tmp_path, config, kind, family):
    judged_alone(tmp_path, config, kind, family)


@pytest.mark.parametrize("name", [name for name in PUBLISHED if name.startswith(("UNet", "ControlNet"))])
def test_a_unet_is_what_its_published_configuration_says(tmp_path, name):
    for which, config in PUBLISHED[name].items():
        kind = "controlnet" if "ControlNet" in name else "diffusion-model"
        judged_alone(tmp_path, {"_class_name": name, **config}, kind, family_of(f"{name} {which}"))


def judged_alone(tmp_path, config, kind, family):
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert is_diffusers(tmp_path)
    found = identify(tmp_path)
    assert (found.kind, found.family, found.format) == (kind, family, "diffusers")


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "vae",
            "AutoencoderOobleck VQModel PaellaVQModel ConsistencyDecoderVAE AsymmetricAutoencoderKL LongCatAudioDiTVae",
        ),
        ("controlnet", "T2IAdapter MultiAdapter ControlNetXSAdapter UNetControlNetXSModel SanaControlNetModel"),
        ("diffusion-model", "UNet1DModel UNet3DConditionModel I2VGenXLUNet Kandinsky3UNet UNetMotionModel"),
        ("diffusion-model", "StableAudioDiTModel StableAudio3DiTModel HunyuanDiT2DModel DiTTransformer2DModel"),
        ("diffusion-model", "UVit2DModel WuerstchenPrior WuerstchenDiffNeXt StableCascadeUNet PriorTransformer"),
        ("text-encoder", "UMT5EncoderModel ChatGLMModel LlamaForCausalLM BertModel SiglipTextModel Gemma2Model"),
        ("image-encoder", "Dinov2Model Siglip2VisionModel CLIPVisionModelWithProjection"),
    ],
)
def test_a_component_is_of_the_kind_that_its_class_names(tmp_path, kind, names):
    for name in names.split():
        said = {"architectures": [name]} if kind.endswith("encoder") else {"_class_name": name}
        (tmp_path / "config.json").write_text(json.dumps(said))
        assert is_diffusers(tmp_path)
        assert identify(tmp_path).kind == kind, name


@pytest.mark.parametrize("name", ["BertForSequenceClassification", "SamModel", "WhisperModel", "MotionAdapter"])
def test_a_folder_of_another_network_is_none_of_ours(tmp_path, name):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [name]}))
    assert not is_diffusers(tmp_path)


def test_a_pipeline_without_a_network_has_no_family(tmp_path):
    (tmp_path / "model_index.json").write_text("{}")
    found = identify(tmp_path)
    assert (found.kind, found.family, found.confidence) == ("checkpoint", None, "unknown")


def test_another_folder_is_refused_with_the_command_for_it(tmp_path):
    assert not is_diffusers(tmp_path)
    with pytest.raises(RefusedFileError) as caught:
        identify(tmp_path)
    assert "assetctl import" in (caught.value.hint or "")


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b" " * (2**20 + 1)])
def test_a_broken_index_is_corrupt(tmp_path, text):
    (tmp_path / "model_index.json").write_bytes(text)
    with pytest.raises(CorruptFileError):
        identify(tmp_path)


@pytest.mark.parametrize(
    "config",
    [
        {"_class_name": ["UNet2DConditionModel"]},
        {"_class_name": "UNet2DConditionModel", "cross_attention_dim": [768, 768], "in_channels": "4"},
        {"_class_name": "UNet2DConditionModel", "cross_attention_dim": True, "in_channels": None},
        {"_class_name": None, "architectures": 5},
        {"_class_name": None, "architectures": {"a": 1}},
    ],
)
def test_a_hostile_configuration_is_merely_unknown(pipeline, config):
    (pipeline / "unet/config.json").write_text(json.dumps(config))
    assert identify(pipeline).family is None


def test_damaged_weights_are_corrupt(pipeline):
    path = weights(pipeline / "unet", 768)
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(CorruptFileError):
        identify(pipeline)
