"""The last line of an infotext: `Name: value` pairs between commas, where a value may be quoted or be JSON.

Format: `create_infotext` in `modules/processing.py` and `quote` in `modules/infotext_utils.py` of
https://github.com/AUTOMATIC1111/stable-diffusion-webui. Civitai adds JSON that is not quoted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from assetctl.generation.metadata.values import clean, parse_json

#: Fields that are kept of one line, and vain searches for the end of a nested value.
MAX_FIELDS = 500
_MAX_FAILURES = 2

_KEY = re.compile(r"\s*+(\w[\w \-/.()+&#']{0,80}?)[ \t]{0,8}+:(?!//)\s*+")
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"')
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]')
_AFTER = re.compile(r"\s*+(?:,|$)")


@dataclass(slots=True)
class Fields:
    """A line's fields.

    Attributes:
        plain: Values as written, without the quotes around them.
        nested: Values that are JSON objects or arrays.
    """

    plain: dict[str, str] = field(default_factory=dict)
    nested: dict[str, Any] = field(default_factory=dict)


def parse_fields(line: str) -> Fields:
    """Take a line apart, in time linear in its length. What follows a comma and names no field belongs to the
    value before it; of two fields of one name the first counts."""
    found, failures, place = Fields(), 0, 0
    while place < len(line) and len(found.plain) + len(found.nested) < MAX_FIELDS:
        key = _KEY.match(line, place)
        if key is None:
            place = _past_comma(line, place)
            continue
        name, start = key[1].strip(), key.end()
        end = _end_of_special(line, start) if failures < _MAX_FAILURES else None
        if end is None:
            failures += line[start : start + 1] in ("{", "[")
            end = _end_of_plain(line, start)
        _keep(found, name, line[start:end].strip())
        place = _past_comma(line, end)
    return found


def _past_comma(line: str, place: int) -> int:
    comma = line.find(",", place)
    return len(line) if comma < 0 else comma + 1


def _end_of_plain(line: str, place: int) -> int:
    """Where a plain value ends: before the comma that is followed by another field."""
    while (comma := line.find(",", place)) >= 0:
        if _KEY.match(line, comma + 1):
            return comma
        place = comma + 1
    return len(line)


def _end_of_special(line: str, place: int) -> int | None:
    """Where a quoted or nested value ends that starts here and is followed by a comma or nothing."""
    first = line[place : place + 1]
    end = None
    if first == '"':
        string = _STRING.match(line, place)
        end = string.end() if string else None
    elif first in ("{", "["):
        depth = 0
        for token in _TOKEN.finditer(line, place):
            depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if depth == 0:
                end = token.end()
                break
    return end if end is not None and _AFTER.match(line, end) else None


def _keep(found: Fields, name: str, value: str) -> None:
    if name in found.plain or name in found.nested:
        return
    special = parse_json(value) if value[:1] in ('"', "{", "[") else None
    if isinstance(special, dict | list):
        found.nested[name] = special
    else:
        found.plain[name] = clean(special if isinstance(special, str) else value)
