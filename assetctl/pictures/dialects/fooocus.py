"""Fooocus: an object in its own scheme, or an infotext in A1111's with its version; a file's hash is its AutoV2.

Format: `modules/meta_parser.py` of https://github.com/lllyasviel/Fooocus. Older versions wrote the labels of a log.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from assetctl.pictures.dialects import a1111
from assetctl.pictures.parameters import (
    MAX_ASSETS,
    NO_FILE,
    Collection,
    Dialect,
    PictureParameters,
    integer,
    mapping,
    parse_json,
    prompt,
    sequence,
    settings,
    with_understood,
    written,
)
from assetctl.samplers import SCHEDULERS, a1111_name
from assetctl.text import line

if TYPE_CHECKING:
    from collections.abc import Mapping

_SIZE = re.compile(r"\D*(\d{1,6})\D+(\d{1,6})\D*")

#: Fields by the attribute, or the role of the assets, that expresses them.
_ATTRIBUTES = {
    "prompt": "prompt", "negative_prompt": "negative_prompt", "steps": "steps", "seed": "seed",
    "guidance_scale": "cfg_scale", "sampler": "sampler", "resolution": "width", "version": "software",
    "metadata_scheme": "software", "clip_skip": "clip_skip",
}  # fmt: skip
_ROLES = {"base_model": "checkpoint", "base_model_hash": "checkpoint", "vae": "vae"}

#: At least these are in each.
_TELLING = ({"base_model", "metadata_scheme"}, {"base_model", "performance"}, {"base_model", "base_model_hash"})
_PLAIN_SCHEDULES = ("normal", "karras", "exponential")


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The object, or the infotext."""
    for place in a1111.PLACES:
        text = texts.get(place, "").lstrip()
        said = mapping(parse_json(text)) if text.startswith("{") else {}
        said = {key.strip().lower().replace(" ", "_"): value for key, value in said.items()}
        if any(keys <= said.keys() for keys in _TELLING):
            return _parameters(said)
    found = a1111.read(texts)
    if found is None or not found.fields.get("Version", "").startswith("Fooocus"):
        return None
    found = replace(found, software="Fooocus", assets=_with_weights(found), settings=_sampled(found))
    plain = found.fields.get("Scheduler") in SCHEDULERS.values()
    return with_understood(found, {"Scheduler": "scheduler"} if plain else {})


def _sampled(found: PictureParameters) -> dict[str, Any]:
    """An infotext's settings, where samplers that A1111 has no name for stand beside their schedule."""
    name, schedule = line(found.fields.get("Sampler")), line(found.fields.get("Scheduler"))
    return settings({"sampler": a1111_name(name, schedule), "scheduler": schedule}, found.settings)


def _parameters(said: dict[str, Any]) -> PictureParameters:
    size = _SIZE.fullmatch(str(said.get("resolution"))[:40])
    found = PictureParameters(
        software="Fooocus",
        prompt=prompt(said.get("prompt")),
        negative_prompt=prompt(said.get("negative_prompt")),
        settings=settings(
            {
                **said,
                "sampler": a1111_name(line(said.get("sampler")), line(said.get("scheduler"))),
                **({} if size is None else {"width": size[1], "height": size[2]}),
            }
        ),
        assets=_assets(said).assets(),
        fields={key: text for key, value in list(said.items())[:500] if (text := written(value))},
        understood=frozenset(
            key
            for key, value in said.items()
            if key.startswith("lora_combined_")
            or (key == "scheduler" and value in _PLAIN_SCHEDULES)
            or (key in ("vae", "refiner_model") and _is_none(value))
        ),
    )
    return with_understood(found, _ATTRIBUTES, _ROLES)


def _assets(said: dict[str, Any]) -> Collection:
    found = Collection()
    found.add("checkpoint", said.get("base_model"), digest=said.get("base_model_hash"))
    for each in map(sequence, sequence(said.get("loras"))[:MAX_ASSETS]):
        name, weight, digest = (*each, None, None, None)[:3]
        found.add("lora", name, weight=weight, digest=digest, turn=found.uses("lora", name))
    if not sequence(said.get("loras")):
        for key, value in said.items():
            if key.startswith("lora_combined_") and isinstance(value, str):
                name, _, weight = value.rpartition(" : ")
                found.add("lora", name, weight=weight.strip(), turn=found.uses("lora", name))
    for role, key in (("vae", "vae"), ("other", "refiner_model")):
        if not _is_none(said.get(key, "none")):
            found.add(role, said.get(key), digest=said.get(f"{key}_hash"))
    return found


def _is_none(name: object) -> bool:
    """Whether no file was chosen."""
    return str(name).split(" (")[0].strip().lower() in NO_FILE | {"default"}


def _with_weights(found: PictureParameters) -> tuple[Any, ...]:
    """An infotext's assets with the weights of LoRAs, which stand in a field of their own: `name: 0.5, other: 1`."""
    assets = Collection()
    assets.extend(found.assets)
    for pair in found.fields.get("Lora weights", "").split(", "):
        name, _, weight = pair.rpartition(": ")
        if integer(weight) is not None or "." in weight:
            assets.add("lora", name, weight=weight.strip())
    return assets.assets()


DIALECT = Dialect("Fooocus", 16, read)
