"""What a shell completes: names of assets, and the words that options take. Nothing, where something goes wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from assetctl.types import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: A word, and what the shell says beside it.
Offer = tuple[str, str]

#: How many names are offered.
_MOST = 200


def asset_names(kind: str | None = None) -> Callable[[typer.Context, str], list[Offer]]:
    """What completes the name of an asset, of any kind or of one."""

    def complete(ctx: typer.Context, incomplete: str) -> list[Offer]:
        return _quietly(lambda: list(_names(ctx, kind, incomplete)))[:_MOST]

    return complete


def kinds(incomplete: str) -> list[Offer]:
    """Kinds of assets."""
    return _matching(incomplete, lambda: KINDS)


def families(incomplete: str) -> list[Offer]:
    """Families that can be identified."""

    def known() -> Iterable[str]:
        from assetctl.identify.plugins import families as all_families  # noqa: PLC0415 - loads every family

        return (family.name for family in all_families())

    return _matching(incomplete, known)


def words(known: Iterable[str]) -> Callable[[str], list[Offer]]:
    """Words that are known beforehand."""
    return lambda incomplete: _matching(incomplete, lambda: known)


def recipes(ctx: typer.Context, incomplete: str) -> list[Offer]:
    """Recipes of the manifest."""

    def known() -> Iterable[str]:
        from assetctl.manifest import read_manifest  # noqa: PLC0415 - for this option alone

        return read_manifest(Path(ctx.params.get("file") or "registry.toml")).recipes

    return _matching(incomplete, known)


def _matching(incomplete: str, words: Callable[[], Iterable[str]]) -> list[Offer]:
    return _quietly(lambda: [(word, "") for word in words() if word.startswith(incomplete)])


def _names(ctx: typer.Context, kind: str | None, incomplete: str) -> Iterator[Offer]:
    """Assets of a catalog that is there already: completing makes none."""
    from assetctl.registry import Registry  # noqa: PLC0415 - words of options need none
    from assetctl.settings import Settings  # noqa: PLC0415

    home = ctx.params.get("home") or ctx.find_root().params.get("home")
    if not (Settings.load(home).home / "catalog.db").is_file():
        return
    with Registry.open(home) as registry:
        for asset in registry.list(kind=kind):
            if asset.name.startswith(incomplete):
                yield asset.name, f"{asset.kind}, {asset.family or 'unknown family'}"


def _quietly(find: Callable[[], list[Offer]]) -> list[Offer]:
    """What is found, or nothing: a line that somebody is typing is no place for errors."""
    try:
        return find()
    except Exception:  # noqa: BLE001 - whatever it is, the command itself tells it
        return []
