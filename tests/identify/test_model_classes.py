"""What diffusers and transformers themselves build is of its kind, and named as diffusers names it; nothing is another.

Their classes are the judges: each is made without memory, and gives the names and shapes of its weights.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

from assetctl.files.safetensors import Header
from assetctl.identify.identification import identify_tensors

#: Arguments of classes that have no defaults, as their published configurations have them.
ARGUMENTS = {
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3, "out_channels": 3, "latent_channels": 64, "block_out_channels": (128, 256, 512, 512),
        "layers_per_block": 2, "spatial_compression_ratio": 32, "sample_size": 384,
    },
    "ControlNetUnionModel": {
        "num_control_type": 6, "addition_embed_type": "text_time", "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816, "cross_attention_dim": 2048,
    },
    "EasyAnimateTransformer3DModel": {
        "num_attention_heads": 48, "attention_head_dim": 64, "in_channels": 16, "out_channels": 16, "patch_size": 2,
        "num_layers": 2, "mmdit_layers": 2, "sample_width": 90, "sample_height": 60,
    },
    "HiDreamImageTransformer2DModel": {
        "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 2, "num_single_layers": 2,
        "caption_channels": [4096, 4096], "text_emb_dim": 2048, "axes_dims_rope": (64, 32, 32),
        "llama_layers": [0, 1, 2, 3],
    },
    "HunyuanDiT2DModel": {
        "in_channels": 4, "patch_size": 2, "hidden_size": 1408, "sample_size": 128, "num_layers": 4,
        "mlp_ratio": 4.3637,
    },
    "HunyuanDiT2DControlNetModel": {
        "in_channels": 4, "patch_size": 2, "hidden_size": 1408, "sample_size": 128, "transformer_num_layers": 4,
        "mlp_ratio": 4.3637,
    },
    "LatteTransformer3DModel": {
        "in_channels": 4, "num_layers": 2, "patch_size": 2, "sample_size": 64, "cross_attention_dim": 1152,
        "caption_channels": 4096, "norm_type": "ada_norm_single", "attention_head_dim": 72, "video_length": 16,
    },
    "LuminaNextDiT2DModel": {"num_layers": 2, "num_kv_heads": 8},
    "OmniGenTransformer2DModel": {
        "num_layers": 2, "rope_scaling": {"long_factor": [1.0] * 48, "short_factor": [1.0] * 48},
    },
    "Transformer2DModel": {
        "in_channels": 4, "num_layers": 2, "patch_size": 2, "sample_size": 32, "norm_type": "ada_norm_zero",
        "num_embeds_ada_norm": 1000, "attention_head_dim": 72,
    },
}  # fmt: skip

#: Classes that are no network of a kind, or parts of one, or not for pictures and films: they may be unknown.
PARTS = re.compile(
    r"Multi|Mixin|Motion|Connector|Conditioner|Projection|Head$|Upsampler|UpscalerBank|Vocoder|Redux|RFD4|TransformerTemporal|Depth"
    r"|Renderer|Watermarker|Normalizer|ParamsProj|TextDecoder|Spectrogram|UnCLIPText|LearnedClassifier|UTransformer|NeRF"
    r"|Film|UniDiffuser|DreamLiteTransformer|ZImageControlNet|ConditionEncoder|MLP"
)

#: Networks whose own names are not those of diffusers' other ones.
OWN_NAMES = ("Cosmos3Omni", "SanaWMTransformer")

VAE = re.compile(r"^Autoencoder|^AsymmetricAutoencoder|VQModel|VAE|Vae|AudioTokenizer|DiffusionDecoder")

#: Few classes that are soon made, one of each kind, for a short form.
FEW = ("AutoencoderKL", "UNet2DModel", "DiTTransformer2DModel", "T2IAdapter", "StableAudioDiTModel", "ControlNetModel")


def identified(network):
    """What a network without memory is, as its weights would be saved."""
    tensors = {name: {"dtype": "F16", "shape": list(value.shape)} for name, value in network.state_dict().items()}
    return identify_tensors(Header(Path("model.safetensors"), 0, 0, tensors, {}))


def made(made_by, *arguments, **options):
    torch = pytest.importorskip("torch")
    with torch.device("meta"):
        return made_by(*arguments, **options)


def wanted(name):
    if "ControlNet" in name or "Adapter" in name:
        return "controlnet"
    return "vae" if VAE.search(name) else "diffusion-model"


def faults(classes):
    """Classes that are taken for another kind than theirs, or for their authors' own names."""
    found = []
    for name, made_by in classes.items():
        seen = identified(made(made_by, **ARGUMENTS.get(name, {})))
        kinds = {wanted(name)} | ({"unknown"} if PARTS.search(name) else set())
        adapters = {"diffusers", "t2i-adapter"}
        layouts = adapters if seen.kind == "controlnet" else {"diffusers"}
        if name.startswith(OWN_NAMES) or seen.kind in ("vae", "unknown"):
            layouts = {seen.layout}
        if seen.kind not in kinds or seen.layout not in layouts:
            found.append((name, seen.kind, seen.layout))
    return found


