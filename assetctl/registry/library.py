"""Your library: what is in it, what each asset is, and how one leaves."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.errors import AssetctlError, CatalogError
    from assetctl.operations.library.convert import Conversion
    from assetctl.operations.library.edit import Changes
    from assetctl.operations.library.import_files import ImportResult
    from assetctl.operations.library.remove import Removal
    from assetctl.operations.library.trash import Restored
    from assetctl.operations.library.upkeep import Duplicate, Pruning, Usage
    from assetctl.operations.library.verify import Verification
    from assetctl.registry.home import PathLike
    from assetctl.sources.base import FetchProgress
    from assetctl.store.trash import Entry
    from assetctl.types import Asset, AssetDetails


class Library(Home):
    """Your library: what is in it, what each asset is, and how one leaves."""

    def get(self, name: str) -> Asset:
        """The asset of this name, path, or hash from six digits up.

        Raises:
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        return self._workspace.catalog.read.find(name)

    def list(
        self,
        *,
        kind: str | None = None,
        family: str | None = None,
        base_model: str | None = None,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        sort: str = "name",
        damaged: Callable[[CatalogError], None] | None = None,
        **filters: str | None,
    ) -> Sequence[Asset]:
        """Assets, `limit` at most; filters add up, and ignore case.

        They come by `name`, or by `size`, when they were `added`, or last `used` for a picture: the greatest first.

        Raises:
            UsageError: There is no such kind, or no such order.
            CatalogError: What is kept of one is damaged; who asks to be told of those that are `damaged` gets the rest.
        """
        filters |= {"kind": kind, "family": family, "base_model": base_model}
        catalog = self._workspace.catalog
        read = catalog.read if damaged is None else catalog.read_around(damaged)
        return read.assets(tags=tags, in_store=in_store, limit=limit, sort=sort, **filters)

    def count(
        self,
        most: int,
        *,
        fits: str | None = None,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        **filters: str | None,
    ) -> int:
        """How many assets `list` would give, or at most `fitting` for a checkpoint; `most` if there are more."""
        read = self._workspace.catalog.read
        if fits is None:
            return read.count(most, tags=tags, in_store=in_store, **filters)
        from assetctl.identify.plugins import sharing_latents

        checkpoint = self.get(fits)
        sharing = sharing_latents(checkpoint.family)
        return read.count_fitting(checkpoint, most, sharing=sharing, tags=tags, in_store=in_store, **filters)

    def require_family(self, family: str | None) -> None:
        """Refuse a family that nobody knows; `None` and nothing are no filter, or what has none.

        Raises:
            UsageError: Neither assetctl nor an asset of the catalog is of it.
        """
        import difflib

        from assetctl.identify.plugins import family_called

        if not family or family_called(family.lower()) is not None or self.list(family=family, limit=1):
            return
        known = self.families()
        near = difflib.get_close_matches(family.lower(), known, n=2)
        meant = f"Did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(f"{family} is not a known family.", f"{meant}Families are: {', '.join(known)}.")

    def families(self) -> Sequence[str]:
        """Names of all families that can be identified."""
        from assetctl.identify.plugins import families

        return [family.name for family in families()]

    def base_models(self) -> Sequence[str]:
        """Names of all base models that can be told, in Civitai's spelling."""
        from assetctl.operations.library.edit import base_models

        return base_models()

    def search(self, text: str, *, limit: int | None = None, **filters: str | None) -> Sequence[Asset]:
        """Assets whose names, trigger words, tags or notes hold words that begin like those of `text`, best first."""
        return self._workspace.catalog.read.search(text, limit=limit, **filters)

    def count_matches(self, text: str, **filters: str | None) -> int:
        """How many assets `search` would find, counted up to 1,001."""
        return self._workspace.catalog.read.count_matches(text, **filters)

    def inspect(
        self, name: str, *, hashes: bool | None = None, report: Callable[[FetchProgress], None] = ignore
    ) -> AssetDetails:
        """Everything that is known of an asset.

        Hashes that were left for later are computed if `hashes` is true, and by itself of what is small.
        """
        from assetctl.operations.library.inspect_asset import inspect_asset

        return inspect_asset(self._workspace, name, hashes=hashes, report=report)

    def import_files(
        self,
        *paths: PathLike,
        hashes: bool = True,
        tags: Iterable[str] = (),
        listed: bool = True,
        report: Callable[[FetchProgress], None] = ignore,
    ) -> ImportResult:
        """Register files and folders where they lie; they are never moved, rewritten or deleted."""
        from assetctl.operations.library.import_files import import_files

        wanted = [Path(path) for path in paths]
        return import_files(self._workspace, wanted, hashes=hashes, tags=tags, listed=listed, report=report)

    def convert(
        self,
        what: str,
        *,
        name: str | None = None,
        out: PathLike | None = None,
        report: Callable[[FetchProgress], None] = ignore,
    ) -> Conversion:
        """Make a safetensors file of a pickle, or of an embedding in a PNG, without running or loading it."""
        from assetctl.operations.library.convert import convert

        return convert(self._workspace, what, name=name, out=None if out is None else Path(out), report=report)

    def edit(self, name: str, changes: Changes) -> Asset:
        """Change what the catalog says of an asset."""
        from assetctl.operations.library.edit import edit

        return edit(self._workspace, name, changes)

    def identify_again(self, *names: str, failed: Callable[[AssetctlError], None] = ignore) -> Sequence[Asset]:
        """Identify assets of the catalog once more; what a person set stays on top."""
        from assetctl.operations.library.identify_files import identify_again

        return identify_again(self._workspace, names, failed=failed)

    def verify(
        self, *names: str, quick: bool = False, report: Callable[[FetchProgress], None] = ignore
    ) -> Sequence[Verification]:
        """Compare files with what the catalog knows of them: sizes, and then hashes, or times if `quick`."""
        from assetctl.operations.library.verify import verify

        return verify(self._workspace, names, quick=quick, report=report)

    def plan_removal(self, name: str, *, delete_files: bool = False) -> Removal:
        """Say what removing an asset would mean."""
        from assetctl.operations.library.remove import plan_removal

        return plan_removal(self._workspace, name, delete_files=delete_files)

    def remove(self, removal: Removal, *, now: bool = False) -> Entry | None:
        """Do what `plan_removal` said; what went into the trash, unless it is to be deleted `now`."""
        from assetctl.operations.library.remove import remove

        return remove(self._workspace, removal, now=now)

    def trash(self, *names: str, older_than: int | None = None) -> Sequence[Entry]:
        """What was deleted and can come back: all of it, or what goes by these names and is older than so many days."""
        from assetctl.operations.library.trash import trash_entries

        return trash_entries(self._workspace, names, older_than=older_than)

    def unreadable_trash(self) -> Sequence[Path]:
        """Folders in the trash that do not say what they hold: somebody else's, or damaged."""
        from assetctl.operations.library.trash import unreadable_trash

        return unreadable_trash(self._workspace)

    def expired(self) -> Sequence[Entry]:
        """What this registry has deleted from the trash for good, for its age or to make room."""
        return self._workspace.trash.expired

    def restore(self, name: str) -> Restored:
        """Put something of the trash back to where it was."""
        from assetctl.operations.library.trash import restore

        return restore(self._workspace, name)

    def empty_trash(self, entries: Sequence[Entry]) -> None:
        """Delete entries of the trash for good."""
        from assetctl.operations.library.trash import empty_trash

        empty_trash(self._workspace, entries)

    def usage(self) -> Sequence[Usage]:
        """Space by kind and family, largest first."""
        from assetctl.operations.library.upkeep import usage

        return usage(self._workspace)

    def plan_pruning(self, *, missing: bool = False) -> Pruning:
        """Say what assetctl left in the store, what others put there, and which assets' files are gone."""
        from assetctl.operations.library.upkeep import plan_pruning

        return plan_pruning(self._workspace, missing=missing)

    def prune(self, pruning: Pruning, *, now: bool = False) -> Sequence[Entry]:
        """Do what `plan_pruning` said; what went into the trash, unless it is to be deleted `now`."""
        from assetctl.operations.library.upkeep import prune

        return prune(self._workspace, pruning, now=now)

    def find_duplicates(self) -> Sequence[Duplicate]:
        """Files that hold the same bytes."""
        from assetctl.operations.library.upkeep import find_duplicates

        return find_duplicates(self._workspace)

    def share_duplicate(self, duplicate: Duplicate, *, hard_links: bool = False) -> Duplicate:
        """Let two files share their bytes on disk, by a reflink or, if that is wanted, a hard link."""
        from assetctl.operations.library.upkeep import share_duplicate

        return share_duplicate(self._workspace, duplicate, hard_links=hard_links)
