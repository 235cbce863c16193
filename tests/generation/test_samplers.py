from __future__ import annotations

import pytest

from assetctl.errors import UsageError
from assetctl.samplers import SAMPLERS, canonical_sampler


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
