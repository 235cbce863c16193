"""assetctl list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from assetctl.cli.render import list_limit, show_assets, tell_rest
from assetctl.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = typer.Option("--limit", min=0, help="How many at most; 0 for all. A table shows 100 unless told otherwise.")

_EMPTY = "The catalog is empty: fill it with `assetctl pull REF` or `assetctl import FOLDER`, or try `assetctl demo`."


@command(
    examples=[
        "assetctl list --kind lora --family sdxl",
        "assetctl list --tag cats --json",
        "assetctl list --fits demo-checkpoint --kind lora",
        "assetctl list --kind lora --quiet | xargs -d '\\n' -n1 assetctl inspect",
    ]
)
def app(
    session: Session,
    kind: Annotated[
        str | None, typer.Option("--kind", "-k", help="checkpoint, lora, embedding, vae, controlnet…")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", "-f", help="sd1, sd2, sdxl, flux1…")] = None,
    base_model: Annotated[str | None, typer.Option("--base-model", help='"SD 1.5", Pony, Illustrious…')] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", "-t", help="Only with this tag; can be repeated.")] = None,
    format: Annotated[str | None, typer.Option("--format", help="safetensors or diffusers.")] = None,
    in_store: Annotated[
        bool | None,
        typer.Option("--in-store/--in-place", help="Only what assetctl keeps, or only what lies elsewhere."),
    ] = None,
    fits: Annotated[
        str | None, typer.Option("--fits", metavar="CHECKPOINT", help="Only what can be used with it, best first.")
    ] = None,
    limit: Annotated[int | None, LIMIT] = None,
) -> None:
    """List assets; filters add up."""
    wanted = Wanted(tags or (), in_store, {"kind": kind, "family": family, "base_model": base_model, "format": format})
    most = list_limit(session.out, limit)
    shown = _show_all(session, wanted, most) if fits is None else _show_fitting(session, fits, wanted, most)
    if not shown:
        _explain_nothing(session, wanted, fits)


class Wanted(NamedTuple):
    """The filters."""

    tags: Sequence[str]
    in_store: bool | None
    fields: dict[str, str | None]


def _show_all(session: Session, wanted: Wanted, limit: int | None) -> int:
    tags, in_store, fields = wanted
    assets = session.registry.list(tags=tags, in_store=in_store, limit=limit, **fields)
    show_assets(session.out, assets)
    tell_rest(
        session.out,
        len(assets),
        limit,
        lambda most: session.registry.count(most, tags=tags, in_store=in_store, **fields),
    )
    return len(assets)


def _show_fitting(session: Session, checkpoint: str, wanted: Wanted, limit: int | None) -> int:
    tags, in_store, fields = wanted
    found = session.registry.fitting(checkpoint, tags=tags, in_store=in_store, limit=limit, **fields)
    show_assets(session.out, [asset for asset, _ in found], [fit for _, fit in found])
    tell_rest(
        session.out,
        len(found),
        limit,
        lambda most: session.registry.count(most, fits=checkpoint, tags=tags, in_store=in_store, **fields),
        most=10_000,
    )
    return len(found)


def _explain_nothing(session: Session, wanted: Wanted, fits: str | None) -> None:
    filtered = fits or wanted.tags or wanted.in_store is not None or any(wanted.fields.values())
    session.out.hint("No asset matches; `assetctl list` shows all." if filtered else _EMPTY)
    family = wanted.fields["family"]
    known = session.registry.families() if family else ()
    if family and family.lower() not in known:
        session.out.hint(f"{family} is no family that assetctl knows: {', '.join(known)}.")
