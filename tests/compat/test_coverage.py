from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compat.sparse import low_rank, tiny_checkpoint
from selections import lora_use, selection_of

from assetctl.compat.check import run_rules

if TYPE_CHECKING:
    from compat.sparse import Make

    from assetctl.types import Asset, Coverage

BLOCK = "down_blocks_0_attentions_0_transformer_blocks_0"


def covered(checkpoint: Asset, *loras: Asset) -> tuple[Coverage, ...]:
    return run_rules(selection_of(checkpoint, tuple(map(lora_use, loras)))).coverage


@pytest.mark.parametrize("name", ["sd15-lora-kohya", "sd15-lora-shinkai"])
def test_published_sd1_loras_match_every_module_in_sd1(real: Make, name: str):
    (found,) = covered(real("sd15", "checkpoint", "sd1"), real(name, "lora", "sd1"))
    assert (found.lora, found.modules, found.matched, found.shape_conflicts, found.unmatched) == (
        name,
        354,
        264,
        (),
        (),
    )


@pytest.mark.parametrize(("name", "modules"), [("sdxl-lora-alien", 986), ("sdxl-lora-lycoris", 1052)])
def test_published_sdxl_loras_with_ldm_names_match_every_module_in_sdxl(real: Make, name: str, modules: int):
    (found,) = covered(real("sdxl-base", "checkpoint", "sdxl"), real(name, "lora", "sdxl"))
    assert (found.modules, found.matched, found.shape_conflicts, found.unmatched) == (1059, modules, (), ())


def test_sd1_lora_on_sdxl_is_mostly_conflicts_and_unmatched(real: Make):
    (found,) = covered(real("sdxl-base", "checkpoint", "sdxl"), real("sd15-lora-kohya", "lora", "sd1"))
    assert len(found.shape_conflicts) + len(found.unmatched) > found.matched
    assert "unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k" in found.shape_conflicts
    assert "lora_unet_down_blocks_0_attentions_0_proj_in" in found.unmatched


def test_sd1_lora_on_sd2_conflicts_wherever_the_text_is_read(real: Make):
    (found,) = covered(real("sd21", "checkpoint", "sd2"), real("sd15-lora-kohya", "lora", "sd1"))
    assert (found.modules, found.matched, found.unmatched) == (420, 160, ())
    assert all("attn2_to_" in name or "text_encoder" in name for name in found.shape_conflicts)


def test_flux_lora_matches_nothing_in_sd1(real: Make):
    (found,) = covered(real("sd15", "checkpoint", "sd1"), real("flux1-lora-kohya", "lora", "flux1"))
    assert (found.matched, found.shape_conflicts, len(found.unmatched)) == (0, (), 304)


def test_checkpoint_without_a_unet_gets_no_coverage(real: Make):
    assert covered(real("z-image", "checkpoint", "z-image"), real("sd15-lora-kohya", "lora", "sd1")) == ()


@pytest.mark.parametrize(
    "module",
    [
        f"lora_unet_{BLOCK}_attn2_to_out_0",
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_out_0",
        f"lycoris_{BLOCK}_attn2_to_out_0",
    ],
)
def test_kohya_names_with_either_block_count_are_understood(asset: Make, module: str):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    (found,) = covered(checkpoint, asset("lora", "lora", "sd1", low_rank(module, 8, [8])))
    assert (found.matched, found.unmatched) == (1, ())


PEFT = "down_blocks.0.attentions.0.transformer_blocks.0.attn2"


@pytest.mark.parametrize(
    ("down", "up"),
    [
        (f"unet.{PEFT}.to_out.0.lora_A.weight", f"unet.{PEFT}.to_out.0.lora_B.weight"),
        (f"unet.{PEFT}.to_out.0.lora_A.default.weight", f"unet.{PEFT}.to_out.0.lora_B.default.weight"),
        (f"base_model.model.{PEFT}.to_out.0.lora_A.weight", f"base_model.model.{PEFT}.to_out.0.lora_B.weight"),
        (
            f"base_model.model.unet.{PEFT}.to_out.0.lora_A.weight",
            f"base_model.model.unet.{PEFT}.to_out.0.lora_B.weight",
        ),
        (f"unet.{PEFT}.to_out.0.lora.down.weight", f"unet.{PEFT}.to_out.0.lora.up.weight"),
        (f"unet.{PEFT}.processor.to_out_lora.down.weight", f"unet.{PEFT}.processor.to_out_lora.up.weight"),
        (f"{PEFT}.processor.to_out_lora.down.weight", f"{PEFT}.processor.to_out_lora.up.weight"),
    ],
)
def test_every_diffusers_spelling_is_understood(asset: Make, down: str, up: str):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    (found,) = covered(checkpoint, asset("lora", "lora", "sd1", {down: [2, 8], up: [8, 2]}))
    assert (found.matched, found.unmatched) == (1, ())


