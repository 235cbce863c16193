"""NovelAI: an object in the comment, beside the program's name; a model of its own, which nobody else has.

Format: as its own pictures have it; since its fourth model, a prompt has a part for each character.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.pictures.parameters import (
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
from assetctl.samplers import a1111_name
from assetctl.text import line

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACES = ("Comment", "UserComment")

#: Fields by the attribute that expresses them.
_ATTRIBUTES = {
    "prompt": "prompt", "uc": "negative_prompt", "steps": "steps", "seed": "seed", "scale": "cfg_scale",
    "width": "width", "height": "height", "sampler": "sampler",
}  # fmt: skip

#: Objects that are read.
_READ = ("v4_prompt", "v4_negative_prompt")

#: Fields that say nothing of how the picture looks, or nothing at these values.
_USUAL: dict[str, tuple[object, ...]] = {
    "n_samples": (1,), "request_type": ("PromptGenerateRequest",), "noise_schedule": ("native", "karras"),
    "signed_hash": (), "strength": (1, 1.0), "noise": (0, 0.0),
}  # fmt: skip


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The comment, where the picture says that it is NovelAI's or the comment looks so."""
    is_named = "novelai" in (texts.get("Software", "") + texts.get("Source", "")).lower()
    for place in _PLACES:
        said = mapping(parse_json(texts.get(place)))
        inner = mapping(parse_json(said.get("Comment"))) if isinstance(said.get("Comment"), str) else {}
        said = inner or said
        if said.keys() >= {"uc", "scale", "sampler"} or (is_named and said.keys() & {"prompt", "v4_prompt"}):
            return _parameters(said, texts)
    return None


def _parameters(said: dict[str, Any], texts: Mapping[str, str]) -> PictureParameters:
    found = PictureParameters(
        software="NovelAI",
        prompt=_captions(said.get("v4_prompt")) or prompt(said.get("prompt")) or prompt(texts.get("Description")),
        negative_prompt=_captions(said.get("v4_negative_prompt")) or prompt(said.get("uc")),
        settings=settings(
            {
                **said,
                "cfg_scale": said.get("scale"),
                "sampler": a1111_name(line(said.get("sampler")), line(said.get("noise_schedule"))),
            }
        ),
        fields={key: text for key, value in list(said.items())[:500] if (text := written(value))},
        extra=nested(said, _READ),
        understood=frozenset(key for key, usual in _USUAL.items() if key in said and (not usual or said[key] in usual)),
    )
    return with_understood(found, _ATTRIBUTES)


def _captions(described: object) -> str | None:
    """A prompt in parts: what holds for all of the picture, then each character."""
    caption = mapping(mapping(described).get("caption"))
    each = [mapping(part).get("char_caption") for part in sequence(caption.get("char_captions"))]
    texts = [text for text in map(prompt, (caption.get("base_caption"), *each)) if text is not None]
    return "\n".join(texts) or None


DIALECT = Dialect("NovelAI", 35, read)
