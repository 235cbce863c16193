"""`reproduce`: the same picture again, or as near as can be."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import orjson
import pytest
from generation import tiny
from written_pictures import infotext, write_png

from assetctl.cli.main import run
from assetctl.operations.make.from_picture import recipe_of_other_program
from assetctl.pictures import PictureParameters, read_parameters, save_picture
from assetctl.pictures.dialects import comfyui
from assetctl.pictures.dialects.a1111 import read_infotext

pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("diffusers")

PROMPT = "a photo of a cat <lora:ink:0.5> tok"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A home with a tiny checkpoint, a LoRA and an embedding, and three pictures made with them."""
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors.torch import save_file

    root = tmp_path_factory.mktemp("made")
    tiny.write_vocabulary(root / "vocabulary")
    tiny.write_family("sd1", root / "model", root / "vocabulary")
    pipeline = StableDiffusionPipeline.from_pretrained(root / "model" / "pipeline")
    (root / "files").mkdir()
    tiny.write_lora(root / "files" / "ink.safetensors", pipeline, 1)
    save_file({"emb_params": torch.randn(2, 64)}, root / "files" / "tok.safetensors")
    (root / "model" / "model.safetensors").rename(root / "files" / "dream.safetensors")
    shutil.copytree(root / "vocabulary", root / "files" / "dream.config" / "tokenizer")
    home = ["--home", str(root / "home")]
    assert run([*home, "import", str(root / "files"), "--quiet"]) == 0
    for name, kind in (("dream", "checkpoint"), ("ink", "lora"), ("tok", "embedding")):  # too narrow to be known
        assert run(["edit", name, "--kind", kind, "--family", "sd1", *home]) == 0
    for suffix in ("png", "jpg", "webp"):
        made = ("generate", PROMPT, "--embedding", "tok", "--negative", "dog", "--steps", "2", "--size", "64x64",
                "--seed", "5", "--out", str(root / f"cat.{suffix}"), *home)  # fmt: skip
        assert run(made) == 0
    return root


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    """A copy of that home, to change at will."""
    shutil.copytree(made / "home", tmp_path / "home")
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSETCTL_DTYPE", "fp32")
    return tmp_path / "home"


