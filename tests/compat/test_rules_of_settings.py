"""Rules about what is asked of a selection, and of the machine."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from compat.sparse import low_rank, tiny_checkpoint
from selections import lora_use, selection_of

from assetctl.compat.check import Situation, run_rules

if TYPE_CHECKING:
    from compat.sparse import Make

    from assetctl.types import Asset, Finding, Selection


def found(rule: str, selection: Selection, **situation: int) -> list[Finding]:
    return [finding for finding in run_rules(selection, Situation(**situation)).findings if finding.rule == rule]


def base(asset: Make, base_model: str | None = None, family: str = "sdxl") -> Asset:
    return replace(asset("base", "checkpoint", family, tiny_checkpoint()), base_model=base_model)


@pytest.mark.parametrize(
    ("base_model", "steps", "cfg", "flags"),
    [
        ("SDXL Lightning", 30, 7.0, "--steps 10 --cfg 1.5"),
        ("SDXL Lightning", 4, 7.0, "--cfg 1.5"),
        ("SDXL Turbo", 30, 1.0, "--steps 8"),
        ("SDXL 1.0 LCM", 1, 1.5, "--steps 2"),
        ("Flux.1 S", 4, 3.5, "--cfg 1"),
    ],
)
def test_settings_that_do_not_suit_a_distilled_checkpoint(
    asset: Make, base_model: str, steps: int, cfg: float, flags: str
):
    family = "flux1" if base_model == "Flux.1 S" else "sdxl"
    (finding,) = found("distilled", selection_of(base(asset, base_model, family), steps=steps, cfg_scale=cfg))
    assert (finding.severity, finding.assets, finding.hint) == ("warning", ("base",), f"Try {flags}.")


@pytest.mark.parametrize(
    "settings",
    [{"steps": 4, "cfg_scale": 1.0}, {"steps": 8}, {"cfg_scale": 2.0}, {}],
    ids=["fit", "steps", "cfg", "none"],
)
def test_settings_that_suit_it_or_that_nobody_asks_of_are_no_finding(asset: Make, settings: dict[str, float]):
    assert found("distilled", selection_of(base(asset, "SDXL Lightning"), **settings)) == []


def test_a_distilled_lora_counts_unless_it_is_switched_off(asset: Make):
    lora = replace(
        asset("fast", "lora", "sdxl", low_rank("lora_unet_down_blocks_0_resnets_0_conv1", 8, [8, 3, 3])),
        base_model="SDXL 1.0 LCM",
    )
    on = selection_of(base(asset), (lora_use(lora),), steps=30, cfg_scale=7)
    (finding,) = found("distilled", on)
    assert finding.assets == ("fast",)
    assert found("distilled", selection_of(base(asset), (lora_use(lora, 0.0),), steps=30, cfg_scale=7)) == []
    assert found("distilled", selection_of(base(asset), steps=30, cfg_scale=7)) == []


def test_a_negative_prompt_without_guidance_is_a_warning(asset: Make):
    selection = selection_of(base(asset), prompt="a cat", negative_prompt="a dog", cfg_scale=1)
    (finding,) = found("negative_prompt", selection)
    assert "--cfg" in str(finding.hint)
    assert found("negative_prompt", replace(selection, settings={"cfg_scale": 1.5})) == []
    assert found("negative_prompt", replace(selection, settings={})) == []
    assert found("negative_prompt", replace(selection, negative_prompt=" ")) == []


def test_weights_that_are_larger_than_the_free_memory_are_a_warning(asset: Make):
    shapes = tiny_checkpoint() | {"model.diffusion_model.large.weight": [1_000_000], "model_ema.large": [9_000_000]}
    checkpoint = asset("base", "checkpoint", "sdxl", shapes)
    (finding,) = found("memory", selection_of(checkpoint), memory=1_900_000)
    assert (finding.severity, finding.assets) == ("warning", ("base",))
    assert found("memory", selection_of(checkpoint), memory=4_000_000) == []
    assert len(found("memory", selection_of(checkpoint), memory=4_000_000, weight_bytes=4)) == 1
    assert found("memory", selection_of(checkpoint)) == []


def test_a_controlnet_of_another_family_is_an_error(asset: Make):
    controlnet = asset("canny", "controlnet", "sd1", {"control_model.input_blocks.0.0.weight": [8, 4, 3, 3]})
    (finding,) = found("family", selection_of(base(asset), controlnets=(controlnet,)))
    assert (finding.severity, finding.assets) == ("error", ("canny", "base"))
    assert "--kind controlnet --family sdxl" in str(finding.hint)
    fitting = replace(controlnet, family="sdxl")
    assert found("family", selection_of(base(asset), controlnets=(fitting,))) == []
    (wrong,) = found("kind", selection_of(base(asset), controlnets=(replace(fitting, kind="lora"),)))
    assert "ControlNet" in wrong.message


def lora_with(asset: Make, there: int, lost: int) -> Asset:
    """A LoRA of which so many modules are in the checkpoint."""
    shapes = {}
    for name in ("attn1_to_q", "attn1_to_k", "attn1_to_v", "attn1_to_out_0")[:there]:
        shapes |= low_rank(f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_{name}", 8, [8])
    for number in range(lost):
        shapes |= low_rank(f"lora_unet_down_blocks_0_attentions_0_transformer_blocks_{number + 1}_attn1_to_q", 8, [8])
    return asset("style", "lora", "sd1", shapes)


@pytest.mark.parametrize(
    ("there", "lost", "severity"),
    [(1, 0, None), (1, 1, "warning"), (1, 3, "warning"), (1, 4, "error"), (0, 2, "error")],
)
def test_what_counts_is_how_much_of_the_loras_own_modules_is_there(
    asset: Make, there: int, lost: int, severity: str | None
):
    checkpoint = asset("base", "checkpoint", "sd1", tiny_checkpoint())
    findings = found("coverage", selection_of(checkpoint, (lora_use(lora_with(asset, there, lost)),)))
    assert [finding.severity for finding in findings] == ([] if severity is None else [severity])


@pytest.mark.parametrize(
    ("family", "prediction", "asked", "told"),
    [
        ("sd1", "epsilon", {"scheduler": "Linear Quadratic"}, True),
        ("sdxl", "v_prediction", {"scheduler": "Linear Quadratic", "flavour": "comfyui"}, True),
        ("sdxl", "flow", {"scheduler": "Linear Quadratic"}, False),
        ("flux1", None, {"scheduler": "Linear Quadratic"}, False),
        ("sd1", "epsilon", {"scheduler": "Karras"}, False),
        ("sd1", "epsilon", {}, False),
    ],
)
def test_a_schedule_for_models_that_flow_is_told_of_beside_others(
    asset: Make, family: str, prediction: str | None, asked: dict[str, str], *, told: bool
):
    selection = selection_of(
        replace(base(asset, family=family), prediction=prediction),
        **{"flavour": "a1111", "sampler": "Euler a", "scheduler": "Automatic", **asked},
    )
    findings = found("unsuited_schedule", selection, purpose="generate")
    assert [finding.severity for finding in findings] == ["warning"] * told
