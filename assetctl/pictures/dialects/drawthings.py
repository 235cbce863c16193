"""Draw Things: an object in the comment of an XMP packet, with names of one or two letters.

Format: as its pictures have it; https://docs.drawthings.ai. The packet is looked through as text, not as XML.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from assetctl.pictures.parameters import (
    MAX_ASSETS,
    Collection,
    Dialect,
    PictureParameters,
    mapping,
    nested,
    parse_json,
    prompt,
    sequence,
    settings,
    with_understood,
    written,
)
from assetctl.text import line

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Fields by the attribute, or the role of the assets, that expresses them.
_ATTRIBUTES = {
    "c": "prompt", "uc": "negative_prompt", "steps": "steps", "seed": "seed", "scale": "cfg_scale",
    "sampler": "sampler", "size": "width",
}  # fmt: skip
_ROLES = {"model": "checkpoint", "lora": "lora"}

#: Lists and objects that are read, and what is not of the second, which every picture has: all of its settings.
_READ = ("lora", "v2")
_OF_V2 = ("hiresFix", "refinerModel", "controls", "upscaler", "faceRestoration")

#: Fields that say nothing of how the picture looks, or nothing at these values.
_USUAL: dict[str, tuple[object, ...]] = {
    "strength": (1, 1.0),
    "mask_blur": (0,),
    "seed_mode": ("Torch CPU Compatible",),
}

#: What its own files of models end in.
_ENDINGS = re.compile(r"_(?:f16|f32|q[4568]p?|bf16|lora)(?=_|\.|$)", re.IGNORECASE)


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The comment of the packet."""
    packet = texts.get("XML:com.adobe.xmp", "")
    _, _, behind = packet.partition("<exif:UserComment>")
    comment, _, _ = behind.partition("</exif:UserComment>")
    text = comment[comment.find("{") : comment.rfind("}") + 1]
    said = mapping(parse_json(html.unescape(text))) if "Draw Things" in packet else {}
    if "c" not in said:
        return None
    width, _, height = (line(said.get("size")) or "").partition("x")
    whole = mapping(said.get("v2"))
    more = said | {key: whole[key] for key in _OF_V2 if whole.get(key)}
    return with_understood(
        PictureParameters(
            software="Draw Things",
            prompt=prompt(said.get("c")),
            negative_prompt=prompt(said.get("uc")),
            settings=settings(
                {
                    **said,
                    "cfg_scale": said.get("scale"),
                    "clip_skip": whole.get("clipSkip"),
                    "sampler": line(said.get("sampler")),
                    "width": width,
                    "height": height,
                }
            ),
            assets=_assets(said).assets(),
            fields={key: shown for key, value in list(more.items())[:500] if (shown := written(value))},
            extra=nested(more, _READ),
            understood=frozenset(key for key, usual in _USUAL.items() if key in said and said[key] in usual),
        ),
        _ATTRIBUTES,
        _ROLES,
    )


def _assets(said: Mapping[str, Any]) -> Collection:
    found = Collection()
    found.add("checkpoint", _plain(said.get("model")))
    for each in map(mapping, sequence(said.get("lora"))[:MAX_ASSETS]):
        name = _plain(each.get("model"))
        found.add("lora", name, weight=each.get("weight"), turn=found.uses("lora", name))
    return found


def _plain(name: object) -> str | None:
    """A file's name without what it was converted to."""
    return _ENDINGS.sub("", line(name) or "") or None


DIALECT = Dialect("Draw Things", 37, read)
