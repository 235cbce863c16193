from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from patience import fair
from pictures.expected import read_of
from PIL import Image, PngImagePlugin
from tables import table

from assetctl.pictures import PictureParameters, UsedAsset, read_parameters

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, **texts: Any) -> PictureParameters | None:
    """What a PNG with these texts says; what is no text is written as JSON."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text if isinstance(text, str) else json.dumps(text))
    path = folder / "picture.png"
    Image.new("RGB", (2, 2)).save(path, pnginfo=info)
    return read_parameters(path)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph(**more: Any) -> dict[str, Any]:
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="sd15\\dream.safetensors"),
        "2": node("LoraLoader", lora_name="a.safetensors", strength_model=0.8, strength_clip=1, model=["1", 0]),
        "3": node("LoraLoaderModelOnly", lora_name="sub/b.safetensors", strength_model=-0.5, model=["2", 0]),
        "4": node("CLIPTextEncode", text="a cat, embedding:easy and (embedding:neg/bad.pt:1.2)", clip=["2", 1]),
        "5": node("CLIPTextEncode", text=["8", 0], clip=["2", 1]),
        "6": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "7": node(
            "KSampler", seed=["10", 0], steps=20, cfg=7.5, sampler_name="dpmpp_2m", scheduler="karras", denoise=1,
            model=["3", 0], positive=["4", 0], negative=["5", 0], latent_image=["6", 0],
        ),
        "8": node("PrimitiveString", value="ugly"),
        "9": node("VAELoader", vae_name="clear.safetensors"),
        "10": node("PrimitiveNode", value=2**64 - 1),
    } | more  # fmt: skip


@pytest.mark.parametrize("case", table("pictures/texts"))
def test_texts_of_every_program_are_read(tmp_path: Path, case: dict[str, Any]):
    found, expected = read(tmp_path, **case["texts"]), case["expected"]
    if expected is None:
        assert found is None
        return
    assert found is not None
    if case.get("exactly"):
        assert found == PictureParameters(unread=tuple(expected["unread"]))
    assert read_of(found, expected) == expected


def test_comfyui_graph_with_loops_and_loose_ends_is_read_as_far_as_it_goes(tmp_path: Path):
    long = {str(at): node("ConditioningCombine", conditioning_1=[str(at + 1), 0]) for at in range(100, 4000)}
    found = read(
        tmp_path,
        prompt=graph(**{
            "2": node("LoraLoader", lora_name="a.safetensors", strength_model=1, model=["3", 0]),
            "5": node("CLIPTextEncode", text=["5", 0]),
            "4": node("ConditioningCombine", conditioning_1=["100", 0], conditioning_2=["nowhere", 0]),
        }) | long,
    )  # fmt: skip
    assert found is not None
    assert (found.prompt, found.negative_prompt, found.settings["steps"]) == (None, None, 20)
    assert {each.name for each in found.assets if each.role == "lora"} == {"a", "sub/b"}
    assert found.assets[0] == UsedAsset("checkpoint", "sd15/dream")


def test_comfyui_graphs_that_multiply_are_read_in_seconds(tmp_path: Path):
    """Texts joined with themselves, contexts of contexts, subgraphs that hold themselves."""
    sampler = node("KSampler", steps=4, positive=["0", 4], model=["0", 1], latent_image=["0", 6])
    doubled = {
        str(at): node("StringConcatenate", string_a=[str(at + 1), 0], string_b=[str(at + 1), 0]) for at in range(40)
    }
    contexts = {
        str(at): node("Context (rgthree)", base_ctx=[str(at + 1), 0], ctx_01=[str(at * 7 % 3000), 0])
        for at in range(3000)
    }
    within = [{"id": at, "type": "s", "inputs": [{"name": "a", "link": at}]} for at in range(100)]
    nested = {
        "id": "s",
        "inputs": [{"name": "a"}],
        "nodes": within,
        "links": [[at, at, 0, -20, at] for at in range(100)],
    }
    editor = {"nodes": [{"id": 0, "type": "s"}, {"id": 1, "type": "KSampler"}], "definitions": {"subgraphs": [nested]}}
    started = time.process_time()
    for said in (
        {**doubled, "40": node("PrimitiveString", value="x" * 9000), "x": sampler},
        {**contexts, "x": sampler},
    ):
        found = read(tmp_path, prompt=said)
        assert found is not None
        assert found.settings["steps"] == 4
        assert len(found.prompt or "") < 200_000
    assert read(tmp_path, workflow=editor) is not None
    assert time.process_time() - started < fair(10)


def test_comfyui_webp_savers_use_exif(tmp_path: Path):
    for tags in (
        {0x0110: "prompt:" + json.dumps(graph()), 0x010F: 'workflow:{"nodes": []}'},
        {0x010F: "Prompt: " + json.dumps(graph()), 0x010E: 'Workflow: {"nodes": []}'},
        {0x9286: b"UNICODE\0" + json.dumps({"prompt": graph(), "workflow": {}}).encode("utf-16-le")},
        {0x9286: b"ASCII\0\0\0" + json.dumps({"prompt": json.dumps(graph())}).encode()},
    ):
        exif = Image.Exif()
        for tag, value in tags.items():
            (exif.get_ifd(0x8769) if tag == 0x9286 else exif)[tag] = value
        for suffix in ("webp", "jpg"):
            path = tmp_path / f"picture.{suffix}"
            Image.new("RGB", (2, 2)).save(path, exif=exif)
            found = read_parameters(path)
            assert found is not None
            assert (found.software, found.settings["steps"], found.negative_prompt) == ("ComfyUI", 20, "ugly")


def test_civitai_request_beside_a_graph(tmp_path: Path):
    checkpoint = "urn:air:sdxl:checkpoint:civitai:101055@128078"
    request = {"prompt": "a fox", "negativePrompt": "bad", "steps": 12, "cfgScale": 3, "sampler": "Euler a", "seed": 8,
               "resources": [{"modelVersionId": 6, "strength": 0.4, "type": "lora"}]}  # fmt: skip
    nodes = graph(**{"1": node("CheckpointLoaderSimple", ckpt_name=checkpoint)})
    exif = Image.Exif()
    comment = json.dumps(nodes | {"extra": {"airs": [checkpoint]}, "extraMetadata": json.dumps(request)})
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + comment.encode("utf-16-be")
    path = tmp_path / "picture.jpeg"
    Image.new("RGB", (2, 2)).save(path, exif=exif)
    for found in (read_parameters(path), read(tmp_path, prompt=nodes, extraMetadata=request)):
        assert found is not None
        assert (found.software, found.prompt, found.settings["steps"], found.settings["seed"]) == (
            "Civitai",
            "a fox",
            12,
            8,
        )
        assert found.settings["width"] == 512
        assert found.assets[0] == UsedAsset("checkpoint", sources=(checkpoint,))
        assert UsedAsset("lora", weight=0.4, sources=("https://civitai.com/model-versions/6",)) in found.assets
        assert found.extra["extraMetadata"] == request
