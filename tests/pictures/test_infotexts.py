from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from generated import names, texts
from generation import tiny
from hypothesis import assume, given
from hypothesis import strategies as st
from pictures.expected import SETTINGS, read_of
from tables import table

from assetctl.pictures import PictureParameters, UsedAsset, infotext, parse_infotext
from assetctl.prompt import without_tags
from assetctl.text import clean

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus/infotexts.json"


def cases() -> list[Any]:
    return json.loads(CORPUS.read_text("utf-8")) if CORPUS.is_file() else []


def of(found: PictureParameters, role: str) -> list[UsedAsset]:
    return [each for each in found.assets if each.role == role]


def said(found: PictureParameters, key: str, wanted: Any) -> Any:
    """What was read of one expectation of the corpus, in its shape."""
    if key == "fields":
        return {name: found.fields.get(name) for name in wanted}
    if key in {"resources", "embeddings"}:
        assets = of(found, "embedding" if key == "embeddings" else wanted[0]["type"])
        return [
            {name: each.role if name == "type" else getattr(each, name) for name in shape}
            for each, shape in zip(assets, wanted, strict=True)
        ]
    if key == "model_hash":
        return of(found, "checkpoint")[0].hash
    if key == "civitai_metadata":
        return found.extra["Civitai metadata"]
    name = {"negative": "negative_prompt"}.get(key, key)
    return found.settings.get(name) if name in SETTINGS else getattr(found, name)


@pytest.mark.skipif(not CORPUS.is_file(), reason="the shared corpus is not beside this checkout")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["text"][:20])
def test_texts_of_the_field_are_read_as_expected(case: dict[str, Any]):
    found = parse_infotext(case["text"])
    assert {key: said(found, key, wanted) for key, wanted in case["expected"].items()} == case["expected"]


@pytest.mark.parametrize("case", table("pictures/infotexts"))
def test_infotexts_of_every_program_are_read(case: dict[str, Any]):
    assert read_of(parse_infotext(case["text"]), case["expected"]) == case["expected"]


PIECES = [
    ",", ", ", '"', "\\", "\n", "\r\n", ": ", "Steps: 20", "Steps: 20, Sampler: x, Seed: 3", "\nNegative prompt: ",
    "{", "}", "[", "]", "<lora:", "<lora:x:1>", ">", "(", ":1.2)", "猫", "é", "🧑‍🎨", "\ud800", "\0", "\u202e",
    "\x1b[31m", "a", "b c", "\t", "  ", "Size: 1x1", "BREAK", "AND", "#", "'", "Ã©",
]  # fmt: skip


@pytest.mark.parametrize("seed", range(40))
def test_what_is_written_is_read_back(seed: int):
    noise = random.Random(seed)

    def text(most: int) -> str:
        return "".join(noise.choices(PIECES, k=noise.randrange(most)))

    def name() -> str:
        return "n" + "".join(noise.choices([*"ab,\"' -_.()+&#猫{}[]", ", ", ": "], k=8)).replace(":", "") + "n"

    loras = [(tiny.asset(Path(f"l{each}"), "lora", "sd1", name=name() + str(each)), each / 4) for each in range(3)]
    embedding = tiny.asset(Path("e"), "embedding", "sd1", name=name())
    checkpoint = tiny.asset(Path("c"), "checkpoint", "sd1", name=name() + ": x")
    plan = tiny.plan(checkpoint, text(12), negative=text(8), loras=loras, embeddings=[embedding], cfg_scale=6.5)
    written = infotext(plan, 2**32 - 1)
    found = parse_infotext(written)

    assert "\r" not in written
    assert (
        found.settings["steps"],
        found.settings["sampler"],
        found.settings["cfg_scale"],
        found.settings["seed"],
    ) == (2, "Euler a", 6.5, 2**32 - 1)
    assert [(each.name, each.weight, each.hash) for each in of(found, "lora")] == [
        (asset.name, weight, "cd" * 6) for asset, weight in loras
    ]
    assert [(each.name, each.hash) for each in of(found, "embedding")] == [(embedding.name, "ab" * 6)]
    assert [(each.name, each.hash) for each in of(found, "checkpoint")] == [(checkpoint.name, "ab" * 5)]
    lines = written.split("\n")[:-1]
    negative = next((at for at, each in enumerate(lines) if each.startswith("Negative prompt:")), len(lines))
    if not lines[0].startswith("Negative prompt:"):
        assert found.prompt == "\n".join(lines[:negative])
        assert (found.negative_prompt or "") == "\n".join(lines[negative:]).removeprefix("Negative prompt: ")
        again = tiny.plan(checkpoint, found.prompt or "", negative=found.negative_prompt or "", loras=loras,
                          embeddings=[embedding], cfg_scale=6.5)  # fmt: skip
        assert infotext(again, 2**32 - 1) == written


