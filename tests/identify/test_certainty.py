"""Certain means certain: no network that is known shows what a family's certain signs ask for but that family's own."""

from __future__ import annotations

import random
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
    "qwen-image": re.compile("Mage-Flow"),
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


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_no_part_of_a_network_is_taken_for_another_familys(every):
    some = list(table().items())[::every]
    assert [fault for name, tensors in some for fault in wrong(name, tensors, each=False)] == []


@pytest.mark.parametrize(
    "each", [pytest.param(False, marks=pytest.mark.slow), pytest.param(True, marks=pytest.mark.long)]
)
def test_no_part_of_any_network_of_the_installed_diffusers_is(each):
    pytest.importorskip("diffusers")
    assert [fault for name, tensors in networks().items() for fault in wrong(name, tensors, each=each)] == []


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


#: Families whose networks are named and as wide alike, but for what stands outside of their blocks, or in how many
#: there are: the parts of both are such as either may have.
SAME = [{"sd2", "svd"}, {"flux1", "hunyuan-video"}, {"kolors", "sdxl"}]


def beside(shapes: Shapes, others: Shapes) -> Shapes:
    """Both in one file; of modules that both have, every other one is the first's."""
    stems = [re.sub(r"\.(?:lora_\w+\.)?weight$", "", key) for key in shapes]
    shared = dict.fromkeys(stem for stem in stems if any(key.startswith(f"{stem}.") for key in others))
    mine = tuple(f"{stem}." for stem in list(shared)[::2])
    theirs = {key: shape for key, shape in others.items() if not key.startswith(mine or ("\n",))}
    return shapes | theirs


def both(tensors: Tensors, others: Tensors, *, whole: bool) -> tuple[Shapes, Shapes]:
    if whole:
        places = ("model.diffusion_model.", "transformer.")
        first, second = (
            {place + name: shape for name, (shape, _) in each.items()}
            for place, each in zip(places, (tensors, others), strict=True)
        )
        return first, second
    return lora(tensors, "lora_unet_"), lora(others, "lora_unet_")


def certain_of_a_mix(networks_of: dict[str, list[Tensors]], *, whole: bool) -> list[Any]:
    """Pairs of families whose networks are in one file that is certainly of one of them."""
    found = []
    for family, other in combinations(networks_of, 2):
        for tensors in networks_of[family]:
            for others in networks_of[other]:
                first, second = both(tensors, others, whole=whole)
                alone = [identify_header(header(each)) for each in (first, second)]
                if [each.family for each in alone] == [family, other] and {family, other} not in SAME:
                    said = identify_header(header(beside(first, second)))
                    found += [(family, other, said.family)] if said.confidence == "certain" else []
    return found


def by_family(count: int, *, first: bool) -> dict[str, list[Tensors]]:
    found: dict[str, list[Tensors]] = defaultdict(list)
    for name, tensors in table().items():
        family = family_of(name)
        if family is not None and "ControlNet" not in name and len(found[family]) < count:
            found[family].append(first_blocks(tensors) if first else tensors)
    return found


@pytest.mark.parametrize("whole", [True, False])
def test_parts_of_two_families_networks_in_one_file_are_certainly_of_neither(whole):
    assert certain_of_a_mix(by_family(1, first=True), whole=whole) == []


@pytest.mark.long
@pytest.mark.parametrize("whole", [True, False])
def test_nor_are_those_of_any_two_of_their_networks(whole):
    assert certain_of_a_mix(by_family(3, first=False), whole=whole) == []


def test_a_network_with_one_attention_told_text_of_another_width_is_of_no_family():
    seen = set()
    for name, case in CASES.items():
        keys = [
            key for key in case.shapes if re.search(r"attn2[._]to_k\.(weight|lora_down\.weight|lora_A\.weight)$", key)
        ]
        keys = [key for key in keys if len(case.shapes[key]) > 1 and case.shapes[key][1] > 1]  # not packed in four bits
        said = identify_header(header(case.shapes))
        if case.family is None or len(keys) < 2 or said.confidence not in {"certain", "likely"}:
            continue
        for key in (keys[0], keys[-1]):
            wider = [*case.shapes[key][:1], 64 + case.shapes[key][1], *case.shapes[key][2:]]
            odd = identify_header(header(case.shapes | {key: wider}))
            told = [each.claim for each in odd.evidence]
            assert odd.family is None, (name, key, odd)
            assert "contains=several networks" in told or not any(map("family=".__eq__, told)), name
        seen.add(case.family)
    assert seen >= {"sd1", "sd2", "sdxl"}


