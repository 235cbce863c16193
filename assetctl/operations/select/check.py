"""Check: names become a selection; whether it works together here, and can be generated with."""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from assetctl.compat.check import OpenedCheckpoint, Situation, run_rules
from assetctl.errors import AmbiguousNameError, AssetctlError, NotFoundError, UnusableError, UsageError
from assetctl.identify.plugins import family_called
from assetctl.operations.select.prompts import with_embeddings
from assetctl.operations.workspace import tokenizer_folder
from assetctl.options import check_weight, filled, option, refuse_impossible, refuse_unobeyed
from assetctl.prompt import parse_prompt
from assetctl.request import Use, refuse_length
from assetctl.samplers import sampled_by_diffusers
from assetctl.types import LOADED, PURPOSES, ROLES, AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assetctl.catalog.reading import Reader
    from assetctl.compat.check import Context
    from assetctl.files.safetensors import Header
    from assetctl.operations.workspace import Workspace
    from assetctl.options import Settings
    from assetctl.request import Request
    from assetctl.types import Asset, AssetFile, CheckReport, Facts, Purpose, Severity


_MEMINFO = Path("/proc/meminfo")

#: Linux's limit on a container, and what is used of it: the second version of control groups, and the first.
_LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def select(read: Reader, request: Request, *, note_unknown_tags: bool = False) -> Selection:
    """Find everything that a request names.

    A LoRA tag with a name that no asset has is an error, or only noted in the selection.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: A weight for what takes none, two checkpoints, or a prompt that is too long.
    """
    prompts = (request.prompt, request.negative_prompt)
    refuse_length(*prompts)
    uses = _singled([(use, _found(read, use)) for use in request.uses])
    unknown = []
    parsed = [parse_prompt(text) for text in prompts if text]
    tags = ((*tag, unet) for each in parsed for tag, unet in zip(each.loras, each.unet_weights, strict=True))
    for name, weight, unet in tags:
        try:
            asset = read.find_named(name, "lora")
            for each in (weight, unet):
                if each is not None:
                    check_weight(each, f"<lora:{name}>")
            uses.append(AssetUse.of("lora", asset, weight if unet is None else unet, weight))
        except NotFoundError as error:
            if not note_unknown_tags:
                raise
            unknown.append((name, error.hint or ""))
    return Selection(tuple(uses), *prompts, request.settings, tuple(unknown))


def _singled(found: Sequence[tuple[Use, AssetUse]]) -> list[AssetUse]:
    """What was found, with one checkpoint and one VAE: what a recipe names makes way, and the same may be named twice.

    Raises:
        UsageError: There are two of them.
    """
    left = list(found)
    for role, called in _SINGLE.items():
        own = any(use.role == role and not asked.yields for asked, use in left)
        there = {use.asset.id: use for asked, use in left if use.role == role and not (own and asked.yields)}
        if len(there) > 1:
            names = [use.asset.name for use in there.values()]
            told = f"{' and '.join(names)} are {len(names)} {called}, and a selection has one."
            raise UsageError(told, f"Leave out all but one: {', '.join(names)}.")
        left = [each for each in left if each[1].role != role or each[1] is there.get(each[1].asset.id)]
    return [use for _, use in left]


#: Roles of which a selection has one asset, and what several are called.
_SINGLE = {"checkpoint": "checkpoints", "vae": "VAEs"}


def _found(read: Reader, use: Use) -> AssetUse:
    try:
        asset = read.find(use.reference)
    except NotFoundError as error:
        comma = _COMMA.fullmatch(use.reference)
        if comma is None:
            _explain(read, use, error)
        typed = f"{comma['name']}:{comma['weight'].replace(',', '.')}"
        raise NotFoundError(error.message, f"A weight is written with a point, not a comma: {typed}.") from error
    role = use.role or ("checkpoint" if asset.kind == "diffusion-model" else asset.kind)
    if role not in ROLES:
        _refuse_place(asset)
    if use.weight is not None and role != "lora":
        _refuse_weight(str(use), asset)
    return AssetUse.of(role, asset, use.weight, use.text_weight)