TEXT = "layers.0.self_attn.q_proj"


@pytest.mark.parametrize(
    ("down", "up"),
    [
        (
            f"text_encoder.text_model.encoder.{TEXT}.lora_A.weight",
            f"text_encoder.text_model.encoder.{TEXT}.lora_B.weight",
        ),
        (f"text_encoder.encoder.{TEXT}.lora_A.weight", f"text_encoder.encoder.{TEXT}.lora_B.weight"),
        (
            f"text_encoder.text_model.encoder.{TEXT}.lora_linear_layer.down.weight",
            f"text_encoder.text_model.encoder.{TEXT}.lora_linear_layer.up.weight",
        ),
        (
            "text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.down.weight",
            "text_encoder.text_model.encoder.layers.0.self_attn.to_q_lora.up.weight",
        ),
        *(
            (f"{kohya}_text_model_encoder_{end}.lora_down.weight", f"{kohya}_text_model_encoder_{end}.lora_up.weight")
            for kohya in ("lora_te", "lora_te1")
            for end in [TEXT.replace(".", "_")]
        ),
    ],
)
def test_every_spelling_of_the_text_encoder_is_understood(asset: Make, down: str, up: str):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    (found,) = covered(checkpoint, asset("lora", "lora", "sd1", {down: [2, 768], up: [768, 2]}))
    assert (found.matched, found.unmatched) == (1, ())


CONV = "lora_unet_down_blocks_0_resnets_0_conv1"


@pytest.mark.parametrize(
    "tensors",
    [
        {"lora_down.weight": [2, 8, 3, 3], "lora_up.weight": [8, 2, 1, 1]},
        {"lora_down.weight": [2, 8, 1, 1], "lora_up.weight": [8, 2, 1, 1], "lora_mid.weight": [2, 2, 3, 3]},
        {"lora_down.weight": [2, 8, 3, 3], "lora_up.weight": [8, 2, 1, 1], "dora_scale": [8, 1, 1, 1]},
        {"hada_w1_a": [8, 2], "hada_w1_b": [2, 72], "hada_w2_a": [8, 2], "hada_w2_b": [2, 72]},
        {"hada_w1_a": [2, 8], "hada_w1_b": [2, 8], "hada_t1": [2, 2, 3, 3]},
        {"lokr_w1": [2, 2], "lokr_w2": [4, 4, 3, 3]},
        {"lokr_w1": [2, 2], "lokr_w2_a": [4, 1], "lokr_w2_b": [1, 36]},
        {"lokr_w1_a": [2, 1], "lokr_w1_b": [1, 2], "lokr_w2_a": [1, 4], "lokr_w2_b": [1, 4], "lokr_t2": [1, 1, 3, 3]},
        {"oft_blocks": [4, 2, 2]},
        {"diff": [8, 8, 3, 3]},
    ],
    ids="+".join,
)
def test_every_way_to_write_a_change_is_measured(asset: Make, tensors: dict[str, list[int]]):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    fitting = asset("fitting", "lora", "sd1", {f"{CONV}.{part}": shape for part, shape in tensors.items()})
    wider = asset("wider", "checkpoint", "sd1", tiny_checkpoint(width=24))
    assert covered(checkpoint, fitting)[0].matched == 1
    assert covered(wider, fitting)[0].shape_conflicts == ("unet_down_blocks_0_resnets_0_conv1",)


def test_convolution_of_one_pixel_and_linear_layer_are_the_same(asset: Make):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    linear = asset("linear", "lora", "sd1", low_rank("lora_unet_down_blocks_0_attentions_0_proj_in", 8, [8]))
    convolution = asset("conv", "lora", "sd1", low_rank("lora_unet_input_blocks_1_1_proj_in", 8, [8, 1, 1]))
    assert [found.matched for found in covered(checkpoint, linear, convolution)] == [1, 1]


