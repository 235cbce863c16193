"""Assets come in: pulled, imported, converted, or as a manifest has them."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.registry.home import Home, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.errors import AssetctlError
    from assetctl.operations.acquire.demo import DemoStep
    from assetctl.operations.acquire.enrich import Enriched
    from assetctl.operations.acquire.from_disk import TakenIn
    from assetctl.operations.acquire.login import Login
    from assetctl.operations.acquire.outdated import Newer
    from assetctl.operations.acquire.pull import PullPlan, PullResult
    from assetctl.operations.library.convert import Conversion
    from assetctl.operations.library.import_files import ImportResult
    from assetctl.operations.provision.export import Export
    from assetctl.operations.provision.lock import LockResult
    from assetctl.operations.provision.sync import SyncResult
    from assetctl.registry.home import PathLike
    from assetctl.sources.base import FetchProgress


class Getting(Home):
    """Assets come in: pulled, imported, converted, or as a manifest has them."""

    def plan_pull(self, reference: str) -> PullPlan:
        """What `pull` would bring, its size, and whether it is here; nothing is fetched."""
        from assetctl.operations.acquire.pull import plan_pull

        return plan_pull(self._workspace, reference)

    def pull(
        self,
        reference: str,
        *,
        name: str | None = None,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = ignore,
    ) -> PullResult:
        """Bring an asset into the store: a path, `hf://ORG/REPO[@REVISION][/FILE]`, or a page's URL."""
        from assetctl.operations.acquire.pull import pull

        return pull(self._workspace, reference, name=name, tags=tags, report=report)

    def pull_all(
        self,
        references: Sequence[str],
        *,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = ignore,
    ) -> Sequence[PullResult | AssetctlError]:
        """Bring several assets into the store, some at a time; in their order, what became of each."""
        from assetctl.operations.acquire.pull import pull_all

        return pull_all(self._workspace, references, tags=tags, report=report)

    def pull_tokenizer(self, report: Callable[[FetchProgress], None] = ignore) -> Path:
        """Fetch the vocabulary that single-file checkpoints of sd1, sd2 and sdxl need to generate."""
        from assetctl.operations.acquire.pull import pull_tokenizer

        return pull_tokenizer(self._workspace, report)

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

    def take_in(
        self,
        *paths: PathLike,
        move: bool = False,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = ignore,
    ) -> TakenIn:
        """Copy files and folders into the store, or move them there."""
        from assetctl.operations.acquire.from_disk import take_in

        return take_in(self._workspace, [Path(path) for path in paths], move=move, tags=tags, report=report)

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
        return lock(self._workspace, Path(manifest).absolute(), **options, report=report)

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
        with self._workspace.another(offline=True) if offline else nullcontext(self._workspace) as workspace:
            return sync(workspace, path, **options, report=report, warn=warn)

    def export(self, *names: str, recipe: str | None = None, base: PathLike | None = None) -> Export:
        """A manifest of the named assets, or of all; paths below the folder `base` count from there."""
        from assetctl.operations.provision.export import export

        return export(self._workspace, names, recipe=recipe, base=None if base is None else Path(base))

    def login(self, source: str, token: str) -> Login:
        """Keep a token for a source in the system's keyring, once the source was seen to know it.

        Raises:
            UsageError: The source takes no tokens.
            UnauthorizedError: It does not know this one.
            StorageError: There is no keyring.
        """
        from assetctl.operations.acquire.login import login

        return login(self._workspace, source, token)

    def logout(self, source: str) -> bool:
        """Forget a source's token; whether the keyring had one."""
        from assetctl.operations.acquire.login import logout

        return logout(self._workspace, source)

    def logins(self) -> Sequence[Login]:
        """Which sources there is a token for, and where it is from; no source is asked."""
        from assetctl.operations.acquire.login import logins

        return logins()

    def enrich(self, *names: str, again: bool = False) -> Sequence[Enriched]:
        """Learn of local files from sidecars and, by their hashes, from Civitai."""
        from assetctl.operations.acquire.enrich import enrich

        return enrich(self._workspace, names, again=again)

    def outdated(self, *names: str) -> Sequence[Newer]:
        """Which assets have a newer version at their source, of the same base model."""
        from assetctl.operations.acquire.outdated import outdated

        return outdated(self._workspace, names)

    def pull_demo(self, report: Callable[[FetchProgress], None] = ignore) -> Sequence[PullResult]:
        """Bring the demo family, which ships with assetctl, into the store."""
        from assetctl.operations.acquire.demo import pull_demo

        return pull_demo(self._workspace, report)

    def demo_steps(self) -> Sequence[DemoStep]:
        """What to do with the demo family, step by step."""
        from assetctl.operations.acquire.demo import demo_steps

        return demo_steps(self._workspace)
