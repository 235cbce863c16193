"""Planning: a request and a choice of assets become an exact plan. Nothing is loaded."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.compat.check import run_rules
from assetctl.errors import CorruptFileError, IncompatibleError, NotFoundError, UnusableError, UsageError
from assetctl.files.json_files import read_object
from assetctl.files.safetensors import read_header
from assetctl.generation.configuration import derived, is_complete
from assetctl.generation.folders import check_model
from assetctl.generation.samplers import canonical_sampler
from assetctl.identify.plugins import assumed_prediction, driven_families, family_called
from assetctl.operations.library.tokenizer_files import find_tokenizer
from assetctl.operations.select.check import with_machine_findings, with_suggestions
from assetctl.operations.select.selection import Choice, select
from assetctl.plan import Plan
from assetctl.prompt import parse_prompt

if TYPE_CHECKING:
    from assetctl.identify.features import Driven
    from assetctl.operations.workspace import Workspace
    from assetctl.plan import GenerationRequest
    from assetctl.types import Asset, CheckReport, Selection


#: Pixels to a latent, along one side, where a VAE does not say otherwise.
_VAE_FACTOR = 8

#: Bounds of what is believed of a configuration, in pixels.
_LEAST, _MOST = 64, 4096


def native_size(checkpoint: Asset) -> tuple[int, int]:
    """Width and height in pixels: the checkpoint's own where its configuration says so, else its family's.

    A diffusers folder has a configuration, and a single file may have one beside it, in `NAME.config/`.
    """
    path = Path(checkpoint.path)
    folder = path if checkpoint.format == "diffusers" else path.with_suffix(".config")
    usual = _driven(checkpoint).native_size
    size = _read(folder, "unet/config.json").get("sample_size")
    sides = [size, size] if isinstance(size, int) else size  # a list is height and width
    if not (isinstance(sides, list) and len(sides) == 2):
        return usual, usual
    factor = _factor(_read(folder, "vae/config.json"))
    height, width = (side * factor if type(side) is int else 0 for side in sides)
    fits = all(_LEAST <= side <= _MOST and side % 8 == 0 for side in (width, height))
    return (width, height) if fits else (usual, usual)


def _driven(checkpoint: Asset) -> Driven:
    family = family_called(checkpoint.family)
    if family is None or family.driven is None:
        raise UnusableError(
            f"{checkpoint.name} is of family {checkpoint.family or 'unknown'}, "
            "which assetctl cannot generate with yet.",
            f"It drives {', '.join(driven_families())}; "
            f"`assetctl edit {checkpoint.typed} --family` sets a wrong one right.",
        )
    return family.driven


def _factor(vae: dict[str, Any]) -> int:
    """A VAE halves the picture once less often than it has levels."""
    levels = vae.get("block_out_channels")
    return 2 ** (len(levels) - 1) if isinstance(levels, list) and 0 < len(levels) < 8 else _VAE_FACTOR


def _read(folder: Path, name: str) -> dict[str, Any]:
    """A configuration; nothing where there is none that can be read. Whoever loads it says what is wrong with it."""
    try:
        return read_object(folder / name, folder)
    except UnusableError:
        return {}


#: A1111's word for a seed by chance.
RANDOM = -1

#: Variants that start from a picture, which `generate` does not take yet.
NEEDS_PICTURE = ("inpainting", "pix2pix", "depth", "upscaler")

MAX_STEPS, MAX_COUNT, MAX_SEED, MAX_CFG, MIN_SIDE, MAX_SIDE, MAX_CLIP_SKIP = 200, 64, 2**32 - 1, 100, 64, 4096, 12


def plan_generation(workspace: Workspace, request: GenerationRequest, choice: Choice) -> tuple[Plan, CheckReport]:
    """Make a request exact: find and check every asset, choose every default. Nothing is loaded.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: A number out of bounds, or an unknown sampler.
        FileError: A file is gone or damaged.
        IncompatibleError: The selection cannot work together.
    """
    chosen = replace(choice, prompt=request.prompt, negative_prompt=request.negative_prompt)
    if choice.checkpoint is None:
        chosen = replace(chosen, checkpoint=_only_checkpoint(workspace))
    return plan_selection(workspace, request, select(workspace.catalog.read, chosen))


def plan_selection(workspace: Workspace, request: GenerationRequest, selection: Selection) -> tuple[Plan, CheckReport]:
    """Make a request exact for assets that are found already.

    Raises:
        UsageError: A number out of bounds, or an unknown sampler.
        FileError: A file is gone or damaged.
        IncompatibleError: The selection cannot work together.
    """
    check_numbers(request)
    asked = replace(selection, steps=request.steps, cfg_scale=request.cfg_scale)
    report = checked_selection(workspace, with_machine_findings(workspace, asked))
    return _plan(workspace, request, selection), report


def checked_selection(workspace: Workspace, selection: Selection) -> CheckReport:
    """The verdict of all rules on a selection that is to be generated with.

    Raises:
        FileError: A file is gone or damaged.
        IncompatibleError: The selection cannot work together.
    """
    _refuse_parts(selection)
    report = with_suggestions(workspace, selection, run_rules(selection))
    _refuse_damage(report)
    count = sum(finding.severity == "error" or finding.rule == "method" for finding in report.findings)
    if count:
        raise IncompatibleError(
            f"This selection cannot work together: {count} {'problem' if count == 1 else 'problems'}.",
            "Fix what the findings name; `assetctl check` tries a selection without generating.",
            report.findings,
        )
    return report


def _refuse_parts(selection: Selection) -> None:
    checkpoint = selection.checkpoint
    if checkpoint is not None and checkpoint.kind == "diffusion-model":
        raise IncompatibleError(
            f"{checkpoint.name} is a UNet or transformer alone, and `generate` needs its text encoders and VAE too.",
            "Choose one that `assetctl list --kind checkpoint` shows; `assetctl check` takes both.",
        )


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
            "`assetctl demo --pull` brings in the small one that ships with assetctl; `assetctl pull` any other.",
        )
    names = ", ".join(asset.typed for asset in checkpoints[:5])
    raise UsageError(f"There are {len(checkpoints)} checkpoints.", f"Choose one with --checkpoint: {names}.")


def check_numbers(request: GenerationRequest) -> None:
    """See that the numbers of a request are within bounds; no asset has to be known for that.

    Raises:
        UsageError: One is not.
    """
    bounds = {
        "--steps": (request.steps, 1, MAX_STEPS),
        "--count": (request.count, 1, MAX_COUNT),
        "--cfg": (request.cfg_scale, 0, MAX_CFG),
        "--clip-skip": (request.clip_skip, 1, MAX_CLIP_SKIP),
        "--seed": (request.seed or 0, RANDOM, MAX_SEED),
        "The width of --size": (MIN_SIDE if request.width is None else request.width, MIN_SIDE, MAX_SIDE),
        "The height of --size": (MIN_SIDE if request.height is None else request.height, MIN_SIDE, MAX_SIDE),
    }
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise UsageError(f"{name} must be {low:g} to {high}, not {value:g}.", "See `assetctl generate --help`.")
    for name, side in (("width", request.width), ("height", request.height)):
        if side is not None and side % 8:
            nearest = side // 8 * 8 or 8
            raise UsageError(f"The {name} must be a multiple of 8, not {side}.", f"Take {nearest}, for example.")


def _plan(workspace: Workspace, request: GenerationRequest, selection: Selection) -> Plan:
    checkpoint = selection.checkpoint
    assert checkpoint is not None  # noqa: S101 - `_only_checkpoint` saw to it
    _driven(checkpoint)
    if checkpoint.variant in NEEDS_PICTURE:
        raise UnusableError(
            f"{checkpoint.name} is an {checkpoint.variant} model, and makes no picture from text alone.",
            "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`.",
        )
    tokenizer = find_tokenizer(workspace, checkpoint)
    _check_configurations(checkpoint, tokenizer, own_vae=selection.vae is None)
    first = secrets.randbelow(MAX_SEED - request.count) if request.seed in (None, RANDOM) else request.seed
    width, height = native_size(checkpoint)
    return Plan(
        selection=selection,
        prompt=parse_prompt(request.prompt),
        negative_prompt=parse_prompt(request.negative_prompt),
        steps=request.steps,
        cfg_scale=request.cfg_scale,
        sampler=canonical_sampler(request.sampler),
        seeds=tuple((first + number) % (MAX_SEED + 1) for number in range(request.count)),
        width=width if request.width is None else request.width,
        height=height if request.height is None else request.height,
        prediction=checkpoint.prediction or assumed_prediction(checkpoint),
        tokenizer=tokenizer,
        device=workspace.settings.device,
        dtype=workspace.settings.dtype,
        clip_skip=request.clip_skip,
    )


def _check_configurations(checkpoint: Asset, companion: Path | None, *, own_vae: bool) -> None:
    """Look at what a folder, the configuration beside a single file, or its tensors ask for, as loading will.

    Raises:
        UnusableError: It asks for code, lacks a part, or a value is out of bounds.
    """
    family = str(checkpoint.family)
    if checkpoint.format == "diffusers":
        check_model(Path(checkpoint.path), family, own_vae=own_vae)
    elif companion is not None and is_complete(companion):
        check_model(companion, family, weights=False, own_vae=own_vae)
    else:
        derived(read_header(Path(checkpoint.path)), family, own_vae=own_vae)
