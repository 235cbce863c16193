"""What the tags and numbered fields of other programs' pictures come to in a recipe."""

from __future__ import annotations

import time

import pytest
from patience import fair

from assetctl.operations.make.from_picture import recipe_of_other_program
from assetctl.pictures import parse_infotext
from assetctl.prompt.syntax import find_tags, with_tags_as_words, without_networks

FIELDS = "Steps: 20, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 5, Size: 512x512"
MODEL = "Model hash: 0123456789, Model: dream"
SAME = "with the same noise and steps"


def recipe(prompt: str, negative: str = "", more: str = "Version: v1.10.1"):
    lines = [prompt, *([f"Negative prompt: {negative}"] if negative else []), f"{FIELDS}, {MODEL}, {more}"]
    return recipe_of_other_program(parse_infotext("\n".join(lines)))


def loras(found) -> list[tuple[str | None, float | None, float | None]]:
    return [(each.name, each.weight, each.text_weight) for each in found.assets if each.role == "lora"]


def test_to_a1111_a_tag_in_the_negative_prompt_is_words():
    found = recipe("a cat <lora:y:0.5>", "bad <lora:x:1>,<LYCO:z>")
    assert loras(found) == [("y", 0.5, None)]
    negative = found.request.negative_prompt
    assert negative.replace(" ", "") == "bad<lora:x:1>,<LYCO:z>"
    assert not list(find_tags(negative))
    assert SAME in found.remarks[0]
    theirs = recipe("a cat", "bad <lora:x:1>", "Version: ComfyUI")
    assert loras(theirs) == [("x", 1.0, None)]


def test_a1111_takes_tags_of_all_networks_out_of_the_prompt():
    found = recipe("a cat <hypernet:foo:0.8>, <lora:y:0.5> 1 < 2")
    assert found.request.prompt == "a cat , <lora:y:0.5> 1 < 2"
    assert loras(found) == [("y", 0.5, None)]
    assert any("<hypernet:foo:0.8>" in remark for remark in found.remarks[1:])
    assert SAME not in found.remarks[0]


@pytest.mark.parametrize("unit", ["<", "<a", "<a:", "<a:b>", "<a:>", "a", ">"])
def test_no_text_takes_long(unit: str):
    begun = time.perf_counter()
    text, found = without_networks(unit * (200_000 // len(unit)))
    assert "".join(found) + text == unit * (200_000 // len(unit)) or unit in ("<a:", "<a:b>", "<a:>")
    with_tags_as_words(unit * (200_000 // len(unit)))
    assert time.perf_counter() - begun < fair(2)
