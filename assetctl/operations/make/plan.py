"""Planning: a request and a choice of assets become an exact plan. Nothing is loaded."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import CorruptFileError, IncompatibleError, NotFoundError, UnusableError, UsageError
from assetctl.files.json_files import read_object
from assetctl.files.safetensors import read_header
from assetctl.generation.configuration import derived, is_complete
from assetctl.generation.folders import check_model
from assetctl.identify.plugins import assumed_prediction, driven_families, family_called
from assetctl.operations.library.tokenizer_files import find_tokenizer
from assetctl.operations.select.check import judge
from assetctl.operations.select.selection import select, with_embeddings
from assetctl.options import MAX_SEED, RANDOM, filled
from assetctl.plan import Plan, PlannedUse
from assetctl.prompt import parse_prompt
from assetctl.types import AssetUse

if TYPE_CHECKING:
    from assetctl.identify.features import Driven
    from assetctl.operations.workspace import Workspace
    from assetctl.request import Request
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


#: Variants that start from a picture, which `generate` does not take yet.
NEEDS_PICTURE = ("inpainting", "pix2pix", "depth", "upscaler")


def resolve(workspace: Workspace, request: Request) -> tuple[Plan, CheckReport]:
    """Make a request exact: find and check every asset, choose every default. Nothing is loaded.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: There is no prompt, or several checkpoints could be meant.
        FileError: A file is gone or damaged.
        IncompatibleError: The selection cannot work together.
        UnusableError: Something in it cannot be generated with yet.
    """
    if request.prompt is None:
        raise UsageError("There is no prompt.", "Say what the picture shows: `assetctl generate 'a cat'`.")
    if request.inputs:
        raise UnusableError(
            "assetctl cannot start from a picture yet.", f"Leave {request.inputs[0].path} out: text makes the picture."
        )
    selection = select(workspace.catalog.read, request)
    if selection.checkpoint is None:
        selection = replace(selection, uses=(AssetUse("checkpoint", _only_checkpoint(workspace)), *selection.uses))
    selection = with_embeddings(workspace.catalog.read, selection, take=request.auto_embeddings is not False)
    return resolve_selection(workspace, request, selection)


def resolve_selection(workspace: Workspace, request: Request, selection: Selection) -> tuple[Plan, CheckReport]:
    """Make a request exact for assets that are found already.

    Raises:
        FileError: A file is gone or damaged.
        IncompatibleError: The selection cannot work together.
        UnusableError: Something in it cannot be generated with yet.
    """
    selection = replace(selection, settings=_settings(selection, request))
    report = _checked(workspace, selection)
    return _plan(workspace, request, selection), report


def _settings(selection: Selection, request: Request) -> dict[str, Any]:
    """All settings: as asked for, else as the assets or their family have them."""
    checkpoint = selection.checkpoint
    assert checkpoint is not None  # noqa: S101 - whoever selected saw to it
    named = [use.asset.base_model for use in selection.uses if use.weight and use.role in ("checkpoint", "lora")]
    family = family_called(checkpoint.family)
    found = filled(request.settings, family, named)
    if family is not None and family.driven is not None:
        width, height = native_size(checkpoint)
        found = {"width": width, "height": height} | found
    return found


def _checked(workspace: Workspace, selection: Selection) -> CheckReport:
    """The verdict of all rules on a selection that is to be generated with.

    Raises:
        FileError: A file is gone or damaged.
        IncompatibleError: The selection cannot work together.
    """
    _refuse_parts(selection)
    report = judge(workspace, selection)
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


def _only_checkpoint(workspace: Workspace) -> Asset:
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


def _plan(workspace: Workspace, request: Request, selection: Selection) -> Plan:
    checkpoint = selection.checkpoint
    assert checkpoint is not None  # noqa: S101 - whoever selected saw to it
    _driven(checkpoint)
    if checkpoint.variant in NEEDS_PICTURE:
        raise UnusableError(
            f"{checkpoint.name} is an {checkpoint.variant} model, and makes no picture from text alone.",
            "Choose a checkpoint without a variant: `assetctl list --kind checkpoint`.",
        )
    for controlnet in selection.of("controlnet"):
        raise UnusableError(
            f"{controlnet.name} is a ControlNet, which assetctl cannot generate with yet.",
            "Leave it out; `assetctl check` tells whether it fits.",
        )
    tokenizer = find_tokenizer(workspace, checkpoint)
    _check_configurations(checkpoint, tokenizer, own_vae=selection.vae is None)
    seed, count = selection.settings.get("seed"), request.count or 1
    first = secrets.randbelow(MAX_SEED - count) if seed in (None, RANDOM) else seed
    return Plan(
        uses=tuple(map(PlannedUse.of, selection.uses)),
        prompt=parse_prompt(request.prompt or ""),
        negative_prompt=parse_prompt(request.negative_prompt or ""),
        settings={**selection.settings, "seed": first},
        seeds=tuple((first + number) % (MAX_SEED + 1) for number in range(count)),
        prediction=checkpoint.prediction or assumed_prediction(checkpoint),
        tokenizer=tokenizer,
        device=workspace.settings.device,
        dtype=workspace.settings.dtype,
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