@pytest.mark.parametrize(
    "tensors",
    [
        {f"{CONV}.lora_down.weight": [], f"{CONV}.lora_up.weight": []},
        {f"{CONV}.hada_w1_a": []},
        {f"{CONV}.lokr_w1": [2]},
        {f"{CONV}.oft_blocks": [2]},
        {f"{CONV}.diff": []},
    ],
    ids=str,
)
def test_broken_change_of_a_module_is_a_conflict(asset: Make, tensors: dict[str, list[int]]):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    (found,) = covered(checkpoint, asset("lora", "lora", "sd1", tensors))
    assert (found.matched, found.shape_conflicts) == (0, ("unet_down_blocks_0_resnets_0_conv1",))


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({f"{CONV}.lora_down.weight": [2, 8, 3, 3]}, "lack the half that leads up"),
        ({f"{CONV}.lora_up.weight": [8, 2, 1, 1]}, "lack the half that leads down"),
        ({f"{CONV}.lora_down.weight": [3, 8, 3, 3], f"{CONV}.lora_up.weight": [8, 2, 1, 1]}, "of different ranks"),
        ({f"{CONV}.lora_down.weight": [0, 8, 3, 3], f"{CONV}.lora_up.weight": [8, 0, 1, 1]}, "are of rank 0"),
        ({"unet.conv_in.lora_A.weight": [2, 4, 3, 3]}, "lack the half that leads up"),
    ],
    ids=str,
)
def test_halves_that_make_no_change_are_damage_and_not_another_architecture(
    asset: Make, tensors: dict[str, list[int]], said: str
):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    lora = asset("style", "lora", "sd1", tensors)
    report = run_rules(selection_of(checkpoint, (lora_use(lora),)))
    assert [(finding.rule, finding.severity) for finding in report.findings] == [("damaged_lora", "error")]
    assert said in report.findings[0].message
    assert [(found.matched, found.shape_conflicts) for found in report.coverage] == [(0, ())]
    alone = run_rules(selection_of(None, (lora_use(lora),)))
    assert "damaged_lora" in [finding.rule for finding in alone.findings]


def test_what_is_whole_in_a_damaged_lora_still_counts(asset: Make):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    halves = low_rank(f"lora_unet_{BLOCK}_attn1_to_q", 8, [8]) | {f"{CONV}.lora_down.weight": [2, 8, 3, 3]}
    (found,) = covered(checkpoint, asset("style", "lora", "sd1", halves))
    assert (found.matched, found.shape_conflicts, found.unmatched) == (1, (), ())


def test_a_lora_of_another_family_is_told_of_once(asset: Make):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    lora = asset("style", "lora", "sdxl", low_rank(f"lora_unet_{BLOCK}_attn1_to_q", 640, [640]))
    report = run_rules(selection_of(checkpoint, (lora_use(lora),)))
    assert [finding.rule for finding in report.findings] == ["family"]
    assert [len(found.shape_conflicts) for found in report.coverage] == [1]


def test_module_named_twice_counts_once(asset: Make):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    twice = low_rank(CONV, 8, [8, 3, 3]) | low_rank("lora_unet_input_blocks_1_0_in_layers_2", 8, [8, 3, 3])
    assert covered(checkpoint, asset("lora", "lora", "sd1", twice))[0].matched == 1


def test_norms_are_neither_counted_nor_unmatched(asset: Make):
    checkpoint = asset("checkpoint", "checkpoint", "sd1", tiny_checkpoint())
    norm = asset("norm", "lora", "sd1", {"lora_unet_down_blocks_0_resnets_0_norm1.w_norm": [8]})
    (found,) = covered(checkpoint, norm)
    assert (found.matched, found.shape_conflicts, found.unmatched) == (0, (), ())


def test_tensors_of_no_known_kind_are_told(asset: Make):
    shapes = low_rank("lora_unet_down_blocks_0_resnets_0_conv1", 8, [8, 3, 3]) | {"lora_unet_x.new_way": [8, 8]}
    lora = asset("style", "lora", "sd1", shapes)
    (found,) = covered(asset("base", "checkpoint", "sd1", tiny_checkpoint()), lora)
    assert (found.matched, found.unmatched) == (1, ("lora_unet_x.new_way",))


def test_absurd_block_numbers_do_not_stop_a_check(asset: Make):
    names = [
        "input_blocks.x.y.proj_in",
        f"input_blocks.{'9' * 5000}.1.proj_in",
        "middle_block.-1.proj_in",
        "input_blocks",
    ]
    shapes = tiny_checkpoint() | {f"model.diffusion_model.{name}.weight": [8, 8] for name in names}
    shapes["model.diffusion_model.input_blocks.1.1.proj_out.weight"] = []
    checkpoint = asset("checkpoint", "checkpoint", "sd1", shapes)
    lora = low_rank(CONV, 8, [8, 3, 3]) | low_rank("lora_unet_input_blocks_1_1_proj_out", 8, [8])
    (found,) = covered(checkpoint, asset("lora", "lora", "sd1", lora))
    assert found.matched == 1