def test_a_network_of_each_kind_is_of_its_kind():
    diffusers = pytest.importorskip("diffusers")
    assert faults({name: getattr(diffusers, name) for name in FEW}) == []


@pytest.mark.slow
def test_every_network_that_diffusers_builds_is_of_its_kind():
    pytest.importorskip("diffusers")
    classes = {}
    for package in (
        "diffusers.models",
        "diffusers.pipelines.stable_cascade",
        "diffusers.pipelines.deprecated.wuerstchen",
    ):
        for module in _modules(package):
            classes |= {
                name: found
                for name, found in vars(module).items()
                if inspect.isclass(found) and found.__module__ == module.__name__ and _is_network(found)
            }
    assert len(classes) > 100
    assert faults({name: found for name, found in classes.items() if _can_be_made(name, found)}) == []


def _modules(package):
    root = importlib.import_module(package)
    for each in pkgutil.walk_packages(root.__path__, f"{package}."):
        try:
            yield importlib.import_module(each.name)
        except (ImportError, RuntimeError):  # it wants what is not installed
            continue


def _is_network(found):
    from diffusers.models.modeling_utils import ModelMixin

    return issubclass(found, ModelMixin)


def _can_be_made(name, found):
    needed = [each for each in inspect.signature(found).parameters.values() if each.default is each.empty]
    return name in ARGUMENTS or not (
        PARTS.search(name) or any(each.kind is each.POSITIONAL_OR_KEYWORD for each in needed)
    )


#: Classes of transformers, to what a file of their weights is.
ENCODERS = {
    "text-encoder": (
        "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel", "SiglipTextModel", "T5EncoderModel",
        "UMT5EncoderModel", "MT5EncoderModel", "BertModel", "XLMRobertaModel", "ClapTextModelWithProjection",
        "GemmaModel", "Gemma2Model", "Gemma2ForCausalLM", "Gemma3ForCausalLM", "Gemma3ForConditionalGeneration",
        "LlamaModel", "LlamaForCausalLM", "MistralForCausalLM", "Mistral3ForConditionalGeneration", "Qwen2Model",
        "Qwen2_5_VLForConditionalGeneration", "Qwen3Model", "Qwen3VLForConditionalGeneration", "Phi3Model",
        "GlmModel", "SmolLM3ForCausalLM", "LlavaForConditionalGeneration", "GptOssForCausalLM",
    ),
    "image-encoder": (
        "CLIPVisionModel", "CLIPVisionModelWithProjection", "SiglipVisionModel", "Siglip2VisionModel", "Dinov2Model",
        "Dinov2WithRegistersModel", "DINOv3ViTModel", "ViTModel",
    ),
    "upscaler": ("Swin2SRForImageSuperResolution",),
    "unknown": (
        "SamModel", "Sam2Model", "SamHQModel", "ViTForImageClassification", "ConvNextModel", "RTDetrForObjectDetection",
        "ResNetForImageClassification", "GroundingDinoForObjectDetection", "Owlv2ForObjectDetection",
        "YolosForObjectDetection", "SegformerForSemanticSegmentation", "UperNetForSemanticSegmentation",
        "DPTForDepthEstimation", "DepthAnythingForDepthEstimation", "ZoeDepthForDepthEstimation",
        "CLIPSegForImageSegmentation", "BlipForConditionalGeneration", "Florence2ForConditionalGeneration",
        "VitPoseForPoseEstimation", "WhisperModel", "Wav2Vec2Model", "BartModel", "EncodecModel", "MimiModel",
        "SpeechT5HifiGan", "SuperPointForKeypointDetection", "MusicgenForConditionalGeneration", "BarkModel",
        "ViTMAEForPreTraining", "EfficientNetModel", "GPT2LMHeadModel",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ENCODERS)
def test_what_transformers_builds_is_of_its_kind(kind):
    transformers = pytest.importorskip("transformers")
    classes = {name: getattr(transformers, name, None) for name in ENCODERS[kind]}
    networks = {name: made(found, found.config_class()) for name, found in classes.items() if found is not None}
    assert {name: seen for name, network in networks.items() if (seen := identified(network).kind) != kind} == {}
