from __future__ import annotations

import pytest

from assetctl.errors import AmbiguousNameError, RefusedFileError, SourceNotFoundError
from assetctl.sources._choose import choose_single_file, diffusers_files, file_name, read_index

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "PNDMScheduler"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
}
TEXTS = [
    "model_index.json", "scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt",
    "unet/config.json",
]  # fmt: skip
PLAIN = "unet/diffusion_pytorch_model.safetensors"
HALF = "unet/diffusion_pytorch_model.fp16.safetensors"


def weights(*paths: str) -> set[str]:
    chosen = diffusers_files([*TEXTS, *paths], INDEX, "org/repo")
    assert set(TEXTS) <= set(chosen)
    return set(chosen) - set(TEXTS)


def test_plain_weights_are_preferred_to_variants():
    assert weights(PLAIN, HALF, "unet/diffusion_pytorch_model.non_ema.safetensors") == {PLAIN}


def test_a_variant_is_taken_where_there_is_nothing_else():
    assert weights(HALF) == {HALF}


def test_shards_come_with_their_index_and_no_other():
    shards = {f"unet/diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)}
    index = "unet/diffusion_pytorch_model.safetensors.index.json"
    others = [
        "unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
        "unet/diffusion_pytorch_model.bin.index.json",
    ]
    assert weights(*shards, index, *others) == {*shards, index}


def test_a_sharded_variant_comes_with_its_index():
    files = {
        "unet/diffusion_pytorch_model.fp16-00001-of-00001.safetensors",
        "unet/diffusion_pytorch_model.safetensors.index.fp16.json",
    }
    assert weights(*files) == files


def test_what_a_pipeline_does_not_load_stays_where_it_is():
    noise = [
        "v1-5-pruned.safetensors", "v1-5.ckpt", "README.md", "preview.png", "vae_decoder/model.onnx", ".gitattributes",
        "unet/diffusion_pytorch_model.bin", "unet/diffusion_flax_model.msgpack", "unet/model.onnx",
        "unet/openvino_model.xml", "unet/old/diffusion_pytorch_model.safetensors", "safety_checker/model.safetensors",
    ]  # fmt: skip
    assert weights(PLAIN, *noise) == {PLAIN}


@pytest.mark.parametrize("pickle", ["unet/diffusion_pytorch_model.bin", "unet/model.onnx"])
def test_a_component_without_safetensors_is_refused(pickle: str):
    with pytest.raises(RefusedFileError, match="org/repo/unet has no safetensors"):
        weights(pickle)


def test_a_missing_component_is_refused():
    with pytest.raises(RefusedFileError, match="no folder unet"):
        diffusers_files([path for path in TEXTS if "unet" not in path], INDEX, "org/repo")


@pytest.mark.parametrize("index", [[], None, "x"])
def test_an_index_that_is_no_object_is_refused(index: object):
    with pytest.raises(RefusedFileError, match="no JSON object"):
        diffusers_files(TEXTS, index, "org/repo")


def test_the_one_model_file_at_the_top_is_the_asset():
    assert choose_single_file(["README.md", "a.safetensors", "old/b.safetensors"], "org/repo", "hf://org/repo/") == (
        "a.safetensors"
    )


def test_several_model_files_are_listed_as_references():
    with pytest.raises(AmbiguousNameError) as caught:
        choose_single_file(["b.safetensors", "a.safetensors"], "org/repo", "hf://org/repo@v2/")
    assert caught.value.candidates == ("hf://org/repo@v2/a.safetensors", "hf://org/repo@v2/b.safetensors")
    assert "assetctl pull hf://org/repo@v2/a.safetensors" in caught.value.hint


def test_a_pickle_is_taken_only_where_there_is_nothing_better():
    assert choose_single_file(["ink.ckpt", "README.md"], "org/repo", "hf://org/repo/") == "ink.ckpt"
    assert choose_single_file(["ink.ckpt", "ink.safetensors"], "org/repo", "hf://org/repo/") == "ink.safetensors"
    with pytest.raises(AmbiguousNameError):
        choose_single_file(["ink.ckpt", "ink.pt"], "org/repo", "hf://org/repo/")


def test_other_frameworks_are_refused_and_nothing_is_not_found():
    with pytest.raises(RefusedFileError):
        choose_single_file(["model.onnx"], "org/repo", "hf://org/repo/")
    with pytest.raises(SourceNotFoundError):
        choose_single_file(["README.md"], "org/repo", "hf://org/repo/")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("ink.safetensors", "ink"),
        ("loras/ink-v1.5.safetensors", "ink-v1.5"),
        ("diffusion_pytorch_model.fp16.safetensors", "repo"),
        ("vae/diffusion_pytorch_model.safetensors", "repo-vae"),
        ("pytorch_lora_weights.safetensors", "repo"),
    ],
)
def test_an_asset_is_called_after_its_file_unless_all_files_are_called_so(path: str, name: str):
    assert file_name(path, "repo") == name


@pytest.mark.parametrize("raw", [b"[" * 500_000, b'{"a":' * 100_000, b"\xff", b"", b"NaN,", b'{"a": 1' + b" " * 99])
def test_an_index_of_nonsense_is_refused(raw: bytes):
    with pytest.raises(RefusedFileError, match="not JSON"):
        read_index(raw, "org/repo")


def test_an_index_of_more_than_any_pipeline_has_is_refused():
    part = ["diffusers", "UNet2DConditionModel"]
    with pytest.raises(RefusedFileError, match="500 components"):
        diffusers_files(["model_index.json"], {f"part{number}": part for number in range(500)}, "org/repo")
    files = [f"unet/{number}.json" for number in range(100_000)]
    with pytest.raises(RefusedFileError, match="100001 files"):
        diffusers_files(files, {"unet": part}, "org/repo")
