"""Searching the Hub: models by name, and by what their tags and cards say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.sources._hub import api, endpoint, hub_errors
from assetctl.sources._hub_facts import KINDS
from assetctl.sources.base import Found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from huggingface_hub import ModelInfo

#: What pictures are made with, where no tag says more.
_PICTURES = "text-to-image"
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
    with hub_errors(f"A search for {query!r}"):
        models = api().list_models(
            search=query,
            filter=tag,
            pipeline_tag=None if tag else _PICTURES,
            sort="downloads",
            limit=limit,
            expand=["downloads", "tags", "author"],
        )
        found = [_found(model) for model in models]
    return [each for each in found if kind in (None, each.kind)]


def _found(model: ModelInfo) -> Found:
    tags = [str(tag) for tag in model.tags or ()]
    kind = next((word for tag, word in KINDS.items() if tag in tags), None)
    if kind is None and {"diffusers", _PICTURES} <= {*tags}:
        kind = "checkpoint"
    bases = [tag.rpartition(":")[2] for tag in tags if tag.startswith(_BASE_MODEL)]
    return Found(
        f"hf://{model.id}",
        model.id.rpartition("/")[2],
        kind,
        bases[0] if bases else None,
        None,
        None,
        model.downloads if isinstance(model.downloads, int) else None,
        model.author or model.id.partition("/")[0],
        f"{endpoint()}/{model.id}",
    )
