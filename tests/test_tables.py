"""The tables under `cases/`: each is read by a test, and no entry stands there twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import FOLDER, cases

NAMES = sorted(path.relative_to(FOLDER).with_suffix("").as_posix() for path in FOLDER.rglob("*.json"))
TESTS = "".join(path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_read_by_a_test_and_has_no_entry_twice(name: str):
    assert f'table("{name}")' in TESTS or f'cases("{name}")' in TESTS
    said = [repr({key: value for key, value in entry.items() if key not in {"id", "source"}}) for entry in cases(name)]
    assert len(said) == len(set(said))


@pytest.mark.parametrize("text", ["[]", '[{"text": "a"}]', '[{"text": "a", "source": ""}]'])
def test_a_table_of_nothing_or_of_what_nobody_has_seen_is_refused(monkeypatch, tmp_path: Path, text: str):
    monkeypatch.setattr("tables.FOLDER", tmp_path)
    (tmp_path / "x.json").write_text(text, "utf-8")
    with pytest.raises(AssertionError, match=r"empty|seen"):
        cases("x")
