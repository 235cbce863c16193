"""A machine that has what a manifest wants."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.registry.home import Home, forwarded, ignore

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetctl.operations.provision.export import Export
    from assetctl.operations.provision.lock import LockResult
    from assetctl.operations.provision.sync import SyncResult
    from assetctl.registry.home import PathLike
    from assetctl.sources.base import FetchProgress


class Provision(Home):
    """A machine that has what a manifest wants."""

    def lock(
        self,
        manifest: PathLike = "registry.toml",
        *,
        upgrade: bool = False,
        write: bool = True,
        outside: bool = False,
        report: Callable[[FetchProgress], None] = ignore,
    ) -> LockResult:
        """Resolve a manifest to exact revisions and hashes, and write its lockfile beside it.

        Paths in it must not leave its folder, unless `outside` says that they may.
        """
        from assetctl.operations.provision.lock import lock

        options = {"upgrade": upgrade, "write": write, "outside": outside}
        with forwarded(report) as run:
            return lock(self._workspace, Path(manifest).absolute(), run, **options)

    def sync(  # noqa: PLR0913 - as many as the command has options
        self,
        manifest: PathLike = "registry.toml",
        *,
        locked: bool = False,
        frozen: bool = False,
        prune: bool = False,
        now: bool = False,
        offline: bool = False,
        dry_run: bool = False,
        outside: bool = False,
        report: Callable[[FetchProgress], None] = ignore,
        warn: Callable[[str], None] = ignore,
    ) -> SyncResult:
        """Make the catalog have what a manifest's lockfile names; see `assetctl sync --help` for the modes."""
        from assetctl.operations.provision.sync import sync

        options = {"locked": locked, "frozen": frozen, "prune": prune, "now": now, "dry_run": dry_run}
        options["outside"] = outside
        path = Path(manifest).absolute()
        same = self._workspace.another(offline=True) if offline else nullcontext(self._workspace)
        with same as workspace, forwarded(report, warn) as run:
            return sync(workspace, path, run, **options)

    def export(self, *names: str, recipe: str | None = None, base: PathLike | None = None) -> Export:
        """A manifest of the named assets, or of all; paths below the folder `base` count from there."""
        from assetctl.operations.provision.export import export

        return export(self._workspace, names, recipe=recipe, base=None if base is None else Path(base))