@pytest.mark.parametrize(
    "command",
    ["reproduce {}/cat.png", "generate a -c dream", "generate a -c dream --grid steps:2,3",
     "generate -c dream --batch {}/jobs.jsonl", "generate {{a|b}} --dynamic -c dream"],
)  # fmt: skip
def test_what_would_be_made_is_told_without_torch(made, home, command):
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("torch alone knows its card")
    (made / "jobs.jsonl").write_text('{"prompt": "a"}\n', "utf-8")
    words = command.format(made).split()
    arguments = [sys.executable, "-X", "importtime", "-m", "assetctl", *words, "--dry-run", "--json"]
    ended = subprocess.run(arguments, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr[-500:]
    names = {line.rpartition(b"|")[2].strip() for line in ended.stderr.splitlines()}
    assert b"assetctl.operations.make.plan" in names
    assert names & {b"torch", b"diffusers", b"transformers", b"numpy"} == set()
    data = orjson.loads(ended.stdout)["data"]
    assert "remarks" not in data or data["remarks"] == []  # of a picture that torch itself told where it was made


def verdict(ended) -> str:
    return ended.data["comparison"]["status"]


def recorded(ended) -> dict:
    """The record in the new picture."""
    return read_parameters(Path(ended.data["images"][0]["path"])).record


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_our_own_picture_comes_out_the_same_byte_for_byte(assetctl, made, home, suffix):
    ended = assetctl("reproduce", made / f"cat.{suffix}", "--json")
    (image,) = ended.data["images"]
    assert (verdict(ended), ended.data["remarks"], ended.data["exact"]) == ("identical", [], True)
    assert image["path"].startswith(str(home / "outputs"))
    assert Path(image["path"]).read_bytes() == (made / f"cat.{suffix}").read_bytes()


def test_hashes_that_are_learned_later_change_no_byte(assetctl, made, home):
    assetctl("verify")
    for name in ("tiny", "style", "odd"):
        assetctl("inspect", name, "--hash")
    assert verdict(assetctl("reproduce", made / "cat.png", "--json")) == "identical"


def test_a_number_does_without_the_file_and_its_assets_may_be_renamed(assetctl, made, home, tmp_path):
    picture = tmp_path / "gone.png"
    data = assetctl("generate", PROMPT, "--embedding", "tok", "--steps", "1", "--size", "64x64", "--out", picture,
                    "--json").data  # fmt: skip
    picture.unlink()
    assetctl("edit", "ink", "--name", "sumi", "--trigger-word", "brush")
    assetctl("edit", "tok", "--name", "token", "--trigger-word", "other", "--family", "sd1")
    ended = assetctl("reproduce", data["images"][0]["number"], "--json")
    assert verdict(ended) == "identical"
    assert any("called sumi now" in remark for remark in ended.data["remarks"])
    assert not ended.data["original_is_there"]


def test_an_embedding_that_the_prompt_called_is_kept_with_its_word(assetctl, made, home, tmp_path):
    small = ("--steps", "1", "--size", "64x64", "--seed", "3")
    found, chosen = tmp_path / "found.png", tmp_path / "chosen.png"
    number = assetctl("generate", PROMPT, *small, "--out", found, "--json").data["images"][0]["number"]
    assetctl("generate", PROMPT, "--embedding", "tok", *small, "--out", chosen)
    with Image.open(found) as one, Image.open(chosen) as other:
        assert one.tobytes() == other.tobytes()
    (kept,) = [each for each in read_parameters(found).record["assets"] if each["role"] == "embedding"]
    assert (kept["name"], kept["found_by"]) == ("tok", "tok")
    assetctl("edit", "tok", "--trigger-word", "other")
    shutil.copy(made / "files" / "tok.safetensors", tmp_path / "photo.safetensors")
    with (tmp_path / "photo.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    assetctl("import", tmp_path / "photo.safetensors")
    assetctl("edit", "photo", "--kind", "embedding", "--family", "sd1")
    assert verdict(assetctl("reproduce", found, "--json")) == "identical"
    command = assetctl("history", number, "--json").data["command"]
    assert command[3:5] == ["generate", "--no-auto-embeddings"]


def test_other_surroundings_are_told_before_and_the_difference_after(assetctl, made, home, tmp_path):
    said = read_parameters(made / "cat.png")
    changed = said.record | {"environment": said.record["environment"] | {"torch": "1.0", "device": "cuda"}}
    original = tmp_path / "there.png"
    with Image.open(made / "cat.png") as image:
        save_picture(image.rotate(180), original, said.text, changed)
    ended = assetctl("reproduce", original, "--json")
    assert [remark.split(":")[0] for remark in ended.data["remarks"]] == ["Another device", "Another version of torch"]
    assert verdict(ended) == "different"
    assert ended.data["comparison"]["max_difference"] > 0
    with Image.open(made / "cat.png") as image:
        image.save(tmp_path / "bare.png")
        save_picture(image, tmp_path / "same.png", "other words", said.record)
    assert verdict(assetctl("reproduce", tmp_path / "same.png", "--json")) == "same_pixels"
    assert assetctl("reproduce", tmp_path / "bare.png").code == 3


def test_the_threads_of_then_are_used_and_those_of_now_come_back(assetctl, made, home, tmp_path):
    import torch

    said = read_parameters(made / "cat.png")
    changed = said.record | {"environment": said.record["environment"] | {"threads": "2"}}
    with Image.open(made / "cat.png") as image:
        save_picture(image, tmp_path / "two.png", said.text, changed)
    before = torch.get_num_threads()
    ended = assetctl("reproduce", tmp_path / "two.png", "--json")
    assert ended.data["remarks"] == []
    assert recorded(ended)["environment"]["threads"] == "2"
    assert torch.get_num_threads() == before


def test_a_missing_asset_is_named_and_one_of_its_name_is_not_taken_for_it(assetctl, made, home, tmp_path):
    assetctl("rm", "ink", "--yes")
    ended = assetctl("reproduce", made / "cat.png", "--json")
    assert (ended.code, ended.error["code"]) == (3, "not_found")
    assert "'ink'" in ended.error["message"]
    assert "civitai" not in ended.error["hint"]
    other = tmp_path / "ink.safetensors"
    content = bytearray((made / "files" / "ink.safetensors").read_bytes())
    content[-40] ^= 1
    other.write_bytes(content)
    assetctl("import", other)
    ended = assetctl("reproduce", made / "cat.png", "--json")
    assert (ended.code, ended.error["code"]) == (5, "hash_mismatch")
    ended = assetctl("reproduce", made / "cat.png", "--other-bytes", "--dry-run", "--json")
    assert ended.code == 0
    assert any("other bytes" in remark for remark in ended.data["remarks"])
    theirs = infotext("a cat <lora:ink:0.5>", "", Model="dream", Lora_hashes='"ink: ffffffffffff"', Version="v1.10.1")
    ended_too = assetctl(
        "reproduce", write_png(tmp_path / "theirs.png", parameters=theirs), "--other-bytes", "--dry-run", "--json"
    )
    assert ended_too.data["remarks"][0] == "It will be another picture: it is made of other bytes."
    assert ended.data["images"] == []


def test_another_programs_picture_is_made_alike_and_says_what_is_left_out(assetctl, made, home, tmp_path):
    text = infotext(
        "a cat <lora:ink:0.5>, tok", "dog", Sampler="DPM++ 2M", Schedule_type="Automatic", Model="dream",
        Clip_skip=2, Size="100x64", Seed=2**64 - 7,
        Hires_upscale=2, Hires_steps=3, ADetailer_model="face",
    )  # fmt: skip
    ended = assetctl("reproduce", write_png(tmp_path / "theirs.png", parameters=text), "--json")
    data = ended.data
    assert not data["exact"]
    assert data["comparison"]["status"] == "different"
    remarks = " ".join(data["remarks"])
    for words in (
        "It will be another picture, and of another size: the original was scaled, by 2,",
        "Hires (2 settings)",
        "ADetailer model",
        "96 is used",
    ):
        assert words in remarks
    (image,) = data["images"]
    assert image["seed"] == 2**64 - 7
    record = recorded(ended)
    assert (record["sampler"], record["clip_skip"], record["width"]) == ("DPM++ 2M", 2, 96)
    assert (record["flavour"], record["noise"]) == ("a1111", "NV")
    assert verdict(assetctl("reproduce", image["path"], "--json")) == "identical"


def test_a_sampler_that_we_lack_is_told_of(assetctl, made, home, tmp_path):
    picture = write_png(tmp_path / "theirs.png", parameters=infotext(Model="dream", Sampler="Nosuch"))
    ended = assetctl("reproduce", picture, "--dry-run")
    assert "no sampler 'Nosuch'" in ended.err
    assert "Euler a" in ended.out


FIELDS = "Steps: 20, Sampler: {}, CFG scale: 7, Seed: 5, Size: 64x64, Model: dream{}"


@pytest.mark.parametrize(
    ("sampler", "more", "meant"),
    [
        ("DPM++ 2M", ", Schedule type: Automatic, Version: v1.10.1", {"scheduler": "Automatic", "noise": None}),
        ("DPM++ 2M", ", RNG: CPU, ENSD: 31337", {"scheduler": "Uniform", "noise": "CPU", "ensd": 31337}),
        ("Euler a", ", Eta: 0.7", {"scheduler": "Uniform", "eta": 0.7}),
        ("DPM++ 2M Karras", "", {"sampler": "DPM++ 2M Karras", "scheduler": "Karras"}),
        ("DPM++ 2M SDE", ", Schedule type: SGM Uniform, RNG: NV", {"scheduler": "SGM Uniform", "noise": "NV"}),
        ("DDIM", ", Eta DDIM: 0.4", {"eta": 0.4}),
        ("LMS", ", Discard penultimate sigma: True, Sigma churn: 2", {"discard_penultimate": True, "s_churn": 2.0}),
        ("Restart", ", SGM noise multiplier: True", {"scheduler": "Automatic", "sgm_noise": True}),
        ("Euler", ", Schedule type: Turbo, RNG: dice", {"scheduler": "Automatic", "noise": None}),
        ("Euler", ", Variation seed: 9, Variation seed strength: 0.3, Seed resize from: 512x768",
         {"variation_seed": 9, "variation_strength": 0.3, "resize_seed_width": 512, "resize_seed_height": 768}),
        ("Euler", ", Emphasis: No norm, Pad conds: True", {"emphasis": "No norm", "pad_prompts": True}),
        ("Euler", ", Emphasis: loud", {"emphasis": None}),
        ("Euler", ", Version: v1.10.1", {"half_levels": False, "old_editing": False}),
        ("Euler", ", Version: v1.7.0-224-gabc1234", {"half_levels": True, "old_editing": False}),
        ("Euler", ", Version: v1.7.0-225-gabc1234", {"half_levels": False, "old_editing": False}),
        ("Euler", ", Version: 1.5.2", {"half_levels": True, "old_editing": True}),
        ("Euler", ", Version: v1.9.4, Downcast alphas_cumprod: True", {"half_levels": True, "old_editing": False}),
        ("Euler", "", {"half_levels": False, "old_editing": False}),
    ],
)  # fmt: skip
def test_how_a1111_sampled_is_understood_as_that_version_meant_it(sampler, more, meant):
    found, _ = read_infotext("a cat\n" + FIELDS.format(sampler, more))
    recipe = recipe_of_other_program(found)
    asked = recipe.request.settings
    assert {name: asked.get(name) for name in meant} == meant
    assert asked["flavour"] == "a1111"
    assert any("as A1111 makes it" in remark for remark in recipe.remarks)
    unknown = 2 * ("dice" in more) + ("loud" in more)
    assert sum("not known:" in remark or "no schedule" in remark for remark in recipe.remarks) == unknown


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (", Version: v1.10.1", ()),
        (", Version: v1.10.1, Variation seed: 1, Variation seed strength: 0.5, Emphasis: Ignore", ()),
        ("", ("does not say its version",)),
        (", Version: f2.0.1v1.10.1-previous-313-g8a04293", ("Forge",)),
        (", Version: v1.10.1, Token merging ratio: 0.5", ("Token merging ratio",)),
        (", Version: v1.10.1, Denoising strength: 0.4, Hires upscale: 2", ("Hires upscale", "Denoising strength")),
        (", Version: v1.10.1, Pad conds v0: True", ("Pad conds v0",)),
    ],
)
def test_the_same_picture_is_promised_only_where_all_is_known(more, told):
    recipe = recipe_of_other_program(read_infotext("a cat\n" + FIELDS.format("Euler", more))[0])
    assert ("with the same noise and steps" in recipe.remarks[0]) == (not told), recipe.remarks
    for words in told:
        assert any(words in remark for remark in recipe.remarks[1:]), recipe.remarks


