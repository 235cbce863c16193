"""Values from strangers' pictures, made clean: text without control characters, numbers within reason.

Every function here takes anything and raises nothing.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

#: Limits on one text, in characters, and on what is taken out of it.
MAX_TEXT = 2 * 2**20
MAX_LINE = 500
MAX_DEPTH = 32

#: Numbers beyond these are no settings of a picture; the largest integer is what JSON writers agree on.
MAX_INTEGER = 2**64 - 1
MAX_STEPS = 10_000
MAX_SIDE = 2**20
MAX_NUMBER = 1e6

_NEWLINE = re.compile("\r\n?|[\x85\u2028\u2029]")
# Controls but tab and newline, and the invisible characters that reorder or hide text in a terminal; joiners stay,
# which emoji and several scripts need.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,4})?")
_DIGITS = re.compile(r"[0-9a-f]{4,64}")
_SUFFIX = re.compile(r"\.(?:safetensors|sft|ckpt|pth?|bin|gguf)$", re.IGNORECASE)


def sound(text: str) -> str:
    """Text that can be encoded: lone surrogates become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def clean(value: object) -> str:
    """Text of any number of lines without control characters; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    return _CONTROL.sub("", _NEWLINE.sub("\n", sound(value[:MAX_TEXT])))


def line(value: object) -> str | None:
    """Text in one line of bounded length; `None` where there is none."""
    text = value[: 4 * MAX_LINE] if isinstance(value, str) else ""
    return re.sub(r"[\n\t]", " ", clean(text)).strip()[:MAX_LINE] or None


def prompt(value: object) -> str | None:
    """Text of several lines, trimmed; `None` where there is none."""
    return clean(value).strip() or None


def written(value: object) -> str | None:
    """A plain value as a field shows it; `None` for lists, objects and nothing."""
    if isinstance(value, bool | int):
        return str(value)
    if isinstance(value, float):
        return f"{value:g}" if math.isfinite(value) else None
    return prompt(value)


def integer(value: object, low: int = 0, high: int = MAX_INTEGER) -> int | None:
    """An integer between two bounds, from a number or its digits."""
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high else None


def number(value: object) -> float | None:
    """A finite number of bearable size, from a number or its digits."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= MAX_NUMBER:
        return None
    return float(value)


def digits(value: object) -> str | None:
    """A hash's hex digits in lower case, without InvokeAI's `blake3:`; `None` for anything else."""
    method, _, text = value[:100].strip().lower().rpartition(":") if isinstance(value, str) else ("", "", "")
    return text if method != "random" and _DIGITS.fullmatch(text) else None


def stem(value: object) -> str | None:
    """The name in a path of any system, without folders and a model's suffix."""
    text = line(value[-MAX_LINE:] if isinstance(value, str) else value) or ""
    return _SUFFIX.sub("", text.replace("\\", "/").rpartition("/")[2]).strip() or None


def mapping(value: object) -> dict[str, Any]:
    """The value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def parse_json(text: str | None) -> Any:  # noqa: ANN401 - JSON is anything
    """JSON as strangers write it, cleaned; `None` for anything else.

    ComfyUI writes NaN, which is no JSON: it becomes `None`, as do numbers that JSON can not hold, and what is
    nested too deeply.
    """
    if text is None or len(text) > MAX_TEXT:
        return None
    try:
        return _tidy(json.loads(text, parse_constant=lambda _: None, strict=False), 0)
    except (ValueError, RecursionError):
        return None


def parse_exactly(text: str | None) -> Any:  # noqa: ANN401 - JSON is anything
    """JSON as the standard has it, with every character as it was written; `None` for anything else.

    Lone surrogates, numbers that JSON can not hold, and deep nesting are refused. Its texts may hold anything that
    Unicode has: whoever shows one must clean it.
    """
    if text is None or len(text) > MAX_TEXT:
        return None
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if _is_bearable(found, 0) else None


def _is_bearable(value: object, depth: int) -> bool:
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth < MAX_DEPTH and all(_is_bearable(each, depth + 1) for each in inner)
    return not isinstance(value, float) or (math.isfinite(value) and abs(value) < 2.0**64)


def _tidy(value: object, depth: int) -> object:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        return {clean(key): _tidy(each, depth + 1) for key, each in value.items()}
    if isinstance(value, list):
        return [_tidy(each, depth + 1) for each in value]
    absurd = isinstance(value, float) and not math.isfinite(value)
    absurd |= isinstance(value, int) and not -(2**63) <= value <= MAX_INTEGER
    return None if absurd else value
