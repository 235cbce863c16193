"""`reproduce` of A1111's and ComfyUI's pictures, beside the pixels that they made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from generation.test_flavours import CASES, PROMPTS
from written_pictures import write_png

from assetctl.cli.main import run
from assetctl.operations.make.from_picture import recipe_of_other_program
from assetctl.pictures.dialects import comfyui
from assetctl.samplers import SAMPLERS, SCHEDULERS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("diffusers")
pytest.importorskip("torchsde")

#: One of each program, where seconds are scarce.
FEW = ("A1111 RNG=NV DPM++ 2M / Automatic", "A1111 RNG=CPU DPM++ 2M SDE / Automatic", "ComfyUI lms / normal")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A home with the demo checkpoint."""
    from assetctl.demo import demo_assets

    root = tmp_path_factory.mktemp("others")
    assert run(["--home", str(root / "home"), "import", str(demo_assets().checkpoint), "--quiet"]) == 0
    return root / "home"


@pytest.fixture
def home(demo, monkeypatch):
    monkeypatch.setenv("ASSETCTL_HOME", str(demo))
    return demo


def infotext_of(name: str) -> str:
    """A1111's words for a run of the corpus."""
    noise, rest = name.removeprefix("A1111 RNG=").split(" ", 1)
    sampler, _, schedule = rest.partition(" / ")
    fields = {"Steps": 20, "Sampler": sampler, "Schedule type": schedule or "Automatic", "CFG scale": 7, "Seed": 7,
              "Size": "96x96", "Model": "demo-checkpoint", "RNG": noise, "Version": "v1.10.1"}  # fmt: skip
    if noise == "NV":
        del fields["RNG"]  # as it is usual
    line = ", ".join(f"{key}: {value}" for key, value in fields.items())
    return f"{PROMPTS[0]}\nNegative prompt: {PROMPTS[1]}\n{line}"


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def graph_of(sampler: str, schedule: str, **sampling: Any) -> dict[str, Any]:
    """ComfyUI's usual graph."""
    given = {"seed": 7, "steps": 20, "cfg": 7.0, "sampler_name": sampler, "scheduler": schedule, "denoise": 1.0}
    links = {"model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
    return {
        "3": node("KSampler", **given | sampling, **links),
        "4": node("CheckpointLoaderSimple", ckpt_name="demo-checkpoint.safetensors"),
        "5": node("EmptyLatentImage", width=96, height=96, batch_size=1),
        "6": node("CLIPTextEncode", text=PROMPTS[0], clip=["4", 1]),
        "7": node("CLIPTextEncode", text=PROMPTS[1], clip=["4", 1]),
        "8": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
    }


def written(folder: Path, name: str, pixels) -> Path:
    """The picture of a run, as its program writes it."""
    if name.startswith("A1111"):
        texts = {"parameters": infotext_of(name)}
    else:
        sampler, _, schedule = name.removeprefix("ComfyUI ").partition(" / ")
        texts = {"prompt": json.dumps(graph_of(sampler, schedule or "normal"))}
    path = write_png(folder / "theirs.png", **texts)
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    Image.fromarray(pixels).save(path, pnginfo=info)
    return path


def reproduce_all(assetctl, tmp_path: Path, names=(), every: int = 1) -> None:
    if not CASES.is_dir():
        pytest.skip("no pictures of other programs beside the checkout")
    pixels = np.load(CASES / "pixels.npz")
    for key in (names or pixels.files)[::every]:
        name = key.replace("|", "/")
        theirs = pixels[name.replace("/", "|")]
        ended = assetctl("reproduce", written(tmp_path, name, theirs), "--json")
        assert ended.code == 0, (name, ended.err)
        on_what = name.startswith("ComfyUI") and any(each in name for each in ("ancestral", "2s_a", "lcm"))
        assert ("with the same noise and steps" in ended.data["remarks"][0]) != on_what, (name, ended.data)
        with Image.open(ended.data["images"][0]["path"]) as image:
            off = np.abs(np.asarray(image).astype(int) - theirs)
        assert off.max() <= 1, name
        assert (off > 0).mean() < 0.002, name


def test_a_picture_of_another_program_is_made_again(assetctl, home, tmp_path):
    reproduce_all(assetctl, tmp_path, FEW)


@pytest.mark.parametrize("every", [pytest.param(8, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)])
def test_every_picture_of_another_program_is_made_again(assetctl, home, tmp_path, every):
    """The tests of sampling hold every setting to its picture; here it is what a picture says that leads there."""
    reproduce_all(assetctl, tmp_path, every=every)


def recipe(graph: dict[str, Any]):
    return recipe_of_other_program(comfyui.read({"prompt": json.dumps(graph)}))


def changed(graph: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A graph with other inputs of some nodes, or other nodes."""
    return {
        key: each if key not in more else node(each["class_type"], **each["inputs"] | more[key])
        for key, each in graph.items()
    } | {key: each for key, each in more.items() if key not in graph}


USUAL = graph_of("euler", "normal")


@pytest.mark.parametrize(
    ("graph", "asked"),
    [
        (USUAL, {"start_step": 0, "end_step": 0, "latent_batch": 1, "latent_index": 0, "seed": 7, "steps": 20}),
        (graph_of("euler", "normal", seed=2**64 - 1), {"seed": 2**64 - 1}),
        (graph_of("euler", "normal", denoise=0.5), {"steps": 40, "start_step": 20}),
        (graph_of("euler", "normal", start_at_step=3, end_at_step=10_000), {"start_step": 3, "end_step": 0}),
        (graph_of("euler", "normal", end_at_step=12, return_with_leftover_noise="enable"),
         {"end_step": 12, "leftover_noise": True}),
        (changed(USUAL, **{"3": {"latent_image": ["10", 0]}, "5": {"batch_size": 4},
                           "10": node("LatentFromBatch", samples=["5", 0], batch_index=2, length=1)}),
         {"latent_batch": 1, "latent_index": 2}),
        (changed(USUAL, **{"6": {"clip": ["10", 0]}, "7": {"clip": ["10", 0]},
                           "10": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["4", 1])}), {"clip_skip": 2}),
    ],
)  # fmt: skip
def test_graphs_are_followed_without_loss(graph, asked):
    found = recipe(graph)
    assert {name: found.request.settings.get(name) for name in asked} == asked
    assert "with the same noise and steps" in found.remarks[0], found.remarks


def lora(name: str, unet: float, text: float | None = None, **links: Any) -> dict[str, Any]:
    kind = "LoraLoaderModelOnly" if text is None else "LoraLoader"
    clips = {} if text is None else {"strength_clip": text}
    return node(kind, lora_name=f"{name}.safetensors", strength_model=unet, **clips, **links)


def test_loras_change_what_they_were_linked_to():
    chain = {
        "10": lora("both", 0.8, 0.8, model=["4", 0], clip=["4", 1]),
        "11": lora("apart", 0.8, 0.5, model=["10", 0], clip=["10", 1]),
        "12": lora("model", 0.7, model=["11", 0]),
        "13": lora("unread", 0.6, 0.6, model=["12", 0], clip=["11", 1]),
        "14": lora("text", 0.4, 0.3, model=["4", 0], clip=["11", 1]),
    }
    more = {"3": {"model": ["13", 0]}, "6": {"clip": ["14", 1]}, "7": {"clip": ["14", 1]}}
    found = recipe(changed(USUAL, **more, **chain))
    weights = {each.name: (each.weight, each.text_weight) for each in found.assets if each.role == "lora"}
    assert weights == {
        "both": (0.8, None), "apart": (0.8, 0.5), "model": (0.7, 0.0), "unread": (0.6, 0.0), "text": (0.0, 0.3),
    }  # fmt: skip
    assert "with the same noise and steps" in found.remarks[0], found.remarks


def test_two_texts_for_sdxl():
    sizes = {"width": 2048, "height": 1024, "crop_w": 0, "crop_h": 8, "target_width": 512, "target_height": 256}
    both = node("CLIPTextEncodeSDXL", text_g="a cat", text_l="fur", clip=["4", 1], **sizes)
    same = node("CLIPTextEncodeSDXL", text_g="dog", text_l="dog", clip=["4", 1], **sizes)
    graph = {**USUAL, "6": both, "7": same}
    found = recipe(graph)
    asked = found.request.settings
    assert (found.request.prompt, found.request.negative_prompt) == ("a cat", "dog")
    assert (asked["prompt_l"], asked["negative_l"]) == ("fur", "")
    assert asked["sizes"] == asked["negative_sizes"] == "2048x1024+0+8-512x256"
    assert "with the same noise and steps" in found.remarks[0], found.remarks


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (changed(USUAL, **{"10": node("FreeU_V2", model=["4", 0]), "3": {"model": ["10", 0]}}), "FreeU_V2"),
        (changed(USUAL, **{"5": {"batch_size": 4}}), "one of a batch of 4"),
        (changed(USUAL, **{"10": node("LoadImage", image="x.png"), "3": {"latent_image": ["11", 0]},
                           "11": node("VAEEncode", pixels=["10", 0], vae=["4", 2])}), "empty picture"),
        (changed(USUAL, **{"10": node("ConditioningZeroOut", conditioning=["6", 0]), "3": {"negative": ["10", 0]}}),
         "ConditioningZeroOut"),
        (changed(USUAL, **{"10": node("KSampler", latent_image=["3", 0], model=["4", 0])}), "2 samplers"),
        (changed(USUAL, **{"3": {"add_noise": "disable"}}), "added no noise"),
        (changed(USUAL, **{"6": {"text": "a cat <lora:ink:1>"}}), "as words"),
        (changed(USUAL, **{"10": node("CheckpointLoaderSimple", ckpt_name="x"), "8": {"vae": ["10", 2]}}),
         "VAE of another checkpoint"),
        (changed(USUAL, **{"10": node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["4", 1]),
                           "7": {"clip": ["10", 0]}}), "other text encoders"),
        (graph_of("dpmpp_2m_sde_gpu", "karras"), "on the card"),
        (graph_of("euler_ancestral", "karras"), "on what it ran"),
        (graph_of("not_a_sampler", "karras"), "no sampler"),
        (graph_of("euler", "gits"), "no schedule"),
        (graph_of("nor_this", "normal"), "no sampler"),
    ],
)  # fmt: skip
def test_what_is_not_followed_is_told(graph, told):
    found = recipe(graph)
    assert any(told in remark for remark in found.remarks[1:]), found.remarks
    assert "with the same noise and steps" not in found.remarks[0]


def test_every_sampler_and_schedule_of_comfyui_is_known_or_told_of():
    for sampler in (each.comfyui for each in SAMPLERS.values() if each.comfyui):
        for schedule in filter(None, SCHEDULERS.values()):
            found = recipe(graph_of(sampler, schedule))
            assert (
                SAMPLERS[found.request.settings["sampler"].removesuffix(" Karras").removesuffix(" Exponential")].comfyui
                == sampler
            )
            assert SCHEDULERS[found.request.settings["scheduler"]] == schedule
