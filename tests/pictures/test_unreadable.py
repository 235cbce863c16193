"""What a picture of another program holds and nobody can read: `reproduce` promises nothing where it matters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tables import table

from assetctl.errors import FileError
from assetctl.operations.make.from_picture import recipe_of_other_program, with_family
from assetctl.pictures.dialects import comfyui
from assetctl.pictures.dialects.a1111 import read_infotext

PROMISE = "with the same noise and steps"
INFOTEXT = "{}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 5, Size: 64x64, Model: dream, Version: v1.10.1, {}"

#: ComfyUI's usual graph.
GRAPH: dict[str, Any] = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "dream.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a cat", "clip": ["1", 1]}},
    "3": {"class_type": "CLIPTextEncode", "inputs": {"text": "", "clip": ["1", 1]}},
    "4": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "5": {
        "class_type": "KSampler",
        "inputs": {
            "model": ["1", 0], "positive": ["2", 0], "negative": ["3", 0], "latent_image": ["4", 0], "seed": 7,
            "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
        },
    },
    "6": {"class_type": "VAEDecode", "inputs": {"samples": ["5", 0], "vae": ["1", 2]}},
    "7": {"class_type": "SaveImage", "inputs": {"images": ["6", 0], "filename_prefix": "x"}},
}  # fmt: skip


def read(case: dict[str, Any]):
    if "graph" not in case:
        return read_infotext(INFOTEXT.format(case.get("prompt", "a cat"), case.get("fields", "RNG: CPU")))[0]
    graph = json.loads(json.dumps(GRAPH))
    for key, more in case["graph"].items():
        if "class_type" in more:
            graph[key] = more
        else:
            graph[key]["inputs"] |= more
    return comfyui.read({"prompt": json.dumps(graph)})


@pytest.mark.parametrize("case", table("pictures/unreadable"))
def test_what_could_not_be_read_takes_the_promise_away(case):
    parameters = read(case)
    if "refused" in case:
        with pytest.raises(FileError, match=f"The picture's {case['refused']} could not be read"):
            recipe_of_other_program(parameters)
        return
    found = recipe_of_other_program(parameters)
    told = case.get("told")
    assert (PROMISE in found.remarks[0]) == (told is None), found.remarks
    assert told is None or any(told in each for each in found.remarks[1:]), found.remarks
    assert all(each.isprintable() for each in found.remarks)
    asked = case.get("asked", {})
    assert {name: found.request.settings.get(name) for name in asked} == asked
    if "prompts" in case:
        assert [found.request.prompt, found.request.negative_prompt] == case["prompts"]
    for role, name, digest in case.get("assets", ()):
        assert any((each.role, each.name, each.hash) == (role, name, digest) for each in found.assets)
    for family in ("sd1", "sd2", "sdxl"):
        is_other = bool(case.get("last_layer")) and family != "sd1"
        remarks = with_family(found, family).remarks
        assert any("last layer" in each for each in remarks) == is_other
        assert not is_other or PROMISE not in remarks[0]
