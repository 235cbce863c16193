"""InvokeAI: `invokeai_metadata` since its third version, `sd-metadata` in its second, `Dream` in its first.

Format: `CoreMetadataInvocation` in `invokeai/app/invocations/metadata.py` of
https://github.com/invoke-ai/InvokeAI; the old ones in `ldm/invoke/` of its version 2.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assetctl.pictures.parameters import (
    Collection,
    Dialect,
    PictureParameters,
    integer,
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
from assetctl.text import clean, line

if TYPE_CHECKING:
    from collections.abc import Mapping

_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")

#: Letters of the command line that `Dream` keeps, and the fields that they stand for.
_FLAGS = {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "cfg_scale", "A": "sampler"}

#: Fields by the attribute, or the role of the assets, that expresses them.
_ATTRIBUTES = {
    "positive_prompt": "prompt", "prompt": "prompt", "negative_prompt": "negative_prompt", "steps": "steps",
    "scheduler": "sampler", "sampler": "sampler", "cfg_scale": "cfg_scale", "seed": "seed", "width": "width",
    "height": "height", "clip_skip": "clip_skip", "app_version": "software", "app_id": "software",
}  # fmt: skip
_ROLES = {"model": "checkpoint", "model_weights": "checkpoint", "model_hash": "checkpoint", "vae": "vae"}

#: Lists and objects that are read.
_READ = ("model", "loras", "vae", "controlnets", "image", "prompt")

#: Values of fields that change nothing.
_USUAL: dict[str, tuple[object, ...]] = {
    "generation_mode": ("txt2img", "sdxl_txt2img"), "cfg_rescale_multiplier": (0,), "seamless_x": (False,),
    "seamless_y": (False,), "clip_skip": (0,), "seamless": (False,), "hires_fix": (False,), "type": ("txt2img",),
}  # fmt: skip


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The newest of the three that is there."""
    said = mapping(parse_json(texts.get("invokeai_metadata")))
    if said:
        return _current(said)
    said = mapping(parse_json(texts.get("sd-metadata")))
    if said:
        return _second(said)
    dream = clean(texts.get("Dream")).strip()
    return _first(dream) if dream else None


def _current(said: dict[str, Any]) -> PictureParameters:
    assets = Collection()
    _add(assets, "checkpoint", said.get("model"))
    for each in map(mapping, sequence(said.get("loras"))):
        _add(assets, "lora", each.get("model") or each.get("lora"), each.get("weight"))
    _add(assets, "vae", said.get("vae"))
    for each in map(mapping, sequence(said.get("controlnets"))):
        _add(assets, "controlnet", each.get("control_model"), each.get("control_weight"))
    _add(assets, "other", said.get("refiner_model"))
    skipped = integer(said.get("clip_skip"), 1, 99)
    return _parameters(
        said, _first_of(said, "positive_prompt", "prompt"), said.get("negative_prompt"), said.get("scheduler"),
        assets, None if skipped is None else skipped + 1,
    )  # fmt: skip


def _second(said: dict[str, Any]) -> PictureParameters:
    image = mapping(said.get("image"))
    written_prompt = image.get("prompt")
    parts = [mapping(each).get("prompt") for each in sequence(written_prompt)]
    text = "\n".join(clean(each) for each in parts) if parts else clean(written_prompt)
    assets = Collection()
    assets.add("checkpoint", said.get("model_weights"), digest=said.get("model_hash"))
    return _parameters(said | image, *_split(text), image.get("sampler"), assets)


def _first(dream: str) -> PictureParameters:
    """A command line: the prompt in quotes, then options of one letter."""
    quoted, quote, options = dream.rpartition('"')
    said: dict[str, object] = {}
    for letter, value in re.findall(r"(?:^|(?<=\s))-([A-Za-z])\s?([^\s-]\S*)", options if quote else ""):
        said.setdefault(_FLAGS.get(letter, letter), value)
    return _parameters(said, *_split(quoted[1:] if quote else dream), said.get("sampler"), Collection())


#: Words that mean something else there.
_OTHERS = {"scheduler": None, "noise": None}


def _parameters(
    said: dict[str, Any], positive: object, negative: object, sampler: object, assets: Collection,
    clip_skip: int | None = None,
) -> PictureParameters:  # fmt: skip
    found = PictureParameters(
        software="InvokeAI",
        prompt=prompt(positive),
        negative_prompt=prompt(negative),
        settings=settings(said | _OTHERS | {"sampler": a1111_name(line(sampler)), "clip_skip": clip_skip}),
        assets=assets.assets(),
        fields={key: text for key, value in list(said.items())[:500] if (text := written(value))},
        extra=nested(said, _READ),
        understood=frozenset(key for key, value in said.items() if key in _USUAL and value in _USUAL[key]),
    )
    return with_understood(found, _ATTRIBUTES, _ROLES)


def _add(assets: Collection, role: str, model: object, weight: object = None) -> None:
    """A model as the versions describe it: by `name` and `hash`, or by `model_name`, or by a name alone."""
    said = mapping(model)
    name = _first_of(said, "name", "model_name") if said else model
    assets.add(role, name, digest=said.get("hash"), weight=weight)


def _first_of(said: dict[str, Any], *keys: str) -> object:
    return next((said[key] for key in keys if isinstance(said.get(key), str)), None)


def _split(text: str) -> tuple[str, str]:
    """The prompt, and what it holds in square brackets, which once meant the negative prompt."""
    return _NEGATIVE.sub("", text), ", ".join(_NEGATIVE.findall(text))


DIALECT = Dialect("InvokeAI", 30, read)