@pytest.mark.parametrize(
    ("more", "first"),
    [
        ("", "It is made as A1111 makes it, with the same noise and steps, if it was made on an NVIDIA card;"),
        (", RNG: CPU", "It is made as A1111 makes it, with the same noise and steps;"),
        (", Denoising strength: 0.4, Hires upscale: 2", "It will be another picture, and of another size:"),
        (
            ", Denoising strength: 0.4, Hires resize: 64x64",
            "It will be another picture: the original was painted in two",
        ),
        (", Denoising strength: 0.4", "It will be another picture: the original was painted in two"),
        (", Denoising strength: 0, Hires upscale: 1", "It is made as A1111 makes it, as far as that is known"),
    ],
)
def test_what_certainly_makes_it_another_picture_is_said_first(more, first):
    recipe = recipe_of_other_program(read_infotext("a cat\n" + FIELDS.format("Euler", f", Version: v1.10.1{more}"))[0])
    assert recipe.remarks[0].startswith(first), recipe.remarks


def test_what_is_in_the_trash_is_said_to_be_there(assetctl, made, home):
    assetctl("rm", "ink", "--yes")
    ended = assetctl("reproduce", made / "cat.png", "--json")
    assert (ended.code, ended.error["hint"]) == (3, RESTORE)
    assert RESTORE in assetctl("inspect", made / "cat.png").out


