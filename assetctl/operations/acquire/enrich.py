"""Enrich: learn of local files what sidecars beside them, Civitai, by their hashes, and the Hub say and show."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assetctl.errors import FileError, SourceError, SourceNotFoundError, StorageError, UsageError
from assetctl.operations.acquire.sidecars import read_sidecars
from assetctl.operations.library.ingest import with_source_facts
from assetctl.operations.library.previews import keep_fetched, own_preview
from assetctl.run import Warned
from assetctl.sources import capable
from assetctl.sources.base import Describing, Picturing, cancellable
from assetctl.sources.transfer import fetched
from assetctl.types import Facts, Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.operations.acquire.sidecars import Sidecar
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset


#: Failures in a row after which a source is not asked any more.
_PATIENCE = 3

#: What a source says that has nothing to say: what it had is gone, or its page holds nothing that could be kept.
_NOTHING = (SourceNotFoundError, FileError, UsageError)

#: What a picture of a source's may be: bytes, and seconds that it takes. How many are tried until one is good.
_LARGEST_PICTURE, _LONGEST_FETCH, _MOST_TRIED = 16 * 2**20, 30.0, 3


@dataclass(frozen=True, slots=True)
class Enriched:
    """What was learned of one asset: from whom, and in which fields; nothing, where nobody knew it."""

    asset: Asset
    sources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


def enrich(
    workspace: Workspace,
    names: Sequence[str],
    run: Run,
    *,
    again: bool = False,
    previews: bool = False,
    nsfw: bool = False,
) -> list[Enriched]:
    """Ask of the named assets, or of all of which nothing was learned yet; `again` asks of those too.

    What a person set stays. What was known stays where a page has been deleted. Offline, only sidecars are read.
    With `previews`, those that no picture shows get one of their source's; that it has none is no failure.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        SourceError: A source cannot be reached; what sidecars say, and what was learned before, is kept.
        Cancelled: The run is; what was learned is kept.
    """
    read = workspace.catalog.read
    assets = [read.find(name) for name in names] if names else read.assets()
    results = []
    sources = [_Asked(workspace, source) for source in capable(Describing, workspace.settings)]
    shown = Previews(workspace, nsfw=nsfw) if previews else None
    for asset in assets:
        origin = read.origin(asset)
        asks = again or origin is None or origin.facts is None
        result = Enriched(asset)
        if asks or (shown is not None and shown.lacks(asset)):
            with run.task(asset.name, "check"):
                if asks:
                    result = _learned(workspace, asset, origin, sources, run)
                if shown is not None:
                    result = _shown(result, shown.fetch(result.asset, run, again=again), run)
        results.append(result)
    for source in sources:
        if source.problem is not None:
            raise source.problem
    return results


def _learned(
    workspace: Workspace, asset: Asset, origin: Origin | None, sources: Sequence[_Asked], run: Run
) -> Enriched:
    with cancellable(run):
        said = [facts for source in sources if (facts := source.ask(asset, origin))]
    known = [*said, *([origin.facts] if origin and origin.facts else [])]
    page = next((each.page for each in known if each.source == "civitai"), None)
    sidecars = read_sidecars(Path(asset.path), asset.sha256, page) if asset.format != "diffusers" else []
    return _kept(workspace, asset, origin, [*said, *(each.facts for each in sidecars)], sidecars)


def _shown(result: Enriched, came: Fetched, run: Run) -> Enriched:
    """The same with the picture that came of it."""
    if came.problem is not None:
        run.tell(Warned(task=result.asset.name, message=came.problem))
    if came.source is None:
        return result
    sources = tuple(dict.fromkeys((*result.sources, came.source)))
    return replace(result, sources=sources, fields=(*result.fields, "preview"))


def _hash_of(asset: Asset) -> str | None:
    """What sources know the bytes of an asset by; that of a folder is our own."""
    return None if asset.format == "diffusers" else asset.sha256


class _Asked:
    """A source that is asked until it fails some times in a row; the others go on, and that is told at the end.

    What one page says, however odd, does not keep the source from being asked about the next asset.
    """

    def __init__(self, workspace: Workspace, source: Describing) -> None:
        self._silent = workspace.settings.offline
        self._source = source
        self._failures = 0
        self.problem: SourceError | None = None

    def ask(self, asset: Asset, origin: Origin | None) -> Facts | None:
        if self._silent or self._failures >= _PATIENCE:
            return None
        try:
            facts = self._source.describe(_hash_of(asset), origin)
        except _NOTHING:
            facts = None
        except SourceError as error:
            self.problem = self.problem or error
            self._failures += 1
            return None
        self._failures = 0
        return facts


class Fetched(NamedTuple):
    """What became of a picture that was to show an asset.

    Attributes:
        source: Whose it is; `None` where none came.
        problem: Why none came, where something failed.
        reason: Why none came, whatever it was.
    """

    source: str | None = None
    problem: str | None = None
    reason: str | None = None


class Previews:
    """Fetches pictures for assets that none shows, from wherever they came, or who else knows their bytes.

    Args:
        workspace: The home.
        nsfw: Whether any picture will do; otherwise it is one of which its source says that everybody may see it.
    """

    def __init__(self, workspace: Workspace, *, nsfw: bool) -> None:
        self._workspace, self._nsfw = workspace, nsfw
        self._sources = capable(Picturing, workspace.settings)
        self._failures: Counter[str] = Counter()  # in a row, of each source

    def lacks(self, asset: Asset) -> bool:
        """Whether no picture shows it but, perhaps, one that was made with it."""
        return own_preview(self._workspace, asset) is None

    def fetch(self, asset: Asset, run: Run, *, again: bool = False) -> Fetched:
        """Fetch one, where there is none yet, or `again`; whatever goes wrong is told, and is no error.

        Raises:
            Cancelled: The run is.
        """
        if not again and not self.lacks(asset):
            return Fetched()
        if self._workspace.settings.offline:
            return Fetched(reason=f"The network is off: no preview of {asset.name} was fetched.")
        origin = self._workspace.catalog.read.origin(asset)
        own, problem = None if origin is None else origin.source, None
        for source in sorted(self._sources, key=lambda each: each.name != own):
            if self._failures[source.name] < _PATIENCE:
                came, failed = self._fetched(source, asset, origin, run)
                if came:
                    return Fetched(source.name)
                problem = problem or failed
        if problem is not None:
            said = f"No preview of {asset.name} came: {problem.message}"
            return Fetched(problem=said, reason=said)
        said = "" if self._nsfw else " that is rated as safe for everybody"
        return Fetched(reason=f"Nobody shows {asset.name} by a picture{said}.")

    def _fetched(
        self, source: Picturing, asset: Asset, origin: Origin | None, run: Run
    ) -> tuple[bool, SourceError | None]:
        """Whether a picture came from a source, and what failed otherwise, if something did."""
        problem = None
        try:
            with cancellable(run):
                ways = source.pictures(_hash_of(asset), origin, nsfw=self._nsfw)
            for way in ways[:_MOST_TRIED]:
                try:
                    data = fetched(way, _LARGEST_PICTURE, _LONGEST_FETCH, run)
                except SourceError as error:
                    problem = problem or error
                    continue
                if self._keep(asset, data):
                    problem = None
                    return True, None
        except _NOTHING:
            return False, None
        except SourceError as error:
            problem = error
        finally:
            self._failures[source.name] = 0 if problem is None else self._failures[source.name] + 1
        return False, problem

    def _keep(self, asset: Asset, data: bytes) -> bool:
        try:
            return keep_fetched(self._workspace, asset, data)
        except StorageError:  # the disk is full: nothing that matters is lost
            return False


def _kept(
    workspace: Workspace, asset: Asset, origin: Origin | None, told: Sequence[Facts], sidecars: Sequence[Sidecar]
) -> Enriched:
    weight = next((each.weight for each in sidecars if each.weight is not None), None)
    notes = next((each.notes for each in sidecars if each.notes), None)
    tags = next((each.tags for each in sidecars if each.tags), ())
    with workspace.catalog.write() as writer:
        now = writer.by_id(asset.id)
        if told:
            facts = _merged(told)
            known = replace(origin or Origin("path", asset.path), facts=facts)
            writer.set_origin(asset.id, known)
            writer.set_identification(asset.id, with_source_facts(writer.details(now).identification, known))
        if weight is not None and now.default_weight is None and now.kind == "lora":
            writer.set_default_weight(asset.id, weight)
        if notes and not now.notes:
            writer.set_notes(asset.id, notes)
        if tags and not now.tags:
            writer.change_tags(asset.id, tags)
        after = writer.by_id(asset.id)
    fields = ("kind", "family", "base_model", "trigger_words", "default_weight", "notes", "tags")
    changed = tuple(field for field in fields if getattr(asset, field) != getattr(after, field))
    return Enriched(after, tuple(facts.source for facts in told), changed)


def _merged(told: Sequence[Facts]) -> Facts:
    """The first who says a thing is believed."""
    first, *rest = told
    for other in rest:
        lacking = {field: getattr(other, field) for field in Facts.__slots__ if getattr(first, field) in (None, ())}
        first = replace(first, **lacking)
    return first
