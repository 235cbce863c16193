"""What a shell completes: names of assets, and the words that options take. Nothing, where something goes wrong."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from assetctl.types import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from assetctl.registry import Registry

#: A word, and what the shell says beside it.
Offer = tuple[str, str]

#: How many names are offered.
_MOST = 200


def asset_names(kind: str | None = None) -> Callable[[typer.Context, str], list[Offer]]:
    """What completes the name of an asset, of any kind or of one."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        with _offers(ctx) as (registry, found):
            if registry is not None:
                found += [
                    (asset.name, f"{asset.kind}, {asset.family or 'unknown family'}")
                    for asset in registry.list(kind=kind)
                    if asset.name.casefold().startswith(incomplete.casefold())
                ]
        return found[:_MOST]

    return complete


def kinds(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Kinds of assets."""
    return _matching(ctx, incomplete, lambda: KINDS)


def families(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Families that can be identified."""

    def known() -> Iterable[str]:
        from assetctl.identify.plugins import families as all_families  # noqa: PLC0415 - loads every family

        return (family.name for family in all_families())

    return _matching(ctx, incomplete, known)


def samplers(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Samplers, as A1111 prints them."""

    def known() -> Iterable[str]:
        from assetctl.generation.samplers import SAMPLERS  # noqa: PLC0415 - for this option alone

        return SAMPLERS

    return _matching(ctx, incomplete, known)


def recipes(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Recipes of the manifest."""

    def known() -> Iterable[str]:
        from assetctl.manifest import read_manifest  # noqa: PLC0415 - for this option alone

        return read_manifest(Path(ctx.params.get("file") or "registry.toml")).recipes

    return _matching(ctx, incomplete, known)


def _matching(ctx: typer.Context, incomplete: str, words: Callable[[], Iterable[str]]) -> list[Offer]:
    with _offers(ctx, opens=False) as (_, found):
        found += [(word, "") for word in words() if word.casefold().startswith(incomplete.casefold())]
    return found


@contextlib.contextmanager
def _offers(ctx: typer.Context, *, opens: bool = True) -> Iterator[tuple[Registry | None, list[Offer]]]:
    """The registry, if there is one already, and a list to fill; whatever goes wrong ends it quietly."""
    found: list[Offer] = []
    with contextlib.suppress(Exception):  # a line that somebody is typing is no place for errors
        if not opens:
            yield None, found
            return
        from assetctl.registry import Registry  # noqa: PLC0415 - words of options need none
        from assetctl.settings import Settings  # noqa: PLC0415

        home = ctx.params.get("home") or ctx.find_root().params.get("home")
        if not (Settings.load(home).home / "catalog.db").is_file():
            yield None, found
            return
        with Registry.open(home) as registry:
            yield registry, found
