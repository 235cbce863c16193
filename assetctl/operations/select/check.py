"""Check: whether a selection works together here, what is like it and does, and what fits a checkpoint."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import OpenedCheckpoint, Situation, run_rules
from assetctl.errors import UsageError
from assetctl.identify.plugins import sharing_latents
from assetctl.operations.library.tokenizer_files import tokenizer_folder
from assetctl.operations.select.selection import alone, select, with_embeddings
from assetctl.types import AssetUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from assetctl.catalog.reading import Reader
    from assetctl.operations.workspace import Workspace
    from assetctl.request import Request
    from assetctl.types import Asset, AssetFile, CheckReport, Facts, Finding, Selection

    Fitting = tuple[Asset, str]


_MEMINFO = Path("/proc/meminfo")

#: Linux's limit on a container, and what is used of it: the second version of control groups, and the first.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def situation_of(workspace: Workspace, selection: Selection, *, commercial: bool = False) -> Situation:
    """What this machine and the catalog say to a selection; nothing of tokens without a prompt."""
    read, has_prompt = workspace.catalog.read, bool(selection.prompt or selection.negative_prompt)
    checkpoint = selection.checkpoint if has_prompt else None
    folder = None if checkpoint is None else tokenizer_folder(workspace, checkpoint)
    return Situation(
        tokenizer=None if folder is None else str(folder),
        memory=free_memory(),
        weight_bytes=4 if workspace.settings.dtype == "fp32" else 2,
        states=tuple(_states(workspace, selection)),
        commercial=commercial,
        facts=_facts(read, selection) if commercial else (),
    )


def _facts(read: Reader, selection: Selection) -> tuple[tuple[str, Facts], ...]:
    """What the sources of all assets said of them."""
    origins = ((asset.path, read.origin(asset)) for asset in dict.fromkeys(selection.assets()))
    return tuple((path, origin.facts) for path, origin in origins if origin is not None and origin.facts is not None)


def _states(workspace: Workspace, selection: Selection) -> Iterator[tuple[str, str]]:
    """Assets whose files were written to since they were registered, or were never hashed; not what is gone."""
    for asset in dict.fromkeys(selection.assets()):
        files = [file for file in workspace.catalog.read.files(asset) if file.role != "copy"]
        if any(_written(file) for file in files):
            yield asset.path, "changed"
        elif any(file.sha256 is None for file in files):
            yield asset.path, "unverified"


def _written(file: AssetFile) -> bool:
    with suppress(OSError):
        status = Path(file.path).stat()
        return (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns)
    return False


def free_memory() -> int | None:
    """Bytes that a program can have now, or all that the machine has where the system does not tell; else `None`.

    Memory of a graphics card is not seen: weights pass through the machine's own on their way there.
    """
    there = [number for number in (_available(), *_left_of_limits()) if number is not None]
    if there:
        return min(there)
    with suppress(AttributeError, ValueError, OSError):  # Windows has no such call, and not every system this name
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _available() -> int | None:
    with suppress(OSError):
        match = re.search(r"MemAvailable:\s+(\d+) kB", _MEMINFO.read_text())
        return None if match is None else int(match[1]) * 1024
    return None


def _left_of_limits() -> list[int]:
    left = []
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):  # `max` means that there is none
            left.append(int(limit.read_text()) - int(used.read_text()))
    return left


#: Rules whose first asset should be another one.
_REPLACEABLE = frozenset({
    "family", "kind", "embedding_width", "vae_channels", "coverage", "lineage", "prediction_mismatch", "method",
    "missing_file", "unreadable_file", "damaged_lora", "zero_weight", "format", "licence",
})  # fmt: skip

#: How many assets are looked at for each search.
_MOST = 20

#: How many of the most alike have their headers read, until one fits.
_MOST_READ = 8


def judge(workspace: Workspace, selection: Selection, *, commercial: bool = False) -> CheckReport:
    """What all rules say of a selection here; hints name what fits better, where the catalog has such a thing."""
    report = run_rules(selection, situation_of(workspace, selection, commercial=commercial))
    search = _Search(workspace, selection, commercial=commercial)
    return replace(report, findings=tuple(map(search.suggested, report.findings)))


@dataclass(frozen=True)
class _Search:
    """Looks for what fits better than parts of a selection; the checkpoint's file is read once."""

    workspace: Workspace
    selection: Selection
    commercial: bool

    @cached_property
    def opened(self) -> OpenedCheckpoint | None:
        return None if self.selection.checkpoint is None else OpenedCheckpoint(self.selection.checkpoint)

    @cached_property
    def roles(self) -> dict[str, tuple[str, Asset]]:
        return {use.asset.name: (use.role, use.asset) for use in self.selection.uses}

    def suggested(self, finding: Finding) -> Finding:
        """The finding, whose hint names something better if there is such a thing."""
        if finding.rule not in _REPLACEABLE or not finding.assets or finding.severity == "info":
            return finding
        role, asset = self.roles.get(finding.assets[0], (None, None))
        if role is None or asset is None:
            return finding
        if role == "checkpoint":
            other, flag = self.other_checkpoint(finding.rule), "--checkpoint"
        else:
            other, flag = self.alike(role, asset, finding.rule), f"--{role}"
        more = [] if other is None else [f"{other.name} in your catalog fits: {flag} {other.typed}."]
        if finding.rule == "family" and role != "checkpoint":
            checkpoint = self.other_checkpoint(finding.rule)
            more += (
                [] if checkpoint is None else [f"All of them fit {checkpoint.name}: --checkpoint {checkpoint.typed}."]
            )
        return replace(finding, hint=" ".join([*filter(None, [finding.hint]), *more])) if more else finding

    def alike(self, role: str, asset: Asset, rule: str) -> Asset | None:
        """The asset most like `asset` that no rule finds an error in, nor `rule` anything."""
        checkpoint = self.selection.checkpoint
        if checkpoint is None or checkpoint.family is None:
            return None
        taken = {each.id for each in self.selection.assets()}
        ranked = _ranked(self.workspace.catalog.read, checkpoint, role, asset)
        there = (each for each in ranked if each.id not in taken and _usable(each))
        settings = self.selection.settings
        tried = ((each, alone(checkpoint, each, settings)) for each in islice(there, _MOST_READ))
        return next((each for each, selection in tried if self.fits(selection, each, rule)), None)

    def other_checkpoint(self, rule: str) -> Asset | None:
        """A checkpoint of the one family that all other assets are of, and that fits them."""
        own = self.selection.checkpoint
        families = {asset.family for asset in self.selection.assets() if asset is not own}
        if len(families) != 1 or None in families or own is None or own.family in families:
            return None
        found = self.workspace.catalog.read.assets(kind="checkpoint", family=families.pop(), limit=_MOST)
        there = islice(filter(_usable, found), _MOST_READ)
        rest = tuple(use for use in self.selection.uses if use.role != "checkpoint")
        tried = ((each, replace(self.selection, uses=(AssetUse("checkpoint", each), *rest))) for each in there)
        return next((each for each, selection in tried if self.fits(selection, each, rule)), None)

    def fits(self, selection: Selection, asset: Asset, rule: str) -> bool:
        """Whether no rule has an error to tell of `asset` here, `rule` nothing at all, and `generate` applies it."""
        facts = _facts(self.workspace.catalog.read, selection) if self.commercial else ()
        opened = self.opened if selection.checkpoint is self.selection.checkpoint else None
        situation = Situation(commercial=self.commercial, facts=facts)
        findings = run_rules(selection, situation, opened=opened).findings
        return not any(
            asset.name in finding.assets and (finding.severity == "error" or finding.rule in (rule, "method"))
            for finding in findings
        )