def test_civitai_finds_the_hashes_in_json_at_the_end():
    lora = tiny.asset(Path("detail"), "lora", "sd1")
    odd = tiny.asset(Path('o,d}"d'), "lora", "sd1", name='o,d}"d')
    plan = tiny.plan(tiny.asset(Path("m"), "checkpoint", "sd1", sha256="01" * 32), loras=[(lora, 1), (odd, 1)])
    _, _, hashes = infotext(plan, 1).rpartition(", Hashes: ")
    assert json.loads(hashes) == {"model": "0101010101", "lora:detail": "ababababab"}


#: What reading leaves out of a name, as others write it there.
MODEL_SUFFIX = re.compile(r"\.(safetensors|sft|ckpt|pth?|bin|gguf)$", re.IGNORECASE)


@given(
    prompts=st.tuples(texts(), texts()),
    called=st.lists(
        names().filter(lambda name: not MODEL_SUFFIX.search(name)), min_size=5, max_size=5, unique_by=str.lower
    ),
    weights=st.tuples(*[st.integers(-300, 300).map(lambda number: number / 100)] * 2),
    numbers=st.tuples(st.integers(1, 150), st.integers(0, 300), st.integers(0, 2**63 - 1), st.integers(1, 256)),
    sampler=st.sampled_from(["Euler a", "DPM++ 2M Karras", "DPM++ SDE", "LMS"]),
)
def test_what_our_pictures_write_is_what_reading_gives(
    prompts: tuple[str, str],
    called: list[str],
    weights: tuple[float, float],
    numbers: tuple[int, int, int, int],
    sampler: str,
):
    checkpoint, vae, embedding, *loras = called
    steps, cfg, seed, side = numbers
    used = [
        (tiny.asset(Path("l"), "lora", "sd1", name=name), weight) for name, weight in zip(loras, weights, strict=True)
    ]

    def written(prompt: str, negative: str) -> str:
        plan = tiny.plan(
            tiny.asset(Path("c"), "checkpoint", "sd1", name=checkpoint), prompt, negative=negative, loras=used,
            embeddings=[tiny.asset(Path("e"), "embedding", "sd1", name=embedding)], steps=steps, cfg_scale=cfg / 10,
            vae=tiny.asset(Path("v"), "vae", "sd1", name=vae), sampler=sampler, width=side * 8, height=64,
        )  # fmt: skip
        return infotext(plan, seed)

    # no infotext tells a prompt that begins so from an empty one with a negative prompt
    assume(not without_tags(clean(prompts[0])).strip().startswith("Negative prompt:"))
    found = parse_infotext(written(*prompts))
    assert (
        found.settings["steps"],
        found.settings["cfg_scale"],
        found.settings["seed"],
        found.settings["sampler"],
    ) == (steps, cfg / 10, seed, sampler)
    assert (found.settings["width"], found.settings["height"], found.software) == (side * 8, 64, "assetctl")
    assert [(each.name, each.weight) for each in of(found, "lora")] == list(zip(loras, weights, strict=True))
    assert [each.name for role in ("checkpoint", "vae", "embedding") for each in of(found, role)] == called[:3]
    # but for line ends before what would start a negative prompt
    assert (found.negative_prompt or "").split() == without_tags(clean(prompts[1])).split()
    assert written(found.prompt or "", found.negative_prompt or "") == found.text
