"""Easy Diffusion: a text for each field, or an object of all of them in the comment.

Format: `ui/easydiffusion/utils/save_utils.py` of https://github.com/easydiffusion/easydiffusion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from assetctl.pictures.parameters import (
    MAX_ASSETS,
    NO_FILE,
    Collection,
    Dialect,
    PictureParameters,
    mapping,
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

_MODEL = "use_stable_diffusion_model"

#: Fields by the attribute, or the role of the assets, that expresses them.
_ATTRIBUTES = {
    "prompt": "prompt", "negative_prompt": "negative_prompt", "num_inference_steps": "steps", "seed": "seed",
    "guidance_scale": "cfg_scale", "sampler_name": "sampler", "width": "width", "height": "height", "app": "software",
}  # fmt: skip
_ROLES = {
    _MODEL: "checkpoint", "use_vae_model": "vae", "use_lora_model": "lora", "lora_alpha": "lora",
    "use_embeddings_model": "embedding",
}  # fmt: skip


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The texts, or the object."""
    said: Mapping[str, Any] = texts
    if _MODEL not in said:
        said = next((each for place in ("UserComment", "Comment") if (each := _object(texts.get(place)))), {})
    if _MODEL not in said:
        return None
    found = PictureParameters(
        software="Easy Diffusion",
        prompt=prompt(said.get("prompt")),
        negative_prompt=prompt(said.get("negative_prompt")),
        settings=settings(
            {
                **{key: value for key, value in said.items() if key != "clip_skip"},
                "sampler": a1111_name(line(said.get("sampler_name"))),
                "clip_skip": 2 if str(said.get("clip_skip")).lower() == "true" else None,
            }
        ),
        assets=_assets(said).assets(),
        fields={key: text for key, value in list(said.items())[:500] if (text := written(value))},
    )
    return with_understood(found, _ATTRIBUTES, _ROLES)


def _object(text: str | None) -> dict[str, Any]:
    return mapping(parse_json(text)) if text is not None and _MODEL in text else {}


def _assets(said: Mapping[str, Any]) -> Collection:
    found = Collection()
    found.add("checkpoint", said.get(_MODEL))
    weights = _listed(said.get("lora_alpha"))
    for number, name in enumerate(_listed(said.get("use_lora_model"))[:MAX_ASSETS]):
        if (line(name) or "none").lower() not in NO_FILE:
            weight = weights[number] if number < len(weights) else None
            found.add("lora", name, weight=weight, turn=found.uses("lora", name))
    for role, key in (("vae", "use_vae_model"), ("embedding", "use_embeddings_model")):
        for name in _listed(said.get(key))[:MAX_ASSETS]:
            if (line(name) or "none").lower() not in NO_FILE:
                found.add(role, name)
    return found


def _listed(value: object) -> list[Any]:
    """A list, one written as Python or JSON has it, or one value."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        return sequence(parse_json(value.replace("'", '"')))
    return sequence(value) or ([] if value is None else [value])


DIALECT = Dialect("Easy Diffusion", 36, read)