def _explain(read: Reader, use: Use, error: NotFoundError) -> NoReturn:
    """Say of a name that no asset has what is wrong with it, where one has what stands before its last colon.

    Raises:
        UsageError: A weight is behind the name of what takes none.
        NotFoundError: What is behind it is no weight; or nothing has that name either.
    """
    name, _, behind = use.reference.rpartition(":")
    try:
        asset = read.find(name)
    except (NotFoundError, AmbiguousNameError):
        raise error from None
    if use.role not in ("lora", None) and Use.parse(None, use.reference).weight is not None:
        _refuse_weight(use.reference, asset)
    hint = f"Name it alone: {asset.typed}."
    if asset.kind == "lora":
        hint = f"{behind!r:.40} is no weight: write a number behind the colon, like {asset.typed}:0.8."
    raise NotFoundError(error.message, hint) from None


def _refuse_weight(typed: str, asset: Asset) -> NoReturn:
    hint = f"Name it alone: {asset.typed}."
    if asset.kind == "embedding":
        hint += f" Its token may have a weight in the prompt: ({asset.name}:1.2)."
    raise UsageError(f"{typed} gives a weight to {asset.name}, but only LoRAs take weights.", hint)


#: A weight as half of Europe writes it.
_COMMA = re.compile(r"(?P<name>.+):(?P<weight>[+-]?\d{0,3},\d{1,9})", re.DOTALL)


def _refuse_place(asset: Asset) -> NoReturn:
    hint = (
        "A selection has one checkpoint, one VAE, LoRAs, embeddings and ControlNets; `assetctl edit` sets a wrong kind."
    )
    raise UsageError(f"{asset.name} is a {asset.kind}, and there is no place for it in this selection.", hint)


def read_recipe(manifest: Path, name: str) -> Request:
    """The recipe of this name.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense, or has no such recipe.
    """
    from assetctl.manifest.manifest import find_recipe, read_manifest  # noqa: PLC0415 - most requests name none

    return find_recipe(read_manifest(manifest), name, manifest)


def situation_of(
    workspace: Workspace,
    selection: Selection,
    *,
    purpose: Purpose = "any",
    commercial: bool = False,
) -> Situation:
    """What this machine and the catalog say to a selection; nothing of tokens without a prompt."""
    read, has_prompt = workspace.catalog.read, bool(selection.prompt or selection.negative_prompt)
    checkpoint = selection.checkpoint if has_prompt else None
    folder = None if checkpoint is None else tokenizer_folder(workspace, checkpoint)
    assets = dict.fromkeys(selection.assets())
    return Situation(
        purpose=purpose,
        loading=partial(unloadable, workspace) if purpose == "generate" else None,
        set_by_hand=tuple((asset.path, fields) for asset in assets if (fields := read.set_by_hand(asset))),
        tokenizer=None if folder is None else str(folder),
        memory=free_memory(),
        weight_bytes=_weight_bytes(workspace, selection),
        states=tuple(_states(workspace, selection.assets(), purpose)),
        commercial=commercial,
        facts=facts_of(read, selection) if commercial else (),
    )


#: What is there where a graphics card can compute: NVIDIA's or AMD's driver, or Windows' own within Linux.
_CARDS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def _weight_bytes(workspace: Workspace, selection: Selection) -> int:
    """Of one number, as it is computed with; the fewer where that cannot be known without loading torch.

    On a processor, A1111 and ComfyUI compute in fp32.
    """
    dtype, device = workspace.settings.dtype, workspace.settings.device
    if dtype != "auto":
        return 4 if dtype == "fp32" else 2
    alone = sys.platform == "linux" and not any(Path(card).exists() for card in _CARDS)
    on_cpu = device == "cpu" or (device == "auto" and alone)
    flavour = selection.settings.get("flavour", option("flavour").usual)
    return 4 if on_cpu and not sampled_by_diffusers(flavour) else 2


