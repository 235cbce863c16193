"""Tables of real inputs, as they stand under `cases/`: what each is, where it is seen, and what is to come of it.

A table is a list of objects. Each has a `source`, in words; `id` names it where its first value would not.
What is long is written short: `{"of": "x", "times": 500}` is five hundred times x, `{"parts": ["a", "b"]}` is what its
parts make together.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent / "cases"


def cases(name: str) -> list[dict[str, Any]]:
    """The entries of the table of this name, written out."""
    entries = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    unsaid = [entry for entry in entries if not entry.get("source")]
    assert entries, f"{name} is empty"
    assert not unsaid, f"{name}: where is this seen? {unsaid}"
    return [_written_out(entry) for entry in entries]


def table(name: str) -> list[Any]:
    """The same, as pytest takes them: a parameter each."""
    return [pytest.param(entry, id=_id(entry)) for entry in cases(name)]


def _id(entry: dict[str, Any]) -> str:
    said = entry.get("id", f"{entry['file']}-{entry['key']}" if "key" in entry else next(iter(entry.values())))
    return ascii(said)[1:-1][:60] or "empty"


def _written_out(value: Any) -> Any:
    if isinstance(value, list):
        return [_written_out(each) for each in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {"of", "times"}:
        return _written_out(value["of"]) * value["times"]
    if value.keys() == {"parts"}:
        first, *others = _written_out(value["parts"])
        for other in others:
            first += other
        return first
    return {key: _written_out(each) for key, each in value.items()}


def field(name: str) -> list[Any]:
    """Cases that others wrote, in `shared/corpus/field` beside a checkout or further up, if it is there."""
    above = (folder / "shared" / "corpus" / "field" / f"{name}.json" for folder in FOLDER.parents)
    found = next((path for path in above if path.exists()), None)
    entries: list[dict[str, Any]] = [] if found is None else json.loads(found.read_text("utf-8"))
    return [pytest.param(entry, id=ascii(next(iter(entry.values())))[1:-1][:60]) for entry in entries]
