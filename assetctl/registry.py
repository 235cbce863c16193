"""Registry: assetctl as a Python library. Every method is one use case; none prints anything."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from assetctl.operations.workspace import Workspace
from assetctl.settings import Settings

# Each operation is imported by the method that runs it, so that listing assets does not pay for
# fetching or generating them: ruff's rule against local imports is off for this file.

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.catalog import Generation
    from assetctl.compat.rule import Rule
    from assetctl.errors import AssetctlError
    from assetctl.generation.plan import Backend, GenerationRequest, Plan, Progress
    from assetctl.operations.convert import Conversion
    from assetctl.operations.demo import DemoStep
    from assetctl.operations.edit import Changes
    from assetctl.operations.enrich import Enriched
    from assetctl.operations.export import Export
    from assetctl.operations.generate import GenerationResult
    from assetctl.operations.import_files import ImportResult
    from assetctl.operations.inspect_picture import PictureDetails
    from assetctl.operations.lock import LockResult
    from assetctl.operations.login import Login
    from assetctl.operations.outdated import Newer
    from assetctl.operations.prompting import PromptReading
    from assetctl.operations.pull import PullPlan, PullResult
    from assetctl.operations.remove import Removal
    from assetctl.operations.reproduce import Reproduced, Reproduction
    from assetctl.operations.searching import Offer
    from assetctl.operations.selecting import Choice
    from assetctl.operations.sync import SyncResult
    from assetctl.operations.upkeep import Duplicate, Pruning, Usage
    from assetctl.operations.verify import Verification
    from assetctl.sources.base import FetchProgress
    from assetctl.types import Asset, AssetDetails, CheckReport

PathLike: TypeAlias = str | Path


def _ignore(_: object) -> None:
    """Report nothing."""


class Registry:
    """One home: a catalog of assets, the store they lie in, and what can be done with them.

    Use it as a context manager:

        with Registry.open() as registry:
            for asset in registry.list(kind="lora", family="sd1"):
                print(asset.name, asset.trigger_words)
    """

    def __init__(self, settings: Settings) -> None:
        self._workspace = Workspace(settings)

    @classmethod
    def open(cls, home: PathLike | None = None) -> Self:
        """Open the registry in `home`, or where `ASSETCTL_HOME` and the platform say.

        Raises:
            UsageError: The configuration makes no sense.
        """
        return cls(Settings.load(home))

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._workspace.settings

    def close(self) -> None:
        """Let go of the catalog."""
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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
        **filters: str | None,
    ) -> list[Asset]:
        """Assets in the order of their names, `limit` at most; filters add up, and ignore case."""
        filters |= {"kind": kind, "family": family, "base_model": base_model}
        return self._workspace.catalog.read.assets(tags=tags, in_store=in_store, limit=limit, **filters)

    def fitting(
        self,
        checkpoint: str,
        *,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        **filters: str | None,
    ) -> Sequence[tuple[Asset, str]]:
        """LoRAs, embeddings, VAEs and ControlNets that can be used with a checkpoint, best first, and how well.

        How well is `same base model`, `same family`, `same latents` (a VAE of a family that shares them),
        `other lineage`, or `perhaps` (a VAE whose file leaves several families open).

        Raises:
            UsageError: It is no checkpoint, or nobody knows its family.
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        from assetctl.operations.fitting import checkpoint_to_fit

        read, asset = self._workspace.catalog.read, checkpoint_to_fit(self._workspace, checkpoint)
        return read.fitting(asset, tags=tags, in_store=in_store, limit=limit, **filters)

    def count(
        self,
        most: int,
        *,
        fits: str | None = None,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        **filters: str | None,
    ) -> int:
        """How many assets `list` would give, or `fitting` for a checkpoint; `most` if there are more."""
        read = self._workspace.catalog.read
        if fits is None:
            return read.count(most, tags=tags, in_store=in_store, **filters)
        return read.count_fitting(self.get(fits), most, tags=tags, in_store=in_store, **filters)

    def families(self) -> Sequence[str]:
        """Names of all families that can be identified."""
        from assetctl.identify.plugins import families

        return [family.name for family in families()]

    def search(self, text: str, *, limit: int | None = None, **filters: str | None) -> Sequence[Asset]:
        """Assets whose names, trigger words, tags or notes hold words that begin like those of `text`, best first."""
        return self._workspace.catalog.read.search(text, limit=limit, **filters)

    def count_matches(self, text: str, **filters: str | None) -> int:
        """How many assets `search` would find, counted up to 1,001."""
        return self._workspace.catalog.read.count_matches(text, **filters)

    def search_source(
        self, source: str, query: str, *, kind: str | None = None, family: str | None = None, limit: int = 20
    ) -> Sequence[Offer]:
        """Models at a source, `huggingface` or `civitai`, and which of them are here.

        Raises:
            UsageError: No source of this name can be searched.
            SourceError: It can not be reached.
        """
        from assetctl.operations.searching import search_source

        return search_source(self._workspace, source, query, kind=kind, family=family, limit=limit)

    def inspect(self, name: str, *, hashes: bool = True) -> AssetDetails:
        """Everything that is known of an asset; hashes that were left for later are computed, unless told not to."""
        from assetctl.operations.inspect_asset import inspect_asset

        return inspect_asset(self._workspace, name, hashes=hashes)

    def pull(
        self,
        reference: str,
        *,
        name: str | None = None,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> PullResult:
        """Bring an asset into the store: a path, `hf://ORG/REPO[@REVISION][/FILE]`, or a page's URL."""
        from assetctl.operations.pull import pull

        return pull(self._workspace, reference, name=name, tags=tags, report=report)

    def pull_tokenizer(self, report: Callable[[FetchProgress], None] = _ignore) -> Path:
        """Fetch the vocabulary that single-file checkpoints of sd1, sd2 and sdxl need to generate."""
        from assetctl.operations.pull import pull_tokenizer

        return pull_tokenizer(self._workspace, report)

    def pull_all(
        self,
        references: Sequence[str],
        *,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> Sequence[PullResult | AssetctlError]:
        """Bring several assets into the store, some at a time; in their order, what became of each."""
        from assetctl.operations.pull import pull_all

        return pull_all(self._workspace, references, tags=tags, report=report)

    def import_files(
        self,
        *paths: PathLike,
        hashes: bool = True,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> ImportResult:
        """Register files and folders where they lie; they are never moved, rewritten or deleted."""
        from assetctl.operations.import_files import import_files

        wanted = [Path(path) for path in paths]
        return import_files(self._workspace, wanted, hashes=hashes, tags=tags, report=report)

    def take_in(
        self,
        *paths: PathLike,
        move: bool = False,
        tags: Iterable[str] = (),
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> Sequence[PullResult]:
        """Copy files and folders into the store, or move them there."""
        from assetctl.operations.take_in import take_in

        return take_in(self._workspace, [Path(path) for path in paths], move=move, tags=tags, report=report)

    def convert(
        self,
        what: str,
        *,
        name: str | None = None,
        out: PathLike | None = None,
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> Conversion:
        """Make a safetensors file of a pickle, or of an embedding in a PNG, without running or loading it."""
        from assetctl.operations.convert import convert

        return convert(self._workspace, what, name=name, out=None if out is None else Path(out), report=report)

    def lock(
        self,
        manifest: PathLike = "registry.toml",
        *,
        upgrade: bool = False,
        write: bool = True,
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> LockResult:
        """Resolve a manifest to exact revisions and hashes, and write its lockfile beside it."""
        from assetctl.operations.lock import lock

        return lock(self._workspace, Path(manifest).absolute(), upgrade=upgrade, write=write, report=report)

    def sync(
        self,
        manifest: PathLike = "registry.toml",
        *,
        locked: bool = False,
        frozen: bool = False,
        prune: bool = False,
        offline: bool = False,
        dry_run: bool = False,
        report: Callable[[FetchProgress], None] = _ignore,
    ) -> SyncResult:
        """Make the catalog have what a manifest's lockfile names; see `assetctl sync --help` for the modes."""
        from assetctl.operations.sync import sync

        options = {"locked": locked, "frozen": frozen, "prune": prune, "dry_run": dry_run}
        path = Path(manifest).absolute()
        with self._workspace.another(offline=True) if offline else nullcontext(self._workspace) as workspace:
            return sync(workspace, path, **options, report=report)

    def export(self, *names: str, recipe: str | None = None) -> Export:
        """A manifest of the named assets, or of all."""
        from assetctl.operations.export import export

        return export(self._workspace, names, recipe=recipe)

    def edit(self, name: str, changes: Changes) -> Asset:
        """Change what the catalog says of an asset."""
        from assetctl.operations.edit import edit

        return edit(self._workspace, name, changes)

    def plan_removal(self, name: str, *, delete_files: bool = False) -> Removal:
        """Say what removing an asset would mean."""
        from assetctl.operations.remove import plan_removal

        return plan_removal(self._workspace, name, delete_files=delete_files)

    def remove(self, removal: Removal) -> None:
        """Do what `plan_removal` said."""
        from assetctl.operations.remove import remove

        remove(self._workspace, removal)

    def verify(
        self, *names: str, quick: bool = False, report: Callable[[FetchProgress], None] = _ignore
    ) -> Sequence[Verification]:
        """Compare files with what the catalog knows of them: sizes, and then hashes unless `quick`."""
        from assetctl.operations.verify import verify

        return verify(self._workspace, names, quick=quick, report=report)

    def enrich(self, *names: str, again: bool = False) -> Sequence[Enriched]:
        """Learn of local files from sidecars and, by their hashes, from Civitai."""
        from assetctl.operations.enrich import enrich

        return enrich(self._workspace, names, again=again)

    def outdated(self, *names: str) -> Sequence[Newer]:
        """Which assets have a newer version at their source, of the same base model."""
        from assetctl.operations.outdated import outdated

        return outdated(self._workspace, names)

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

        return link_duplicate(duplicate)

    def identify_again(self, *names: str) -> Sequence[Asset]:
        """Identify assets of the catalog once more; what a person set stays on top."""
        from assetctl.operations.identify_files import identify_again

        return identify_again(self._workspace, names)

    def check(self, choice: Choice) -> CheckReport:
        """Whether a selection can work together."""
        from assetctl.operations.check import check

        return check(self._workspace, choice)

    def rules(self) -> Sequence[Rule]:
        """What `check` looks for, by name."""
        from assetctl.compat import list_rules

        return list_rules()

    def prompt(self, text: str, *, checkpoint: str | None = None, embeddings: Iterable[str] = ()) -> PromptReading:
        """How a prompt is read: its segments, LoRAs, embeddings, and the chunks of 75 tokens that it takes.

        Works without a catalog, and makes none.

        Raises:
            NotFoundError, AmbiguousNameError: The checkpoint or an embedding.
            FileError: The checkpoint's tokenizer, or an embedding's file, is damaged.
        """
        from assetctl.operations.prompting import read_prompt

        return read_prompt(self._workspace, text, checkpoint=checkpoint, embeddings=embeddings)

    def plan(self, request: GenerationRequest, choice: Choice) -> tuple[Plan, CheckReport]:
        """Make a request exact and check it, without loading anything."""
        from assetctl.operations.planning import plan_generation

        return plan_generation(self._workspace, request, choice)

    def generate(
        self,
        request: GenerationRequest,
        choice: Choice,
        *,
        out: PathLike | None = None,
        format: str | None = None,  # noqa: A002 - what it is called everywhere
        backend: Backend | None = None,
        progress: Callable[[Progress], None] = _ignore,
    ) -> GenerationResult:
        """Make pictures, save them with their parameters inside, and record them.

        `out` is a folder or the first picture's name, `format` one of `png`, `jpg` and `webp`: what the
        name says unless given, and else PNG.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.generate import generate
        from assetctl.operations.planning import plan_generation

        plan, report = plan_generation(self._workspace, request, choice)
        target, painter = None if out is None else Path(out), backend or DiffusersBackend()
        return generate(self._workspace, plan, report, painter, out=target, format=format, progress=progress)

    def find_picture(self, name: str) -> Path | None:
        """The picture file that `name` is the path of, or `None`; one that is registered as an asset is an asset."""
        from assetctl.operations.picture_file import find_picture

        return find_picture(self._workspace, name)

    def inspect_picture(self, path: PathLike, *, hashes: bool = True) -> PictureDetails:
        """What a PNG, JPEG or WebP picture says of how it was made, and which of its assets are here.

        Hashes that were left for later are computed of assets that go by the right name, unless told not to.

        Raises:
            FileError: It is no such picture, or is damaged.
        """
        from assetctl.operations.inspect_picture import inspect_picture

        return inspect_picture(self._workspace, Path(path), hashes=hashes)

    def plan_reproduction(
        self, picture: PathLike | int, *, other_bytes: bool = False, backend: Backend | None = None
    ) -> Reproduction:
        """Say how a picture would be made again, and what would differ; see `reproduce`."""
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.reproduce import plan_reproduction

        painter = backend or DiffusersBackend()
        return plan_reproduction(self._workspace, str(picture), painter, other_bytes=other_bytes)

    def reproduce(
        self,
        picture: PathLike | int | Reproduction,
        *,
        out: PathLike | None = None,
        other_bytes: bool = False,
        backend: Backend | None = None,
        progress: Callable[[Progress], None] = _ignore,
    ) -> Reproduced:
        """Make a picture again and compare it with its original.

        assetctl's own pictures come out the same where the surroundings are; those of other programs resemble.

        Args:
            picture: A picture file, a number of the history, or what `plan_reproduction` returned.
            out: A folder, or the new picture's name; the outputs folder unless given.
            other_bytes: Take assets of the right name where the files themselves are not here.
            backend: Who makes it; diffusers unless given.
            progress: Told of every step.

        Raises:
            NotFoundError: There is no such picture, it does not say how it was made, or an asset is missing.
            HashMismatchError: An asset is here by its name alone.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.reproduce import Reproduction, reproduce

        painter = backend or DiffusersBackend()
        if not isinstance(picture, Reproduction):
            picture = self.plan_reproduction(picture, other_bytes=other_bytes, backend=painter)
        target = None if out is None else Path(out)
        return reproduce(self._workspace, picture, painter, out=target, progress=progress)

    def history(
        self,
        limit: int | None = 20,
        *,
        used: str | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        since: str | None = None,
    ) -> Sequence[Generation]:
        """The pictures that were made, newest first, without their records; conditions add up.

        Args:
            limit: How many at most; `None` for all.
            used: An asset that took part, by name, path or hash; or by the name of one that is gone.
            prompt: Words that occur in the prompt.
            seed: Exactly this one.
            since: A date or time in ISO 8601, or `12h`, `7d`, `2w`, `3m`, `1y` ago.
        """
        from assetctl.operations.history import history

        return history(self._workspace, used=used, prompt=prompt, seed=seed, since=since, limit=limit)

    def generation(self, number: int) -> Generation:
        """One picture of the history, with its record.

        Raises:
            NotFoundError: No picture has this number.
        """
        return self._workspace.catalog.generations.get(number)

    def plan_pull(self, reference: str) -> PullPlan:
        """What `pull` would bring, its size, and whether it is here; nothing is fetched."""
        from assetctl.operations.pull import plan_pull

        return plan_pull(self._workspace, reference)

    def login(self, source: str, token: str) -> Login:
        """Keep a token for a source in the system's keyring, once the source was seen to know it.

        Raises:
            UsageError: The source takes no tokens.
            UnauthorizedError: It does not know this one.
            StorageError: There is no keyring.
        """
        from assetctl.operations.login import login

        return login(self._workspace, source, token)

    def logout(self, source: str) -> bool:
        """Forget a source's token; whether the keyring had one."""
        from assetctl.operations.login import logout

        return logout(self._workspace, source)

    def logins(self) -> Sequence[Login]:
        """Which sources there is a token for, and where it is from; no source is asked."""
        from assetctl.operations.login import logins

        return logins()

    def pull_demo(self, report: Callable[[FetchProgress], None] = _ignore) -> Sequence[PullResult]:
        """Bring the demo family, which ships with assetctl, into the store."""
        from assetctl.operations.demo import pull_demo

        return pull_demo(self._workspace, report)

    def demo_steps(self) -> Sequence[DemoStep]:
        """What to do with the demo family, step by step."""
        from assetctl.operations.demo import demo_steps

        return demo_steps(self._workspace)
