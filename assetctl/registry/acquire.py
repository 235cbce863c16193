"""Assets, and what is said of them, from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.registry.home import Home, forwarded, ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.errors import AssetctlError
    from assetctl.operations.acquire.demo import DemoStep
    from assetctl.operations.acquire.enrich import Enriched
    from assetctl.operations.acquire.from_disk import AddedToStore
    from assetctl.operations.acquire.login import Login
    from assetctl.operations.acquire.outdated import Newer
    from assetctl.operations.acquire.pull import PullPlan, PullResult
    from assetctl.operations.acquire.search import SearchHit
    from assetctl.registry.home import PathLike
    from assetctl.sources.base import FetchProgress


class Acquire(Home):
    """Assets, and what is said of them, from elsewhere."""

    def search_source(
        self, source: str, query: str, *, kind: str | None = None, family: str | None = None, limit: int = 20
    ) -> Sequence[SearchHit]:
        """Models at a source, `huggingface` or `civitai`, and which of them are here.

        Raises:
            UsageError: No source of this name can be searched.
            SourceError: It cannot be reached.
        """
        from assetctl.operations.acquire.search import search_source

        return search_source(self._workspace, source, query, kind=kind, family=family, limit=limit)

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

        with forwarded(report) as run:
            return pull(self._workspace, reference, run, name=name, tags=tags)

    def pull_all(
        self,
        references: Sequence[str],
        *,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = ignore,
    ) -> Sequence[PullResult | AssetctlError]:
        """Bring several assets into the store, some at a time; in their order, what became of each."""
        from assetctl.operations.acquire.pull import pull_all

        with forwarded(report) as run:
            return pull_all(self._workspace, references, run, tags=tags)

    def pull_tokenizer(self, report: Callable[[FetchProgress], None] = ignore) -> Path:
        """Fetch the vocabulary that single-file checkpoints of sd1, sd2 and sdxl need to generate."""
        from assetctl.operations.acquire.pull import pull_tokenizer

        with forwarded(report) as run:
            return pull_tokenizer(self._workspace, run)

    def add_to_store(
        self,
        *paths: PathLike,
        move: bool = False,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = ignore,
    ) -> AddedToStore:
        """Copy files and folders into the store, or move them there."""
        from assetctl.operations.acquire.from_disk import add_to_store

        with forwarded(report) as run:
            return add_to_store(self._workspace, [Path(path) for path in paths], run, move=move, tags=tags)

    def enrich(self, *names: str, again: bool = False) -> Sequence[Enriched]:
        """Learn of local files from sidecars and, by their hashes, from Civitai."""
        from assetctl.operations.acquire.enrich import enrich

        return enrich(self._workspace, names, again=again)

    def outdated(self, *names: str) -> Sequence[Newer]:
        """Which assets have a newer version at their source, of the same base model."""
        from assetctl.operations.acquire.outdated import outdated

        return outdated(self._workspace, names)

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

    def pull_demo(self, report: Callable[[FetchProgress], None] = ignore) -> Sequence[PullResult]:
        """Bring the demo family, which ships with assetctl, into the store."""
        from assetctl.operations.acquire.demo import pull_demo

        with forwarded(report) as run:
            return pull_demo(self._workspace, run)

    def demo_steps(self) -> Sequence[DemoStep]:
        """What to do with the demo family, step by step."""
        from assetctl.operations.acquire.demo import demo_steps

        return demo_steps(self._workspace)
