"""assetctl list."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from assetctl.cli import completion
from assetctl.cli.render import list_limit, show_assets, tell_damaged, tell_rest
from assetctl.cli.session import Session, command
from assetctl.errors import CatalogError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.cli.session import Output

LIMIT = typer.Option(
    "--limit", min=0, max=10**9, help="How many at most; 0 for all. A table shows 100 unless told otherwise."
)

#: How many that could fit are counted, to say how many there are.
_COUNTED = 10_000

_EMPTY = "{} fill it with `assetctl pull REF` or `assetctl import FOLDER`, or try `assetctl demo`."


class Order(StrEnum):
    """Orders of a list."""

    NAME = "name"
    SIZE = "size"
    ADDED = "added"
    USED = "used"


@command(
    gives="list[types.Asset] | list[types.Fitting]",
    lists=True,
    examples=[
        "assetctl list --kind lora --family sdxl",
        "assetctl list --sort size --limit 10",
        "assetctl list --tag cats --json",
        "assetctl list --fits demo-checkpoint --kind lora",
        "assetctl list --kind lora --quiet | xargs -d '\\n' -n1 assetctl inspect",
    ],
)
def app(
    session: Session,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", "-k", help="checkpoint, lora, embedding, vae, controlnet…", autocompletion=completion.kinds
        ),
    ] = None,
    family: Annotated[
        str | None,
        typer.Option(
            "--family", "-f", help="sd1, sd2, sdxl, flux1…; '' for unknown.", autocompletion=completion.families
        ),
    ] = None,
    base_model: Annotated[str | None, typer.Option("--base-model", help='"SD 1.5", Pony, Illustrious…')] = None,
    tags: Annotated[list[str] | None, typer.Option("--tag", "-t", help="Only with this tag; can be repeated.")] = None,
    format: Annotated[str | None, typer.Option("--format", help="safetensors, diffusers, pickle, gguf or png.")] = None,
    in_store: Annotated[
        bool | None,
        typer.Option("--in-store/--in-place", help="Only what assetctl keeps, or only what lies elsewhere."),
    ] = None,
    fits: Annotated[
        str | None,
        typer.Option(
            "--fits",
            metavar="CHECKPOINT",
            help="Only what can be used with it, best first.",
            autocompletion=completion.asset_names("checkpoint"),
        ),
    ] = None,
    sort: Annotated[
        Order, typer.Option("--sort", help="By name; or the largest, last added, or last used in a picture first.")
    ] = Order.NAME,
    limit: Annotated[int | None, LIMIT] = None,
) -> None:
    """List assets; filters add up."""
    if fits is not None and sort is not Order.NAME:
        raise UsageError("--sort does not go with --fits.", "What fits is listed best first.")
    session.registry.require_family(family)
    wanted = Filters(
        tags or (), in_store, sort.value, {"kind": kind, "family": family, "base_model": base_model, "format": format}
    )
    most = list_limit(session.out, limit)
    shown = _show_all(session, wanted, most) if fits is None else _show_fitting(session, fits, wanted, most)
    near = None if shown else session.registry.unknown_base_model(base_model)
    if near is not None:
        hint = f"Did you mean {' or '.join(near)}?" if near else "`assetctl list` shows the base models of all assets."
        session.out.warning(f"No asset is of the base model {base_model}, and no family has one of that name.", hint)
    elif not shown:
        _explain_nothing(session, wanted, fits)


class Filters(NamedTuple):
    """The filters."""

    tags: Sequence[str]
    in_store: bool | None
    sort: str
    fields: dict[str, str | None]


def _show_all(session: Session, wanted: Filters, limit: int | None) -> int:
    tags, in_store, sort, fields = wanted
    damaged: list[CatalogError] = []
    assets = session.registry.list(
        tags=tags, in_store=in_store, limit=limit, sort=sort, damaged=damaged.append, **fields
    )
    if damaged and not assets:
        raise damaged[0]
    show_assets(session.out, assets)
    if damaged:
        tell_damaged(session.out, damaged, "asset")
    tell_rest(
        session.out,
        len(assets),
        limit,
        lambda most: session.registry.count(most, tags=tags, in_store=in_store, **fields),
    )
    return len(assets)


def _show_fitting(session: Session, checkpoint: str, wanted: Filters, limit: int | None) -> int:
    tags, in_store, _, fields = wanted
    found = session.registry.fitting(checkpoint, tags=tags, in_store=in_store, limit=limit, **fields)
    show_assets(session.out, [asset for asset, _ in found], [fit for _, fit in found])
    _tell_rest_of_fitting(
        session.out,
        len(found),
        limit,
        lambda most: session.registry.count(most, fits=checkpoint, tags=tags, in_store=in_store, **fields),
    )
    return len(found)


def _tell_rest_of_fitting(out: Output, shown: int, limit: int | None, count: Callable[[int], int]) -> None:
    """How many more there are; whether all of those fit is not known before they are read."""
    from assetctl.operations.select.fitting import looked_at  # noqa: PLC0415 - other lists pay for no rules

    if limit is None or out.json or out.quiet:
        return
    there = count(_COUNTED + 1)
    total = f"more than {_COUNTED:,}" if there > _COUNTED else f"at most {there:,}"
    if shown == limit < there:
        out.note(f"{shown:,} of {total} shown; `--limit 0` shows all.")
    elif shown < limit and there > looked_at(limit):
        out.note(f"{shown:,} of the first {looked_at(limit):,} fit; `--limit 0` looks at all, {total}.")


def _explain_nothing(session: Session, wanted: Filters, fits: str | None) -> None:
    filtered = (
        fits or wanted.tags or wanted.in_store is not None or any(value is not None for value in wanted.fields.values())
    )
    settings = session.registry.settings
    there = "The catalog is empty:" if settings.catalog.exists() else f"There is no catalog in {settings.home} yet:"
    session.out.hint("No asset matches; `assetctl list` shows all." if filtered else _EMPTY.format(there))
