from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from PIL import Image, PngImagePlugin

from assetctl.pictures import PictureParameters, UsedAsset, parse_infotext, read_parameters

if TYPE_CHECKING:
    from pathlib import Path


def read(folder: Path, **texts: Any) -> PictureParameters | None:
    """What a PNG with these texts says; what is no text is written as JSON."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name.replace("__", "-"), text if isinstance(text, str) else json.dumps(text))
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


def test_comfyui_graph(tmp_path: Path):
    found = read(tmp_path, prompt=graph(), workflow={"nodes": []})
    assert found == PictureParameters(
        software="ComfyUI",
        prompt="a cat, easy and (bad:1.2)",
        negative_prompt="ugly",
        steps=20,
        sampler="DPM++ 2M Karras",
        cfg_scale=7.5,
        seed=2**64 - 1,
        width=512,
        height=768,
        assets=(
            UsedAsset("checkpoint", "dream"),
            UsedAsset("lora", "a", weight=0.8),
            UsedAsset("lora", "b", weight=-0.5),
            UsedAsset("embedding", "easy"),
            UsedAsset("embedding", "bad"),
            UsedAsset("vae", "clear"),
        ),
        fields={"sampler_name": "dpmpp_2m", "scheduler": "karras", "denoise": "1"},
        understood=frozenset({"sampler_name", "scheduler", "denoise"}),
    )


def test_comfyui_graph_with_the_parts_of_a_sampler_in_nodes_of_their_own(tmp_path: Path):
    found = read(
        tmp_path,
        prompt={
            "1": node("UNETLoader", unet_name="flux.safetensors"),
            "2": node(
                "Power Lora Loader (rgthree)",
                model=["1", 0],
                lora_1={"on": True, "lora": "x.safetensors", "strength": 0.6},
                lora_2={"on": False, "lora": "y.safetensors", "strength": 1},
            ),
            "3": node("CLIPTextEncode", text="a dog"),
            "4": node("FluxGuidance", guidance=3.5, conditioning=["3", 0]),
            "5": node("BasicGuider", model=["2", 0], conditioning=["4", 0]),
            "6": node("RandomNoise", noise_seed=9),
            "7": node("KSamplerSelect", sampler_name="euler"),
            "8": node("BasicScheduler", scheduler="simple", steps=25, denoise=1, model=["2", 0]),
            "9": node("EmptySD3LatentImage", width=1024, height=1024),
            "10": node(
                "SamplerCustomAdvanced",
                noise=["6", 0], guider=["5", 0], sampler=["7", 0], sigmas=["8", 0], latent_image=["9", 0],
            ),
        },
    )  # fmt: skip
    assert found is not None
    assert (found.prompt, found.negative_prompt, found.steps, found.seed) == ("a dog", None, 25, 9)
    assert (found.sampler, found.width) == ("Euler", 1024)
    assert found.assets == (UsedAsset("checkpoint", "flux"), UsedAsset("lora", "x", weight=0.6))


def test_comfyui_follows_prompts_through_controlnets_and_combinations(tmp_path: Path):
    found = read(
        tmp_path,
        prompt=graph(**{
            "7": node("KSampler", positive=["20", 0], negative=["20", 1], model=["1", 0], latent_image=["6", 0]),
            "20": node(
                "ControlNetApplyAdvanced",
                strength=0.4, positive=["21", 0], negative=["5", 0], control_net=["22", 0],
            ),
            "21": node("ConditioningCombine", conditioning_1=["4", 0], conditioning_2=["23", 0]),
            "22": node("ControlNetLoader", control_net_name="canny.safetensors"),
            "23": node("CLIPTextEncodeSDXL", text_g="big", text_l="small"),
        }),
    )  # fmt: skip
    assert found is not None
    assert found.prompt == "a cat, easy and (bad:1.2)\nbig\nsmall"
    assert found.negative_prompt == "ugly"
    assert UsedAsset("controlnet", "canny", weight=0.4) in found.assets


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
    assert (found.prompt, found.negative_prompt, found.steps) == (None, None, 20)
    assert {each.name for each in found.assets if each.role == "lora"} == {"a", "b"}
    assert found.assets[0] == UsedAsset("checkpoint", "dream")


def test_comfyui_writes_nan_which_is_no_json(tmp_path: Path):
    text = json.dumps(graph()).replace('"class_type": "KSampler"', '"is_changed": [NaN], "class_type": "KSampler"')
    found = read(tmp_path, prompt=text)
    assert found is not None
    assert found.steps == 20


def test_comfyui_workflow_alone(tmp_path: Path):
    workflow = {
        "nodes": [
            {"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["dream.safetensors"]},
            {"id": 2, "type": "LoraLoader", "inputs": [{"name": "model", "link": 1}],
             "widgets_values": ["a.safetensors", 0.5, 1]},
            {"id": 3, "type": "CLIPTextEncode", "widgets_values": ["a fox"]},
            {"id": 4, "type": "EmptyLatentImage", "widgets_values": [640, 448, 1]},
            {"id": 5, "type": "KSampler", "widgets_values": [7, "randomize", 30, 6, "euler_ancestral", "normal", 1],
             "inputs": [{"name": "model", "link": 2}, {"name": "positive", "link": 3},
                        {"name": "latent_image", "link": 4}]},
            {"id": 6, "type": "VAELoader", "mode": 4, "widgets_values": ["off.safetensors"]},
        ],
        "links": [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 5, 0, "MODEL"], [3, 3, 0, 5, 1, "C"], [4, 4, 0, 5, 3, "LATENT"]],
    }  # fmt: skip
    found = read(tmp_path, workflow=workflow)
    assert found is not None
    assert (found.prompt, found.steps, found.seed, found.sampler) == ("a fox", 30, 7, "Euler a")
    assert (found.width, found.height, found.cfg_scale) == (640, 448, 6)
    assert found.assets == (UsedAsset("checkpoint", "dream"), UsedAsset("lora", "a", weight=0.5))


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
            assert (found.software, found.steps, found.negative_prompt) == ("ComfyUI", 20, "ugly")


def test_an_infotext_is_preferred_to_a_graph(tmp_path: Path):
    found = read(tmp_path, parameters="a cat\nSteps: 3, Seed: 4, Version: ComfyUI", prompt=graph())
    assert found is not None
    assert (found.software, found.steps) == ("ComfyUI", 3)
    assert found.text is not None


def test_civitai_resources():
    air = "urn:air:sdxl:lora:civitai:11111@22222"
    resources = [
        {"type": "checkpoint", "modelVersionId": 1714314, "modelName": "Milk \U0001f33f", "modelVersionName": "II"},
        {"weight": 0.8, "air": air, "modelName": "Detail"},
    ]
    request = {
        "workflow": "txt2img",
        "resources": [{"modelVersionId": 5, "strength": 1, "type": "Lora"}],
        "a": {"b": [1]},
    }
    found = parse_infotext(
        "a cat\nSteps: 40, Sampler: Euler, Seed: 1, Created Date: 2026-02-25T22:09:08.8166925Z, "
        f"Civitai resources: {json.dumps(resources)}, Civitai metadata: {json.dumps(request)}"
    )
    assert found.software == "Civitai"
    assert found.fields["Created Date"] == "2026-02-25T22:09:08.8166925Z"
    assert found.extra == {"Civitai resources": resources, "Civitai metadata": request}
    assert found.assets == (
        UsedAsset("checkpoint", "Milk \U0001f33f", sources=("https://civitai.com/model-versions/1714314",)),
        UsedAsset("lora", "Detail", weight=0.8, sources=(air,)),
    )
    alone = parse_infotext(f"a cat\nSteps: 40, Seed: 1, Model: dream, Civitai metadata: {json.dumps(request)}")
    assert alone.assets == (
        UsedAsset("checkpoint", "dream"),
        UsedAsset("lora", weight=1, sources=("https://civitai.com/model-versions/5",)),
    )


def test_a_checkpoint_that_civitai_names_too_is_one_asset():
    resources = json.dumps([{"type": "checkpoint", "modelVersionId": 7, "modelName": "Dream of"}])
    found = parse_infotext(f"Steps: 4, Seed: 1, Model hash: 0123456789, Model: dream, Civitai resources: {resources}")
    source = "https://civitai.com/model-versions/7"
    assert found.assets == (UsedAsset("checkpoint", "dream", "0123456789", sources=(source,)),)


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
        assert (found.software, found.prompt, found.steps, found.seed) == ("Civitai", "a fox", 12, 8)
        assert found.width == 512
        assert found.assets[0] == UsedAsset("checkpoint", sources=(checkpoint,))
        assert UsedAsset("lora", weight=0.4, sources=("https://civitai.com/model-versions/6",)) in found.assets
        assert found.extra["extraMetadata"] == request


def test_invokeai(tmp_path: Path):
    digits = "AB" * 32
    found = read(
        tmp_path,
        invokeai_metadata={
            "app_version": "5.0.0", "positive_prompt": "a cat", "negative_prompt": "bad", "width": 1024, "height": 768,
            "seed": 5, "cfg_scale": 7.5, "steps": 30, "scheduler": "dpmpp_2m_k", "clip_skip": 1,
            "model": {"key": "k", "hash": f"blake3:{digits}", "name": "dream", "base": "sdxl", "type": "main"},
            "loras": [{"model": {"name": "new", "hash": "random:0123456789"}, "weight": 0.5},
                      {"lora": {"model_name": "old", "base_model": "sd-1"}, "weight": 0.7}],
            "vae": {"model_name": "clear"},
            "controlnets": [{"control_model": {"name": "canny"}, "control_weight": 0.3}],
        },
    )  # fmt: skip
    assert found is not None
    assert (found.software, found.prompt, found.negative_prompt, found.steps) == ("InvokeAI", "a cat", "bad", 30)
    assert (found.sampler, found.clip_skip, found.width, found.height) == ("DPM++ 2M Karras", 2, 1024, 768)
    assert found.fields["app_version"] == "5.0.0"
    assert found.understood == found.fields.keys()
    assert found.assets == (
        UsedAsset("checkpoint", "dream", digits.lower()),
        UsedAsset("lora", "new", weight=0.5),
        UsedAsset("lora", "old", weight=0.7),
        UsedAsset("vae", "clear"),
        UsedAsset("controlnet", "canny", weight=0.3),
    )


def test_invokeai_before_its_third_version(tmp_path: Path):
    image = {"prompt": [{"prompt": "a cat [bad, ugly]", "weight": 1}], "steps": 50, "cfg_scale": 5, "seed": 2980747362,
             "width": 512, "height": 640, "sampler": "k_euler_a"}  # fmt: skip
    found = read(tmp_path, sd__metadata={"model_weights": "deliberate", "model_hash": "56D1442A", "image": image})
    assert found is not None
    assert (found.prompt, found.negative_prompt, found.steps, found.seed) == ("a cat", "bad, ugly", 50, 2980747362)
    assert (found.sampler, found.assets) == ("Euler a", (UsedAsset("checkpoint", "deliberate", "56d1442a"),))
    dream = read(tmp_path, Dream='"a "big" cat [bad]" -s 50 -S123 -W512 -H640 -C7.5 -A k_lms')
    assert dream is not None
    assert (dream.prompt, dream.negative_prompt, dream.steps, dream.seed) == ('a "big" cat', "bad", 50, 123)
    assert (dream.sampler, dream.width, dream.height, dream.cfg_scale) == ("LMS", 512, 640, 7.5)


def test_a_picture_may_say_nothing(tmp_path: Path):
    assert read(tmp_path) is None
    assert read(tmp_path, Comment="On the beach: 3 of us, 2 dogs", Software="GIMP") is None
    assert read(tmp_path, Title="A walk", Description="By the sea") is None


def test_texts_of_programs_that_are_not_known_are_named(tmp_path: Path):
    swarm = {"sui_image_params": {"prompt": "a cat", "seed": 1}}
    assert read(tmp_path, parameters=swarm) == PictureParameters(unread=("parameters",))
    novel = read(tmp_path, Title="AI generated image", Software="NovelAI", Comment={"prompt": "a cat", "steps": 28})
    assert novel == PictureParameters(unread=("Comment",))
    assert read(tmp_path, seed="1", num_steps="2") == PictureParameters(unread=("seed", "num_steps"))
    assert read(tmp_path, prompt="[1, 2]", assetctl="[1]") == PictureParameters(unread=("prompt", "assetctl"))


def test_comfyui_loras_that_are_not_chosen_are_left_out(tmp_path: Path):
    stack = {"lora_name_1": "on.safetensors", "lora_name_2": "None", "lora_name_3": "beyond.safetensors"}
    found = read(
        tmp_path,
        prompt={
            "1": node(
                "Efficient Loader", ckpt_name="dream.ckpt", vae_name="Baked VAE", clip_skip=-2, lora_name="None",
                lora_model_strength=1, positive="a cat", negative="bad", empty_latent_width=640,
                empty_latent_height=448, lora_stack=["2", 0],
            ),
            "2": node(
                "LoRA Stacker", input_mode="advanced", lora_count=2, lora_wt_1=1, model_str_1=0.4, lora_wt_3=1, **stack
            ),
            "3": node(
                "KSampler (Efficient)", seed=3, steps=4, cfg=5, sampler_name="euler", scheduler="sgm_uniform",
                denoise=0.5, model=["1", 0], positive=["1", 1], negative=["1", 2], latent_image=["1", 3],
            ),
        },
    )  # fmt: skip
    assert found is not None
    assert (found.prompt, found.negative_prompt, found.clip_skip) == ("a cat", "bad", 2)
    assert (found.width, found.height) == (640, 448)
    assert found.assets == (UsedAsset("checkpoint", "dream"), UsedAsset("lora", "on", weight=0.4))
    assert found.understood == {"sampler_name"}


def test_comfyui_guidance_and_a_refiner(tmp_path: Path):
    found = read(
        tmp_path,
        prompt=graph(**{
            "4": node("FluxGuidance", guidance=3.5, conditioning=["20", 0]),
            "20": node("CLIPTextEncode", text="a dog"),
            "21": node("CheckpointLoaderSimple", ckpt_name="refine.safetensors"),
            "22": node("KSamplerAdvanced", model=["21", 0], latent_image=["7", 0], noise_seed=1),
        }),
    )  # fmt: skip
    assert found is not None
    assert (found.prompt, found.fields["guidance"]) == ("a dog", "3.5")
    assert "guidance" not in found.understood
    assert UsedAsset("other", "refine") in found.assets
    assert found.assets[0] == UsedAsset("checkpoint", "dream")


def test_infotext_fields_that_attributes_express():
    found = parse_infotext(
        "a\nSteps: 4, Sampler: Euler, Schedule type: Automatic, CFG scale: 7, Seed: 1, Size: 8x8, Model: m, "
        'VAE: None, Hires upscale: 2, Version: v1.9, Hashes: {"model": "abcdef12"}'
    )
    assert {*found.fields, *found.extra} - found.understood == {"Hires upscale"}
