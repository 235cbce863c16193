"""Searching the Hub: models by name, and by what their tags and cards say of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huggingface_hub import ModelInfo, constants, get_session, hf_raise_for_status

from assetctl.sources._hub import ASK_AGAIN, endpoint, headers, hub_errors
from assetctl.sources._hub_facts import KINDS
from assetctl.sources.base import Found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    asked = {"filter": tag} if tag else {"pipeline_tag": _PICTURES}
    asked |= {"search": query, "sort": "downloads", "limit": str(limit)}
    found = [_found(model) for model in _ask(f"A search for {query!r}", asked)][:limit]
    return [each for each in found if kind in (None, each.kind)]


def _ask(what: str, asked: Mapping[str, str]) -> list[ModelInfo]:
    """One page of the Hub's list, asked for once: its client would try for 24 seconds while a person waits."""
    address, parameters = f"{endpoint()}/api/models", {**asked, "expand": ["downloads", "tags", "author"]}
    with hub_errors(what, ASK_AGAIN):
        response = get_session().get(
            address, params=parameters, headers=headers(), timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        )
        hf_raise_for_status(response)
        listed = response.json()
        if not isinstance(listed, list) or not all(isinstance(item, dict) and "id" in item for item in listed):
            raise ValueError(listed)
        return [ModelInfo(**{"siblings": None} | item) for item in listed]  # type: ignore[no-untyped-call]  # theirs


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
