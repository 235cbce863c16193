"""Generate: resolve, check, plan, make the pictures, save and record them."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.catalog import FileHashes, GenerationEntry
from assetctl.compat import run_rules
from assetctl.errors import (
    CorruptFileError,
    GenerationError,
    HashMismatchError,
    IncompatibleError,
    NotFoundError,
    StorageError,
    UsageError,
)
from assetctl.files.hashing import hash_file
from assetctl.files.paths import absolute
from assetctl.generation import metadata
from assetctl.generation.plan import Plan, Progress
from assetctl.generation.samplers import canonical_sampler
from assetctl.operations.arrival import is_intact
from assetctl.operations.hashing import with_all_hashes
from assetctl.operations.selecting import Choice, select
from assetctl.prompt import parse_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from assetctl.generation.plan import Backend, GenerationRequest, Picture
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset, CheckReport, Selection

#: What `generate` drives, and the width and height that each family was trained on, in pixels.
NATIVE_SIZE = {"sd1": 512, "sd2": 768, "sdxl": 1024}

#: A1111's word for a seed by chance.
RANDOM = -1

#: Variants that start from a picture, which `generate` does not take yet.
NEEDS_PICTURE = ("inpainting", "pix2pix", "depth", "upscaler")

MAX_STEPS, MAX_COUNT, MAX_SEED, MAX_SIDE = 200, 64, 2**32 - 1, 4096


@dataclass(frozen=True, slots=True)
class SavedPicture:
    """One picture on disk."""

    path: str
    seed: int


@dataclass(frozen=True, slots=True)
class GenerationResult:
    """What came of a generation; `images` is empty after a dry run.

    Attributes:
        timings: Seconds: `load` until the first step, `sample` for all pictures, `total`.
    """

    images: tuple[SavedPicture, ...]
    plan: Plan
    report: CheckReport
    timings: dict[str, float]


def plan_generation(workspace: Workspace, request: GenerationRequest, choice: Choice) -> tuple[Plan, CheckReport]:
    """Make a request exact: find and check every asset, choose every default. Nothing is loaded.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: A number out of bounds, or an unknown sampler.
        FileError: A file is gone or damaged.
        IncompatibleError: The selection can not work together.
    """
    chosen = replace(choice, prompt=request.prompt, negative_prompt=request.negative_prompt)
    if choice.checkpoint is None:
        chosen = replace(chosen, checkpoint=_only_checkpoint(workspace))
    selection = select(workspace.catalog.read, chosen)
    _check_numbers(request)
    report = run_rules(selection)
    _refuse_damage(report)
    count = sum(finding.severity == "error" or finding.rule == "method" for finding in report.findings)
    if count:
        raise IncompatibleError(
            f"This selection can not work together: {count} {'problem' if count == 1 else 'problems'}.",
            "Mend what the findings name; `assetctl check` tries a selection without generating.",
            report.findings,
        )
    return _plan(workspace, request, selection), report


def generate(
    workspace: Workspace,
    plan: Plan,
    report: CheckReport,
    backend: Backend,
    *,
    out: Path | None = None,
    progress: Callable[[Progress], None] = lambda _: None,
) -> GenerationResult:
    """Make the plan's pictures, save each with its parameters inside, and record it.

    `out` is a folder, or a file's name for the first picture; the outputs folder unless given.

    Raises:
        MissingExtraError: torch or diffusers is not installed.
        GenerationError: The assets could not be loaded, or a picture could not be made.
        StorageError: A picture could not be saved.
    """
    targets = _targets(_checked_target(out or workspace.settings.outputs), plan.seeds)
    for asset in plan.selection.assets():
        if not is_intact(workspace, asset):
            hint = f"`assetctl verify {asset.typed}` tells more; `assetctl import` registers what it holds now."
            raise HashMismatchError(f"{asset.name} is not what it was when it was registered: {asset.path}.", hint)
    plan = replace(plan, selection=_hashed(workspace, plan.selection))
    clock = _Clock(progress)
    saved = []
    for picture, target in zip(backend.generate(plan, clock.report), targets, strict=True):
        saved.append(_save(workspace, plan, picture, target))
    return GenerationResult(tuple(saved), plan, report, clock.timings())


class _Clock:
    """Notes when loading ends, from the backend's own reports."""

    def __init__(self, progress: Callable[[Progress], None]) -> None:
        self._progress = progress
        self._start = time.perf_counter()
        self._loaded: float | None = None

    def report(self, progress: Progress) -> None:
        if progress.stage == "sample" and self._loaded is None:
            self._loaded = time.perf_counter()
        self._progress(progress)

    def timings(self) -> dict[str, float]:
        now = time.perf_counter()
        loaded = self._loaded or now
        parts = {"load": loaded - self._start, "sample": now - loaded, "total": now - self._start}
        return {name: round(seconds, 3) for name, seconds in parts.items()}


