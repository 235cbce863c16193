"""Check: whether a selection works together here, what is like it and does, and what fits a checkpoint."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import OpenedCheckpoint, Situation, run_rules
from assetctl.errors import AssetctlError, NotFoundError, UsageError
from assetctl.identify.plugins import family_called, sharing_latents, strange_lineages
from assetctl.operations.library.tokenizer_files import find_tokenizer, tokenizer_folder
from assetctl.operations.select.selection import alone, select
from assetctl.options import filled
from assetctl.types import PURPOSES, AssetUse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from assetctl.catalog.reading import Reader
    from assetctl.operations.workspace import Workspace
    from assetctl.options import Settings
    from assetctl.request import Request
    from assetctl.types import Asset, AssetFile, CheckReport, Facts, Finding, Purpose, Selection

    Fitting = tuple[Asset, str]


_MEMINFO = Path("/proc/meminfo")

#: Linux's limit on a container, and what is used of it: the second version of control groups, and the first.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def situation_of(
    workspace: Workspace,
    selection: Selection,
    *,
    purpose: Purpose = "any",
    commercial: bool = False,
    opened: OpenedCheckpoint | None = None,
) -> Situation:
    """What this machine and the catalog say to a selection; nothing of embeddings and tokens without a prompt."""
    read, has_prompt = workspace.catalog.read, bool(selection.prompt or selection.negative_prompt)
    folder, others = None, []
    if has_prompt:
        chosen = {asset.id for asset in selection.embeddings}
        others = [asset for asset in read.assets(kind="embedding") if asset.id not in chosen]
        folder = None if selection.checkpoint is None else tokenizer_folder(workspace, selection.checkpoint)
    assets = dict.fromkeys(selection.assets())
    return Situation(
        purpose=purpose,
        unloadable=unloadable(workspace, selection, opened) if purpose == "generate" and opened is not None else None,
        set_by_hand=tuple((asset.path, fields) for asset in assets if (fields := read.set_by_hand(asset))),
        others=tuple(others),
        tokenizer=None if folder is None else str(folder),
        memory=free_memory(),
        weight_bytes=4 if workspace.settings.dtype == "fp32" else 2,
        states=tuple(_states(workspace, selection, purpose)),
        commercial=commercial,
        facts=_facts(read, selection) if commercial else (),
    )


def unloadable(workspace: Workspace, selection: Selection, opened: OpenedCheckpoint) -> AssetctlError | None:
    """Why `generate` could not load the checkpoint: a vocabulary or a part that is missing, a value out of bounds.

    Everything is looked at that loading looks at: a folder, the configuration beside a single file, or its tensors.
    `None` also where other rules have told of it: its family is not driven, or its files cannot be read.
    """
    from assetctl.generation.configuration import check_checkpoint  # noqa: PLC0415 - only where pictures are to be made

    checkpoint = opened.asset
    family = family_called(checkpoint.family)
    if family is None or family.driven is None or checkpoint.kind != "checkpoint" or not opened.readable:
        return None
    if checkpoint.format not in ("safetensors", "diffusers"):
        return None
    try:
        tokenizer = find_tokenizer(workspace, checkpoint)
        check_checkpoint(checkpoint, opened.header, tokenizer, own_vae=selection.vae is None)
    except AssetctlError as error:
        return error
    return None


def _facts(read: Reader, selection: Selection) -> tuple[tuple[str, Facts], ...]:
    """What the sources of all assets said of them."""
    origins = ((asset.path, read.origin(asset)) for asset in dict.fromkeys(selection.assets()))
    return tuple((path, origin.facts) for path, origin in origins if origin is not None and origin.facts is not None)


def _states(workspace: Workspace, selection: Selection, purpose: Purpose) -> Iterator[tuple[str, str]]:
    """Assets whose files were written to since they were registered, or were never hashed; not what is gone.

    Where a picture is to be made of them, what was written to is read: its hash tells whether it holds the same.
    """
    for asset in dict.fromkeys(selection.assets()):
        files = [file for file in workspace.catalog.read.files(asset) if file.role != "copy"]
        if len(files) == 1 and not _as_large(files[0]):
            continue  # which `missing_file` tells
        if written := [file for file in files if _written(file)]:
            yield asset.path, "touched" if purpose == "generate" and all(map(_is_the_same, written)) else "changed"
        elif any(file.sha256 is None for file in files):
            yield asset.path, "unverified"


def _as_large(file: AssetFile) -> bool:
    with suppress(OSError):
        return Path(file.path).stat().st_size == file.size
    return True


def _written(file: AssetFile) -> bool:
    with suppress(OSError):
        status = Path(file.path).stat()
        return (status.st_size, status.st_mtime_ns) != (file.size, file.mtime_ns)
    return False


def _is_the_same(file: AssetFile) -> bool:
    from assetctl.operations.library.ingest import is_as_it_was  # noqa: PLC0415 - few files are written to

    return file.sha256 is not None and is_as_it_was(file)


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


def judge(
    workspace: Workspace, selection: Selection, *, purpose: Purpose = "any", commercial: bool = False
) -> CheckReport:
    """What all rules say of a selection here; hints name what fits better, where the catalog has such a thing."""
    opened = None if selection.checkpoint is None else OpenedCheckpoint(selection.checkpoint)
    situation = situation_of(workspace, selection, purpose=purpose, commercial=commercial, opened=opened)
    report = run_rules(selection, situation, opened=opened)
    search = _Search(workspace, selection, purpose, commercial, opened)
    return replace(report, findings=tuple(map(search.suggested, report.findings)))


@dataclass(frozen=True)
class _Search:
    """Looks for what fits better than parts of a selection; the checkpoint's file is read once."""

    workspace: Workspace
    selection: Selection
    purpose: Purpose
    commercial: bool
    opened: OpenedCheckpoint | None

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
        opened, refused = self.opened, None
        if selection.checkpoint is not self.selection.checkpoint:
            opened = OpenedCheckpoint(asset)
            refused = unloadable(self.workspace, selection, opened) if self.purpose == "generate" else None
        situation = Situation(self.purpose, refused, commercial=self.commercial, facts=facts)
        findings = run_rules(selection, situation, opened=opened).findings
        return not any(
            asset.name in finding.assets and (finding.severity == "error" or finding.rule in (rule, "method", "format"))
            for finding in findings
        )


