from __future__ import annotations

import pytest

from assetctl.errors import UsageError
from assetctl.options import SAMPLERS, canonical_sampler


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_is_found_in_any_case(name: str):
    assert canonical_sampler(name.lower()) == canonical_sampler(f" {name.upper()} ") == name


def test_pndm_is_another_word_for_plms():
    assert canonical_sampler("pndm") == "PLMS"


def test_an_unknown_sampler_is_told_the_nearest_ones():
    with pytest.raises(UsageError, match="DPM\\+\\+ 2N Karras") as raised:
        canonical_sampler("DPM++ 2N Karras")
    assert "DPM++ 2M Karras" in str(raised.value.hint)


def test_a_name_near_to_none_is_told_all():
    with pytest.raises(UsageError) as raised:
        canonical_sampler("§")
    assert all(name in str(raised.value.hint) for name in SAMPLERS)


@pytest.mark.parametrize(
    ("said", "name"),
    [("dpmpp_2m", "DPM++ 2M"), ("dpmpp_2m karras", "DPM++ 2M Karras"), ("euler_ancestral", "Euler a"),
     ("DPMPP_2M_SDE_GPU_Karras", "DPM++ 2M SDE Karras"), ("k_euler_a", "Euler a"), ("uni_pc", "UniPC"),
     ("dpm_2_ancestral karras", "DPM2 a Karras"), ("dpmpp_2m normal", "DPM++ 2M"), ("lcm", "LCM"), ("ddim", "DDIM")],
)  # fmt: skip
def test_names_of_comfyui_are_taken(said: str, name: str):
    assert canonical_sampler(said) == name


@pytest.mark.parametrize("said", ["dpmpp_2m_sgm_uniform", "dpmpp_2m beta", "euler karras"])
def test_a_schedule_that_we_lack_is_not_dropped(said: str):
    with pytest.raises(UsageError, match="no sampler"):
        canonical_sampler(said)
