"""The demo's assets in diffusers itself, with a configuration that is written here and not derived."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from assetctl.demo import DemoAssets, make_demo_assets
from assetctl.demo import checkpoint as sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.generation

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

LEVELS = len(sizes.UNET_CHANNELS)


def configuration(vocabulary: int) -> dict[str, Any]:
    return {
        "model_index.json": {
            "_class_name": "StableDiffusionPipeline",
            "feature_extractor": [None, None],
            "requires_safety_checker": False,
            "safety_checker": [None, None],
            "scheduler": ["diffusers", "DDIMScheduler"],
            "text_encoder": ["transformers", "CLIPTextModel"],
            "tokenizer": ["transformers", "CLIPTokenizer"],
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        "unet/config.json": {
            "_class_name": "UNet2DConditionModel",
            "sample_size": 8,
            "attention_head_dim": 8,
            "block_out_channels": sizes.UNET_CHANNELS,
            "cross_attention_dim": sizes.TEXT_WIDTH,
            "down_block_types": ["CrossAttnDownBlock2D"] * (LEVELS - 1) + ["DownBlock2D"],
            "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (LEVELS - 1),
            "layers_per_block": 2,
        },
        "vae/config.json": {
            "_class_name": "AutoencoderKL",
            "block_out_channels": sizes.VAE_CHANNELS,
            "down_block_types": ["DownEncoderBlock2D"] * len(sizes.VAE_CHANNELS),
            "up_block_types": ["UpDecoderBlock2D"] * len(sizes.VAE_CHANNELS),
            "layers_per_block": 2,
            "latent_channels": 4,
        },
        "text_encoder/config.json": {
            "architectures": ["CLIPTextModel"],
            "model_type": "clip_text_model",
            "vocab_size": vocabulary,
            "hidden_size": sizes.TEXT_WIDTH,
            "intermediate_size": sizes.TEXT_INNER_WIDTH,
            "num_hidden_layers": sizes.TEXT_LAYERS,
            "num_attention_heads": sizes.TEXT_WIDTH // 64,
            "max_position_embeddings": sizes.TEXT_POSITIONS,
            "hidden_act": "quick_gelu",
            "projection_dim": sizes.TEXT_WIDTH,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "pad_token_id": vocabulary - 1,
        },
        "scheduler/scheduler_config.json": {
            "_class_name": "DDIMScheduler",
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "clip_sample": False,
            "set_alpha_to_one": False,
            "steps_offset": 1,
        },
    }


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> DemoAssets:
    made = make_demo_assets(tmp_path_factory.mktemp("demo"))
    vocabulary = len(json.loads((made.config / "tokenizer/vocab.json").read_text("utf-8")))
    for name, content in configuration(vocabulary).items():
        path = made.config / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content), "utf-8")
    return made


@pytest.fixture(scope="module")
def pipeline(assets: DemoAssets) -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # models this small only wait for each other's threads
    pipe = diffusers.StableDiffusionPipeline.from_single_file(
        str(assets.checkpoint), config=str(assets.config), local_files_only=True, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    yield pipe
    torch.set_num_threads(threads)


def picture(pipe: Any, prompt: str = "a cat") -> Any:
    generator = torch.Generator().manual_seed(7)
    size = {"height": 64, "width": 64}
    return pipe(prompt, generator=generator, num_inference_steps=2, output_type="pt", **size).images[0]


@pytest.fixture(scope="module")
def plain(pipeline: Any) -> Any:
    return picture(pipeline)


@pytest.mark.parametrize(
    ("model", "prefix"),
    [
        ("unet", "model.diffusion_model."),
        ("vae", "first_stage_model."),
        ("text_encoder", "cond_stage_model.transformer."),
    ],
)
def test_the_checkpoint_fills_every_weight_and_none_is_left_over(
    assets: DemoAssets, pipeline: Any, model: str, prefix: str
):
    from safetensors.torch import load_file

    written = [weight for name, weight in load_file(assets.checkpoint).items() if name.startswith(prefix)]
    loaded = getattr(pipeline, model).state_dict().values()
    assert len(loaded) == len(written)
    assert sorted(float(each.double().sum()) for each in loaded) == sorted(
        float(each.double().sum()) for each in written
    )


def test_the_tokenizer_knows_words_and_takes_any_text(pipeline: Any):
    tokenizer = pipeline.tokenizer
    vocabulary = pipeline.text_encoder.config.vocab_size
    assert len(tokenizer) == vocabulary
    assert tokenizer.model_max_length == 77
    assert tokenizer.tokenize("A Portrait") == ["a</w>", "portrait</w>"]
    assert tokenizer("cat").input_ids[:: len(tokenizer("cat").input_ids) - 1] == [vocabulary - 2, vocabulary - 1]
    assert max(tokenizer("3 na\u00efve \U0001f431!").input_ids) < vocabulary


def test_makes_a_picture_that_follows_the_prompt(pipeline: Any, plain: Any):
    assert plain.shape == (3, 64, 64)
    assert bool(torch.isfinite(plain).all())
    assert float(plain.std()) > 0.05
    assert torch.equal(picture(pipeline), plain)
    assert float((picture(pipeline, "a red dog") - plain).abs().mean()) > 0.01


@pytest.mark.parametrize("name", ["style", "subject"])
def test_each_lora_changes_the_picture(assets: DemoAssets, pipeline: Any, plain: Any, name: str):
    pipeline.load_lora_weights(str(getattr(assets, name)), adapter_name=name)
    try:
        changed = picture(pipeline)
    finally:
        pipeline.unload_lora_weights()
    assert bool(torch.isfinite(changed).all())
    assert float((changed - plain).abs().mean()) > 0.01


def test_the_embedding_has_a_vector_for_each_of_its_tokens(assets: DemoAssets, pipeline: Any):
    pipeline.load_textual_inversion(str(assets.embedding), token="demo-embedding")
    try:
        prompt = pipeline.maybe_convert_prompt("a demo-embedding", pipeline.tokenizer)
    finally:
        pipeline.unload_textual_inversion()
    assert prompt == "a demo-embedding demo-embedding_1"
