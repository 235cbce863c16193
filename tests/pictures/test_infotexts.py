from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from generation import tiny

from assetctl.pictures import PictureParameters, UsedAsset, infotext, parse_infotext

CORPUS = Path(__file__).resolve().parents[2] / "../shared/corpus/infotexts.json"
FIELDS = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 42, Size: 512x768"


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
    return getattr(found, {"negative": "negative_prompt"}.get(key, key))


@pytest.mark.skipif(not CORPUS.is_file(), reason="the shared corpus is not beside this checkout")
@pytest.mark.parametrize("case", cases(), ids=lambda case: case["text"][:20])
def test_texts_of_the_field_are_read_as_expected(case: dict[str, Any]):
    found = parse_infotext(case["text"])
    assert {key: said(found, key, wanted) for key, wanted in case["expected"].items()} == case["expected"]


def test_prompts_may_have_many_lines_and_look_like_fields():
    found = parse_infotext(f"a cat, Steps: 3\nSize: x\n\nb\nNegative prompt: bad\nSeed: none\n{FIELDS}")
    assert found.prompt == "a cat, Steps: 3\nSize: x\n\nb"
    assert found.negative_prompt == "bad\nSeed: none"
    assert (found.steps, found.sampler, found.cfg_scale, found.seed) == (20, "Euler a", 7, 42)
    assert (found.width, found.height) == (512, 768)


def test_a_text_without_fields_is_a_prompt():
    found = parse_infotext("style: oil, mood: dark, light: warm\nNegative prompt: bad")
    assert (found.prompt, found.negative_prompt) == ("style: oil, mood: dark, light: warm", "bad")
    assert found.fields == {}
    assert found.software is None


def test_a_prompt_of_choices_is_no_graph():
    assert parse_infotext(f"{{red|blue}} cat\n{FIELDS}").prompt == "{red|blue} cat"


def test_quoted_values_lose_their_quotes_and_keep_their_commas():
    found = parse_infotext(f'a\n{FIELDS}, Model: "a, b: \\"c\\"", Hires prompt: "x,\\ny", Version: v1')
    assert found.fields["Model"] == 'a, b: "c"'
    assert found.fields["Hires prompt"] == "x,\ny"
    assert found.fields["Version"] == "v1"


def test_what_names_no_field_belongs_to_the_value_before_it():
    found = parse_infotext(f"a\n{FIELDS}, Model: one, two, Clip skip: 2, Page: https://example.org/a,b")
    assert found.fields["Model"] == "one, two"
    assert found.fields["Page"] == "https://example.org/a,b"
    assert found.clip_skip == 2


def test_loras_are_joined_with_their_hashes():
    found = parse_infotext(
        f"a <lora:detail:0.7> <lyco:style> <lora:c, d: e:1>\nNegative prompt: <lora:bad:-1>\n{FIELDS}, "
        'Lora hashes: "detail: 0123456789AB, extra, one: abcdefabcdef, junk: xyz0xyz0xyz0", '
        'Hashes: {"lora:detail": "0123456789", "lora:style": "aaaaaaaaaa", "embed:easy": "bbbbbbbbbb", '
        '"model": "c0ffee1234"}'
    )
    assert [(each.name, each.hash, each.weight) for each in of(found, "lora")] == [
        ("detail", "0123456789ab", 0.7),
        ("style", "aaaaaaaaaa", None),
        ("c, d", None, None),
        ("bad", None, -1),
        ("extra, one", "abcdefabcdef", None),
        ("junk", None, None),
    ]
    assert of(found, "embedding") == [UsedAsset("embedding", "easy", "bbbbbbbbbb")]
    assert of(found, "checkpoint") == [UsedAsset("checkpoint", None, "c0ffee1234")]


def test_other_models_are_found_where_extensions_write_them():
    found = parse_infotext(
        f"a\n{FIELDS}, Model hash: e6e8e1fc, Model: dream.safetensors, VAE hash: 0123456789, VAE: sub/clear.vae.pt, "
        'TI hashes: "easy: 0123456789ab, easy: 0123456789ab", Schedule type: Karras, Refiner: fine [aabbccddee], '
        'ControlNet 0: "Module: canny, Model: control_canny [d14c016b], Weight: 0.8", Hashes: {"model": "e6e8e1fc00"}'
    )
    assert of(found, "checkpoint") == [UsedAsset("checkpoint", "dream", "e6e8e1fc00")]
    assert of(found, "vae") == [UsedAsset("vae", "clear.vae", "0123456789")]
    assert of(found, "embedding") == [UsedAsset("embedding", "easy", "0123456789ab")]
    assert of(found, "controlnet") == [UsedAsset("controlnet", "control_canny", "d14c016b", 0.8)]
    assert of(found, "other") == [UsedAsset("other", "fine", "aabbccddee")]
    assert found.sampler == "Euler a Karras"


def test_numbers_out_of_reason_are_not_believed():
    found = parse_infotext(
        "a\nSteps: 99999999999, Sampler: x, CFG scale: 1e999, Seed: 1" + "0" * 40 + ", Size: 0x99999999"
    )
    assert (found.steps, found.cfg_scale, found.seed, found.width, found.height) == (None,) * 5
    assert found.fields["Seed"].startswith("100000")


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
    assert (found.steps, found.sampler, found.cfg_scale, found.seed) == (2, "Euler a", 6.5, 2**32 - 1)
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
