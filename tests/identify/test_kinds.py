"""What a file is for, told by the names of its tensors: every kind in its authors' names, and what is none of them."""

from __future__ import annotations

import random

import pytest
from headers import write_safetensors
from tables import cases, table

from assetctl.identify import identify


@pytest.mark.parametrize("case", table("names/kinds"))
def test_a_network_is_of_its_kind_and_named_as_whoever_wrote_it(tmp_path, case):
    found = identify(write_safetensors(tmp_path / "file.safetensors", case["tensors"]))
    assert found.kind == case["kind"], found.evidence
    assert case.get("layout") in (None, found.layout)


@pytest.mark.parametrize(
    "prefix", ["params_ema.", "params.", "state_dict.", "model.", "net_g.", "module.", "generator."]
)
def test_what_enlarges_pictures_is_known_below_its_trainers_prefix(tmp_path, prefix):
    path = tmp_path / "file.safetensors"
    for case in cases("names/kinds"):
        if case["kind"] == "upscaler" and not any(name.startswith("params") for name in case["tensors"]):
            tensors = {prefix + name: shape for name, shape in case["tensors"].items()}
            assert identify(write_safetensors(path, tensors)).kind == "upscaler", case["id"]


def test_a_change_to_any_network_is_a_lora_and_nothing_else(tmp_path):
    path = tmp_path / "file.safetensors"
    for case in cases("names/kinds"):
        modules = {name.removesuffix(".weight") for name in case["tensors"] if name.endswith(".weight")}
        if case["kind"] == "controlnet" or not modules:  # of which there are none
            continue
        tensors = {f"{name}.lora_A.weight": [4, 64] for name in modules}
        tensors |= {f"{name}.lora_B.weight": [64, 4] for name in modules}
        assert identify(write_safetensors(path, tensors)).kind == "lora", case["id"]


#: Kinds that a file of another kind, or of this name, is rightly taken for, once the tensors that tell more are lost.
PARTS = {
    "checkpoint": {"diffusion-model", "vae"},
    "controlnet": {"diffusion-model"},
    "text-encoder": {"image-encoder"},
    "GroundingDINO": {"text-encoder"},
    "BLIP": {"image-encoder"},
    "DPT": {"image-encoder"},
    "safety checker": {"image-encoder"},
}


def test_what_is_left_of_a_network_is_never_another(tmp_path):
    chance, path = random.Random(1), tmp_path / "file.safetensors"
    for case in cases("names/kinds"):
        right = {case["kind"], "unknown"} | PARTS.get(case["kind"], set()) | PARTS.get(case["id"], set())
        for _ in range(3):
            names = chance.sample(list(case["tensors"]), max(1, len(case["tensors"]) // 2))
            found = identify(write_safetensors(path, {name: case["tensors"][name] for name in names})).kind
            assert found in right, (case["id"], names)


def saved(path, value):
    torch = pytest.importorskip("torch")
    torch.save(value(torch), path)
    return identify(path)


@pytest.mark.parametrize("suffix", [".th", ".pt", ".bin"])
@pytest.mark.parametrize(
    "value",
    [
        lambda torch: [torch.zeros(768), torch.zeros(768)],
        lambda torch: (torch.zeros(1, 768),),
        lambda torch: torch.zeros(2, 768),
        lambda torch: {"vectors": [torch.zeros(768), torch.zeros(768)]},
        lambda torch: {"prompt": torch.zeros(77, 768)},
        lambda torch: {"cond": torch.zeros(154, 1024)},
        lambda torch: {"head": torch.zeros(1280, 1024)},
    ],
)
def test_vectors_without_a_token_are_no_embedding(tmp_path, suffix, value):
    assert saved(tmp_path / f"file{suffix}", value).kind == "unknown"


@pytest.mark.parametrize(
    "value",
    [
        lambda torch: {"<cat>": torch.zeros(768)},
        lambda torch: {"string_to_param": {"*": torch.zeros(3, 768)}, "name": "cat"},
        lambda torch: {"<cat>": torch.zeros(75, 768)},
    ],
)
def test_vectors_of_a_token_are_an_embedding(tmp_path, value):
    assert saved(tmp_path / "file.pt", value).kind == "embedding"