RESTORE = "ink is in the trash: `assetctl trash restore ink` brings it back."


def test_old_ddim_is_told_of():
    recipe = recipe_of_other_program(read_infotext("a cat\n" + FIELDS.format("DDIM", ", Version: v1.5.1"))[0])
    assert any("another DDIM before 1.6" in remark for remark in recipe.remarks)


def test_how_comfyui_sampled_is_understood():
    inputs = {"seed": 2**50, "steps": 20, "cfg": 7, "denoise": 1, "latent_image": ["2", 0]}
    for sampler, schedule, meant in (
        ("uni_pc_bh2", "simple", ("UniPC bh2", "Simple")),
        ("dpmpp_2m_sde_gpu", "karras", ("DPM++ 2M SDE Karras", "Karras")),
        ("heunpp2", "beta", ("Heun++ 2", "Beta")),
        ("ddim", "ddim_uniform", ("DDIM", "DDIM")),
        ("lms", "normal", ("LMS", "Normal")),
    ):
        node = {"class_type": "KSampler", "inputs": inputs | {"sampler_name": sampler, "scheduler": schedule}}
        recipe = recipe_of_other_program(comfyui.read({"prompt": orjson.dumps({"1": node}).decode()}))
        asked = recipe.request.settings
        assert (asked["flavour"], asked["sampler"], asked["scheduler"], asked["seed"]) == ("comfyui", *meant, 2**50)
        assert not any("no s" in remark for remark in recipe.remarks)