def _refuse_damage(report: CheckReport) -> None:
    """A file that is gone or damaged is no question of what fits."""
    errors = [finding for finding in report.findings if finding.severity == "error"]
    if errors and all(finding.rule in ("missing_file", "unreadable_file") for finding in errors):
        raise CorruptFileError(errors[0].message, errors[0].hint)


def _only_checkpoint(workspace: Workspace) -> str:
    checkpoints = workspace.catalog.read.assets(kind="checkpoint")
    if len(checkpoints) == 1:
        return checkpoints[0].name
    if not checkpoints:
        raise NotFoundError(
            "There is no checkpoint to generate with.",
            "Pull one with `assetctl pull REFERENCE`, or try `assetctl demo`.",
        )
    names = ", ".join(asset.typed for asset in checkpoints[:5])
    raise UsageError(f"There are {len(checkpoints)} checkpoints.", f"Choose one with --checkpoint: {names}.")


def _check_numbers(request: GenerationRequest) -> None:
    bounds = {
        "steps": (request.steps, 1, MAX_STEPS),
        "count": (request.count, 1, MAX_COUNT),
        "CFG": (request.cfg_scale, 0, 100),
        "seed": (request.seed or 0, RANDOM, MAX_SEED),
        "width": (512 if request.width is None else request.width, 64, MAX_SIDE),
        "height": (512 if request.height is None else request.height, 64, MAX_SIDE),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise UsageError(f"The {name} is {value}.", f"It must lie between {low} and {high}.")
    for name, side in (("width", request.width), ("height", request.height)):
        if side is not None and side % 8:
            raise UsageError(f"The {name} is {side} pixels.", f"It must be a multiple of 8: {side // 8 * 8 or 8}, say.")


def _plan(workspace: Workspace, request: GenerationRequest, selection: Selection) -> Plan:
    checkpoint = selection.checkpoint
    assert checkpoint is not None  # noqa: S101 - `_only_checkpoint` saw to it
    if checkpoint.family not in NATIVE_SIZE:
        family = checkpoint.family or "unknown"
        raise GenerationError(
            f"{checkpoint.name} is of family {family}, which assetctl can not generate with yet.",
            f"It drives {', '.join(NATIVE_SIZE)}; `assetctl edit {checkpoint.typed} --family` sets a wrong one right.",
        )
    if checkpoint.variant in NEEDS_PICTURE:
        raise GenerationError(
            f"{checkpoint.name} is an {checkpoint.variant} model, and makes no picture from text alone.",
            "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`.",
        )
    first = secrets.randbelow(MAX_SEED - request.count) if request.seed in (None, RANDOM) else request.seed
    side = NATIVE_SIZE[checkpoint.family]
    return Plan(
        selection=selection,
        prompt=parse_prompt(request.prompt),
        negative_prompt=parse_prompt(request.negative_prompt),
        steps=request.steps,
        cfg_scale=request.cfg_scale,
        sampler=canonical_sampler(request.sampler),
        seeds=tuple((first + number) % (MAX_SEED + 1) for number in range(request.count)),
        width=side if request.width is None else request.width,
        height=side if request.height is None else request.height,
        prediction=_prediction(checkpoint),
        tokenizer=_tokenizer(workspace, checkpoint),
        device=workspace.settings.device,
        dtype=workspace.settings.dtype,
    )


def _prediction(checkpoint: Asset) -> str | None:
    """What the checkpoint predicts; SD 2 in a single file can not say, and most of those predict v."""
    assumed = "v_prediction" if checkpoint.family == "sd2" and checkpoint.format != "diffusers" else None
    return checkpoint.prediction or assumed


def _tokenizer(workspace: Workspace, checkpoint: Asset) -> Path | None:
    """Where the vocabulary of a single-file checkpoint's text encoder is: beside it, in the store, or in a
    diffusers folder of the same family."""
    from assetctl.sources.support import installed_tokenizer  # noqa: PLC0415 - a diffusers folder does without

    if checkpoint.format == "diffusers":
        return None
    companion = Path(checkpoint.path).with_suffix(".config")
    if companion.is_dir():
        return companion
    installed = installed_tokenizer(workspace.store)
    if installed is not None:
        return installed
    for folder in workspace.catalog.read.assets(kind="checkpoint", family=checkpoint.family, format="diffusers"):
        if (Path(folder.path) / "tokenizer" / "vocab.json").is_file():
            return Path(folder.path) / "tokenizer"
    raise GenerationError(
        f"{checkpoint.name} is a single file and lacks the vocabulary of its text encoder.",
        f"Fetch it once with `assetctl pull --support {checkpoint.family}`, "
        f"or put vocab.json and merges.txt into {companion / 'tokenizer'}.",
    )


def _hashed(workspace: Workspace, selection: Selection) -> Selection:
    """The selection with the hashes that pictures carry; those that were left for later are computed and kept."""
    read = workspace.catalog.read
    lacking = [asset for asset in selection.assets() if asset.sha256 is None or _wants_autov3(asset)]
    if not lacking:
        return selection
    completed = [file for asset in lacking for file in with_all_hashes(asset, read.files(asset))]
    with workspace.catalog.write() as writer:
        writer.set_hashes([FileHashes(file.path, file.sha256, file.autov3, file.blake3) for file in completed])

    def again(asset: Asset) -> Asset:
        return read.by_id(asset.id)

    return replace(
        selection,
        checkpoint=None if selection.checkpoint is None else again(selection.checkpoint),
        loras=tuple(replace(use, asset=again(use.asset)) for use in selection.loras),
        embeddings=tuple(again(asset) for asset in selection.embeddings),
        vae=None if selection.vae is None else again(selection.vae),
    )


def _wants_autov3(asset: Asset) -> bool:
    return asset.autov3 is None and asset.kind in ("lora", "embedding") and asset.format == "safetensors"


def _checked_target(out: Path) -> Path:
    """`out`, absolute, with its folder made: found wanting now rather than when the picture is done."""
    target = absolute(out)
    if target.suffix.lower() in (".jpg", ".jpeg", ".webp"):
        raise UsageError(
            f"{out.name} would be a {out.suffix} file.", "Pictures are saved as PNG: name one, or a folder."
        )
    folder = target.parent if target.suffix.lower() == ".png" else target
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = "Name a folder that can be written with --out."
        raise StorageError(f"The folder {folder} can not be made: {error.strerror}.", hint) from error
    if not os.access(folder, os.W_OK):
        raise StorageError(f"The folder {folder} can not be written.", "Name another one with --out.")
    return target


def _targets(out: Path, seeds: tuple[int, ...]) -> Iterator[Path]:
    """Free names for the pictures, each asked for only when its picture is there."""
    named = out.suffix.lower() == ".png"
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    for number, seed in enumerate(seeds):
        base = out.with_name(f"{out.stem}-{number + 1}") if named and number else out.with_suffix("") if named else None
        yield _free(base if base is not None else out / f"{stamp}-{seed}")


def _free(base: Path) -> Path:
    path, number = base.with_name(base.name + ".png"), 1
    while path.exists():
        number += 1
        path = base.with_name(f"{base.name}-{number}.png")
    return path


def _save(workspace: Workspace, plan: Plan, picture: Picture, target: Path) -> SavedPicture:
    record = metadata.record(plan, picture.seed, picture.environment)
    metadata.save_png(picture.image, target, metadata.infotext(plan, picture.seed), record)
    digests = hash_file(target, frozenset({"sha256"}))
    entry = GenerationEntry(
        selection=plan.selection,
        prompt=plan.prompt.text,
        negative_prompt=plan.negative_prompt.text,
        steps=plan.steps,
        cfg_scale=plan.cfg_scale,
        sampler=plan.sampler,
        seed=picture.seed,
        width=plan.width,
        height=plan.height,
        image_path=str(target),
        image_sha256=str(digests.sha256),
        record=record,
    )
    with workspace.catalog.write() as writer:
        writer.record_generation(entry)
    return SavedPicture(str(target), picture.seed)
