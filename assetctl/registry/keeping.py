"""Assets are labelled, verified, tidied and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from assetctl.errors import AssetctlError
    from assetctl.operations.library.edit import Changes
    from assetctl.operations.library.remove import Removal
    from assetctl.operations.library.trash import Restored
    from assetctl.operations.library.upkeep import Duplicate, Pruning, Usage
    from assetctl.operations.library.verify import Verification
    from assetctl.sources.base import FetchProgress
    from assetctl.store.trash import Entry
    from assetctl.types import Asset


class Keeping(Home):
    """Assets are labelled, verified, tidied and removed."""

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

    def trash(self, *names: str, older_than: int | None = None) -> list[Entry]:
        """What was deleted and can come back: all of it, or what goes by these names and is older than so many days."""
        from assetctl.operations.library.trash import trash_entries

        return trash_entries(self._workspace, names, older_than=older_than)

    def unreadable_trash(self) -> list[Path]:
        """Folders in the trash that do not say what they hold: somebody else's, or damaged."""
        from assetctl.operations.library.trash import unreadable_trash

        return unreadable_trash(self._workspace)

    def expired(self) -> list[Entry]:
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

    def prune(self, pruning: Pruning, *, now: bool = False) -> list[Entry]:
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
