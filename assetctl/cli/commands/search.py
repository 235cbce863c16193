"""assetctl search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assetctl.cli import completion
from assetctl.cli.commands.list_assets import LIMIT
from assetctl.cli.render import list_limit, show_assets, tell_rest
from assetctl.cli.session import Session, command
from assetctl.text import readable_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.acquire.search import SearchHit

#: Words that, before others, say where to search.
_SOURCES = ("civitai", "huggingface", "hf", "hub")

#: How many models of a source are shown unless asked for more, and how many can be.
_OFFERED, _MOST_OFFERED = 20, 100
_COLUMNS = ("REFERENCE", "NAME", "KIND", "BASE MODEL", "SIZE", "DOWNLOADS", "HERE")


@command(
    gives="list[types.Asset] | list[operations.acquire.search.SearchHit]",
    lists=True,
    examples=[
        "assetctl search whiskers",
        'assetctl search "cat ear" --kind lora',
        "assetctl search civitai whiskers --kind lora --family sdxl",
        "assetctl search hf whiskers",
    ],
)
def app(
    session: Session,
    words: Annotated[
        list[str],
        typer.Argument(metavar="[SOURCE] WORD...", help="Beginnings of words; all must be there."),
    ],
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", help="Only of this kind.", autocompletion=completion.kinds)
    ] = None,
    family: Annotated[
        str | None, typer.Option("--family", "-f", help="Only of this family.", autocompletion=completion.families)
    ] = None,
    limit: Annotated[int | None, LIMIT] = None,
) -> None:
    """Search names, trigger words, tags and notes, best matches first.

    With `civitai` or `hf` before the words, search there: what is found can be pulled by its reference.
    """
    if len(words) > 1 and words[0].lower() in _SOURCES:
        most = min(limit or (_OFFERED if limit is None else _MOST_OFFERED), _MOST_OFFERED)
        source, query = words[0], " ".join(words[1:])
        offers = session.registry.search_source(source, query, kind=kind, family=family, limit=most)
        _show_offers(session, offers)
        return
    session.registry.require_family(family)
    text, shown = " ".join(words), list_limit(session.out, limit)
    assets = session.registry.search(text, kind=kind, family=family, limit=shown)
    show_assets(session.out, assets)
    tell_rest(
        session.out,
        len(assets),
        shown,
        lambda _: session.registry.count_matches(text, kind=kind, family=family),
        most=1000,
    )
    if not assets:
        session.out.hint("Nothing was found; `assetctl list` shows all assets, `assetctl search civitai …` asks there.")


def _show_offers(session: Session, offers: Sequence[SearchHit]) -> None:
    def render() -> None:
        if offers:
            session.out.table(_COLUMNS, map(_row, offers), right=("SIZE", "DOWNLOADS"))

    session.out.result(offers, render, [offer.found.reference for offer in offers])
    if offers:
        session.out.hint(f"`assetctl pull {offers[0].found.reference}` brings the first.")
    else:
        session.out.hint("Nothing was found; try fewer words.")


def _row(offer: SearchHit) -> tuple[str, ...]:
    found = offer.found
    return (
        found.reference, found.name, found.kind or "-", found.base_model or "-",
        readable_size(found.size) if found.size else "-", "-" if found.downloads is None else f"{found.downloads:,}",
        offer.here.name if offer.here else "",
    )  # fmt: skip
