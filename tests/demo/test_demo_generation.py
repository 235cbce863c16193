"""The demo family in diffusers itself, without assetctl."""

from __future__ import annotations

import pytest

from assetctl.demo import demo_assets
from assetctl.files.safetensors import read_header

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def pipeline():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a model this small only waits for other threads
    family = demo_assets()
    pipe = diffusers.StableDiffusionPipeline.from_single_file(
        str(family.checkpoint), config=str(family.config), local_files_only=True, torch_dtype=torch.float32
    )
    pipe.set_progress_bar_config(disable=True)
    yield pipe
    torch.set_num_threads(threads)


def picture(pipe, prompt="a red circle on a white background"):
    generator = torch.Generator().manual_seed(7)
    return pipe(prompt, generator=generator, num_inference_steps=4, output_type="pt").images[0]


def test_every_weight_finds_its_place_and_none_is_left_over(pipeline):
    tensors = read_header(demo_assets().checkpoint).tensors
    parts = {
        "unet": "model.diffusion_model.",
        "vae": "first_stage_model.",
        "text_encoder": "cond_stage_model.transformer.",
    }
    for part, prefix in parts.items():
        written = [name for name in tensors if name.startswith(prefix)]
        assert len(getattr(pipeline, part).state_dict()) == len(written)


def test_the_usual_size_is_its_own(pipeline):
    assert picture(pipeline).shape == (3, 96, 96)


@pytest.mark.parametrize("name", ["style", "subject"])
def test_each_lora_changes_the_picture(pipeline, name):
    plain = picture(pipeline)
    pipeline.load_lora_weights(str(getattr(demo_assets(), name)), adapter_name=name)
    try:
        changed = picture(pipeline)
    finally:
        pipeline.unload_lora_weights()
    assert float((changed - plain).abs().mean()) > 0.01


def test_the_embeddings_have_a_vector_for_each_of_their_tokens(pipeline):
    for path, vectors in ((demo_assets().embedding, 2), (demo_assets().negative, 3)):
        pipeline.load_textual_inversion(str(path), token=path.stem)
        try:
            tokens = pipeline.maybe_convert_prompt(path.stem, pipeline.tokenizer).split()
        finally:
            pipeline.unload_textual_inversion()
        assert len(tokens) == vectors


def test_the_tokenizer_takes_any_text(pipeline):
    tokenizer = pipeline.tokenizer
    words = "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight"
    rows = read_header(demo_assets().checkpoint).shape(words)[0]
    assert len(tokenizer) == rows
    assert tokenizer.tokenize("A Red Circle") == ["a</w>", "red</w>", "circle</w>"]
    assert max(tokenizer("3 na\u00efve \U0001f431!").input_ids) < rows
