"""Registry: assetctl as a Python library. Every method is one use case; none prints anything.

Each operation is imported by the method that runs it, so that listing assets does not pay for fetching or generating
them: ruff's rule against local imports is off for this file. What works for a while takes a `Run`, which is told what
happens and can be cancelled; what one of its listeners raises comes out as it was raised.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias

from assetctl.catalog import several
from assetctl.errors import UsageError
from assetctl.operations.workspace import Workspace
from assetctl.run import running
from assetctl.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from assetctl.axes import Axis
    from assetctl.catalog import Generation
    from assetctl.catalog.jobs import Job, Jobs
    from assetctl.compat.check import Rule
    from assetctl.errors import AssetctlError, CatalogError
    from assetctl.operations.acquire.demo import DemoStep
    from assetctl.operations.acquire.enrich import Enriched, Previews
    from assetctl.operations.acquire.from_disk import AddedToStore
    from assetctl.operations.acquire.login import Login
    from assetctl.operations.acquire.outdated import Newer
    from assetctl.operations.acquire.pull import PullPlan, PullResult
    from assetctl.operations.acquire.search import SearchHit
    from assetctl.operations.acquire.upload import Upload
    from assetctl.operations.library.convert import Conversion
    from assetctl.operations.library.edit import Changes
    from assetctl.operations.library.identify_files import Identified
    from assetctl.operations.library.import_files import ImportResult
    from assetctl.operations.library.remove import Removal
    from assetctl.operations.library.trash import Restored
    from assetctl.operations.library.upkeep import Duplicate, Pruning, Usage
    from assetctl.operations.library.verify import Verification
    from assetctl.operations.make.generate import GenerationResult
    from assetctl.operations.make.grid import GridResult
    from assetctl.operations.make.history import Remade
    from assetctl.operations.make.inspect_picture import Outlook, PictureDetails
    from assetctl.operations.make.jobs import JobResult
    from assetctl.operations.make.queued import AtWork, JobDetails
    from assetctl.operations.make.reproduce import Reproduced, Reproduction
    from assetctl.operations.provision.export import Export
    from assetctl.operations.provision.lock import LockResult
    from assetctl.operations.provision.sync import SyncResult
    from assetctl.operations.select.prompts import PromptReading
    from assetctl.request import Backend, Output, Plan, Request
    from assetctl.run import Run
    from assetctl.samplers import SamplerListing
    from assetctl.store.trash import Entry
    from assetctl.types import Asset, AssetDetails, CheckReport, Purpose

PathLike: TypeAlias = str | Path


class Registry:
    """One home: a catalog of assets, the store they lie in, and what can be done with them.

    Use it as a context manager:

        with Registry.open() as registry:
            for asset in registry.list(kind="lora", family="sd1"):
                print(asset.name, asset.trigger_words)
    """

    def __init__(self, settings: Settings, *, paths: bool = True) -> None:
        self._workspace = Workspace(settings, paths)

    @classmethod
    def open(cls, home: PathLike | None = None, *, paths: bool = True) -> Self:
        """Open the registry in `home`, or where `ASSETCTL_HOME` and the platform say.

        Args:
            home: Its folder.
            paths: Whether assets may be named by paths of this machine. Without, names that somebody elsewhere says
                are sought in the catalog alone, and no answer depends on what else lies on the disk.

        Raises:
            UsageError: The configuration makes no sense.
        """
        return cls(Settings.load(home), paths=paths)

    @property
    def takes_paths(self) -> bool:
        """Whether assets may be named by paths of this machine."""
        return self._workspace.paths

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._workspace.settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.settings.home)!r})"

    def close(self) -> None:
        """Let go of the catalog."""
        self._workspace.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Your library: what is in it, what each asset is, and how one leaves.

    def get(self, name: str) -> Asset:
        """The asset of this name, path, or hash from six digits up.

        Raises:
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        return self._workspace.catalog.read.find(name)

    def assets(self, *ids: int) -> Sequence[Asset]:
        """Assets by the catalog's own numbers of them; those that are gone are left out."""
        return self._workspace.catalog.read.by_ids(ids)

    def list(  # noqa: PLR0913 - as many as the command has options
        self,
        *,
        kind: str | None = None,
        family: str | None = None,
        base_model: str | None = None,
        tags: Iterable[str] = (),
        in_store: bool | None = None,
        limit: int | None = None,
        sort: str = "name",
        after: str | None = None,
        damaged: Callable[[CatalogError], None] | None = None,
        **filters: str | None,
    ) -> Sequence[Asset]:
        """Assets, `limit` at most; filters add up, and ignore case.

        They come by `name`, or by `size`, when they were `added`, or last `used` for a picture: the greatest first.
        The next page begins `after` the name of the last one that was given.

        Raises:
            UsageError: There is no such kind, or no such order.
            CatalogError: What is kept of one is damaged; who asks to be told of those that are `damaged` gets the rest.
        """
        filters |= {"kind": kind, "family": family, "base_model": base_model}
        catalog = self._workspace.catalog
        read = catalog.read if damaged is None else catalog.read_around(damaged)
        return read.assets(tags=tags, in_store=in_store, limit=limit, sort=sort, after=after, **filters)

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

    def unknown_base_model(self, base_model: str | None) -> Sequence[str] | None:
        """What may have been meant by a base model that neither a family nor an asset has; `None` where one has it."""
        from assetctl.operations.library.edit import as_known, base_models, near_base_models

        if not base_model or self.list(base_model=base_model, limit=1):
            return None
        known = as_known(base_model)
        if known in base_models():
            return None if known.casefold() == base_model.casefold() else [known]
        return near_base_models(base_model)

    def families(self) -> Sequence[str]:
        """Names of all families that can be identified."""
        from assetctl.identify.plugins import families

        return [family.name for family in families()]

    def base_models(self) -> Sequence[str]:
        """Names of all base models that can be told, in Civitai's spelling."""
        from assetctl.operations.library.edit import base_models

        return base_models()

    def search(
        self,
        text: str,
        *,
        tags: Iterable[str] = (),
        limit: int | None = None,
        offset: int = 0,
        **filters: str | None,
    ) -> Sequence[Asset]:
        """Assets whose names, trigger words, tags or notes hold words that begin like those of `text`, best first.

        The next page begins behind as many as `offset` says.
        """
        return self._workspace.catalog.read.search(text, tags=tags, limit=limit, offset=offset, **filters)

    def count_matches(self, text: str, *, tags: Iterable[str] = (), **filters: str | None) -> int:
        """How many assets `search` would find, counted up to 1,001."""
        return self._workspace.catalog.read.count_matches(text, tags=tags, **filters)

    def inspect(self, name: str, *, hashes: bool | None = None, run: Run | None = None) -> AssetDetails:
        """Everything that is known of an asset.

        Hashes that were left for later are computed if `hashes` is true, and by itself of what is small.
        """
        from assetctl.operations.library.inspect_asset import inspect_asset

        with running(run) as run:
            return inspect_asset(self._workspace, name, hashes=hashes, run=run)

    def import_files(
        self,
        *paths: PathLike,
        hashes: bool = True,
        tags: Iterable[str] = (),
        listed: bool = True,
        run: Run | None = None,
    ) -> ImportResult:
        """Register files and folders where they lie; they are never moved, rewritten or deleted."""
        from assetctl.operations.library.import_files import import_files

        wanted = [Path(path) for path in paths]
        with running(run) as run:
            return import_files(self._workspace, wanted, hashes=hashes, tags=tags, listed=listed, run=run)

    def convert(
        self,
        what: str,
        *,
        name: str | None = None,
        out: PathLike | None = None,
        dry_run: bool = False,
        run: Run | None = None,
    ) -> Conversion:
        """Make a safetensors file of a pickle, or of an embedding in a PNG, without running or loading it.

        A dry run says what would be written, and where.
        """
        from assetctl.operations.library.convert import convert

        with running(run) as run:
            place = None if out is None else Path(out)
            return convert(self._workspace, what, name=name, out=place, dry_run=dry_run, run=run)

    def edit(self, name: str, changes: Changes) -> Asset:
        """Change what the catalog says of an asset."""
        from assetctl.operations.library.edit import edit

        return edit(self._workspace, name, changes)

    def preview(self, name: str) -> bytes | None:
        """A small WebP of what shows an asset: a picture chosen, beside its file, of its source, or made with it."""
        from assetctl.operations.library.previews import preview_of, thumbnail

        picture = preview_of(self._workspace, self.get(name))
        return None if picture is None else thumbnail(self._workspace, picture)

    def thumbnail(self, number: int) -> bytes | None:
        """A small WebP of a picture of the history, if it is there."""
        from assetctl.operations.library.previews import thumbnail

        for each in self.pictures(number):
            if each.is_there:
                return thumbnail(self._workspace, Path(each.image_path))
        return None

    def identify_again(self, *names: str, run: Run | None = None) -> Sequence[Asset]:
        """Identify assets of the catalog once more; what a person set stays on top.

        Those that cannot be identified any more stay as they were; the run is warned of each, with its error.
        """
        from assetctl.operations.library.identify_files import identify_again

        with running(run) as run:
            return identify_again(self._workspace, names, run=run)

    def verify(self, *names: str, quick: bool = False, run: Run | None = None) -> Sequence[Verification]:
        """Compare files with what the catalog knows of them: sizes, and then hashes, or times if `quick`."""
        from assetctl.operations.library.verify import verify

        with running(run) as run:
            return verify(self._workspace, names, quick=quick, run=run)

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

    def empty_trash(self, entries: Sequence[Entry], *, run: Run | None = None) -> None:
        """Delete entries of the trash for good."""
        from assetctl.operations.library.trash import empty_trash

        with running(run) as run:
            empty_trash(self._workspace, entries, run)

    def samplers(self) -> SamplerListing:
        """What can be asked for as a sampler and as a schedule."""
        from assetctl.samplers import listing

        return listing()

    def usage(self) -> Sequence[Usage]:
        """Space by kind and family, largest first."""
        from assetctl.operations.library.upkeep import usage

        return usage(self._workspace)

    def plan_pruning(self, *, missing: bool = False) -> Pruning:
        """Say what assetctl left in the store, what others put there, and which assets' files are gone."""
        from assetctl.operations.library.upkeep import plan_pruning

        return plan_pruning(self._workspace, missing=missing)

    def prune(self, pruning: Pruning, *, now: bool = False, run: Run | None = None) -> Sequence[Entry]:
        """Do what `plan_pruning` said; what went into the trash, unless it is to be deleted `now`."""
        from assetctl.operations.library.upkeep import prune

        with running(run) as run:
            return prune(self._workspace, pruning, run, now=now)

    def find_duplicates(self) -> Sequence[Duplicate]:
        """Files that hold the same bytes."""
        from assetctl.operations.library.upkeep import find_duplicates

        return find_duplicates(self._workspace)

    def share_duplicate(self, duplicate: Duplicate, *, hard_links: bool = False, run: Run | None = None) -> Duplicate:
        """Let two files share their bytes on disk, by a reflink or, if that is wanted, a hard link."""
        from assetctl.operations.library.upkeep import share_duplicate

        with running(run) as run:
            return share_duplicate(self._workspace, duplicate, run, hard_links=hard_links)

    # Assets, and what is said of them, from elsewhere.

    def search_source(
        self,
        source: str,
        query: str,
        *,
        kind: str | None = None,
        family: str | None = None,
        limit: int = 20,
        run: Run | None = None,
    ) -> Sequence[SearchHit]:
        """Models at a source, `huggingface` or `civitai`, and which of them are here.

        Raises:
            UsageError: No source of this name can be searched.
            SourceError: It cannot be reached.
        """
        from assetctl.operations.acquire.search import search_source

        with running(run) as run:
            return search_source(self._workspace, source, query, run, kind=kind, family=family, limit=limit)

    def plan_pull(
        self, reference: str, run: Run | None = None, *, name: str | None = None, tags: Iterable[str] = ()
    ) -> PullPlan:
        """What `pull` would bring, its size, and whether it is here; nothing is fetched.

        Raises:
            AssetctlError: As `pull` would, as far as can be told without the bytes.
        """
        from assetctl.operations.acquire.pull import plan_pull

        with running(run) as run:
            return plan_pull(self._workspace, reference, run, name=name, tags=tags)

    def files_of(self, reference: str, *, file: str | None = None, run: Run | None = None) -> Sequence[str]:
        """References to one file of a page or repository, by its number or name; else to all its models."""
        from assetctl.operations.acquire.pull import files_of

        with running(run) as run:
            return files_of(self._workspace, reference, run, file=file)

    def pull(
        self,
        reference: str,
        *,
        name: str | None = None,
        tags: Iterable[str] = (),
        previews: bool = False,
        nsfw: bool = False,
        run: Run | None = None,
    ) -> PullResult:
        """Bring an asset into the store: a path, `hf://ORG/REPO[@REVISION][/FILE]`, or a page's URL.

        With `previews`, the home keeps a small copy of a picture that its source shows it by; with `nsfw` of any,
        otherwise of one that the source rates as safe for everybody. That there is none is a warning of the result.
        """
        from assetctl.operations.acquire.pull import pull

        with running(run) as run:
            shown = self._previews(nsfw=nsfw) if previews else None
            return pull(self._workspace, reference, run, name=name, tags=tags, previews=shown)

    def _previews(self, *, nsfw: bool) -> Previews:
        from assetctl.operations.acquire.enrich import Previews

        return Previews(self._workspace, nsfw=nsfw)

    def pull_all(
        self,
        references: Sequence[str],
        *,
        tags: Iterable[str] = (),
        previews: bool = False,
        nsfw: bool = False,
        run: Run | None = None,
    ) -> Sequence[PullResult | AssetctlError]:
        """Bring several assets into the store, some at a time; in their order, what became of each. See `pull`."""
        from assetctl.operations.acquire.pull import pull_all

        references = list(several("pull_all", references))
        with running(run) as run:
            shown = self._previews(nsfw=nsfw) if previews else None
            return pull_all(self._workspace, references, run, tags=tags, previews=shown)

    def pull_tokenizer(self, run: Run | None = None) -> Path:
        """Fetch the vocabulary that single-file checkpoints of sd1, sd2 and sdxl need to generate."""
        from assetctl.operations.acquire.pull import pull_tokenizer

        with running(run) as run:
            return pull_tokenizer(self._workspace, run)

    def add_to_store(
        self,
        *paths: PathLike,
        move: bool = False,
        tags: Iterable[str] = (),
        run: Run | None = None,
    ) -> AddedToStore:
        """Copy files and folders into the store, or move them there."""
        from assetctl.operations.acquire.from_disk import add_to_store

        with running(run) as run:
            return add_to_store(self._workspace, [Path(path) for path in paths], run, move=move, tags=tags)

    def upload(
        self, upload: Upload, *, name: str | None = None, tags: Iterable[str] = (), run: Run | None = None
    ) -> PullResult:
        """Bring what somebody sends into the store, judged as any file is."""
        from assetctl.operations.acquire.upload import take_in

        with running(run) as run:
            return take_in(self._workspace, upload, run, name=name, tags=tags)

    def identify_upload(self, upload: Upload, run: Run | None = None) -> Identified:
        """What a file is that somebody sends; nothing of it is kept."""
        from assetctl.operations.acquire.upload import identify_upload

        with running(run) as run:
            return identify_upload(self._workspace, upload, run)

    def inspect_upload(self, upload: Upload, run: Run | None = None) -> PictureDetails:
        """What a picture that somebody sends says of how it was made; nothing of it is kept.

        Raises:
            FileError: It is no such picture, or is damaged.
        """
        from assetctl.operations.acquire.upload import uploaded

        with running(run) as run, uploaded(self._workspace, upload, run) as came:
            return self._inspect_picture(came.path, Path(came.path.name), hashes=False, run=run)

    def inspect_infotext(self, text: str) -> PictureDetails:
        """What a text says of how a picture was made, that was copied out of one or from a page."""
        from assetctl.generation.diffusers.backend import known_environment
        from assetctl.operations.make.inspect_picture import inspect_infotext
        from assetctl.operations.make.reproduce import foresee

        with running(None) as run:
            found = inspect_infotext(self._workspace, text, run)
            return replace(found, outlook=foresee(self._workspace, found, None, known_environment, run))

    def enrich(
        self, *names: str, again: bool = False, previews: bool = False, nsfw: bool = False, run: Run | None = None
    ) -> Sequence[Enriched]:
        """Learn of local files from sidecars and, by their hashes, from Civitai; `previews` and `nsfw` as in `pull`."""
        from assetctl.operations.acquire.enrich import enrich

        with running(run) as run:
            return enrich(self._workspace, names, run, again=again, previews=previews, nsfw=nsfw)

    def outdated(self, *names: str, run: Run | None = None) -> Sequence[Newer]:
        """Which assets have a newer version at their source, of the same base model."""
        from assetctl.operations.acquire.outdated import outdated

        with running(run) as run:
            return outdated(self._workspace, names, run)

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

    def pull_demo(self, run: Run | None = None) -> Sequence[PullResult]:
        """Bring the demo family, which ships with assetctl, into the store."""
        from assetctl.operations.acquire.demo import pull_demo

        with running(run) as run:
            return pull_demo(self._workspace, run)

    def demo_steps(self) -> Sequence[DemoStep]:
        """What to do with the demo family, step by step."""
        from assetctl.operations.acquire.demo import demo_steps

        return demo_steps(self._workspace)

    # Whether assets work together, and what a prompt comes to.

    def check(self, request: Request, *, purpose: Purpose | str | None = None, commercial: bool = False) -> CheckReport:
        """Whether what a request names can work together, and serves a purpose; `commercial` asks the licences too.

        Where its purpose is `generate`, as it is of what has a checkpoint and no ControlNet unless one is named, the
        report's `can_generate` says whether `plan` takes it. `comfyui` and `any` ask of fit alone.

        Raises:
            NotFoundError, AmbiguousNameError: A name.
            UsageError: Nothing was chosen, or there is no such purpose.
        """
        from assetctl.operations.select.check import check

        _see_request(request)
        return check(self._workspace, request, purpose=purpose, commercial=commercial)

    def rules(self) -> Sequence[Rule]:
        """What `check` looks for, by name."""
        from assetctl.compat.check import list_rules

        return list_rules()

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
        `other lineage`, or `perhaps` (its file leaves several families open, this checkpoint's among them). What
        `check` would refuse is left out.

        Raises:
            UsageError: It is no checkpoint, or nobody knows its family.
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        from assetctl.operations.select.check import briefly
        from assetctl.operations.select.fitting import fitting

        around = partial(briefly, self._workspace)
        return fitting(self._workspace, checkpoint, around, tags=tags, in_store=in_store, limit=limit, **filters)

    def misfits(self, checkpoint: str, *names: str) -> Mapping[str, str]:
        """Which of some assets do not go with a checkpoint, by their names, and why.

        Raises:
            NotFoundError, AmbiguousNameError: A name.
        """
        from assetctl.operations.select.check import briefly
        from assetctl.operations.select.fitting import misfits

        return misfits(self._workspace, checkpoint, names, partial(briefly, self._workspace))

    def prompt(
        self,
        text: str,
        *,
        checkpoint: str | None = None,
        embeddings: Iterable[str] = (),
        auto_embeddings: bool = True,
        flavour: str | None = None,
    ) -> PromptReading:
        """How a prompt is read: its segments, LoRAs, embeddings, and the chunks of 75 tokens that it takes.

        `flavour` is whose way that is: `a1111`, `comfyui` or `diffusers`; the usual one unless named.

        Works without a catalog, and makes none.

        Raises:
            NotFoundError, AmbiguousNameError: The checkpoint or an embedding.
            FileError: The checkpoint's tokenizer, or an embedding's file, is damaged.
        """
        from assetctl.operations.select.prompts import read_prompt

        several("embeddings", embeddings)
        return read_prompt(
            self._workspace,
            text,
            checkpoint=checkpoint,
            embeddings=embeddings,
            auto_embeddings=auto_embeddings,
            flavour=flavour,
        )

    # Pictures: made, made again, looked into and remembered.

    def draw(self, request: Request, *, wildcards: PathLike | None = None, run: Run | None = None) -> Sequence[Request]:
        """A request of dynamic prompts as one for each picture, with the prompts and the seed that it has drawn.

        Args:
            request: Any other one is all that comes back.
            wildcards: A folder to draw from; that of the settings unless named.
            run: Told what lies there and is passed over.
        """
        from assetctl.operations.make.plan import drawn

        _see_request(request)
        folder = None if wildcards is None else Path(wildcards).absolute()
        return drawn(self._workspace, request, folder, run)

    def plan(
        self,
        request: Request,
        known: dict[object, Any] | None = None,
    ) -> tuple[Plan, CheckReport]:
        """Make a request exact and check it, and where its pictures would go; nothing is loaded or written.

        Args:
            request: What is asked for.
            known: What was found out for others, for looking ahead at many: of the same selection the same is said, and
                its files are not looked at again. It is filled here.
        """
        from assetctl.operations.make.generate import find_output_path
        from assetctl.operations.make.plan import resolve

        request, *more = self.draw(request)
        if more:
            hint = "Make what `Registry.draw` returns, one after the other."
            raise UsageError("Each picture of a template has prompts of its own, and so a plan.", hint)
        find_output_path(self._workspace, request.output, count=request.count or 1)
        return resolve(self._workspace, request, known)

    def check_picture_paths(self, plan: Plan, output: Output | None = None) -> Sequence[str]:
        """Where a plan's pictures go, if they can be made and saved there: their names, or the folder.

        Raises:
            UsageError, StorageError: They cannot.
            HashMismatchError: A file is not what it was when it was registered.
        """
        from assetctl.operations.make.generate import see_it_can_be_made

        return see_it_can_be_made(self._workspace, plan, output).planned(len(plan.seeds))

    def generate(
        self,
        request: Request,
        *,
        backend: Backend | None = None,
        run: Run | None = None,
    ) -> GenerationResult:
        """Make pictures, save them with their parameters inside, and record them.

        Raises:
            InterruptedGenerationError: A `KeyboardInterrupt` that names the pictures done.
            AssetctlError: Likewise, in its `done`.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.generate import generate

        plan, report = self.plan(request)
        painter = backend or DiffusersBackend(self._to_keep)
        with running(run) as run:
            return generate(self._workspace, plan, report, painter, output=request.output, run=run)

    @property
    def jobs(self) -> Jobs:
        """What waits for a server's worker, is done by it, or was."""
        return self._workspace.catalog.jobs

    def job_details(
        self, jobs: Iterable[Job], *, at: Mapping[int, AtWork] | None = None, base: str | None = None
    ) -> Sequence[JobDetails]:
        """Jobs with what there is of them, as `assetctl jobs` and a server show them.

        Args:
            jobs: See `jobs`.
            at: How far those are that run, as their server knows.
            base: The address of that server.
        """
        from assetctl.operations.make.queued import job_details

        return job_details(self._workspace, list(jobs), at or {}, base)

    def backend(self) -> Backend:
        """Who makes pictures in this process unless another is given; one for several calls keeps what it loaded."""
        from assetctl.generation.diffusers import DiffusersBackend

        return DiffusersBackend(self._to_keep)

    def generate_each(
        self,
        requests: Sequence[Request],
        *,
        backend: Backend | None = None,
        run: Run | None = None,
    ) -> Sequence[GenerationResult]:
        """Make what `draw` returns: the one picture of each request, with one output for all.

        Raises:
            InterruptedGenerationError: A `KeyboardInterrupt` that names the pictures done.
            AssetctlError: Likewise, in its `done`.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.generate import generate_each

        plans = [self.plan(request) for request in requests]
        painter = backend or DiffusersBackend(self._to_keep)
        with running(run) as run:
            return generate_each(self._workspace, plans, painter, output=requests[0].output, run=run)

    def plan_grid(self, request: Request, grid: str | Sequence[Axis]) -> GridResult:
        """Resolve and check a request in every combination of some values, in which order they load least.

        Nothing is loaded or written. See `generate_grid`.
        """
        from assetctl.operations.make.grid import plan_grid

        _see_request(request)
        return plan_grid(self._workspace, request, grid)

    def generate_grid(
        self,
        request: Request,
        grid: str | Sequence[Axis],
        *,
        backend: Backend | None = None,
        run: Run | None = None,
    ) -> GridResult:
        """Make a request in every combination of some values, each as a picture by itself, and one sheet of them all.

        Args:
            request: What all cells have in common; its output is where the sheet goes.
            grid: `"checkpoint: a, b; lora whiskers: 0.4, 0.8; steps: 10-30 (+10)"`, or axes.
            backend: Who makes the pictures; diffusers unless given.
            run: Told of every step, of all cells.

        Raises:
            UsageError: The grid makes no sense, or is too large.
            InterruptedGridError: A `KeyboardInterrupt`; what is done is on a sheet.
            AssetctlError: No cell can be made. One that cannot ends no other: the result says why.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.grid_making import make_grid

        planned = self.plan_grid(request, grid)
        painter = backend or DiffusersBackend(self._to_keep)
        with running(run) as run:
            return make_grid(self._workspace, planned, painter, output=request.output, run=run)

    def generate_batch(
        self,
        jobs: PathLike | bytes | Iterable[Mapping[str, Any]],
        *,
        base: Request | None = None,
        file: PathLike = "registry.toml",
        shard: tuple[int, int] = (1, 1),
        dry_run: bool = False,
        backend: Backend | None = None,
        run: Run | None = None,
    ) -> Sequence[JobResult]:
        """Make the pictures of a list of jobs that are not there yet, in the order that loads least.

        Whatever ends it, the same call goes on: each job is made once, by one process. One that fails keeps no other.

        Args:
            jobs: What each asks for: `{"prompt": "a cat", "loras": {"whiskers": 0.8}, "seed": 7}`; or a file, or its
                content, with such a JSON object in each line.
            base: What holds where a job says nothing else.
            file: The manifest that has the recipes which jobs name.
            shard: `(2, 4)` is the second of four parts, which several machines make of one list.
            dry_run: Only say what would be made.
            backend: Who makes them; diffusers unless given.
            run: Told of every step, and `Finished` of every job.

        Raises:
            InterruptedBatchError: A `KeyboardInterrupt` that says what became of each job in its `done`.
            AssetctlError: The list cannot be read, or nothing more can be saved; likewise.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.batch import generate_batch
        from assetctl.operations.make.jobs import read_list

        said = read_list(Path(jobs)) if isinstance(jobs, str | Path) else jobs
        painter = backend or DiffusersBackend(self._to_keep)
        with running(run) as run:
            return generate_batch(
                self._workspace, said, painter, base=base, manifest=Path(file), shard=shard, dry_run=dry_run, run=run
            )

    def made(self, jobs: Iterable[Mapping[str, Any]]) -> Sequence[int]:
        """The numbers of the pictures that the history has of jobs, as `generate_batch` takes them, of this home."""
        from assetctl.operations.make.batch import made

        return made(self._workspace, jobs)

    def clear_claims(self, jobs: Iterable[Mapping[str, Any]]) -> None:
        """Take away what killed processes left in the home of claims of jobs, as `made` takes them, that have ended."""
        from assetctl.operations.make.batch import clear_claims

        clear_claims(self._workspace, jobs)

    @property
    def _to_keep(self) -> int | None:
        """Bytes of loaded models that may wait for another picture, where somebody has set how many."""
        gigabytes = self._workspace.settings.keep_gigabytes
        return None if gigabytes is None else gigabytes * 10**9

    def plan_reproduction(
        self,
        picture: PathLike | int,
        *,
        other_bytes: bool = False,
        backend: Backend | None = None,
        run: Run | None = None,
    ) -> Reproduction:
        """Say how a picture would be made again, and what would differ; see `reproduce`."""
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.reproduce import plan_reproduction

        painter = backend or DiffusersBackend(self._to_keep)
        with running(run) as run:
            return plan_reproduction(self._workspace, str(picture), painter, other_bytes=other_bytes, run=run)

    def reproduce(
        self,
        picture: PathLike | int | Reproduction,
        *,
        out: PathLike | None = None,
        force: bool = False,
        other_bytes: bool = False,
        sheet: PathLike | bool = False,
        backend: Backend | None = None,
        run: Run | None = None,
    ) -> Reproduced:
        """Make a picture again and compare it with its original.

        assetctl's own pictures come out the same on the same device, precision and versions; those of others resemble.

        Args:
            picture: A picture file, a number of the history, or what `plan_reproduction` returned.
            out: A folder, or the new picture's name; the outputs folder unless given.
            force: Replace the file that `out` names.
            other_bytes: Take assets of the right name where the files themselves are not here.
            sheet: Where both pictures go with their difference, on one sheet; `True` for beside the new one.
            backend: Who makes it; diffusers unless given.
            run: Told of every step.

        Raises:
            NotFoundError: There is no such picture, it does not say how it was made, or an asset is missing.
            HashMismatchError: An asset is here by its name alone.
        """
        from assetctl.generation.diffusers import DiffusersBackend
        from assetctl.operations.make.reproduce import Reproduction, reproduce

        painter = backend or DiffusersBackend(self._to_keep)
        if not isinstance(picture, Reproduction):
            picture = self.plan_reproduction(picture, other_bytes=other_bytes, backend=painter, run=run)
        target = None if out is None else Path(out)
        with running(run) as run:
            shown = sheet if isinstance(sheet, bool) else Path(sheet)
            return reproduce(self._workspace, picture, painter, out=target, force=force, sheet=shown, run=run)

    def check_reproduction_path(
        self,
        reproduction: Reproduction,
        *,
        out: PathLike | None = None,
        force: bool = False,
        sheet: PathLike | bool = False,
    ) -> Sequence[str]:
        """Where a picture that is made again goes, if it can be saved there: its name, or the folder; see `reproduce`.

        Raises:
            UsageError, StorageError: It cannot; or `out` names the original itself.
            HashMismatchError: A file is not what it was when it was registered.
        """
        from assetctl.operations.make.reproduce import check_output_path

        target, shown = None if out is None else Path(out), sheet if isinstance(sheet, bool) else Path(sheet)
        return check_output_path(self._workspace, reproduction, out=target, force=force, sheet=shown)

    def find_picture(self, name: str) -> Path | None:
        """The picture file that `name` is the path of, or `None`; one that is registered as an asset is an asset."""
        if not os.path.isfile(os.path.expanduser(name)):  # noqa: PTH111, PTH113 - which raise nothing; names are no files
            return None
        from assetctl.operations.make.inspect_picture import find_picture

        return find_picture(self._workspace, name)

    def inspect_picture(self, path: PathLike, *, hashes: bool | None = None, run: Run | None = None) -> PictureDetails:
        """What a PNG, JPEG or WebP picture says of how it was made, what of that is here, and what comes of it again.

        Of assets that go by the right name, hashes that were left for later are computed if `hashes` is true, and by
        itself of what is small.

        Raises:
            FileError: It is no such picture, or is damaged.
        """
        with running(run) as run:
            return self._inspect_picture(Path(path), Path(path), hashes=hashes, run=run)

    def _inspect_picture(self, path: Path, called: Path, *, hashes: bool | None, run: Run) -> PictureDetails:
        from assetctl.generation.diffusers.backend import known_environment
        from assetctl.operations.make.inspect_picture import inspect_picture
        from assetctl.operations.make.reproduce import foresee

        found = inspect_picture(self._workspace, path, hashes=hashes, run=run)
        found = replace(found, file=replace(found.file, path=called))
        if found.parameters is None:
            return found
        return replace(found, outlook=foresee(self._workspace, found, path, known_environment, run))

    def history(
        self,
        limit: int | None = 20,
        *,
        used: str | None = None,
        prompt: str | None = None,
        seed: int | None = None,
        since: str | None = None,
        before: int | None = None,
        damaged: Callable[[CatalogError], None] | None = None,
    ) -> Sequence[Generation]:
        """The pictures that were made, newest first, without their records; conditions add up.

        Args:
            limit: How many at most; `None` for all.
            used: An asset that took part, by name, path or hash; or by the name of one that is gone.
            prompt: Words that occur in the prompt.
            seed: Exactly this one.
            since: A date or time in ISO 8601, or `12h`, `7d`, `2w`, `3m`, `1y` ago.
            before: The number of a picture: only older ones, so that this is the next page.
            damaged: Told of every picture that is left out since what is kept of it is damaged.

        Raises:
            CatalogError: What is kept of one is damaged, and nobody wants to be told of those.
        """
        from assetctl.operations.make.history import history

        asked = {"used": used, "prompt": prompt, "since": since}
        return history(self._workspace, **asked, seed=seed, before=before, limit=limit, damaged=damaged)

    def pictures(self, *numbers: int) -> Sequence[Generation]:
        """Pictures of the history by their numbers, as the catalog has them; whether they lie there is not asked."""
        return self._workspace.catalog.generations.numbered(numbers)

    def generation(self, number: int) -> Generation:
        """One picture of the history, with its record.

        Raises:
            NotFoundError: No picture has this number.
        """
        from assetctl.operations.make.history import made_picture

        return made_picture(self._workspace, number)

    def remade(self, number: int) -> Remade:
        """One picture of the history, and the words of the command line that makes it again.

        Raises:
            NotFoundError: No picture has this number.
        """
        from assetctl.operations.make.history import remade

        return remade(self._workspace, number)

    def outlook(self, number: int) -> Outlook:
        """What comes of making a picture of the history again; nothing is loaded for it.

        Raises:
            NotFoundError: No picture has this number.
        """
        from assetctl.generation.diffusers.backend import known_environment
        from assetctl.operations.make.reproduce import foresee_again

        with running(None) as run:
            return foresee_again(self._workspace, number, known_environment, run)

    # A machine that has what a manifest wants.

    def lock(
        self,
        manifest: PathLike = "registry.toml",
        *,
        upgrade: bool = False,
        write: bool = True,
        outside: bool = False,
        run: Run | None = None,
    ) -> LockResult:
        """Resolve a manifest to exact revisions and hashes, and write its lockfile beside it.

        Paths in it must not leave its folder, unless `outside` says that they may.
        """
        from assetctl.operations.provision.lock import lock

        options = {"upgrade": upgrade, "write": write, "outside": outside}
        with running(run) as run:
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
        check: bool = False,
        outside: bool = False,
        run: Run | None = None,
    ) -> SyncResult:
        """Make the catalog have what a manifest's lockfile names; see `assetctl sync --help` for the modes.

        What could not be fetched is in the result, as `failed`; it keeps nothing else from being done.
        """
        from assetctl.operations.provision.sync import sync

        options = {"locked": locked, "frozen": frozen, "prune": prune, "now": now, "dry_run": dry_run}
        options |= {"check": check, "outside": outside}
        path = Path(manifest).absolute()
        another = self._workspace.another(offline=True) if offline else nullcontext(self._workspace)
        with running(run) as run, another as workspace:
            return sync(workspace, path, run, **options)

    def export(
        self, *names: str, recipe: str | None = None, base: PathLike | None = None, run: Run | None = None
    ) -> Export:
        """A manifest of the named assets, or of all; paths below the folder `base` count from there."""
        from assetctl.operations.provision.export import export

        folder = None if base is None else Path(base)
        with running(run) as run:
            return export(self._workspace, names, run, recipe=recipe, base=folder)


def _see_request(request: object) -> None:
    """See that something is a `Request`, and no name or prompt.

    Raises:
        UsageError: It is not.
    """
    from assetctl.request import Request

    if not isinstance(request, Request):
        hint = "Write Request.of('a cat', checkpoint='dreamshaper'), or Request.of(names=['dreamshaper', 'whiskers'])."
        raise UsageError(f"A Request is asked for, not {request!r:.40}.", hint)