def _ranked(read: Reader, checkpoint: Asset, kind: str, asset: Asset) -> list[Asset]:
    """Assets of this kind for this checkpoint, those most like `asset` first: by its name, its words and its tags."""
    sharing = sharing_latents(checkpoint.family)
    candidates = read.fitting(checkpoint, sharing=sharing, kind=kind, limit=_MOST)
    found = [fitting for fitting, how in candidates if how != "other lineage"]
    for word in sorted(_words(asset.name), key=len, reverse=True)[:3]:
        found += read.search(word, kind=kind, family=checkpoint.family, limit=_MOST)
    if checkpoint.base_model is not None:
        same = [each for each in found if each.base_model in (None, checkpoint.base_model)]
        found = same or found
    return sorted({each.id: each for each in found}.values(), key=lambda each: (-_likeness(each, asset), each.name))


def _usable(asset: Asset) -> bool:
    return asset.format in ("safetensors", "diffusers") and Path(asset.path).exists()


def _likeness(one: Asset, other: Asset) -> float:
    shared = len(_said(one) & _said(other))
    return shared + SequenceMatcher(None, one.name.lower(), other.name.lower()).ratio()


def _said(asset: Asset) -> set[str]:
    return _words(asset.name) | {word.lower() for word in (*asset.trigger_words, *asset.tags)}


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[\W_\d]+", name.lower()) if len(word) > 2}


