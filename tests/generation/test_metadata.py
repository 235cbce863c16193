from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from generation import tiny

from assetctl.errors import StorageError
from assetctl.pictures import infotext, picture_record, read_parameters, read_record, save_picture

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def plan() -> Any:
    lora = tiny.asset(Path("detail, more.safetensors"), "lora", "sd1")
    return tiny.plan(
        tiny.asset(Path("dream.safetensors"), "checkpoint", "sd1", sha256="0123456789abcdef"),
        "a (cat:1.2)\n<lora:detail, more:0.3>",
        negative="blurry",
        loras=[(lora, 0.75)],
        embeddings=[tiny.asset(Path("easy.safetensors"), "embedding", "sd1")],
        vae=tiny.asset(Path("clear.safetensors"), "vae", "sd1"),
    )


def test_the_text_is_what_a1111_writes(plan: Any):
    lines = infotext(plan, 42).split("\n")
    assert lines[0] == "a (cat:1.2) <lora:detail, more:0.75>"
    assert lines[1] == "Negative prompt: blurry"
    assert lines[2].startswith(
        "Steps: 2, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 64x64, Model hash: 0123456789, Model: dream, "
    )
    assert 'Lora hashes: "detail, more: cdcdcdcdcdcd"' in lines[2]
    assert 'TI hashes: "easy: abababababab"' in lines[2]
    assert "VAE hash: ababababab, VAE: clear" in lines[2]


def test_a_plain_plan_has_no_empty_fields():
    text = infotext(tiny.plan(tiny.asset(Path("m.safetensors"), "checkpoint", "sd1", sha256=None)), 1)
    assert "Negative prompt" not in text
    assert "hash" not in text


def test_how_it_was_sampled_is_said_in_a1111s_words_and_read_again(plan: Any):
    from dataclasses import replace

    from assetctl.operations.make.from_picture import recipe_of_other_program
    from assetctl.options import filled
    from assetctl.pictures.dialects.a1111 import read_infotext

    for asked, said in (
        ({"sampler": "DPM++ 2M Karras", "flavour": "a1111"}, "Sampler: DPM++ 2M, Schedule type: Karras, RNG: NV"),
        ({"sampler": "DDIM", "eta": 0.4, "flavour": "a1111", "noise": "CPU"}, "Sampler: DDIM, RNG: CPU, Eta DDIM: 0.4"),
        ({"sampler": "LMS", "scheduler": "Beta", "flavour": "comfyui"}, "Flavour: comfyui, Schedule type: Beta"),
        (
            {"sampler": "Euler a", "flavour": "a1111", "eta": 0.7, "ensd": 31337, "sgm_noise": True, "s_churn": 2.5},
            "Schedule type: Automatic, Eta: 0.7, ENSD: 31337, SGM noise multiplier: True, Sigma churn: 2.5",
        ),
    ):
        settings = filled(dict(plan.settings) | asked, None, [])
        text = infotext(replace(plan, settings=settings), 42)
        assert all(field in text for field in said.split(", ")), text
        again = filled(recipe_of_other_program(read_infotext(text)[0]).request.settings, None, [])
        same = {"sampler": settings["sampler"].removesuffix(" Karras"), "seed": 42}
        same |= {"scheduler": "Karras"} if "Karras" in settings["sampler"] else {}
        assert again | same == settings | same
        record = picture_record(replace(plan, settings=settings), 42, {})
        assert {name: ({"noise": "CPU"} | record)[name] for name in asked} == asked


def test_the_record_names_every_asset_with_its_hashes(plan: Any):
    found = picture_record(plan, 42, {"torch": "2"})
    assert [(each["role"], each["name"], each.get("weight")) for each in found["assets"]] == [
        ("checkpoint", "dream", None),
        ("lora", "detail, more", 0.75),
        ("embedding", "easy", None),
        ("vae", "clear", None),
    ]
    assert all(each["sha256"] and each["autov3"] for each in found["assets"])
    assert (found["seed"], found["environment"]) == (42, {"torch": "2"})


def test_a_picture_carries_its_text_and_record(tmp_path: Path):
    path = tmp_path / "new" / "cat 猫.png"
    save_picture(Image.new("RGB", (8, 8), "red"), path, "a 猫\nSteps: 1", {"prompt": "é 猫", "seed": 1})
    with Image.open(path) as image:
        image.load()
        assert image.text["parameters"] == "a 猫\nSteps: 1"
        assert image.getpixel((0, 0)) == (255, 0, 0)
    assert read_record(path) == {"prompt": "é 猫", "seed": 1}
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_an_existing_picture_is_never_overwritten(tmp_path: Path):
    path = tmp_path / "cat.png"
    path.write_bytes(b"mine")
    with pytest.raises(StorageError, match="exists already"):
        save_picture(Image.new("RGB", (8, 8)), path, "", {})
    assert path.read_bytes() == b"mine"
    assert [each.name for each in tmp_path.iterdir()] == ["cat.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_full_disk_leaves_nothing_behind(tmp_path: Path):
    import resource
    import signal

    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, old[1]))
    try:
        with pytest.raises(StorageError, match="cannot be written"):
            save_picture(Image.effect_noise((64, 64), 50), tmp_path / "cat.png", "", {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


def test_a_lora_that_is_used_twice_is_read_back_twice(tmp_path: Path):
    lora = tiny.asset(Path("detail.safetensors"), "lora", "sd1")
    checkpoint = tiny.asset(Path("dream.safetensors"), "checkpoint", "sd1")
    twice = tiny.plan(checkpoint, "a cat", loras=[(lora, 0.8), (lora, 0.5)])
    assert infotext(twice, 1).count("detail: cdcdcdcdcdcd") == 1
    assert infotext(twice, 1).count('"lora:detail"') == 1
    path = tmp_path / "cat.png"
    save_picture(Image.new("RGB", (8, 8)), path, infotext(twice, 1), picture_record(twice, 1, {}))
    read = read_parameters(path)
    assert [(each.name, each.weight) for each in read.assets if each.role == "lora"] == [
        ("detail", 0.8),
        ("detail", 0.5),
    ]
    assert read.prompt == "a cat <lora:detail:0.8> <lora:detail:0.5>"
