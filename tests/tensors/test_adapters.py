"""Every layout with every kind of change, and with every spelling of a network: what `identify` and `check` make of it.

The cases are made of the tables themselves, so that a new entry is tested by being there; what the tables cannot say of
themselves, `cases/names/adapters.json` has from trainers' own files.
"""

from __future__ import annotations

import re
from functools import cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from identify.networks import clip, flux, flux_diffusers, whole
from tables import table

from assetctl.compat.coverage import coverage, modules_of_file
from assetctl.files.safetensors import Header
from assetctl.identify import identify_header
from assetctl.tensors.adapters import CHANGES, DENOISERS, LAYOUTS, MARKS, unsupported_method

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from assetctl.compat.coverage import Modules
    from assetctl.tensors.adapters import Layout

    Size = tuple[int, ...]
    Shapes = dict[str, list[int]]

#: Base width, multiples and depths of attention on the way down, width of the text, and whether attention is linear.
UNETS = {"sd1": ((1, 2, 4, 4), (1, 1, 1, 0), 768, False), "sdxl": ((1, 2, 4), (0, 2, 10), 2048, True)}


def header(shapes: Mapping[str, list[int]]) -> Header:
    tensors = {name: {"dtype": "F16", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    return Header(Path("style.safetensors"), 0, 0, tensors, {})


def unet(family: str) -> Iterator[tuple[str, str, Size]]:
    """Modules of a UNet: the name of each in CompVis' code, that in diffusers, and its size."""
    multiples, depths, context, linear = UNETS[family]
    last = len(multiples) - 1
    yield "input_blocks.0.0", "conv_in", (4, 320, 3, 3)
    for level, (multiple, depth) in enumerate(zip(multiples, depths, strict=True)):
        wide, up = 320 * multiple, last - level
        for number in range(3):
            places = [(f"output_blocks.{3 * up + number}", f"up_blocks.{up}")]
            places += [(f"input_blocks.{1 + 3 * level + number}", f"down_blocks.{level}")] if number < 2 else []
            for ldm, diffusers in places:
                yield f"{ldm}.0.in_layers.2", f"{diffusers}.resnets.{number}.conv1", (wide, wide, 3, 3)
                if depth:
                    yield from attention(
                        f"{ldm}.1", f"{diffusers}.attentions.{number}", wide, context, min(depth, 5), linear=linear
                    )
        if level < last:
            sampler = f"down_blocks.{level}.downsamplers.0.conv"
            yield f"input_blocks.{3 + 3 * level}.0.op", sampler, (wide, wide, 3, 3)
        if up < last:
            place = f"output_blocks.{3 * up + 2}.{2 if depth else 1}.conv"
            yield place, f"up_blocks.{up}.upsamplers.0.conv", (wide, wide, 3, 3)
    wide = 320 * multiples[-1]
    for number in range(2):
        yield f"middle_block.{2 * number}.in_layers.2", f"mid_block.resnets.{number}.conv1", (wide, wide, 3, 3)
    yield from attention("middle_block.1", "mid_block.attentions.0", wide, context, 1, linear=linear)


def attention(
    ldm: str, diffusers: str, wide: int, context: int, depth: int, *, linear: bool
) -> Iterator[tuple[str, str, Size]]:
    project = (wide, wide) if linear else (wide, wide, 1, 1)
    inner: dict[str, Size] = {"proj_in": project, "proj_out": project}
    for number in range(depth):
        block = f"transformer_blocks.{number}"
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            inner[f"{block}.attn1.{part}"] = (wide, wide)
            inner[f"{block}.attn2.{part}"] = (context if part in ("to_k", "to_v") else wide, wide)
        inner |= {f"{block}.ff.net.0.proj": (wide, 8 * wide), f"{block}.ff.net.2": (4 * wide, wide)}
    yield from ((f"{ldm}.{name}", f"{diffusers}.{name}", size) for name, size in inner.items())


@cache
def spellings(family: str) -> dict[str, dict[str, Size]]:
    """Modules of a network as its authors spell them and as diffusers does."""
    if family == "flux1":
        return {"authors": flux(2, 2), "diffusers": flux_diffusers(2, 2, norms=True)}
    modules = list(unet(family))
    return {
        "authors": {ldm: size for ldm, _, size in modules},
        "diffusers": {diffusers: size for _, diffusers, size in modules},
    }


CLIP, CLIP_G = clip(768, 2), clip(1280, 2)
T5 = {f"encoder.block.{n}.layer.0.SelfAttention.{part}": (4096, 4096) for n in range(2) for part in "qkvo"}

#: Text encoders by diffusers' names for them: a family that has one, and what is in it.
TEXTS = {"text_encoder": ("sd1", CLIP), "text_encoder_2": ("sdxl", CLIP_G), "text_encoder_3": ("flux1", T5)}

#: Norms, which trainers seldom change.
NORMS = {
    "sd1": {"model.diffusion_model.input_blocks.4.0.in_layers.0.weight": [640]},
    "flux1": {"model.diffusion_model.single_blocks.1.norm.query_norm.scale": [128]},
}

#: What single files have beside the network: text encoders.
BESIDE = {
    "sd1": {"cond_stage_model.transformer.": CLIP},
    "sdxl": {"conditioner.embedders.0.transformer.": CLIP, "text_encoders.clip_g.transformer.": CLIP_G},
    "flux1": {"text_encoders.clip_l.transformer.": CLIP, "text_encoders.t5xxl.transformer.": T5},
}


@cache
def checkpoint(family: str) -> Modules:
    """The modules of a single-file checkpoint in its authors' spelling, and those of its text encoders."""
    shapes = whole(spellings(family)["authors"], "model.diffusion_model.")
    for prefix, encoder in BESIDE[family].items():
        shapes |= whole(encoder, prefix)
    modules = modules_of_file(header(shapes | NORMS.get(family, {})))
    assert modules is not None
    return modules


#: How each kind of change writes one module, by its mark: tensors and their shapes, of what the module takes in (`i`),
#: gives out (`o`), its kernel (`k`) or as many ones (`1s`), all inputs of the kernel (`ik`), and quarters of these.
WRITTEN = {
    ".lora_down.weight": {".lora_down.weight": "4 i k", ".lora_up.weight": "o 4 1s", ".alpha": ""},
    ".lora_A.weight": {".lora_A.weight": "4 i k", ".lora_B.weight": "o 4 1s"},
    ".lora_A": {".lora_A": "4 i k", ".lora_B": "o 4 1s"},
    ".down.weight": {".lora.down.weight": "4 i k", ".lora.up.weight": "o 4 1s"},
    ".down": {".down": "4 i k", ".up": "o 4 1s"},
    ".hada_w1_a": {".hada_w1_a": "o 4", ".hada_w1_b": "4 ik", ".hada_w2_a": "o 4", ".hada_w2_b": "4 ik", ".alpha": ""},
    ".lokr_w1": {".lokr_w1": "4 4", ".lokr_w2": "o/4 i/4 k", ".alpha": ""},
    ".lokr_w1_a": {".lokr_w1_a": "4 2", ".lokr_w1_b": "2 4", ".lokr_w2_a": "o/4 2", ".lokr_w2_b": "2 ik/4"},
    ".oft_blocks": {".oft_blocks": "4 o/4 o/4", ".alpha": ""},
    ".oft_blocks.0": {".oft_blocks.0": "2 o/4 o/4", ".oft_blocks.1": "2 o/4 o/4", ".alpha": ""},
    ".oft_diag": {".oft_diag": "4 o/4 o/4"},
    ".oft_R.weight": {".oft_R.weight": "ik/4 6"},
    ".oft_R": {".oft_R": "ik/4 6"},
    ".oft_r": {".oft_r": "4 ik/4 ik/4"},
    ".boft_R": {".boft_R": "2 ik/4 4 4", ".boft_s": "o 1"},
    ".a1.weight": {".a1.weight": "i 4", ".a2.weight": "4 i", ".b1.weight": "o 4", ".b2.weight": "4 i k", ".alpha": ""},
    ".on_input": {".weight": "o 1 1s", ".on_input": ""},
    ".ia3_l": {".ia3_l": "o 1"},
    ".lambda_layer": {".q_layer.weight": "4 i k", ".p_layer.weight": "o 4 1s", ".lambda_layer": "1 4", ".alpha": ""},
    ".vera_lambda_b": {".vera_lambda_b": "o", ".vera_lambda_d": "4"},
    ".diff": {".diff": "o i k", ".diff_b": "o"},
    ".set_weight": {".set_weight": "o i k"},
}


def shape(written: str, taken: int, given: int, kernel: Sequence[int]) -> list[int]:
    named = {"i": [taken], "o": [given], "k": [*kernel], "1s": [1 for _ in kernel], "ik": [taken * prod(kernel)]}
    found: list[int] = []
    for part in written.split():
        name, _, quarter = part.partition("/")
        sizes = named.get(name) or ([int(name)] if name.isdecimal() else [])
        found += [size // 4 for size in sizes] if quarter else sizes
    return found


#: What says nothing by its endings alone: it is a LoRA's under a trainer's own prefix.
NEEDS_A_TRAINER = {".a1.weight", ".down"}


#: Modules of UNets, in either spelling of blocks, of each kind and in levels of several widths: the rest are alike.
SAMPLE = re.compile(
    r"(?:input_blocks\.[458]|middle_block|output_blocks\.5|(?:down|up)_blocks\.[12]\.\w+\.1|mid_block)\..*"
    r"(?:proj_in|[04]\.attn1\.to_q|[04]\.attn2\.to_(?:k|out\.0)|0\.ff\.net\.2|in_layers\.2|conv1)$"
)


def changed(modules: Mapping[str, Size], layout: Layout, mark: str) -> Shapes:
    """The modules of a network, each changed so, under a layout's prefix."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        stem = layout.prefix + (name.replace(".", "_") if layout.flat else name)
        shapes |= {f"{stem}{end}": shape(written, taken, given, kernel) for end, written in WRITTEN[mark].items()}
    return shapes


def told(shapes: Shapes, family: str) -> str | None:
    """What is wrong with what is said of a LoRA of this family; `None` where all is right."""
    lora = header(shapes)
    found = identify_header(lora)
    if found.kind != "lora" or found.family not in (family, None):
        return f"it is a {found.kind} of {found.family}"
    covered = coverage("style", lora, checkpoint(family))
    if covered is None:
        return "it is not compared"
    wrong = (*covered.unmatched, *covered.shape_conflicts, *covered.elsewhere)
    return f"{len(wrong)} modules do not match, {wrong[0]} for one" if wrong or not covered.matched else None


def test_every_change_is_written_here():
    assert WRITTEN.keys() == MARKS.keys() - {".w_norm"}


NETWORKS = [(family, spelling) for family in ("sd1", "sdxl", "flux1") for spelling in ("authors", "diffusers")]


def wrong_pairs(family: str, spelling: str, share: int = 1) -> dict[tuple[str, str], str]:
    """What is wrong with LoRAs of each layout with each change, or with every so many of these pairs."""
    every, start = spellings(family)[spelling], NETWORKS.index((family, spelling))
    few = {name: size for name, size in every.items() if (family == "flux1" and ".0." in name) or SAMPLE.search(name)}
    pairs = [
        (layout, mark)
        for number, layout in enumerate(DENOISERS)
        for place, mark in enumerate(WRITTEN)
        if (start + number + place) % share == 0 and (layout.flat or mark not in NEEDS_A_TRAINER)
        if not layout.before or any(name.startswith(layout.before) for name in few)
    ]
    said = {(layout.prefix, mark): told(changed(few, layout, mark), family) for layout, mark in pairs}
    assert said
    return {pair: wrong for pair, wrong in said.items() if wrong is not None}


@pytest.mark.parametrize(("family", "spelling"), NETWORKS)
@pytest.mark.parametrize("share", [pytest.param(4, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long)])
def test_every_layout_with_every_change_is_a_lora_whose_modules_are_found(family: str, spelling: str, share: int):
    assert wrong_pairs(family, spelling, share) == {}


@pytest.mark.parametrize(("family", "spelling"), NETWORKS)
def test_a_share_of_layouts_and_changes_are_loras_whose_modules_are_found(family: str, spelling: str):
    assert wrong_pairs(family, spelling, share=len(NETWORKS)) == {}  # each pair with one of the networks


@pytest.mark.parametrize("family", ["sd1", "sdxl", "flux1"])
def test_whole_networks_are_found_and_their_family_is_known(family: str):
    for layout in ("lora_unet_", "diffusion_model."):
        for spelling, modules in spellings(family).items():
            shapes = changed(modules, next(each for each in DENOISERS if each.prefix == layout), ".lora_down.weight")
            assert told(shapes, family) is None, (layout, spelling)
            assert identify_header(header(shapes)).family == family, (layout, spelling)


@pytest.mark.parametrize("layout", [each for each in LAYOUTS if each.network in TEXTS], ids=lambda each: each.prefix)
def test_modules_are_found_under_every_prefix_of_a_text_encoder(layout: Layout):
    family, modules = TEXTS[layout.network]
    for mark in (".lora_down.weight", ".lora_A.weight", ".hada_w1_a", ".lokr_w1", ".diff"):
        assert told(changed(modules, layout, mark), family) is None, mark


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.name)
def test_what_no_backend_applies_is_named_by_its_signs(change):
    for mark in (mark for mark in change.marks if mark in WRITTEN):
        shapes = changed({"mid_block.attentions.0.proj_in": (8, 8)}, DENOISERS[0], mark)
        expected = None if "diffusers" in change.backends else change.name
        assert unsupported_method(header(shapes)) == expected


@pytest.mark.parametrize("case", table("names/adapters"))
def test_what_trainers_write_is_a_lora_of_its_family_and_finds_its_modules(case):
    lora = header(case["tensors"])
    found = identify_header(lora)
    assert (found.kind, found.family) == ("lora", case["family"]), found.evidence
    covered = coverage("style", lora, checkpoint(case["checkpoint"]))
    assert (covered.matched, covered.unmatched, covered.shape_conflicts) == (case["matched"], (), ())


@pytest.mark.parametrize(("context", "family"), [(768, "sd1"), (1024, "sd2"), (640, None)])
def test_a_lora_that_numbers_its_modules_is_known_by_the_text_that_they_take_in(context: int, family: str | None):
    shapes: Shapes = {"<s1>": [768]}
    for number, (taken, given) in enumerate([(320, 320), (320, 2560), (context, 320), (640, 640), (context, 640)]):
        shapes |= {f"unet:{number}:up": [given, 1], f"unet:{number}:down": [1, taken]}
    found = identify_header(header(shapes))
    assert (found.kind, found.family, found.layout) == ("lora", family, "cloneofsimo")
    assert "contains=an embedding" in [each.claim for each in found.evidence]
    assert unsupported_method(header(shapes)) == "numbered LoRA"
