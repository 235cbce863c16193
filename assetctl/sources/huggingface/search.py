"""Searching the Hub: models by name, and by what their tags and cards say of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from assetctl.sources.base import Found, dictionaries, number, text, texts
from assetctl.sources.huggingface.client import ASK_AGAIN, KINDS, ask, endpoint, hub_errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What pictures are made with, where no tag says more.
_PICTURES = "text-to-image"
_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_BASE_MODEL = "base_model:"


def search(query: str, kind: str | None, base_models: Sequence[str], limit: int) -> list[Found]:
    """Repositories that suit, the most downloaded first; see `Searchable`. The Hub knows no base models of Civitai's.

    Raises:
        SourceError: Of the kind that fits.
    """
    del base_models
    tag = next((tag for tag, word in KINDS.items() if word == kind), None)
    if kind not in (None, "checkpoint") and tag is None:
        return []
    asked = {"filter": tag} if tag else {"pipeline_tag": _PICTURES}
    asked |= {"search": query, "sort": "downloads", "limit": str(limit)}
    found = [_found(model) for model in _ask(f"A search for {query!r}", asked)][:limit]
    return [each for each in found if kind in (None, each.kind)]


def _ask(what: str, asked: Mapping[str, str]) -> list[dict[str, Any]]:
    """One page of the Hub's list, asked for once: its client would try for 24 seconds while a person waits."""
    with hub_errors(what, ASK_AGAIN):
        listed = ask("models", what, {**asked, "expand": ["downloads", "tags", "author"]})
        if not isinstance(listed, list) or (listed and not dictionaries(listed)):
            raise ValueError
    return [model for model in dictionaries(listed) if _NAME.fullmatch(text(model.get("id")) or "")]


def _found(model: Mapping[str, Any]) -> Found:
    tags, name = texts(model.get("tags")), str(model["id"])
    kind = next((word for tag, word in KINDS.items() if tag in tags), None)
    if kind is None and {"diffusers", _PICTURES} <= {*tags}:
        kind = "checkpoint"
    bases = [tag.rpartition(":")[2] for tag in tags if tag.startswith(_BASE_MODEL)]
    return Found(
        f"hf://{name}",
        name.rpartition("/")[2],
        kind,
        text(bases[0]) if bases else None,
        None,
        None,
        number(model.get("downloads")),
        text(model.get("author")) or name.partition("/")[0],
        f"{endpoint()}/{name}",
    )