def _ranked(read: Reader, checkpoint: Asset, kind: str, asset: Asset) -> list[Asset]:
    """Assets of this kind for this checkpoint, those most like `asset` first: by its name, its words and its tags."""
    sharing = sharing_latents(checkpoint.family)
    candidates = read.fitting(checkpoint, sharing=sharing, strange=strange_lineages(checkpoint), kind=kind, limit=_MOST)
    found = [fitting for fitting, how in candidates if how != "other lineage"]
    for word in sorted(_words(asset.name), key=len, reverse=True)[:3]:
        found += read.search(word, kind=kind, family=checkpoint.family, limit=_MOST)
    if checkpoint.base_model is not None:
        same = [each for each in found if each.base_model in (None, checkpoint.base_model)]
        found = same or found
    return sorted({each.id: each for each in found}.values(), key=lambda each: (-_likeness(each, asset), each.name))


#: Formats that are loaded.
LOADED = ("safetensors", "diffusers")


def _usable(asset: Asset) -> bool:
    return asset.format in LOADED and Path(asset.path).exists()


def _likeness(one: Asset, other: Asset) -> float:
    shared = len(_said(one) & _said(other))
    return shared + SequenceMatcher(None, one.name.lower(), other.name.lower()).ratio()


def _said(asset: Asset) -> set[str]:
    return _words(asset.name) | {word.lower() for word in (*asset.trigger_words, *asset.tags)}


def _words(name: str) -> set[str]:
    return {word for word in re.split(r"[\W_\d]+", name.lower()) if len(word) > 2}


