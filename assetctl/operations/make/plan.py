"""Planning: a request and a choice of assets become an exact plan. Nothing is loaded."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from assetctl.compat.check import refusal
from assetctl.errors import UnusableError, UsageError
from assetctl.files.paths import read_object
from assetctl.identify.plugins import assumed_prediction, family_called
from assetctl.operations.select.check import judge, selected, with_settings
from assetctl.options import LARGEST_SEED, MAX_SEED, RANDOM, refuse_impossible, refuse_unobeyed
from assetctl.prompt.flavours import Told, reading
from assetctl.request import Plan, PlannedUse, refuse_length
from assetctl.run import Warned
from assetctl.samplers import asks_twice

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetctl.operations.workspace import Workspace
    from assetctl.request import Request
    from assetctl.run import Run
    from assetctl.types import Asset, CheckReport, Selection


Found = TypeVar("Found")

#: Pixels to a latent, along one side, where a VAE does not say otherwise.
_VAE_FACTOR = 8

#: Bounds of what is believed of a configuration, in pixels.
_LEAST, _MOST = 64, 4096


def native_size(checkpoint: Asset, usual: int) -> tuple[int, int]:
    """Width and height in pixels: the checkpoint's own where its configuration says so, else its family's.

    A diffusers folder has a configuration, and a single file may have one beside it, in `NAME.config/`.
    """
    path = Path(checkpoint.path)
    folder = path if checkpoint.format == "diffusers" else path.with_suffix(".config")
    size = _read(folder, "unet/config.json").get("sample_size")
    sides = [size, size] if isinstance(size, int) else size  # a list is height and width
    if not (isinstance(sides, list) and len(sides) == 2):
        return usual, usual
    factor = _factor(_read(folder, "vae/config.json"))
    height, width = (side * factor if type(side) is int else 0 for side in sides)
    fits = all(_LEAST <= side <= _MOST and side % 8 == 0 for side in (width, height))
    return (width, height) if fits else (usual, usual)


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


def resolve(workspace: Workspace, request: Request, known: dict[object, Any] | None = None) -> tuple[Plan, CheckReport]:
    """Make a request exact: find and check every asset, choose every default. Nothing is loaded.

    Args:
        workspace: The home.
        request: What is asked for.
        known: What was found out for other requests, and is not looked at again: of a selection that differs from
            another in its prompts alone, the same is said. It is for looking ahead at many; none is made on its word.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: There is no prompt, several checkpoints could be meant, or an option would do nothing.
        FileError: A file is gone, damaged or changed.
        IncompatibleError: The selection cannot work together.
        UnusableError: Something in it cannot be generated with yet.
    """
    if request.prompt is None:
        raise UsageError("There is no prompt.", "Say what the picture shows: `assetctl generate 'a cat'`.")
    if request.inputs:
        raise UnusableError(
            "assetctl cannot start from a picture yet.", f"Leave {request.inputs[0].path} out: text makes the picture."
        )
    selection = selected(workspace, request, complete=True, note_unknown_tags=True)
    selection = with_settings(selection, request.settings)
    refuse_impossible(selection.settings)  # whatever nobody asked for does no harm in records
    refuse_unobeyed(request.settings, selection.settings)
    return resolve_selection(workspace, request, selection, known)


def drawn(
    workspace: Workspace, request: Request, wildcards: Path | None = None, run: Run | None = None
) -> list[Request]:
    """What a request of dynamic prompts comes to: one for each picture, with its seed, which its prompts are drawn by.

    Any other request stays one, as it is. Wildcards are looked for in a folder of that name in the home, unless
    another is named. The run is told what lies among them and is none.

    Raises:
        UsageError: The template makes no sense, or names a wildcard that there is not.
        FileError: A file of wildcards cannot be read.
        MissingExtraError: The package that draws is not installed.
    """
    if not request.dynamic:
        return [request]
    from assetctl.prompt.dynamic import draw  # noqa: PLC0415 - few prompts are

    folder = wildcards or workspace.settings.wildcards
    seeds, passed = _seeds(request.settings.get("seed"), request.count or 1), set[Path]()

    def prompt(template: str | None, seed: int) -> str | None:
        return None if template is None else draw(template, seed, folder, passed)

    found = [
        replace(
            request,
            prompt=prompt(request.prompt, seed),
            negative_prompt=prompt(request.negative_prompt, seed),
            settings={**request.settings, "seed": seed},
            count=1,
            dynamic=None,
        )
        for seed in seeds
    ]
    if passed and run is not None:
        more = f" and {len(passed) - 1} more are no files" if len(passed) > 1 else " is no file"
        message = f"{min(passed)}{more}, and nothing is drawn from there."
        run.tell(Warned(message=message, hint="Files of wildcards are texts."))
    return found


def _seeds(asked: int | None, count: int) -> tuple[int, ...]:
    """The seeds of so many pictures: from the one that was asked for on, or from one by chance."""
    first: int = secrets.randbelow(MAX_SEED - count) if asked in (None, RANDOM) else asked
    most = MAX_SEED if first <= MAX_SEED else LARGEST_SEED
    return tuple((first + number) % (most + 1) for number in range(count))


def resolve_selection(
    workspace: Workspace,
    request: Request,
    selection: Selection,
    known: dict[object, Any] | None = None,
) -> tuple[Plan, CheckReport]:
    """Make a request exact for assets that are found already; see `resolve`.

    Raises:
        FileError: A file is gone, damaged or changed.
        IncompatibleError: The selection cannot work together.
        UnusableError: Something in it cannot be generated with yet.
    """
    refuse_length(request.prompt, request.negative_prompt)
    selection = with_settings(selection, request.settings)
    refuse_impossible(selection.settings)
    settings = tuple((name, value) for name, value in selection.settings.items() if name != "seed")
    alike = (selection.uses, selection.unknown_loras, settings)
    report = _once(known, alike, lambda: judge(workspace, selection, purpose="generate"))
    if (refused := refusal(report)) is not None:
        raise refused
    return _plan(workspace, request, selection, known), report


def _once(known: dict[object, Any] | None, what: object, find: Callable[[], Found]) -> Found:
    """What is known, or is found out now."""
    if known is None:
        return find()
    if what not in known:
        known[what] = find()
    found: Found = known[what]
    return found


def _plan(workspace: Workspace, request: Request, selection: Selection, known: dict[object, Any] | None = None) -> Plan:
    """The plan of a selection that nothing stands against."""
    checkpoint = selection.checkpoint
    family = None if checkpoint is None else family_called(checkpoint.family)
    assert checkpoint is not None  # noqa: S101 - whoever selected saw to it
    assert family is not None  # noqa: S101 - whoever judged saw to it
    assert family.driven is not None  # noqa: S101 - likewise
    usual = family.driven.native_size
    width, height = _once(known, ("size", checkpoint), lambda: native_size(checkpoint, usual))
    seeds = _seeds(selection.settings.get("seed"), request.count or 1)
    settings = {"width": width, "height": height, **selection.settings, "seed": seeds[0]}
    _refuse_batch(settings)
    told = Told(settings["steps"], 2 if asks_twice(settings["sampler"]) else 1, bool(settings["old_editing"]))
    return Plan(
        uses=tuple(map(PlannedUse.of, selection.uses)),
        prompt=reading(request.prompt or "", settings["flavour"], told),
        negative_prompt=reading(request.negative_prompt or "", settings["flavour"], told._replace(negative=True)),
        settings=settings,
        seeds=seeds,
        prediction=checkpoint.prediction or assumed_prediction(checkpoint),
        tokenizer=_once(known, ("tokenizer", checkpoint), lambda: workspace.tokenizer_of(checkpoint)),
        device=workspace.settings.device,
        dtype=workspace.settings.dtype,
    )


#: Pixels of all pictures that noise is drawn for at once.
_MOST_OF_BATCH = 2**30


def _refuse_batch(settings: dict[str, Any]) -> None:
    """Refuse a batch of ComfyUI's of which drawing the noise would take longer than making the picture.

    Raises:
        UsageError: It has too many pixels.
    """
    if settings.get("flavour") != "comfyui":
        return
    count = max(settings.get("latent_batch") or 1, (settings.get("latent_index") or 0) + 1)
    pixels = settings["width"] * settings["height"]
    if count * pixels > _MOST_OF_BATCH:
        raise UsageError(
            f"A batch of {count} pictures of this size is too large: {_MOST_OF_BATCH // pixels} are the most.",
            "Lower --latent-batch or --latent-index, or choose a smaller --size.",
        )