@pytest.mark.parametrize(
    ("asked", "said", "noise", "written"),
    [
        ((), "a1111", "NV", "Flavour: a1111, RNG: NV"),
        (("--flavour", "comfyui"), "comfyui", "CPU", "Flavour: comfyui, RNG: CPU"),
        (("--flavour", "diffusers"), "diffusers", "CPU", "Flavour: diffusers, RNG: CPU"),
        (("--flavour", "legacy"), None, "CPU", "RNG: CPU"),
        (("--noise", "cpu"), "a1111", "CPU", "Flavour: a1111, RNG: CPU"),
    ],
)
def test_a_picture_says_whose_it_is_and_where_its_noise_is_from(assetctl, made, home, asked, said, noise, written):
    small = ("generate", "a cat", "--steps", "1", "--size", "64x64", "--seed", "3", *asked)
    assert assetctl(*small, "--dry-run", "--json").data["plan"]["flavour"] == (said or "legacy")
    (image,) = assetctl(*small, "--json").data["images"]
    found = read_parameters(Path(image["path"]))
    assert (found.record.get("flavour"), found.record.get("noise", "CPU")) == (said, noise)
    assert ", ".join(each for each in found.text.split(", ") if each.startswith(("RNG", "Flavour"))) == written
    assert verdict(assetctl("reproduce", image["path"], "--json")) == "identical"


@pytest.mark.parametrize(
    "asked",
    [
        ("--sampler", "DDIM"), ("--flavour", "comfyui", "--noise", "nv"), ("--flavour", "legacy", "--sampler", "DDIM"),
        ("--scheduler", "karras", "--discard-penultimate", "--noise", "cpu", "--sampler", "DDIM", "--eta", "1"),
    ],
)  # fmt: skip
def test_the_words_of_the_history_ask_for_the_same_picture(assetctl, made, home, asked):
    small = ("generate", "a cat", "--steps", "1", "--size", "64x64", "--seed", "3", *asked)
    (image,) = assetctl(*small, "--json").data["images"]
    words = assetctl("history", image["number"], "--json").data["command"][3:]
    plans = [assetctl(each[0], "--json", "--dry-run", *each[1:]).data["plan"] for each in (small, words)]
    assert plans[0] == plans[1]
    assert ("--noise" in words, "--eta" in words) == ("--noise" in asked, "--eta" in asked)


def test_a_distilled_checkpoint_is_asked_for_its_own_levels_unless_another_is_named(assetctl, made, home):
    assetctl("edit", "dream", "--base-model", "SD 1.5 Hyper")
    small = ("generate", "a cat", "--size", "64x64", "--seed", "3")
    for asked, meant in (
        ((), ("Euler", "SGM Uniform", 8)), (("--scheduler", "automatic", "--steps", "1"), ("Euler", "Automatic", 1)),
        (("--flavour", "diffusers", "--steps", "1"), ("Euler", "Automatic", 1)),
        (("--sampler", "DPM++ 2M Karras", "--steps", "1"), ("DPM++ 2M Karras", "Automatic", 1)),
    ):  # fmt: skip
        data = assetctl(*small, *asked, "--json").data
        plan = assetctl(*small, *asked, "--dry-run", "--json").data["plan"]
        assert (plan["sampler"], plan["scheduler"], plan["steps"]) == meant
        words = assetctl("history", data["images"][0]["number"], "--json").data["command"][3:]
        assert assetctl(words[0], "--json", "--dry-run", *words[1:]).data["plan"] == plan