def test_metadata_do_not_choose_where_a_file_has_parts_of_several_networks():
    block = {"lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight": [4, 3072]}
    block |= {"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": [9216, 4]}
    one = (
        CASES["sd1 lora"].shapes
        if "sd1 lora" in CASES
        else next(
            case.shapes
            for case in CASES.values()
            if case.kind == "lora" and case.family == "sd1" and not dotted(case.shapes)
        )
    )
    for shapes in (one | block, block | one):
        said = identify_header(replace(header(shapes), metadata={"ss_base_model_version": "sd_v1"}))
        assert (said.family, said.confidence) == (None, "ambiguous")


def kohya(module: str, width: int) -> Shapes:
    return {f"{module}.lora_down.weight": [4, width], f"{module}.lora_up.weight": [width, 4]}


@pytest.mark.parametrize(
    "more",
    [
        kohya("lora_te2_text_model_encoder_layers_0_self_attn_k_proj", 1280),
        {"text_encoder_2.text_model.encoder.layers.0.self_attn.k_proj.lora_A.weight": [4, 1280]},
        {"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight": [3840, 1280]},
        {"model.diffusion_model.label_emb.0.0.weight": [1280, 2816]},
        {"cond_stage_model.model.token_embedding.weight": [49408, 1024]},
        {"first_stage_model.decoder.conv_in.weight": [512, 16, 3, 3]},
    ],
)
def test_what_one_text_encoder_alone_goes_with_is_not_certain_beside_two(more: Shapes):
    """Nor beside what tells a UNet of sizes; every file that is certain of SD 1 by itself is tried."""
    te = {"sd1 te": kohya("lora_te_text_model_encoder_layers_0_self_attn_k_proj", 768)}
    alone = te | {
        name: case.shapes
        for name, case in CASES.items()
        if case.family == "sd1" and case.kind in {"lora", "checkpoint", "diffusion-model"}
    }
    tried = 0
    for name, shapes in alone.items():
        if identify_header(header(shapes)).confidence != "certain":
            continue
        whole = any(
            key.startswith(("model.", "conditioner.", "cond_stage_model.", "first_stage_model.")) for key in more
        )
        if whole and not any(key.startswith("model.") for key in shapes):
            continue  # a part of a whole checkpoint, beside what is none
        said = identify_header(header(shapes | more))
        assert (said.family, said.confidence) != ("sd1", "certain"), (name, said)
        tried += 1
    assert tried


def test_two_text_encoders_of_an_sdxl_lora_are_not_named_as_an_only_one():
    shapes = kohya("lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k", 640)
    shapes |= {"lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_v.lora_down.weight": [4, 2048]}
    del shapes["lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight"]
    first, only = (kohya(f"lora_{te}_text_model_encoder_layers_0_self_attn_k_proj", 768) for te in ("te1", "te"))
    assert identify_header(header(shapes | first)).confidence == "certain"
    assert identify_header(header(shapes | only)).confidence != "certain"


def test_what_a_whole_network_lies_beside_is_no_lora():
    """Neither is it a checkpoint for certain: what loads one leaves the other out."""
    change = kohya("lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k", 768)
    change |= {"model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_q.lora_A.weight": [4, 320]}
    tried = 0
    for name, case in CASES.items():
        if case.kind in {"checkpoint", "diffusion-model", "text-encoder"}:
            said = identify_header(header(case.shapes | change))
            assert (said.kind, said.family) == ("unknown", None), (name, said)
            assert {each.claim for each in said.evidence} >= {"kind=lora", f"kind={case.kind}"}, name
            tried += 1
    assert tried > 50


#: Pairs of families in whose networks the same parts are as wide and named alike, so that a LoRA of both could be
#: one of either.
ALSO_SAME = [
    {"flux1", "chroma"},
    {"chroma", "hunyuan-video"},
    {"cosmos", "ltx"},
    {"cosmos", "pixart"},
    {"pixart", "sana"},
]
PREFIXES = ("lora_unet_", "lora_transformer_", "lycoris_", "transformer.", "diffusion_model.", "base_model.model.", "")
PARTS = ("", "attn|attention", r"attn1|self_attn|^(?!.*attn2).*\.attn\.", "ff|mlp|feed_forward")


