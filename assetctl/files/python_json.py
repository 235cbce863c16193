"""JSON as Python writes it: with `Infinity` and `NaN`, which the standard has not, and diffusers' schedulers have."""

from __future__ import annotations

import json

import orjson


def loads(content: bytes) -> object:
    """What `content` says.

    Raises:
        ValueError: It is no JSON, or too deep.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        if not (b"Infinity" in content or b"NaN" in content):
            raise
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
