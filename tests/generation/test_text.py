from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from assetctl.demo import demo_assets
from assetctl.prompt import parse_prompt

if TYPE_CHECKING:
    from generation.conftest import Models

# what diffusers and peft warn of in a plain script is not ours to mend
pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def pipes(models: Models) -> dict[str, Any]:
    from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline

    return {
        "sd1": StableDiffusionPipeline.from_pretrained(models.folder("sd1").path),
        "sd2": StableDiffusionPipeline.from_pretrained(models.folder("sd2").path),
        "sdxl": StableDiffusionXLPipeline.from_pretrained(models.folder("sdxl").path),
    }


def encoded(pipe: Any, *prompts: str) -> list[Any]:
    from assetctl.generation.diffusers.conditioning import encode, encoders_of

    return encode(encoders_of(pipe), [parse_prompt(prompt) for prompt in prompts])


def chunks(pipe: Any, prompt: str) -> list[Any]:
    from assetctl.generation.diffusers.conditioning import cut, encoders_of

    return cut(parse_prompt(prompt), encoders_of(pipe)[0])


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
@pytest.mark.parametrize("prompt", ["", "a photo of a cat, dog! émigré 猫", ", ".join(["a cat"] * 25)])
def test_a_plain_prompt_is_encoded_as_the_pipeline_encodes_it(pipes: dict[str, Any], family: str, prompt: str):
    pipe = pipes[family]
    wanted = pipe.encode_prompt(prompt, device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    (found,) = encoded(pipe, prompt)
    assert (found.states == wanted[0]).all()
    if family == "sdxl":
        assert (found.pooled == wanted[2]).all()


def test_weights_scale_the_tokens_and_keep_the_mean(pipes: dict[str, Any]):
    import torch

    pipe = pipes["sd1"]
    plain, weighted = encoded(pipe, "a cat dog", "a (cat:1.5) [dog]")
    multipliers = torch.ones(77)
    multipliers[2], multipliers[3] = 1.5, 1 / 1.1
    scaled = plain.states * multipliers[None, :, None]
    wanted = scaled * (plain.states.mean() / scaled.mean())
    assert torch.allclose(weighted.states, wanted, rtol=1e-5, atol=1e-6)
    assert not torch.equal(weighted.states, plain.states)


def test_sdxl_weights_each_encoder_alone_and_leaves_the_pooled_output(pipes: dict[str, Any]):
    import torch

    plain, weighted = encoded(pipes["sdxl"], "a cat", "(a:0.5) cat")
    for part in (slice(0, 64), slice(64, None)):
        states = plain.states[..., part]
        scaled = states.clone()
        scaled[:, 1] *= 0.5
        assert torch.allclose(
            weighted.states[..., part], scaled * (states.mean() / scaled.mean()), rtol=1e-5, atol=1e-6
        )
    assert torch.equal(weighted.pooled, plain.pooled)


def test_a_break_starts_a_chunk_and_shorter_prompts_are_filled_up(pipes: dict[str, Any]):
    import torch

    both, cat, dog, empty = encoded(pipes["sd1"], "cat BREAK dog", "cat", "dog", "")
    alone, _ = encoded(pipes["sd1"], "dog", "cat")
    assert both.states.shape == (1, 154, 64)
    assert torch.equal(both.states, torch.cat([cat.states[:, :77], dog.states[:, :77]], dim=1))
    assert torch.equal(cat.states[:, 77:], empty.states[:, :77])
    assert alone.states.shape == (1, 77, 64)


def test_nothing_of_a_long_prompt_is_lost(pipes: dict[str, Any]):
    found = chunks(pipes["sd1"], "cat " * 180)
    assert [len(chunk.ids) for chunk in found] == [75, 75, 30]


def test_a_chunk_that_fills_up_is_cut_after_the_last_near_comma(pipes: dict[str, Any]):
    near = chunks(pipes["sd1"], "cat " * 60 + ", " + "dog " * 20)
    assert [len(chunk.ids) for chunk in near] == [61, 20]
    far = chunks(pipes["sd1"], "cat " * 40 + ", " + "dog " * 40)
    assert [len(chunk.ids) for chunk in far] == [75, 6]


def test_what_is_shown_of_a_prompt_is_what_is_encoded(pipes: dict[str, Any]):
    from dataclasses import replace

    from transformers import CLIPTokenizer

    from assetctl.generation.diffusers.conditioning import cut, encoders_of
    from assetctl.prompt.chunks import load_tokenizer

    folder = demo_assets().config / "tokenizer"
    tokenizer, theirs = load_tokenizer(folder), CLIPTokenizer.from_pretrained(folder)
    vectors = tuple(range(tokenizer.words, tokenizer.words + 4))
    encoder = replace(encoders_of(pipes["sd1"])[0], tokenizer=theirs, embeddings={"tok": vectors})
    text = "a (tok:1.2), " * 9 + "émigré 猫 🐱 " * 12 + "BREAK [it's] a  photo, " * 30 + "tok" * 9
    shown, encoded = tokenizer.cut(parse_prompt(text), {"tok": 4}), cut(parse_prompt(text), encoder)
    assert len(shown) > 3
    assert [(chunk.ids, chunk.weights) for chunk in shown] == [(chunk.ids, chunk.weights) for chunk in encoded]


def test_the_pooled_output_is_that_of_the_first_chunk(pipes: dict[str, Any]):
    import torch

    both, cat = encoded(pipes["sdxl"], "cat BREAK dog", "cat")
    assert torch.equal(both.pooled, cat.pooled)


@pytest.mark.usefixtures("models")
def test_every_sampler_makes_a_schedule_whatever_the_checkpoint_says():
    from assetctl.generation.diffusers.pipeline import make_scheduler
    from assetctl.options import SAMPLERS

    config = {
        "beta_schedule": "scaled_linear",
        "algorithm_type": "deis",
        "solver_type": "logrho",
        "use_karras_sigmas": True,
    }
    for name in SAMPLERS:
        scheduler = make_scheduler(config, name, "v_prediction")
        scheduler.set_timesteps(4)
        assert scheduler.config.prediction_type == "v_prediction"
        if "use_karras_sigmas" in SAMPLERS[name].options:
            assert scheduler.config.use_karras_sigmas == name.endswith("Karras")
