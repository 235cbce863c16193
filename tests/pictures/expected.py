"""What a picture says, in the shape of the tables under `cases/pictures/`.

A key of an expectation is an attribute of what was read, an option, or one of these: `loras`, `checkpoints` and so on
(the assets of one role), `some_fields` (others may be there too), `not_understood` (names that no attribute expresses).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assetctl.options import OPTIONS

if TYPE_CHECKING:
    from assetctl.pictures import PictureParameters, UsedAsset

SETTINGS = {each.name for each in OPTIONS}
ROLES = ("checkpoint", "lora", "embedding", "vae", "controlnet", "other")


def read_of(found: PictureParameters, expected: dict[str, Any]) -> dict[str, Any]:
    """What was read, for each key of an expectation."""
    return {key: _value(found, key, wanted) for key, wanted in expected.items()}


def _value(found: PictureParameters, key: str, wanted: Any) -> Any:
    if key == "assets":
        return [_plain(each) for each in found.assets]
    if key.removesuffix("s") in ROLES:
        return [_plain(each) for each in found.assets if each.role == key.removesuffix("s")]
    if key == "some_fields":
        return {name: found.fields.get(name) for name in wanted}
    if key == "not_understood":
        return sorted({*found.fields, *found.extra} - found.understood)
    value = found.settings.get(key) if key in SETTINGS else getattr(found, key)
    if isinstance(value, tuple | frozenset):
        return sorted(value) if isinstance(value, frozenset) else list(value)
    return dict(value) if key in {"fields", "extra"} else value


def _plain(asset: UsedAsset) -> dict[str, Any]:
    return {
        key: list(value) if key == "sources" else value
        for key, value in asdict(asset).items()
        if value is not None and value != ()
    }