def unloadable(workspace: Workspace, context: Context) -> Iterator[tuple[Asset, Severity, AssetctlError]]:
    """What `generate` could not load (an error), or may not (a warning), and why: a part, a weight or a vocabulary is
    missing, a value is out of bounds.

    Everything is looked at that loading looks at, but for the weights themselves. What other rules tell is left to
    them: that a family is not driven, that a file cannot be read, that an asset is of another kind.
    """
    from assetctl.generation.configuration import check_vae  # noqa: PLC0415 - only where pictures are made

    checkpoint, vae = context.selection.checkpoint, context.selection.vae
    family = None if checkpoint is None else family_called(checkpoint.family)
    if checkpoint is None or family is None or family.driven is None:
        return
    tried: list[tuple[Asset, Callable[[], tuple[str, ...]]]] = []
    if (look := _looking_at(workspace, context, family.name)) is not None:
        tried.append((checkpoint, look))
    if vae is not None and vae.kind == "vae" and vae.format in LOADED and context.failure(vae) is None:
        tried.append((vae, partial(check_vae, Path(vae.path), context.header(vae), family.name)))
    for asset, look in (*tried, *_looking_at_loras(context)):
        try:
            doubts = look()
        except AssetctlError as error:
            if asset is checkpoint or Path(asset.path).exists():
                yield asset, "error", error
            continue
        for doubt in doubts:
            hint = "Try it with --steps 1; if that fails or paints nonsense, get the model in another form."
            yield (
                asset,
                "warning",
                UnusableError(f"{asset.name} may not load, or not paint as it should: {doubt}.", hint),
            )


def _looking_at_loras(context: Context) -> Iterator[tuple[Asset, Callable[[], tuple[str, ...]]]]:
    from assetctl.generation.bounds import check_lora  # noqa: PLC0415 - only where pictures are made

    live = dict.fromkeys(use.asset for use in context.selection.loras if not use.idle and use.asset in context.loras)
    passed: set[int] = set()  # tables of tensors: LoRAs of one trainer may share one, and pass with it

    def look_at(lora: Asset, header: Header) -> tuple[str, ...]:
        if id(header.tensors) not in passed:
            check_lora(lora.name, header)
            passed.add(id(header.tensors))
        return ()

    for lora in live:
        header = context.header(lora) if lora.format in LOADED else None
        if header is not None:
            yield lora, partial(look_at, lora, header)


def _looking_at(workspace: Workspace, context: Context, family: str) -> Callable[[], tuple[str, ...]] | None:
    """What looks at a checkpoint, if it can be looked at."""
    from assetctl.generation.configuration import check_single_file  # noqa: PLC0415 - only where pictures are made
    from assetctl.generation.folders import check_model  # noqa: PLC0415 - likewise

    opened, own_vae = context.opened, context.selection.vae is None
    if opened is None or opened.asset.kind != "checkpoint" or opened.asset.format not in LOADED or not opened.readable:
        return None
    header = opened.header
    if header is None:
        return partial(check_model, Path(opened.asset.path), family, own_vae=own_vae)
    return lambda: check_single_file(header, family, workspace.tokenizer_of(opened.asset), own_vae=own_vae)


def facts_of(read: Reader, selection: Selection) -> tuple[tuple[str, Facts], ...]:
    """What the sources of all assets said of them."""
    origins = ((asset.path, read.origin(asset)) for asset in dict.fromkeys(selection.assets()))
    return tuple((path, origin.facts) for path, origin in origins if origin is not None and origin.facts is not None)


def briefly(workspace: Workspace, selection: Selection, purpose: Purpose, *, commercial: bool = False) -> Situation:
    """The same for one of many selections that share a checkpoint: nothing of tokens and memory, or of its file."""
    read = workspace.catalog.read
    others = [asset for asset in selection.assets() if asset != selection.checkpoint]
    return Situation(
        purpose,
        partial(unloadable, workspace) if purpose == "generate" else None,
        tuple((asset.path, fields) for asset in others if (fields := read.set_by_hand(asset))),
        states=tuple(_states(workspace, others, purpose, most=_GLANCE)),
        commercial=commercial,
        facts=facts_of(read, selection) if commercial else (),
    )


#: How large a file is, at most, that a list reads whole, in bytes: an embedding is smaller, and a list may be long.
_GLANCE = 2**20


