from __future__ import annotations

import unicodedata

import pytest

from assetctl.store import safe_name

OUTSIDE = [
    "../../etc/passwd", "/etc/passwd", "a\\b", "C:\\x", "..", ".", "", "   ", "-rf", "--help", ".hidden",
    "con", "CON.safetensors", "lpt1", "nul ", "nul .txt", "a\x00b", "a\nb", "evil\u202egnp.exe", "\ud800x",
    "x" * 500, "é" * 200,
    "日本語モデル" * 30, "Cafe\u0301", "name.", "name. .", "a:b|c?d*e", "\u037e", "\u226e", "v1.5-pruned", "🎨 art",
    "con" + "x" * 200, "-" * 300, "\u0301", "a" * 118 + " .b", "<\u0338",
]  # fmt: skip


@pytest.mark.parametrize("text", OUTSIDE, ids=range(len(OUTSIDE)))
def test_any_name_becomes_one_that_every_filesystem_takes(text: str):
    name = safe_name(text)
    assert 1 <= len(name.encode()) <= 120
    assert not set(name) & set('<>:"/\\|?*')
    assert not any(unicodedata.category(character).startswith("C") for character in name)
    assert name[0] not in ".- "
    assert name[-1] not in ". "
    assert unicodedata.is_normalized("NFC", name)
    assert name.split(".")[0].rstrip().lower() not in {"con", "prn", "aux", "nul", "com1", "lpt1"}
    assert safe_name(name) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("v1-5-pruned.ema", "v1-5-pruned.ema"),
        ("My  Model\tv2", "My Model v2"),
        ("Cafe\u0301", "Café"),
        ("日本語", "日本語"),
        ("../x", "x"),
        ("a/b", "a-b"),
        ("???", "asset"),
        ("con", "con_"),
        ("Constance", "Constance"),
    ],
)
def test_a_good_name_stays_and_a_bad_one_stays_readable(text: str, expected: str):
    assert safe_name(text) == expected