def test_other_programs_are_followed_as_far_as_they_can_be():
    for sampler, flavour in (("Euler a", "diffusers"), ("LMS", "a1111")):
        said = PictureParameters(software="InvokeAI", settings={"sampler": sampler, "eta": 0.5, "seed": 1})
        asked = recipe_of_other_program(said).request.settings
        assert (asked["flavour"], asked.get("eta")) == (flavour, None if flavour == "diffusers" else 0.5)


def test_a_picture_that_names_no_checkpoint_or_one_that_is_not_here(assetctl, made, home, tmp_path):
    nameless = write_png(tmp_path / "nameless.png", parameters=infotext())
    assert assetctl("reproduce", nameless).code == 3
    stranger = write_png(tmp_path / "stranger.png", parameters=infotext("x <lora:ghost:1>", Model="nobody"))
    ended = assetctl("reproduce", stranger, "--json")
    assert ended.code == 3
    assert "'nobody'" in ended.error["message"]
    assert "'ghost'" in ended.error["message"]


@pytest.mark.parametrize(
    "change",
    [{"steps": "many"}, {"width": 10**9}, {"sampler": "Eulr"}, {"assets": "all"}, {"assets": [{"role": "x"}]},
     {"cfg_scale": None}, {"seed": -1}, {"prompt": 7}, {"assets": [{"role": "lora", "name": "a", "weight": "x"}]},
     {"assets": [{"role": "vae", "name": "a", "sha256": "../x"}]}, {"assets": []},
     {"version": 99}, {"prediction": "flow"}, {"steps": 10**6}, {"glow": 0.5}],
    ids=str,
)  # fmt: skip
def test_a_record_that_makes_no_sense_is_refused(assetctl, made, home, tmp_path, change):
    record = orjson.dumps(read_parameters(made / "cat.png").record | change).decode()
    ended = assetctl("reproduce", write_png(tmp_path / "odd.png", assetctl=record), "--json")
    assert ended.code in (3, 5)
    assert ended.error["code"] != "internal"


def test_what_is_no_picture_can_not_be_made_again(assetctl, made, home, tmp_path):
    assert assetctl("reproduce", tmp_path / "nowhere.png").code == 3
    assert assetctl("reproduce", "99").code == 3
    (tmp_path / "x.png").write_bytes(b"<html>")
    assert assetctl("reproduce", tmp_path / "x.png").code == 5


def test_the_original_is_promised_only_where_it_can_be_had(assetctl, made, home, tmp_path):
    assert "byte for byte" in assetctl("reproduce", made / "cat.png", "--dry-run").err
    assert "as a JPG file" in assetctl("reproduce", made / "cat.png", "--dry-run", "--out", tmp_path / "x.jpg").err
    said = read_parameters(made / "cat.png")
    with Image.open(made / "cat.png") as image:
        save_picture(image.rotate(90), tmp_path / "saved.png", said.text, said.record)
        save_picture(image.crop((0, 0, 32, 32)), tmp_path / "crop.png", said.text, said.record)
    assert "that the record describes" in assetctl("reproduce", tmp_path / "saved.png", "--dry-run").err
    assert "it is 32x32 pixels" in assetctl("reproduce", tmp_path / "crop.png", "--dry-run").err
    refused = assetctl("reproduce", made / "cat.png", "--out", tmp_path / "x.bmp")
    assert (refused.code, "Everything" in refused.err) == (2, False)


def test_families_are_those_of_the_catalog(assetctl, made, home, tmp_path):
    said = read_parameters(made / "cat.png").record
    checkpoint, *others = said["assets"]
    record = said | {"assets": [checkpoint | {"family": "sdxl"}, *others]}
    ended = assetctl("reproduce", write_png(tmp_path / "odd.png", assetctl=orjson.dumps(record).decode()), "--json")
    assert any("sdxl" in remark for remark in ended.data["remarks"])
    assert recorded(ended)["assets"][0]["family"] == "sd1"


def test_what_is_left_out_is_named_once_and_a_negative_seed_is_chance(assetctl, made, home, tmp_path):
    text = infotext("a cat", Model="dream", Seed=-1, Refiner="foo [abcdef12]", Hires_upscale=2)
    ended = assetctl("reproduce", write_png(tmp_path / "t.png", parameters=text), "--dry-run", "--json")
    left = next(remark for remark in ended.data["remarks"] if "Not carried over" in remark)
    assert (left.count("foo") + left.count("Refiner"), "Hires upscale" in left) == (1, True)
    assert any("random" in remark for remark in ended.data["remarks"])
    assert "the other " not in left


