"""What `generate` settles before torch is loaded."""

from __future__ import annotations

import json
import os
import warnings

import headers
import pytest
from compat.sparse import low_rank, whole_checkpoint, whole_parts, write_companion, write_sparse
from generation import tiny
from material import write_lora, write_safetensors
from written_pictures import infotext, write_png

SMALL = ("--steps", "1", "--size", "64x64")
ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"


@pytest.fixture
def files(assetctl, tmp_path):
    """A checkpoint with its vocabulary, a LoRA that fits and one that does not, in the catalog."""
    folder = tmp_path / "files"
    write_sparse(folder / "dream.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "dream.config" / "tokenizer")
    shapes = low_rank(f"{ATTENTION}_attn1_to_q", 8, [8]) | low_rank(f"{ATTENTION}_attn2_to_k", 8, [768])
    write_safetensors(folder / "ink.safetensors", shapes, {"modelspec.trigger_phrase": "ink"})
    write_lora(folder / "wide.safetensors", "sdxl")
    assetctl("import", folder)
    return folder


@pytest.fixture
def _no_torch(monkeypatch):
    """Anything that reaches for torch fails."""
    monkeypatch.setitem(__import__("sys").modules, "torch", None)


pytestmark = pytest.mark.usefixtures("files", "_no_torch")


def test_a_dry_run_shows_the_plan(assetctl):
    data = assetctl("generate", "a (cat: 1.2) <lora:ink:0.5>", "--seed", "7", "--dry-run", *SMALL, "--json").data
    assert [(item["role"], item["name"], item["weight"]) for item in data["selection"]] == [
        ("checkpoint", "dream", None),
        ("lora", "ink", 0.5),
    ]
    assert data["plan"]["seeds"] == [7]
    assert data["images"] == []


def test_a_dry_run_refuses_what_cannot_be_loaded(assetctl, files):
    shapes = whole_checkpoint()
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    write_sparse(files / "dream.safetensors", shapes | {name.replace("blocks.0.", "blocks.9999."): shapes[name]})
    assetctl("import", files)
    ended = assetctl("generate", "a cat", "--checkpoint", "dream", "--dry-run", *SMALL)
    assert ended.code == 4
    assert "transformer_layers_per_block" in ended.err


def write_config(files, unet: str, vae: str = "{}"):
    """A whole configuration beside the checkpoint."""
    write_companion(files / "dream.config", unet=unet, vae=vae)


@pytest.mark.parametrize(
    ("unet", "vae", "size"),
    [('{"sample_size": 96}', "{}", (768, 768)), ('{"sample_size": [64, 96]}', "{}", (768, 512)),
     ('{"sample_size": 96}', "of three levels", (384, 384)), ('{"sample_size": 4}', "{}", (512, 512)),
     ('{"sample_size": 9999}', "{}", (512, 512)), ('{"sample_size": null}', "{}", (512, 512)),
     ("{}", "{}", (512, 512))],
)  # fmt: skip
def test_the_usual_size_is_the_checkpoints_own_where_it_says_so(assetctl, files, unet, vae, size):
    levels = 3 if vae == "of three levels" else 4
    write_sparse(files / "dream.safetensors", whole_checkpoint(vae_levels=levels))
    write_companion(files / "dream.config", like=whole_parts(vae_levels=levels), unet=unet)
    assetctl("import", files)
    plan = assetctl("generate", "a cat", "--dry-run", "--json").data["plan"]
    assert (plan["width"], plan["height"]) == size
    plan = assetctl("generate", "a cat", "--size", "72x80", "--dry-run", "--json").data["plan"]
    assert (plan["width"], plan["height"]) == (72, 80)


@pytest.mark.parametrize(
    ("unet", "vae", "named"),
    [('{"sample_size": true}', "{}", "sample_size"), ('{"sample_size": "96"}', "{}", "sample_size"),
     ("{}", "[]", "vae/config.json"), ("{", "{}", "unet/config.json"), ("[]", "{}", "unet/config.json"),
     ('{"layers_per_block": 100000}', "{}", "layers_per_block"), ('{"auto_map": {"a": "b.C"}}', "{}", "auto_map"),
     ("[" * 100_000, "{}", "unet/config.json"), ("{}", '{"scaling_factor": 1e999}', "vae/config.json"),
     ("{}", '{"x": "' + "x" * 2**20 + '"}', "too large")],
    ids=range(10),
)  # fmt: skip
def test_a_dry_run_refuses_a_configuration_that_loading_would_refuse(assetctl, files, unet, vae, named):
    write_config(files, unet, vae)
    ended = assetctl("generate", "a cat", "--dry-run", "--json")
    assert (ended.code, ended.error["code"]) == (4, "unusable")
    assert named in ended.error["message"]
    assert ended.error["message"].count("\n") == 0
    assert ended.error["hint"]


def test_a_negative_prompt_that_is_switched_off_is_told_of(assetctl):
    asked = ("generate", "a cat", "--negative", "dog", "--dry-run", *SMALL, "--json")
    assert [each["rule"] for each in assetctl(*asked, "--cfg", "1").data["findings"]] == ["negative_prompt"]
    assert assetctl(*asked, "--cfg", "1.5").data["findings"] == []


def test_a_lora_of_no_weight_is_told_of(assetctl):
    data = assetctl("generate", "ink <lora:ink:0>", "--dry-run", *SMALL, "--json").data
    assert [each["rule"] for each in data["findings"]] == ["zero_weight"]


def test_what_can_not_fit_exits_with_4(assetctl):
    ended = assetctl("generate", "a cat", "--lora", "wide", *SMALL, "--json")
    assert (ended.code, ended.error["code"]) == (4, "incompatible")


def test_a_checkpoint_that_changed_is_refused(assetctl, files):
    path = files / "dream.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, (1, 1))
    ended = assetctl("generate", "a cat", *SMALL, "--json")
    assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")


@pytest.mark.parametrize("keep", [0, 1000])
def test_a_checkpoint_that_was_cut_short_or_removed_is_refused(assetctl, files, keep):
    path = files / "dream.safetensors"
    path.write_bytes(path.read_bytes()[:keep]) if keep else path.unlink()
    ended = assetctl("generate", "a cat", *SMALL, "--dry-run", "--json")
    assert (ended.code, ended.error["code"]) == (5, "file_corrupt")


@pytest.mark.parametrize(
    "arguments",
    [("--steps", "0"), ("--steps", "201"), ("--size", "0x0"), ("--size", "65x64"), ("--seed", "-2"), ("--count", "0"),
     ("--sampler", "Eulr"), ("--cfg", "nan"), ("--out", "cat.gif"),
     ("--out", "cat.jpg", "--format", "webp"), ("--format", "gif"), ("--clip-skip", "0"), ("--lora", "ink:nan")],
)  # fmt: skip
def test_numbers_and_names_out_of_bounds_are_wrong_usage(assetctl, arguments):
    ended = assetctl("generate", "a cat", *arguments, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")


def test_a_machine_without_torch_is_told_what_to_install(assetctl, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    ended = assetctl("generate", "a cat", *SMALL, "--json")
    assert (ended.code, ended.error["code"]) == (1, "extra_missing")
    assert "pip install" in ended.error["hint"]


def test_what_a1111_reads_in_a_prompt_and_we_do_not_is_told(assetctl):
    prompt = "ink, a [cat:dog:0.5] AND a bird <lora:ink:0.5:0.2>"
    for flavour, count in (("diffusers", 2), ("a1111", 0)):
        typed = ("generate", prompt, "--flavour", flavour, "--dry-run", *SMALL, "--json")
        rules = [finding["rule"] for finding in assetctl(*typed).data["findings"]]
        assert rules.count("unread_syntax") == count, flavour


@pytest.mark.parametrize(("dtype", "word"), [("I64", "whole numbers"), ("C64", "complex numbers"), ("BOOL", "truth")])
def test_an_embedding_of_no_real_numbers_is_told_of_by_all_who_look_at_it(assetctl, tmp_path, dtype, word):
    path = tmp_path / "odd.safetensors"
    headers.write_safetensors(path, {"emb_params": [2, 768]}, dtype=dtype)
    (found,) = assetctl("identify", path, "--json").data
    assert (found["kind"], found["family"]) == ("embedding", None)
    assert any(word in item["detail"] for item in found["evidence"])
    assetctl("import", path)
    report = assetctl("check", "dream", "odd", "--json").data
    assert [finding["severity"] for finding in report["findings"] if word in finding["message"]] == ["error"]
    ended = assetctl("generate", "a cat, odd", "--embedding", "odd", *SMALL)
    assert ended.code == 4
    assert word in ended.err


def test_templates_are_drawn_for_each_picture_by_its_seed(assetctl, home):
    pytest.importorskip("dynamicprompts")
    (home / "wildcards").mkdir()
    (home / "wildcards" / "animal.txt").write_text("cat\ndog\nfox\nowl\n")
    typed = ("generate", "a {red|blue} __animal__", "--dynamic", "--count", "12", "--seed", "5", "--dry-run", *SMALL)
    data = assetctl(*typed, "--json").data
    prompts = ["".join(text for text, _ in each["plan"]["prompt"]) for each in data]
    assert [each["plan"]["seeds"] for each in data] == [[seed] for seed in range(5, 17)]
    assert len(set(prompts)) > 3
    assert set(prompts) <= {
        f"a {colour} {animal}" for colour in ("red", "blue") for animal in ("cat", "dog", "fox", "owl")
    }
    assert assetctl(*typed, "--json").data == data
    os.mkfifo(home / "wildcards" / "pipe.txt")
    one = assetctl("generate", typed[1], "--dynamic", "--seed", "9", "--dry-run", *SMALL, "--json")
    assert one.data["plan"]["prompt"] == data[4]["plan"]["prompt"]
    assert f"warning: {home / 'wildcards' / 'pipe.txt'} is no file, and nothing is drawn from there." in one.err
    plain = assetctl("generate", "a {red|blue} cat", "--dry-run", *SMALL, "--json").data
    assert plain["plan"]["prompt"] == [["a {red|blue} cat", 1.0]]


def test_what_is_no_template_is_wrong_usage(assetctl):
    pytest.importorskip("dynamicprompts")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert assetctl("generate", "a {!c|d}", "--dynamic", "--dry-run", *SMALL).code == 0
    assert told == []
    for prompt, words in (("a __nobody__", "no wildcard"), ("a {b", "cannot be read")):
        ended = assetctl("generate", prompt, "--dynamic", "--dry-run", *SMALL)
        assert (ended.code, words in ended.err) == (2, True), ended.err
    ended = assetctl("generate", "a cat", "--wildcards", ".", "--dry-run", *SMALL)
    assert (ended.code, "goes with --dynamic" in ended.err) == (2, True)
    ended = assetctl("generate", "a {b|c}", "--dynamic", "--count", "2", "--grid", "steps: 1, 2", "--dry-run")
    assert (ended.code, "Leave --count out" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("--flavour comfyui --start-step 30 --steps 20", "behind the last step: there are 20"),
        ("--flavour comfyui --start-step 20 --steps 20", "behind the last step: there are 20"),
        ("--flavour comfyui --start-step 3 --end-step 2 --steps 20", "no step from --start-step 3 to --end-step 2"),
        ("--flavour comfyui --start-step 9 --end-step 9 --steps 5 --sampler ddim", "no step from --start-step 9"),
        ("--start-step 3", "--start-step does nothing with --flavour a1111"),
        ("--end-step 3 --flavour diffusers", "--end-step does nothing where diffusers samples"),
        ("--latent-batch 2", "--latent-batch does nothing with --flavour a1111"),
        ("--prompt-l cat", "choose --flavour comfyui"),
        ("--variation-strength 0.5 --flavour comfyui", "choose --flavour a1111"),
        ("--emphasis none --flavour comfyui", "--emphasis does nothing with --flavour comfyui"),
        ("--flavour legacy --sampler Restart", "Choose --flavour a1111 or comfyui"),
        ("--flavour legacys", "Choose one of: a1111, comfyui, diffusers."),
        ("--sampler dpmpp_2m_karras --scheduler exponential", "name two schedules"),
    ],
)
def test_what_would_do_nothing_is_refused_before_anything_is_loaded(assetctl, tmp_path, asked, said):
    jobs = tmp_path / "jobs.txt"
    jobs.write_text(json.dumps({"prompt": "a cat"}))
    for ended in (
        assetctl("generate", "a cat", "--dry-run", *asked.split()),
        assetctl("check", "dream", "--prompt", "a cat", *asked.split()),
        assetctl("generate", "--batch", jobs, "--dry-run", *asked.split()),
    ):
        assert (ended.code, said in " ".join(ended.err.split())) == (2, True), ended.err


@pytest.mark.parametrize(
    "asked",
    [
        "--flavour comfyui --start-step 19 --steps 20",
        "--flavour comfyui --start-step 2 --end-step 3",
        "--flavour comfyui --start-step 20 --sampler ddim",
        "--sampler dpmpp_2m_karras --scheduler karras",
        "--start-step 0 --latent-batch 1",
    ],
)
def test_what_can_be_made_is_not(assetctl, asked):
    ended = assetctl("generate", "a cat", "--dry-run", *asked.split())
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("--variation-seed 5", "--variation-seed does nothing without --variation-strength"),
        ("--variation-seed 5 --variation-strength 0.1", None),
        ("--flavour comfyui --leftover-noise", "--leftover-noise does nothing without --end-step"),
        ("--flavour comfyui --latent-index 3", "--latent-index 3 is beyond a batch of 1"),
        ("--flavour comfyui --latent-index 3 --latent-batch 4", None),
        ("--flavour comfyui --prompt-l cat", "--prompt-l does nothing: dream is of family sd1"),
        ("--flavour comfyui --sizes 64x64+0+0-64x64", "--sizes does nothing: dream is of family sd1"),
        ("--s-churn 5", "--s-churn does nothing: Euler a adds no noise"),
        ("--s-churn 5 --sampler Heun", None),
        ("--s-tmin 1", "--s-tmin does nothing without --s-churn"),
        ("--eta 0.5 --sampler Euler", "--eta does nothing: Euler draws no noise"),
        ("--eta 0.5 --sampler DDIM", None),
        ("--eta 0.5 --sampler DDIM --flavour comfyui", "--eta does nothing: DDIM draws no noise"),
        ("--sampler DDIM", None),
    ],
)
def test_a_setting_that_changes_nothing_is_told_of(assetctl, asked, said):
    planned = assetctl("generate", "a cat", "--dry-run", *asked.split(), "--json").data
    checked = assetctl("check", "dream", "--prompt", "a cat", *asked.split(), "--json").data
    for data in (planned, checked):
        found = [each["message"] for each in data["findings"] if each["rule"] == "idle_settings"]
        assert (len(found), said or "" in str(found)) == (said is not None, said or True), found
        assert said is None or said in found[0]


