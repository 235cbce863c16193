from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from generated import texts
from hypothesis import given
from hypothesis import strategies as st
from tables import table

from assetctl.store import safe_name


@pytest.mark.parametrize("case", table("names/any_text"))
def test_any_name_becomes_one_that_every_filesystem_takes(case: dict[str, Any]):
    name = safe_name(case["text"])
    assert 1 <= len(name.encode()) <= 120
    assert not set(name) & set('<>:"/\\|?*')
    assert not any(unicodedata.category(character).startswith("C") for character in name)
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert unicodedata.is_normalized("NFC", name)
    assert name.split(".")[0].rstrip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}
    assert safe_name(name) == name


@pytest.mark.parametrize("case", table("names/files"))
def test_a_good_name_stays_and_a_bad_one_stays_readable(case: dict[str, Any]):
    assert safe_name(case["text"]) == case["name"]


#: What Windows takes for a device, whatever ending follows.
DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{digit}" for port in ("com", "lpt") for digit in "0123456789¹²³")}


@given(texts(), st.integers(1, 40))
def test_a_name_that_was_made_of_anything_is_one_and_stays_one(text: str, times: int):
    name = safe_name(text * times)
    assert 1 <= len(name.encode()) <= 120
    assert not set(name) & set('<>:"/\\|?*')
    assert name.isprintable()
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert name.split(".")[0].rstrip().lower() not in DEVICES
    assert safe_name(name) == name
