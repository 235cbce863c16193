"""What the card and the tags of a repository on the Hub say of its model, in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assetctl.sources._said import dictionary, text, texts
from assetctl.types import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Tags by which models of the Hub say what they are, and our words.
KINDS = {
    "lora": "lora",
    "textual_inversion": "embedding",
    "controlnet": "controlnet",
    "vae": "vae",
    "ip-adapter": "ip-adapter",
    "super-resolution": "upscaler",
}

#: Models that others are trained on, and their names in Civitai's spelling. Source: the pages of both.
_BASE_MODELS = {
    "stable-diffusion-v1-5": "SD 1.5",
    "stable-diffusion-v1-4": "SD 1.4",
    "stable-diffusion-2-1": "SD 2.1",
    "stable-diffusion-2": "SD 2.0",
    "stable-diffusion-xl-base-1.0": "SDXL 1.0",
    "sdxl-turbo": "SDXL Turbo",
    "stable-diffusion-3-medium": "SD 3",
    "stable-diffusion-3.5-large": "SD 3.5 Large",
    "stable-diffusion-3.5-medium": "SD 3.5 Medium",
    "flux.1-dev": "Flux.1 D",
    "flux.1-schnell": "Flux.1 S",
}

#: Licences that forbid to sell what is made with the model, as far as their names tell.
_NOT_COMMERCIAL = re.compile(r"(^|-)nc(-|$)|non-?commercial", re.IGNORECASE)


def facts_of(info: Mapping[str, Any], page: str) -> Facts | None:
    """What is said of a model, `None` if that is nothing."""
    card, tags = dictionary(info.get("cardData")), texts(info.get("tags"))
    licence = text(card.get("license_name")) or text(card.get("license"))
    words = text(card.get("instance_prompt"))
    facts = Facts(
        base_model=_base_model(card.get("base_model")),
        kind=next((word for tag, word in KINDS.items() if tag in tags), None),
        trigger_words=(words,) if words else (),
        licence=licence,
        commercial=False if licence and _NOT_COMMERCIAL.search(licence) else None,
        page=page,
        creator=text(info.get("author")),
        source="huggingface",
    )
    said = (facts.base_model, facts.kind, facts.licence, *facts.trigger_words)
    return facts if any(said) else None


def _base_model(said: object) -> str | None:
    named = said[0] if isinstance(said, list) and said else said
    return _BASE_MODELS.get(named.rpartition("/")[2].lower()) if isinstance(named, str) else None