def _states(
    workspace: Workspace, assets: Iterable[Asset], purpose: Purpose, *, most: int | None = None
) -> Iterator[tuple[str, str]]:
    """Assets whose files were written to since they were registered, or were never hashed; not what is gone.

    Where a picture is to be made of them, what was written to is read: its hash tells whether it holds the same. What
    has more than `most` bytes is not read, and counts as the same while it is as large.
    """
    for asset in dict.fromkeys(assets):
        files = [file for file in workspace.catalog.read.files(asset) if file.role != "copy"]
        if len(files) == 1 and not _as_large(files[0]):
            continue  # which `missing_file` tells
        if written := [file for file in files if _written(file)]:
            same = purpose == "generate" and all(_is_the_same(file, most) for file in written)
            yield asset.path, "touched" if same else "changed"
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


def _is_the_same(file: AssetFile, most: int | None) -> bool:
    from assetctl.operations.library.ingest import is_as_it_was  # noqa: PLC0415 - few files are written to

    if file.sha256 is None:
        return False
    if most is None:
        return is_as_it_was(file)
    with suppress(AssetctlError):  # in a list, one file that cannot be read is one file
        return _as_large(file) and (file.size > most or is_as_it_was(file))
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


def judge(
    workspace: Workspace, selection: Selection, *, purpose: Purpose = "any", commercial: bool = False
) -> CheckReport:
    """What all rules say of a selection here; hints name what fits better, where the catalog has such a thing."""
    opened = None if selection.checkpoint is None else OpenedCheckpoint(selection.checkpoint)
    situation = situation_of(workspace, selection, purpose=purpose, commercial=commercial)
    report = run_rules(selection, situation, opened=opened)
    if all(finding.severity == "info" for finding in report.findings):
        return report
    from assetctl.operations.select.fitting import Search  # noqa: PLC0415 - most fits

    surrounding = partial(briefly, workspace, purpose=purpose, commercial=commercial)
    search = Search(workspace.catalog.read, selection, opened, surrounding)
    return replace(report, findings=tuple(map(search.suggested, report.findings)))


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
    named = [use.asset.base_model for use in selection.uses if not use.idle and use.role in ("checkpoint", "lora")]
    return replace(selection, settings=filled(asked, family, named))


def selected(workspace: Workspace, request: Request, *, complete: bool, note_unknown_tags: bool = False) -> Selection:
    """All that a request names and its prompts call.

    Args:
        workspace: Where it is.
        request: What is asked for.
        complete: Whether the only checkpoint there is stands in where none is named: what fits depends on it.
        note_unknown_tags: As of `select`.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: Several checkpoints could be meant.
    """
    read = workspace.catalog.read
    selection = select(read, request, note_unknown_tags=note_unknown_tags)
    if complete and selection.checkpoint is None and (selection.assets() or request.prompt is not None):
        selection = replace(selection, uses=(AssetUse("checkpoint", only_checkpoint(workspace)), *selection.uses))
    return with_embeddings(read, selection, take=request.auto_embeddings is not False)


def check(
    workspace: Workspace, request: Request, *, purpose: str | None = None, commercial: bool = False
) -> CheckReport:
    """Ask every compatibility rule about what is asked for.

    Without a purpose, a selection with a checkpoint is to be generated with, unless it has a ControlNet.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: Nothing was chosen, there is no such purpose, or `generate` would refuse an option.
    """
    known: Purpose | None = next((each for each in PURPOSES if each == purpose), None)
    if purpose is not None and known is None:
        raise UsageError(f"There is no purpose {purpose!r:.40}.", f"Purposes are: {', '.join(PURPOSES)}.")
    selection = selected(workspace, request, complete=known == "generate", note_unknown_tags=True)
    if not (selection.assets() or selection.unknown_loras):
        raise UsageError(
            "Nothing was selected.", "Try `assetctl check CHECKPOINT LORA…`, with names from `assetctl list`."
        )
    if known is None:
        known = "generate" if selection.checkpoint is not None and not selection.of("controlnet") else "any"
    if known == "generate":
        asked = selection.settings
        selection = with_settings(selection, asked)
        refuse_impossible(selection.settings)
        refuse_unobeyed(asked, selection.settings)
    return judge(workspace, selection, purpose=known, commercial=commercial)
