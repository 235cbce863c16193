from __future__ import annotations

import unicodedata
from typing import Any

import pytest
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
