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


def test_weights_of_loras_that_a_saver_numbers_are_taken():
    numbered = (
        "Lora_0 Model name: foo.safetensors, Lora_0 Model hash: 1234567890, Lora_0 Strength model: 0.6, "
        "Lora_0 Strength clip: 0.5, Lora_1 Model name: bar.safetensors, Lora_1 Model hash: 2234567890, "
        "Lora_1 Strength model: 0.7, Lora_1 Strength clip: 0.7, Embedding_0 name: neg, Embedding_0 hash: 3234567890"
    )
    hashes = 'Hashes: {"model": "0123456789", "lora:foo": "1234567890"}'
    for more in (f"{numbered}, Version: ComfyUI", f"{numbered}, {hashes}, Version: ComfyUI"):
        found = recipe("a cat", more=more)
        assert loras(found) == [("foo", 0.6, 0.5), ("bar", 0.7, None)]
        assert [(each.name, each.hash) for each in found.assets if each.role == "embedding"] == [("neg", "3234567890")]
        assert not [remark for remark in found.remarks if "Lora_" in remark or "Embedding_" in remark]
        assert not [remark for remark in found.remarks if "weight" in remark]
    unread = recipe("a cat", more=numbered.replace("0.6", "much") + ", Version: ComfyUI")
    assert any("Lora_0" in remark for remark in unread.remarks)


def test_a_weight_that_nothing_says_is_told():
    hashes = 'Hashes: {"model": "0123456789", "lora:foo": "1234567890"}, Version: ComfyUI'
    found = recipe("a cat", more=hashes)
    assert "It does not say the weight of the LoRA foo: 1 is taken." in found.remarks
    assert SAME not in found.remarks[0]
    for tag in ("<lora:foo>", "<lora:sub/foo:0.5>"):
        assert not [remark for remark in recipe(f"a cat {tag}", more=hashes).remarks if "weight" in remark]