def test_a_name_that_is_taken_is_an_error_unless_forced_and_the_original_always(assetctl, made, home, tmp_path):
    out, original = tmp_path / "again.png", tmp_path / "cat.png"
    out.write_bytes(b"mine")
    shutil.copyfile(made / "cat.png", original)
    for more in ((), ("--dry-run",)):
        ended = assetctl("reproduce", original, "--out", out, "--json", *more)
        assert (ended.code, ended.error["code"], out.read_bytes()) == (2, "usage", b"mine")
        ended = assetctl("reproduce", original, "--out", original, "--force", "--json", *more)
        assert (ended.code, "the original" in ended.error["message"]) == (2, True)
    assert verdict(assetctl("reproduce", original, "--out", out, "--force", "--json")) == "identical"
    assert out.read_bytes() == original.read_bytes()


def test_ctrl_c_leaves_nothing_and_says_that_the_same_command_starts_afresh(
    assetctl, made, home, tmp_path, monkeypatch
):
    from diffusers import UNet2DConditionModel

    folder = tmp_path / "again"
    monkeypatch.setattr(UNet2DConditionModel, "forward", lambda *_, **__: signal.raise_signal(signal.SIGINT))
    ended = assetctl("reproduce", made / "cat.png", "--out", folder, "--json")
    assert (ended.code, ended.error["code"]) == (130, "interrupted")
    assert "same command" in ended.error["hint"]
    assert list(folder.glob("*")) == []


def test_a_lora_may_change_text_encoders_by_another_weight(assetctl, made, home, tmp_path):
    small = ("--steps", "2", "--size", "64x64", "--seed", "3", "--checkpoint", "dream", "--no-auto-embeddings")
    pixels = {}
    for name, tag in {"both": "0.9", "same": "0.9:0.9", "text": "0.9:0", "unet": "0:0.9", "none": "0"}.items():
        assert assetctl("generate", f"a cat <lora:ink:{tag}>", *small, "--out", tmp_path / f"{name}.png").code == 0
        with Image.open(tmp_path / f"{name}.png") as image:
            pixels[name] = image.tobytes()
    assert pixels["both"] == pixels["same"]
    assert len(set(pixels.values())) == 4
    said = read_parameters(tmp_path / "text.png")
    assert "<lora:ink:0.9:0>" in said.text
    (lora,) = [each for each in said.record["assets"] if each["role"] == "lora"]
    assert (lora["weight"], lora["text_weight"]) == (0, 0.9)
    assert verdict(assetctl("reproduce", tmp_path / "text.png", "--json")) == "identical"
    again = assetctl("generate", "a cat", "--lora", "ink:0.9:0", *small, "--out", tmp_path / "typed.png", "--json").data
    with Image.open(tmp_path / "typed.png") as image:
        assert image.tobytes() == pixels["text"]
    command = assetctl("history", again["images"][0]["number"], "--json").data["command"]
    assert command[command.index("--lora") + 1] == "ink:0.9:0"
    bare = write_png(tmp_path / "bare.png", parameters=said.text)  # whose record is lost
    ended = assetctl("reproduce", bare, "--json")
    (lora,) = [each for each in recorded(ended)["assets"] if each["role"] == "lora"]
    assert (lora["weight"], lora["text_weight"]) == (0, 0.9)


def test_both_pictures_and_their_difference_go_on_a_sheet(assetctl, made, home, tmp_path):
    small = ("--out", tmp_path / "again.png")
    said = read_parameters(made / "cat.png")
    original = tmp_path / "cat.png"
    with Image.open(made / "cat.png") as image:
        save_picture(image.rotate(180), original, said.text, said.record)
    ended = assetctl("reproduce", original, *small, "--compare", "--json")
    assert ended.data["sheet"] == str(tmp_path / "again-compare.png")
    assert verdict(ended) == "different"
    with Image.open(ended.data["sheet"]) as sheet:
        assert sheet.width > 3 * 64
    again = assetctl("reproduce", original, "--compare-as", tmp_path / "x.webp")
    assert (again.code, str(tmp_path / "x.webp") in again.out) == (0, True)
    for more in ((), ("--dry-run",)):
        refused = assetctl("reproduce", original, "--compare-as", tmp_path / "x.webp", "--json", *more)
        assert (refused.code, refused.error["code"]) == (2, "usage")
    assert assetctl("reproduce", original, "--compare-as", tmp_path / "x.bmp").code == 2
    assert assetctl("reproduce", original, "--compare-as", original, "--force").code == 2
    theirs = write_png(tmp_path / "theirs.png", parameters=infotext("a cat", Model="dream", Size="64x64", Steps=1))
    ended = assetctl("reproduce", theirs, "--compare", "--json")
    assert Path(ended.data["sheet"]).is_file()  # also where they are of other sizes
    assert assetctl("reproduce", original, "--json").data["sheet"] is None


