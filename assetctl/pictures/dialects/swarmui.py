"""SwarmUI: an object of all parameters by their identifiers, and a list of the models with their hashes.

Format: `docs/Image Metadata Format.md` of https://github.com/mcmonkeyprojects/SwarmUI. A model's hash is the SHA256
past the header of its file, whole.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assetctl.pictures.dialects.a1111 import PLACES
from assetctl.pictures.parameters import (
    MAX_ASSETS,
    NO_FILE,
    Collection,
    Dialect,
    PictureParameters,
    integer,
    mapping,
    model_name,
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

#: Parameters by the attribute, or the role of the assets, that expresses them.
_ATTRIBUTES = {
    "prompt": "prompt", "negativeprompt": "negative_prompt", "steps": "steps", "seed": "seed", "width": "width",
    "height": "height", "cfgscale": "cfg_scale", "sampler": "sampler", "clipstopatlayer": "clip_skip",
    "swarm_version": "software", "comfyuisampler": "sampler",
}  # fmt: skip
_ROLES = {"model": "checkpoint", "loras": "lora", "loraweights": "lora", "vae": "vae", "used_embeddings": "embedding"}

#: How prompts name embeddings.
_EMBEDDING = re.compile(r"<embed(?:ding)?:([^<>]{1,300})>", re.IGNORECASE)

#: Parameters that say nothing of how the picture looks, or nothing at these values.
_SILENT = (
    "aspectratio", "automaticvae", "batchsize", "date", "generation_time", "imageformat", "images", "nopreviews",
    "personalnote", "prep_time", "wildcardseed",
)  # fmt: skip

#: What stands in the place of a refiner's name where the checkpoint is the refiner.
_OF_THE_BASE = frozenset({"(use base)"})

#: What older versions wrote `comfyui` before.
_SAMPLED = ("sampler", "scheduler")
_PLAIN_SCHEDULES = ("normal", "karras", "exponential")


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The first text that is such an object."""
    for place in PLACES:
        text = texts.get(place, "")
        said = mapping(parse_json(text)) if "sui_image_params" in text else {}
        if isinstance(said.get("sui_image_params"), dict):
            return _parameters(said["sui_image_params"], said)
    return None


def _parameters(said: dict[str, Any], around: dict[str, Any]) -> PictureParameters:
    layer = integer(said.get("clipstopatlayer"), -100, -1)
    found = PictureParameters(
        software="SwarmUI",
        prompt=_with_tokens(prompt(said.get("prompt"))),
        negative_prompt=_with_tokens(prompt(said.get("negativeprompt"))),
        settings=settings(
            {
                **said,
                "cfg_scale": said.get("cfgscale"),
                "sampler": a1111_name(*(line(said.get(key, said.get(f"comfyui{key}"))) for key in _SAMPLED)),
                "clip_skip": None if layer is None else -layer,
            }
        ),
        assets=_assets(said, sequence(around.get("sui_models"))).assets(),
        fields={key: text for key, value in list(said.items())[:500] if (text := written(value))},
        understood=frozenset(key for key, value in said.items() if key in _SILENT or _is_usual(key, value)),
    )
    return with_understood(found, _ATTRIBUTES, _ROLES)


def _is_usual(key: str, value: object) -> bool:
    plain = (line(value) or "").lower()
    return (key.endswith("scheduler") and plain in _PLAIN_SCHEDULES) or (key == "vae" and plain in NO_FILE)


def _with_tokens(text: str | None) -> str | None:
    """A prompt where embeddings stand by their bare names, as in other programs."""
    return None if text is None else _EMBEDDING.sub(lambda found: model_name(found[1]) or found[1], text)


def _assets(said: dict[str, Any], models: list[Any]) -> Collection:
    found = Collection()
    found.add("checkpoint", said.get("model"))
    weights = _listed(said.get("loraweights"))
    for number, name in enumerate(_listed(said.get("loras"))[:MAX_ASSETS]):
        found.add(
            "lora", name, weight=weights[number] if number < len(weights) else None, turn=found.uses("lora", name)
        )
    if str(said.get("vae", "none")).lower() not in NO_FILE:
        found.add("vae", said.get("vae"))
    if str(said.get("refinermodel", "none")).lower() not in NO_FILE | _OF_THE_BASE:
        found.add("other", said.get("refinermodel"))
    if str(said.get("controlnetmodel", "none")).lower() not in NO_FILE:
        found.add("controlnet", said.get("controlnetmodel"), weight=said.get("controlnetstrength"))
    tags = (each for key in ("prompt", "negativeprompt") for each in _EMBEDDING.findall(str(said.get(key, ""))))
    for name in (*_listed(said.get("used_embeddings")), *tags):
        found.add("embedding", name)
    roles = {"model": "checkpoint", "loras": "lora", "vae": "vae", "used_embeddings": "embedding"}
    for each in map(mapping, models[:MAX_ASSETS]):
        role = roles.get(line(each.get("param")) or "", "other")
        if (line(each.get("name")) or "none").lower() not in NO_FILE:
            found.add(role, each.get("name"), digest=each.get("hash"))
    return found


def _listed(value: object) -> list[Any]:
    """A list, or what an older version wrote with commas between."""
    return [each.strip() for each in value.split(",") if each.strip()] if isinstance(value, str) else sequence(value)


DIALECT = Dialect("SwarmUI", 15, read)
