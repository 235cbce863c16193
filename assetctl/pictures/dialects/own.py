"""assetctl's own record, which says everything, beside the infotext that it writes for others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assetctl.pictures.dialects import a1111
from assetctl.pictures.image_files import RECORD
from assetctl.pictures.parameters import (
    Collection,
    Dialect,
    PictureParameters,
    mapping,
    parse_exactly,
    prompt,
    role_of,
    sequence,
    settings,
)
from assetctl.pictures.saving import with_loras
from assetctl.text import clean, line

if TYPE_CHECKING:
    from collections.abc import Mapping


def find_record(texts: Mapping[str, str]) -> dict[str, Any] | None:
    """The record among a picture's texts, exactly as it was written, or `None`."""
    found = parse_exactly(texts.get(RECORD))
    return found if isinstance(found, dict) else None


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """What the record says, with the infotext's fields; the record itself is exact, all else is clean."""
    record = find_record(texts)
    if record is None or "prompt" not in record:
        return None
    assets = Collection()
    for each in map(mapping, sequence(record.get("assets"))):
        source, role = line(each.get("source")), role_of(each.get("role"))
        assets.add(
            role,
            each.get("name"),
            digest=each.get("sha256") or each.get("autov3"),
            weight=each.get("weight"),
            text_weight=each.get("text_weight"),
            sources=(source,) if source else (),
            turn=assets.uses(role, each.get("name")),  # each is a use of its own: weights of the same add up
        )
    used = assets.assets()
    loras = [
        (each.name, each.weight, each.text_weight)
        for each in used
        if each.role == "lora" and each.name and each.weight is not None
    ]
    infotext = a1111.read(texts) or PictureParameters()
    return replace(
        infotext,
        software="assetctl",
        prompt=prompt(with_loras(clean(record.get("prompt")), loras)),
        negative_prompt=prompt(record.get("negative_prompt")),
        settings=settings(record, infotext.settings),
        assets=used,
        record=record,
    )


DIALECT = Dialect("assetctl", 0, read)