#: The rules that read headers, and so know more than the catalog.
_RULES = frozenset({
    "coverage", "damaged_lora", "embedding_numbers", "embedding_width", "family", "format", "method", "unknown_family",
    "unreadable_file", "vae_channels",
})  # fmt: skip


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
    strange = strange_lineages(checkpoint)

    def ask(most: int | None) -> list[Fitting]:
        found = read.fitting(
            checkpoint, sharing=sharing, strange=strange, tags=tags, in_store=in_store, limit=most, **filters
        )
        return [each for each in found if each[0].format in (None, *LOADED)]

    opened = OpenedCheckpoint(checkpoint)
    if opened.readable:
        return list(islice((each for each in map(partial(_fit, opened), _in_turn(ask, limit)) if each), limit))
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


def _fit(opened: OpenedCheckpoint, fitting: Fitting) -> Fitting | None:
    """How well a candidate fits by its header, too; `None` where `check` would refuse it. What is gone stays as it is.

    With a checkpoint that assetctl can generate with, it must be able to generate with both.
    """
    candidate, how = fitting
    if not Path(candidate.path).exists():
        return fitting
    family = family_called(opened.asset.family)
    purpose: Purpose = "any" if family is None or family.driven is None else "generate"
    report = run_rules(alone(opened.asset, candidate), Situation(purpose), opened=opened, only=_RULES)
    if any(finding.severity == "error" and candidate.name in finding.assets for finding in report.findings):
        return None
    certain = how != "perhaps" or any(finding.rule == "unknown_family" for finding in report.findings)
    return candidate, how if certain else "same latents"


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


def only_checkpoint(workspace: Workspace) -> Asset:
    """The one checkpoint that there is.

    Raises:
        NotFoundError: There is none.
        UsageError: There are several.
    """
    checkpoints = workspace.catalog.read.assets(kind="checkpoint")
    if len(checkpoints) == 1:
        return checkpoints[0]
    if not checkpoints:
        raise NotFoundError(
            "There is no checkpoint to generate with.",
            "`assetctl demo --pull` brings in the small one that ships with assetctl; `assetctl pull` any other.",
        )
    names = ", ".join(asset.typed for asset in checkpoints[:5])
    raise UsageError(f"There are {len(checkpoints)} checkpoints.", f"Choose one with --checkpoint: {names}.")


def with_settings(selection: Selection, asked: Settings) -> Selection:
    """The selection with all settings: as asked for, else as the assets or their family have them."""
    checkpoint = selection.checkpoint
    family = None if checkpoint is None else family_called(checkpoint.family)
    named = [use.asset.base_model for use in selection.uses if use.weight and use.role in ("checkpoint", "lora")]
    return replace(selection, settings=filled(asked, family, named))


def check(
    workspace: Workspace, request: Request, *, purpose: str | None = None, commercial: bool = False
) -> CheckReport:
    """Ask every compatibility rule about what is asked for.

    Without a purpose, a selection with a checkpoint is to be generated with, unless it has a ControlNet.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: Nothing was chosen, or there is no such purpose.
    """
    known: Purpose | None = next((each for each in PURPOSES if each == purpose), None)
    if purpose is not None and known is None:
        raise UsageError(f"There is no purpose {purpose!r:.40}.", f"Purposes are: {', '.join(PURPOSES)}.")
    selection = select(workspace.catalog.read, request, note_unknown_tags=True)
    if not (selection.assets() or selection.unknown_loras):
        raise UsageError(
            "Nothing was selected.", "Try `assetctl check CHECKPOINT LORA…`, with names from `assetctl list`."
        )
    if known is None:
        known = "generate" if selection.checkpoint is not None and not selection.of("controlnet") else "any"
    if known == "generate":
        if selection.checkpoint is None:
            selection = replace(selection, uses=(AssetUse("checkpoint", only_checkpoint(workspace)), *selection.uses))
        selection = with_settings(selection, selection.settings)
    return judge(workspace, selection, purpose=known, commercial=commercial)