#: The rules that read headers, and so know more than the catalog.
_RULES = frozenset({"coverage", "damaged_lora", "embedding_width", "vae_channels", "unreadable_file"})


def fitting(
    workspace: Workspace,
    name: str,
    *,
    tags: Iterable[str] = (),
    in_store: bool | None = None,
    limit: int | None = None,
    **filters: str | None,
) -> list[Fitting]:
    """What can be used with the checkpoint of this name, best first, each with how well it fits.

    What `check` would refuse is left out, and the next ones move up, as far as `looked_at` goes. What is not there
    to be read stays as the catalog has it; if that is the checkpoint, everything does.

    Raises:
        UsageError: It is no checkpoint, or nobody knows its family.
        NotFoundError, AmbiguousNameError: The name.
    """
    checkpoint = _checkpoint(workspace, name)
    read, sharing = workspace.catalog.read, sharing_latents(checkpoint.family)

    def ask(most: int | None) -> list[Fitting]:
        return read.fitting(checkpoint, sharing=sharing, tags=tags, in_store=in_store, limit=most, **filters)

    opened = OpenedCheckpoint(checkpoint)
    if opened.readable:
        return list(islice((each for each in _in_turn(ask, limit) if _fits(opened, each[0])), limit))
    return ask(limit)


def looked_at(limit: int) -> int:
    """How many candidates are looked at, at most, for a list of so many."""
    return 4 * limit + 100


def _in_turn(ask: Callable[[int | None], list[Fitting]], limit: int | None) -> Iterator[Fitting]:
    """As many candidates as are wanted, and more if some of those do not fit."""
    first = ask(limit)
    yield from first
    if limit is not None and len(first) == limit:
        yield from ask(looked_at(limit))[limit:]


def _fits(opened: OpenedCheckpoint, candidate: Asset) -> bool:
    """Whether no rule finds an error in the candidate's header; so too where there is no file to read."""
    selection = alone(opened.asset, candidate)
    return not Path(candidate.path).exists() or run_rules(selection, opened=opened, only=_RULES).ok


def _checkpoint(workspace: Workspace, name: str) -> Asset:
    """The checkpoint of this name, path or hash, whose family is known."""
    asset = workspace.catalog.read.find(name)
    if asset.kind not in ("checkpoint", "diffusion-model"):
        hint = "Name a checkpoint: `assetctl list --kind checkpoint` shows all."
        raise UsageError(f"{asset.name} is of kind {asset.kind}; only of a checkpoint can one ask what fits.", hint)
    if asset.family is None:
        hint = f"If you know it, set it: `assetctl edit {asset.typed} --family FAMILY`."
        raise UsageError(f"The family of {asset.name} is unknown, so what fits it is unknown too.", hint)
    return asset


def check(workspace: Workspace, request: Request, *, commercial: bool = False) -> CheckReport:
    """Ask every compatibility rule about what is asked for.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: Nothing was chosen.
    """
    read = workspace.catalog.read
    selection = with_embeddings(
        read, select(read, request, note_unknown_tags=True), take=request.auto_embeddings is not False
    )
    if not (selection.assets() or selection.unknown_loras):
        raise UsageError(
            "Nothing was selected.", "Try `assetctl check CHECKPOINT LORA…`, with names from `assetctl list`."
        )
    return judge(workspace, selection, commercial=commercial)