def turned(made, place):
    """A picture of ours that shows something else than it would be made again as."""
    said = read_parameters(made / "cat.png")
    with Image.open(made / "cat.png") as image:
        save_picture(image.rotate(180), place, said.text, said.record)
    return place


def test_a_sheet_takes_no_name_of_a_file_that_nobody_typed(assetctl, made, home, tmp_path):
    original, mine = turned(made, tmp_path / "cat.png"), tmp_path / "again-compare.png"
    mine.write_bytes(b"mine")
    ended = assetctl("reproduce", original, "--out", tmp_path / "again.png", "--compare", "--force", "--json")
    assert ended.data["sheet"] == str(tmp_path / "again-compare-2.png")
    assert mine.read_bytes() == b"mine"


def test_a_sheet_in_the_place_of_what_it_shows_is_refused_before_anything_is_made(assetctl, made, home, tmp_path):
    original, out, folder = turned(made, tmp_path / "cat.png"), tmp_path / "again.png", tmp_path / "folder.png"
    link, other = tmp_path / "link.png", tmp_path / "other"
    link.symlink_to(original)
    other.symlink_to(tmp_path, target_is_directory=True)
    folder.mkdir()
    before = original.read_bytes()
    for sheet in (out, other / "again.png", tmp_path / "AGAIN.png", link, other / "cat.png", folder):
        ended = assetctl("reproduce", original, "--out", out, "--compare-as", sheet, "--force", "--json")
        assert (sheet, ended.code, ended.error["code"]) == (sheet, 2, "usage")
    assert not out.exists()
    assert original.read_bytes() == before


def test_a_sheet_is_written_whole_and_through_no_link(assetctl, made, home, tmp_path, monkeypatch):
    original, mine, sheet = turned(made, tmp_path / "cat.png"), tmp_path / "mine.txt", tmp_path / "sheet.png"
    mine.write_bytes(b"mine")
    sheet.symlink_to(mine)
    typed = ("reproduce", original, "--out", tmp_path / "again.png", "--compare-as", sheet)
    assert assetctl(*typed).code == 2
    assert assetctl(*typed, "--force").code == 0
    assert (mine.read_bytes(), sheet.is_symlink()) == (b"mine", False)
    before, save = sheet.read_bytes(), Image.Image.save

    def full(image, file, form=None, **more):
        if form == "png" and image.width > 3 * 64:
            file.write(b"half of it")
            raise OSError(28, "No space left on device")
        save(image, file, form, **more)

    monkeypatch.setattr(Image.Image, "save", full)
    ended = assetctl(*typed, "--force", "--json")
    assert (ended.code, ended.error["code"], sheet.read_bytes()) == (1, "storage", before)
    assert [Path(each["path"]) for each in ended.error["done"]] == [tmp_path / "again.png"]
    assert list(tmp_path.glob(".*")) == []


def test_ctrl_c_while_it_is_compared_names_the_picture_that_there_is(assetctl, made, home, tmp_path, monkeypatch):
    from assetctl.operations.make import reproduce

    monkeypatch.setattr(reproduce, "compare_pixels", lambda *_: signal.raise_signal(signal.SIGINT))
    out = tmp_path / "again.png"
    ended = assetctl("reproduce", turned(made, tmp_path / "cat.png"), "--out", out, "--json")
    assert (ended.code, ended.error["code"]) == (130, "interrupted")
    assert [each["path"] for each in ended.error["done"]] == [str(out)]
    assert "Nothing was saved" not in ended.error["hint"]
    assert out.is_file()