def test_a_plan_shows_a_prompt_that_changes_as_it_is_told(assetctl):
    line = ("generate", "a [red:blue:0.5] star AND (dog:1.2) :0.7", "--negative", "a AND b", "--dry-run", "--steps", 4)
    plan = assetctl(*line, "--json").data["plan"]
    assert plan["prompt_stretches"] == [
        {"steps": [1, 2, 3], "weight": 1.0, "segments": [["a red star", 1.0]]},
        {"steps": [4], "weight": 1.0, "segments": [["a blue star", 1.0]]},
        {"steps": [1, 2, 3, 4], "weight": 0.7, "segments": [[" ", 1.0], ["dog", 1.2]]},
    ]
    assert plan["negative_stretches"] == []
    shown = assetctl(*line).out
    assert "'a red star':1  (steps 1-3)" in shown
    assert "'dog':1.2  (steps 1-4, weighing 0.7)" in shown
    heun = assetctl(*line, "--sampler", "Heun", "--json").data["plan"]["prompt_stretches"]
    assert [each["steps"] for each in heun[:2]] == [[1, 2, 3], [3, 4]]
    assert assetctl(*line, "--flavour", "comfyui", "--json").data["plan"]["prompt_stretches"] == []


def test_weights_of_both_kinds_are_shown_and_added_up(assetctl):
    assert "LoRA ink: 0.5 for text encoders, 0.8 for the rest" in assetctl("prompt", "<lora:ink:0.5:0.8>").out
    data = assetctl("check", "dream", "--prompt", "ink <lora:ink:0.5:0.8> <lora:ink:0.2>", "--json").data
    (found,) = [each["message"] for each in data["findings"] if each["rule"] == "duplicates"]
    assert "add up to 1, and to 0.7 for text encoders" in found


def test_what_is_drawn_from_is_said_to_be_with_dynamic(assetctl):
    for template in ("a {red|blue} cat", "an __animal__"):
        findings = assetctl("check", "dream", "--prompt", template, "--json").data["findings"]
        (found,) = [each for each in findings if each["rule"] == "unread_syntax"]
        assert "with --dynamic alone" in found["message"]
        assert "generate --dynamic" in found["hint"]


def test_a_picture_of_more_clip_skip_than_there_is_is_made_with_the_deepest(assetctl, tmp_path):
    fields = {"Model": "dream", "Clip_skip": 12}
    picture = write_png(tmp_path / "theirs.png", parameters=infotext("a cat", **fields))
    refused = assetctl("generate", "a cat", "--clip-skip", 12, "--dry-run", "--json")
    layers = refused.error["hint"].rpartition(" ")[2].rstrip(".")
    data = assetctl("reproduce", picture, "--dry-run", "--json").data
    (said,) = [each for each in data["remarks"] if "clip skip" in each]
    assert (data["plan"]["clip_skip"], f"{layers} is used" in said) == (int(layers), True)