def some_of(chance: random.Random, tensors: Tensors, prefix: str) -> Shapes:
    """A LoRA of some modules of a network."""
    only = re.compile(chance.choice(PARTS))
    some = {name: tensor for name, tensor in tensors.items() if tensor[1] and only.search(name)}
    if prefix.endswith("_"):
        return {key.replace("lora_unet_", prefix, 1): shape for key, shape in lora(some, "lora_unet_").items()}
    return lora(some, prefix)


def test_no_mixture_of_two_families_loras_is_certain():
    chance = random.Random(20)
    pool = [(family, tensors) for family, each in by_family(2, first=True).items() for tensors in each]
    tried, wrong = 0, []
    while tried < 120:
        (family, tensors), (other, others) = chance.sample(pool, 2)
        prefix = chance.choice(PREFIXES)
        prefixes = prefix, prefix if chance.random() < 0.7 else chance.choice(PREFIXES)
        if family == other or {family, other} in SAME + ALSO_SAME:
            continue
        first, second = map(some_of, (chance, chance), (tensors, others), prefixes)
        if [identify_header(header(each)).family for each in (first, second)] != [family, other]:
            continue
        said = identify_header(header(beside(first, second)))
        wrong += [(family, other, *first, "and", *second)] if said.confidence == "certain" else []
        tried += 1
    assert wrong == []


#: Networks, and a part of another beside a part of which they were certain: the stream is of another width in it, a
#: level of the UNet is, or blocks are of another build, where no sign looked.
BESIDE = [
    ("HunyuanVideoTransformer3DModel i2v", r"token_refiner", "CosmosTransformer3DModel 2b", r"\.ff\.net\.0"),
    ("HunyuanVideoTransformer3DModel i2v", r"token_refiner", "SD3Transformer2DModel medium", r"\.ff_context\."),
    ("ChromaTransformer2DModel", r"distilled_guidance", "SD3Transformer2DModel medium", r"attn\.to_q"),
    ("ChromaTransformer2DModel", r"distilled_guidance", "CosmosTransformer3DModel 2b", r"\.ff\.net\.2"),
    ("Krea2Transformer2DModel", r"to_gate", "PixArtTransformer2DModel sigma", r"\.ff\."),
    ("Flux2Transformer2DModel", r"to_qkv_mlp", "FluxTransformer2DModel", r"single_transformer_blocks.*attn\.to_k"),
    ("SD3Transformer2DModel medium", r"\.attn\.", "PixArtTransformer2DModel sigma", r"\.ff\.net"),
    ("CosmosTransformer3DModel 2b", r"attn|norm", "SD3Transformer2DModel medium", r"\.ff_context\."),
    ("UNet2DConditionModel refiner", r"attn2", "UNet2DConditionModel sdxl", r"\.ff\.net"),
    ("UNetSpatioTemporalConditionModel", r"attn2", "UNet2DConditionModel sdxl", r"blocks\.1\.ff\.net"),
    ("UNetSpatioTemporalConditionModel", r"attn2", "UNet2DConditionModel sd2 upscaler", r"attn1"),
]


@pytest.mark.parametrize(("name", "part", "other", "foreign"), BESIDE)
@pytest.mark.parametrize("prefix", ["transformer.", "lora_unet_"])
def test_what_a_network_has_not_keeps_a_file_from_being_certain_of_it(name, part, other, foreign, prefix):
    own, theirs = (lora(table()[each], prefix, only=only) for each, only in ((name, part), (other, foreign)))
    assert identify_header(header(own)).confidence == "certain"
    assert identify_header(header(own | theirs)).confidence != "certain"


@pytest.mark.parametrize(
    "said",
    [
        {"ss_base_model_version": "step1x"},
        {"ss_sd_model_name": "step1x-edit-i1258.safetensors"},
        {"modelspec.architecture": "step1x-edit/lora"},
    ],
)
def test_metadata_that_name_a_network_built_alike_keep_a_file_from_a_family(said):
    shapes = lora(table()["Step1X-Edit"], "lora_unet_")
    assert identify_header(header(shapes)).confidence != "certain"
    assert identify_header(replace(header(shapes), metadata=said)).family is None
