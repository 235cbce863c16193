"""Certain means certain: no network that is known shows what a family's certain signs ask for but that family's own."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from identify.diffusers_models import UNTOLD, family_of, long, networks
from identify.lookalikes import CASES
from tables import cases

from assetctl.files.safetensors import Header
from assetctl.identify import identify_header
from assetctl.identify.features import WHOLE, Features, read_blocks, read_unet
from assetctl.identify.outline import Outline
from assetctl.identify.plugins import families
from assetctl.identify.signs import UNET

Shapes = dict[str, list[int]]
Tensors = dict[str, tuple[list[int], bool]]

SPELLINGS = ("transformer.", "diffusion_model.", "lora_unet_")

#: Parts of a network that show the same as a part of a family's, with which they are likely to be taken for it: the
#: attention of FLUX.1 and of those built like it, of SDXL and Kolors, blocks of PixArt and Latte, of SD 2 and of the
#: video UNets that grew from it.
ALIKE = {
    "flux1": re.compile(r"Step1X|Bria|LongCat|Chroma|Motif|Ovis"),
    "hunyuan-video": re.compile("Motif"),
    "sdxl": re.compile("kolors"),
    "lumina2": re.compile("NewBie"),
    "pixart": re.compile(r"Latte|Open-Sora"),
    "sd2": re.compile(r"I2VGen|UNet3D|UNetSpatioTemporal|XS|VideoCrafter|Tango"),
}


def header(shapes: Shapes) -> Header:
    return Header(Path("file.safetensors"), 0, 0, {k: {"dtype": "F16", "shape": v} for k, v in shapes.items()}, {})


def lora(tensors: Tensors, spelling: str, *, only: str = "") -> Shapes:
    """A LoRA of those matrices whose names match."""
    shapes: Shapes = {}
    for name, (shape, matrix) in tensors.items():
        if not matrix or not re.search(only, name):
            continue
        path, (given, taken) = name.removesuffix(".weight"), shape
        if spelling == "lora_unet_":
            module = spelling + path.replace(".", "_")
            shapes |= {f"{module}.lora_down.weight": [4, taken], f"{module}.lora_up.weight": [given, 4]}
        else:
            shapes |= {f"{spelling}{path}.lora_A.weight": [4, taken], f"{spelling}{path}.lora_B.weight": [given, 4]}
    return shapes


def first_blocks(tensors: Tensors) -> Tensors:
    """The first block of each stack, without what stands beside the stacks."""
    of_block = {name: re.match(r"(.*?)\.(\d+)\.", name) for name in tensors}
    lowest: dict[str, int] = defaultdict(lambda: 10**6)
    for found in filter(None, of_block.values()):
        lowest[found[1]] = min(lowest[found[1]], int(found[2]))
    return {name: tensors[name] for name, found in of_block.items() if found and int(found[2]) == lowest[found[1]]}


def parts(tensors: Tensors, *, each: bool) -> dict[str, Shapes]:
    """What a file may hold of a network: all of it, or a LoRA of all, of its attention, of a block, of one matrix."""
    found = {"whole": {name: shape for name, (shape, _) in tensors.items()}}
    attention, itself = r"attn|attention", r"attn1|self_attn|^(?!.*attn2).*\.attn\."
    for spelling in SPELLINGS if each else SPELLINGS[::2]:
        found[f"{spelling} all"] = lora(tensors, spelling)
        found[f"{spelling} attention"] = lora(tensors, spelling, only=attention)
        found[f"{spelling} self-attention"] = lora(tensors, spelling, only=itself)
        found[f"{spelling} block"] = lora(first_blocks(tensors), spelling)
        if each:
            alike = defaultdict(dict)
            for name, tensor in tensors.items():
                alike[re.sub(r"\.\d+(?=\.)", ".#", name)][name] = tensor
            found |= {f"{spelling} {name}": lora(group, spelling) for name, group in alike.items()}
    return {what: shapes for what, shapes in found.items() if shapes}


def wrong(name: str, tensors: Tensors, *, each: bool) -> list[Any]:
    """Parts of a network that are taken for what they are not; `None` is never wrong of a part."""
    family, found = family_of(name), []
    for what, shapes in parts(tensors, each=each).items():
        said = identify_header(header(shapes))
        alike = said.confidence == "likely" and said.family in ALIKE and ALIKE[said.family].search(name)
        alike = alike and (what != "whole" or name == "Tango")  # which hears with what Marigold sees with
        silent = said.family is None and (what != "whole" or name in UNTOLD or family is None)
        if said.family != family and not silent and not alike:
            found.append((name, what, said.family, said.confidence))
    return found


def table() -> dict[str, Tensors]:
    entries = [*cases("names/networks"), *cases("names/other_networks")]
    return {entry["id"]: long(entry["tensors"]) for entry in entries}


def test_no_part_of_a_network_is_taken_for_another_familys():
    assert [fault for name, tensors in table().items() for fault in wrong(name, tensors, each=False)] == []


@pytest.mark.slow
def test_no_part_of_any_network_of_the_installed_diffusers_is():
    pytest.importorskip("diffusers")
    assert [fault for name, tensors in networks().items() for fault in wrong(name, tensors, each=True)] == []


@cache
def shown() -> list[tuple[str, Features]]:
    """Every network that is known, by name, as a LoRA of all of it shows it: with dots, and flat."""
    found = []
    for name, tensors in table().items():
        for spelling in ("transformer.", "lora_unet_"):
            outline = Outline(header(lora(tensors, spelling)))
            if outline.header.tensors:
                unet, blocks = read_unet(outline), read_blocks(outline)
                found.append((name, Features("lora", None, outline, unet=unet, blocks=blocks)))
    return found


CERTAIN = [(family.name, sign) for family in families() for sign in family.signs if sign.strength == "certain"]


@pytest.mark.parametrize(("family", "sign"), CERTAIN, ids=[f"{family}: {sign.detail}" for family, sign in CERTAIN])
def test_no_other_network_shows_a_certain_sign_whatever_part_of_it_a_file_leaves_out(family, sign):
    if "lora" not in sign.kinds:
        return  # what holds a network whole shows what it lacks as well
    bare = replace(sign, lacks=())
    assert not [name for name, features in shown() if family_of(name) != family and bare.holds(features)]


def contradict(sign: Any, other: Any, others: list[Features]) -> bool:
    """Whether no header shows both: by a kind, a width, a count, or a name that one asks for and the other has not."""
    alike = sign.measures.keys() & other.measures.keys()
    return (
        not set(sign.kinds) & set(other.kinds)
        or any(not set(map(str, sign.measures[each])) & set(map(str, other.measures[each])) for each in alike)
        or any(all(lacked(name, other.lacks) for name in group) for group in sign.needs)
        or (bool(others) and any(not any(each.outline.shows(group) for each in others) for group in sign.needs))
        or (bool(others) and any(
            None not in values and all(measure.take(each) not in values for each in others)
            for measure, values in sign.measures.items() if measure is not UNET
        ))
    )  # fmt: skip


def lacked(name: str, lacks: tuple[str, ...]) -> bool:
    return any(f".{name.lstrip('^')}".find(f".{each.lstrip('^')}") >= 0 for each in lacks)


def test_certain_signs_of_two_families_contradict_each_other():
    of = defaultdict(list)
    for name, features in shown():
        of[family_of(name)].append(features)
    alike = [
        (family, sign.detail, other, another.detail)
        for (family, sign), (other, another) in combinations(CERTAIN, 2)
        if family != other and not contradict(sign, another, of[other]) and not contradict(another, sign, of[family])
    ]
    assert alike == []


def renamed(shapes: Shapes, names: tuple[str, ...], more: str) -> Shapes:
    """The same, where the last part of each needed name goes on: `attn` becomes `attns1` or `attn_logits`."""
    stems = (re.escape(name.lstrip("^").rstrip(".")) for name in names)
    pattern = "|".join(re.sub(r"\\\.0(?=\\\.|$)", r"\\.\\d+", stem) for stem in stems)
    return {
        re.sub(rf"((?:^|(?<=[./_]))(?:{pattern}))(?=[._]|$)", rf"\1{more}", key): each for key, each in shapes.items()
    }


def dotted(shapes: Shapes) -> bool:
    return not any(name.startswith(("lora_", "lycoris_", "oft_")) for name in shapes)


@pytest.mark.parametrize("more", ["_logits", "s1"])
def test_a_sign_goes_where_a_name_that_it_asks_for_goes_on(more):
    by_name = {family.name: family for family in families()}
    for name, case in CASES.items():
        if case.family is None or not dotted(case.shapes):
            continue
        for sign in by_name[case.family].signs:
            for group in sign.needs if sign.strength == "certain" and case.kind in sign.kinds else ():
                changed = renamed(case.shapes, group, more)
                if all(needed.endswith(".") for needed in group) and changed != case.shapes:
                    outline = Outline(header(changed))
                    features = Features(case.kind, None, outline, unet=read_unet(outline), blocks=read_blocks(outline))
                    assert not sign.holds(features), (name, sign.detail)


def test_no_look_alike_of_another_width_is_certain():
    for name, case in CASES.items():
        factored = any(part in key for key in case.shapes for part in ("lokr_", "oft_", "absmax", "qweight", ".a1."))
        if case.family is None or case.kind not in (*WHOLE, "lora") or factored:
            continue
        odd = {key: [each + 40 if each >= 512 else each for each in shape] for key, shape in case.shapes.items()}
        said = identify_header(header(odd))
        assert said.confidence != "certain", (name, said)
