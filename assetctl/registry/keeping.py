"""Assets are labelled, verified, tidied and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.errors import AssetctlError
    from assetctl.operations.edit import Changes
    from assetctl.operations.remove import Removal
    from assetctl.operations.upkeep import Duplicate, Pruning, Usage
    from assetctl.operations.verify import Verification
    from assetctl.sources.base import FetchProgress
    from assetctl.types import Asset


class Keeping(Home):
    """Assets are labelled, verified, tidied and removed."""

    def edit(self, name: str, changes: Changes) -> Asset:
        """Change what the catalog says of an asset."""
        from assetctl.operations.edit import edit

        return edit(self._workspace, name, changes)

    def identify_again(self, *names: str, failed: Callable[[AssetctlError], None] = ignore) -> Sequence[Asset]:
        """Identify assets of the catalog once more; what a person set stays on top."""
        from assetctl.operations.identify_files import identify_again

        return identify_again(self._workspace, names, failed=failed)

    def verify(
        self, *names: str, quick: bool = False, report: Callable[[FetchProgress], None] = ignore
    ) -> Sequence[Verification]:
        """Compare files with what the catalog knows of them: sizes, and then hashes, or times if `quick`."""
        from assetctl.operations.verify import verify

        return verify(self._workspace, names, quick=quick, report=report)

    def plan_removal(self, name: str, *, delete_files: bool = False) -> Removal:
        """Say what removing an asset would mean."""
        from assetctl.operations.remove import plan_removal

        return plan_removal(self._workspace, name, delete_files=delete_files)

    def remove(self, removal: Removal) -> None:
        """Do what `plan_removal` said."""
        from assetctl.operations.remove import remove

        remove(self._workspace, removal)

    def usage(self) -> Sequence[Usage]:
        """Space by kind and family, largest first."""
        from assetctl.operations.upkeep import usage

        return usage(self._workspace)

    def plan_pruning(self, *, missing: bool = False) -> Pruning:
        """Say what is of no use in the store, and which assets' files are gone."""
        from assetctl.operations.upkeep import plan_pruning

        return plan_pruning(self._workspace, missing=missing)

    def prune(self, pruning: Pruning) -> None:
        """Do what `plan_pruning` said."""
        from assetctl.operations.upkeep import prune

        prune(self._workspace, pruning)

    def find_duplicates(self) -> Sequence[Duplicate]:
        """Files that hold the same bytes."""
        from assetctl.operations.upkeep import find_duplicates

        return find_duplicates(self._workspace)

    def link_duplicate(self, duplicate: Duplicate) -> Duplicate:
        """Make a copy a hard link to the other file."""
        from assetctl.operations.upkeep import link_duplicate

        return link_duplicate(self._workspace, duplicate)
