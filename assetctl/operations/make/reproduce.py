"""Reproduce: make a picture again, of our own record exactly, and of another program's words as nearly as can be."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count as counted
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from assetctl.compat.check import OpenedCheckpoint
from assetctl.compat.rules.generate import text_layers
from assetctl.errors import (
    AmbiguousNameError,
    AssetctlError,
    HashMismatchError,
    NotFoundError,
    StorageError,
    UsageError,
)
from assetctl.files.disk import see_room_for
from assetctl.files.hashing import hash_file
from assetctl.files.paths import absolute, clashing
from assetctl.identify.plugins import family_called
from assetctl.operations.make.from_picture import (
    ANOTHER,
    recipe_of_other_program,
    recipe_of_record,
    with_family,
)
from assetctl.operations.make.generate import generate, naming_what_is_done, see_it_can_be_made
from assetctl.operations.make.history import Wanted, asked_for, calls_more, made_picture
from assetctl.operations.make.inspect_picture import UNHASHED, Outlook, ResolvedAsset, Resolver, find_picture, is_page
from assetctl.operations.make.plan import resolve_selection
from assetctl.operations.select.prompts import with_embeddings
from assetctl.pictures import read_parameters, read_record
from assetctl.pictures.image_files import look_at_picture
from assetctl.pictures.saving import FORMATS
from assetctl.pictures.sheet import (
    IDENTICAL,
    Comparison,
    compare_pixels,
    save_comparison,
    sheet_format,
)
from assetctl.request import Output, PlannedUse
from assetctl.types import AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from assetctl.catalog import Generation
    from assetctl.operations.make.from_picture import PictureRecipe
    from assetctl.operations.make.generate import GenerationResult
    from assetctl.operations.make.inspect_picture import Likeness, PictureDetails
    from assetctl.operations.workspace import Workspace
    from assetctl.pictures import PictureParameters, UsedAsset
    from assetctl.request import Backend, Plan
    from assetctl.run import Run
    from assetctl.types import Asset, CheckReport


#: What a picture is kept as where nobody knows how its original was.
_DEFAULT = "png"


@dataclass(frozen=True, slots=True)
class Original:
    """The picture that is to be made again.

    Attributes:
        path: Where it is, or was.
        sha256: Of its file.
        is_there: Whether that file is still there, as it was.
        is_saved: Whether it is known to be a file that assetctl saved, and nobody changed.
    """

    path: Path
    sha256: str
    is_there: bool
    is_saved: bool = False

    @property
    def format(self) -> str:
        """How it is kept: `png`, `jpg` or `webp`."""
        found = look_at_picture(self.path).format if self.is_there else None
        return found or FORMATS.get(self.path.suffix.lower(), _DEFAULT)


@dataclass(frozen=True, slots=True)
class Reproduction:
    """How a picture is going to be made again.

    Attributes:
        exact: Whether assetctl made it, so that the same device, precision and versions give the same bytes.
        remarks: Why the new picture may differ, each in one sentence; none where it will be the same.
    """

    original: Original
    exact: bool
    software: str | None
    plan: Plan
    report: CheckReport
    assets: tuple[ResolvedAsset, ...]
    remarks: tuple[str, ...]

    def verdict(self, suffix: str = "") -> str:
        """What will come of it, in one sentence; `suffix` is that of the new file, where somebody named one."""
        return _verdict(self.original, self.exact, self.remarks, suffix)


def _verdict(original: Original, exact: bool, remarks: Sequence[str], suffix: str = "") -> str:  # noqa: FBT001 - as there
    if not exact:
        return remarks[0]
    if remarks:
        return "The new picture may differ from the original."
    if FORMATS.get(suffix, original.format) != original.format:
        promise = f"the picture that the record describes, as a {FORMATS[suffix].upper()} file"
    else:
        promise = "the original, byte for byte" if original.is_saved else "the picture that the record describes"
    return f"Everything is as it was: the new picture will be {promise}."


@dataclass(frozen=True, slots=True)
class Reproduced:
    """A picture that was made again, or would be, and how it compares.

    Attributes:
        sheet: The file with both pictures and their difference, where that was asked for.
    """

    reproduction: Reproduction
    result: GenerationResult
    comparison: Comparison | None = None
    sheet: str | None = None


def plan_reproduction(
    workspace: Workspace, picture: str, backend: Backend, *, other_bytes: bool = False, run: Run
) -> Reproduction:
    """Find out how a picture can be made again, and what will differ. No model is loaded.

    Args:
        workspace: The home.
        picture: The path of a PNG, JPEG or WebP file, or a number from the history.
        backend: Who is going to make it.
        other_bytes: Take an asset of the right name where the file of the right hash is not here.
        run: Told how far these are.

    Raises:
        NotFoundError: There is no such picture, it does not say how it was made, or an asset is missing.
        AmbiguousNameError: An asset could be any of several.
        HashMismatchError: An asset is here by its name alone, with other bytes.
        FileError: The picture is damaged, or its record makes no sense.
        IncompatibleError: The assets cannot work together.
    """
    original, recipe = _read(workspace, picture)
    resolver = Resolver(workspace, software=recipe.software, run=run)
    resolved = resolver.resolve_all(recipe.assets)
    _require(resolved, other_bytes=other_bytes)
    return _planned(workspace, original, recipe, resolved, backend.environment)


#: Says what a picture would record that is made here, for a device, a precision and a number of threads.
_Environment: TypeAlias = "Callable[[str, str, int | None], Mapping[str, str]]"


def _planned(
    workspace: Workspace,
    original: Original,
    recipe: PictureRecipe,
    resolved: tuple[ResolvedAsset, ...],
    environment: _Environment,
) -> Reproduction:
    checkpoint = next((each.asset for each in resolved if each.used.role == "checkpoint" and each.asset), None)
    recipe = with_family(recipe, None if checkpoint is None else checkpoint.family)
    # Rules speak of assets under their names of now; the new picture, under those of then.
    now, then = (_selection(resolved, recipe, renamed=renamed) for renamed in (False, True))
    if not recipe.exact:  # what its prompt may mean beside what it says that it used
        now = with_embeddings(workspace.catalog.read, now, take=False)
    recipe = _within_layers(recipe, now.checkpoint)
    plan, report = resolve_selection(workspace, recipe.request, now)
    plan = replace(plan, uses=tuple(map(PlannedUse.of, then.uses)))
    if not recipe.exact and any(each.status == "other_bytes" for each in resolved):
        first = recipe.remarks[0] if recipe.remarks[0].startswith(ANOTHER) else f"{ANOTHER}: it is made of other bytes."
        recipe = replace(recipe, remarks=(first, *recipe.remarks[1:]))
    remarks = [
        *recipe.remarks,
        *_size_remarks(original, recipe),
        *_asset_remarks(resolved, exact=recipe.exact),
        *_family_remarks(resolved, recipe),
    ]
    if recipe.exact:
        plan, more = _surrounded(replace(plan, prediction=recipe.prediction), recipe, environment)
        remarks += more
    return Reproduction(original, recipe.exact, recipe.software, plan, report, resolved, tuple(remarks))


def foresee(workspace: Workspace, details: PictureDetails, path: Path | None, now: _Environment, run: Run) -> Outlook:
    """What comes of making a picture again that says how it was made; nothing is hashed for it but the picture.

    Args:
        workspace: The home.
        details: What it says.
        path: Its file, if it has one.
        now: As `Backend.environment` tells it; what that leaves out is said to be unknown.
        run: Told how far it is.
    """
    parameters, original = details.parameters, Original(Path(details.file.path), "", is_there=False)
    assert parameters is not None  # noqa: S101 - so it says
    try:
        if path is not None:
            sha256 = str(hash_file(path, frozenset({"sha256"})).sha256)
            original = Original(path, sha256, is_there=True, is_saved=workspace.catalog.generations.has_file(sha256))
            _see_it_is_one(workspace, path, parameters, details.file.path)
        recipe = _recipe_of(parameters, details.file.path)
    except AssetctlError as error:
        return _refused(error)
    return _outlook(workspace, original, recipe, now, run)


def foresee_again(workspace: Workspace, number: int, now: _Environment, run: Run) -> Outlook:
    """Likewise, of a picture of the history.

    Raises:
        NotFoundError: No picture has this number.
    """
    generation = made_picture(workspace, number)
    try:
        original, recipe = _of_history(generation)
    except AssetctlError as error:
        return _refused(error)
    return _outlook(workspace, original, recipe, now, run)


def _outlook(workspace: Workspace, original: Original, recipe: PictureRecipe, now: _Environment, run: Run) -> Outlook:
    resolved = Resolver(workspace, hashes=False, software=recipe.software, run=run).resolve_all(recipe.assets)
    asked = _asked_for(workspace, recipe, resolved)
    error, remarks = None, [*recipe.remarks, *_asset_remarks(resolved, exact=recipe.exact)]
    try:
        _require(resolved, other_bytes=True)
        found = _planned(workspace, original, recipe, resolved, now)
        remarks = list(found.remarks)
        _require(resolved, other_bytes=False)
    except AssetctlError as refused:
        error = refused
    if error is not None:
        outlook = _open(error) if _awaits_hashes(error, resolved) else _refused(error)
        return replace(outlook, remarks=tuple(remarks), request=asked)
    another = bool(remarks) and remarks[0].startswith(ANOTHER)
    is_same = recipe.exact and not remarks and original.is_saved
    likeness: Likeness = "another" if another else "same" if is_same else "alike"
    told = tuple(remarks if recipe.exact else remarks[1:])
    return Outlook(likeness, _verdict(original, recipe.exact, remarks), told, None, asked)


def _refused(error: AssetctlError) -> Outlook:
    return Outlook(None, f"It cannot be made again as it is. {error.message}", error=error)


def _awaits_hashes(error: AssetctlError, resolved: Sequence[ResolvedAsset]) -> bool:
    """Whether all that stands against it is that files of one name were never hashed, which `reproduce` does."""
    notes = [each.note for each in resolved if each.status == "ambiguous"]
    return isinstance(error, AmbiguousNameError) and bool(notes) and set(notes) == {UNHASHED}


def _open(error: AssetctlError) -> Outlook:
    known = "Which file it was made of is known only once they are hashed; `assetctl reproduce` does that."
    return Outlook(None, f"{known} {error.message}")


def _asked_for(workspace: Workspace, recipe: PictureRecipe, resolved: Sequence[ResolvedAsset]) -> dict[str, Any]:
    """What is asked for of a recipe, of what is here."""
    uses, there = [], []
    for each in resolved:
        used, asset = each.used, each.asset
        name = asset.name if asset is not None else used.name or used.hash or "?"
        uses.append(Wanted(used.role, name, used.weight, used.text_weight, is_here=asset is not None))
        there += [] if asset is None else [AssetUse(used.role, asset)]
    request = recipe.request
    prompt, negative = request.prompt or "", request.negative_prompt or ""
    more = calls_more(workspace, Selection(tuple(there), prompt, negative, request.settings))
    return asked_for(prompt, negative, uses, request.settings, more=more)


def reproduce(
    workspace: Workspace,
    reproduction: Reproduction,
    backend: Backend,
    *,
    out: Path | None = None,
    force: bool = False,
    sheet: Path | bool = False,
    run: Run,
) -> Reproduced:
    """Make the picture again and compare it with its original.

    It is saved in the original's format, unless `out` names a file of another one.

    Args:
        workspace: The home.
        reproduction: See `plan_reproduction`.
        backend: Who makes it.
        out: A folder, or the new picture's name.
        force: Replace the files of that very name.
        sheet: Where both pictures go with their difference, on one sheet; `True` for beside the new one.
        run: Told how far it is.

    Raises:
        UsageError: The file that `out` or `sheet` names is there, or is the original itself, or both are one.
        InterruptedGenerationError: A person stopped it; its `done` has the picture, if that was made.
        MissingExtraError: torch or diffusers is not installed.
        GenerationError: The assets could not be loaded, or the picture could not be made.
        StorageError: It could not be saved.
    """
    original = reproduction.original
    check_output_path(workspace, reproduction, out=out, force=force, sheet=sheet)
    plan, report = reproduction.plan, reproduction.report
    output = Output(out, _format(original, out), force)
    result = generate(workspace, plan, report, backend, output=output, run=run)
    (image,) = result.images
    made = Path(image.path)
    with naming_what_is_done(result.images):
        found = _compared(made, image.sha256, original)
        if not sheet or not original.is_there:
            return Reproduced(reproduction, result, found)
        # nobody typed a name that is made here, nor the picture's where that was made only now
        named = isinstance(sheet, Path) and not _is_one_place(sheet, made)
        place = sheet if isinstance(sheet, Path) else made.with_name(f"{made.stem}-compare.png")
        place = place if named else _free(place)
        save_comparison(made, original.path, found, place, replace=force and named)
    return Reproduced(reproduction, result, found, str(place))


def _compared(made: Path, sha256: str | None, original: Original) -> Comparison:
    if sha256 == original.sha256:
        return IDENTICAL
    if not original.is_there:
        detail = f"other bytes than the original had; what differs cannot be told, as {original.path} is gone"
        return Comparison("unknown", detail)
    return compare_pixels(made, original.path)


def _free(place: Path) -> Path:
    """A name that nothing has."""
    names = (place.with_stem(f"{place.stem}{'' if number == 1 else f'-{number}'}") for number in counted(1))
    return next(each for each in names if not os.path.lexists(each))


def _is_one_place(one: Path, other: Path) -> bool:
    """Whether two names are of one file, by way of links too; or could be, on a disk that knows no case."""
    with suppress(OSError):
        if one.samefile(other):
            return True
    return clashing([os.path.realpath(one), os.path.realpath(other)]) is not None


def check_output_path(
    workspace: Workspace,
    reproduction: Reproduction,
    *,
    out: Path | None = None,
    force: bool = False,
    sheet: Path | bool = False,
) -> tuple[str, ...]:
    """Where the new picture goes, if it can be made and saved there: its name, or the folder.

    Raises:
        UsageError, StorageError, HashMismatchError: It cannot; or `out` names the original itself.
    """
    original = reproduction.original
    if out is not None and original.is_there and absolute(out).exists() and absolute(out).samefile(original.path):
        raise UsageError(f"{out} is the original, which the new picture is compared with.", "Choose another --out.")
    if sheet and not original.is_there:
        raise UsageError(f"{original.path} is gone: there is nothing to compare with.", "Leave out --compare.")
    output = Output(out, _format(original, out), force)
    planned = see_it_can_be_made(workspace, reproduction.plan, output).planned(1)
    if isinstance(sheet, Path):
        _require_place(sheet, original.path, planned, force=force)
    return planned


def _require_place(sheet: Path, original: Path, planned: Iterable[str], *, force: bool) -> None:
    """Refuse a sheet that could not be saved, or would take the place of what it shows."""
    hint = "Choose another --compare-as."
    sheet_format(sheet)
    if sheet.is_dir():
        raise UsageError(f"{sheet} is a folder.", hint)
    if _is_one_place(sheet, original):
        raise UsageError(f"{sheet} is the original, which the sheet shows.", hint)
    if any(_is_one_place(sheet, Path(each)) for each in planned):
        raise UsageError(f"{sheet} is where the new picture goes, which the sheet shows.", hint)
    if os.path.lexists(sheet) and not force:
        raise UsageError(f"{sheet} exists already.", "Choose another --compare-as, or replace it with --force.")
    if not sheet.parent.is_dir():
        raise UsageError(f"There is no folder {sheet.parent}.", "Make it first.")
    try:
        see_room_for(sheet.parent, sheet.name)
    except OSError as error:
        raise StorageError(f"{sheet} cannot be written: {error.strerror}.", hint) from error


def _format(original: Original, out: Path | None) -> str | None:
    return None if out is not None and out.suffix.lower() in FORMATS else original.format


def _read(workspace: Workspace, picture: str) -> tuple[Original, PictureRecipe]:
    if picture.isdecimal() and picture.isascii() and not Path(picture).is_file():
        return _of_history(made_picture(workspace, int(picture[:20])))
    found = find_picture(workspace, picture)
    if found is None:
        hint = "Name a PNG, JPEG or WebP file, or a number that `assetctl history` shows."
        raise NotFoundError(f"There is no picture {picture!r}.", hint)
    parameters = read_parameters(found)
    if parameters is None or parameters.unread:
        hint = "Such data are lost when a picture is edited, or sent through a messenger: look for the original file."
        raise NotFoundError(f"{found} does not say how it was made.", hint)
    sha256 = str(hash_file(found, frozenset({"sha256"})).sha256)
    original = Original(found, sha256, is_there=True, is_saved=workspace.catalog.generations.has_file(sha256))
    _see_it_is_one(workspace, found, parameters, found)
    return original, _recipe_of(parameters, found)


def _of_history(generation: Generation) -> tuple[Original, PictureRecipe]:
    original = Original(Path(generation.image_path), generation.image_sha256, generation.is_there, is_saved=True)
    return original, recipe_of_record(generation.record or {}, f"The record of picture {generation.number}")


def _recipe_of(parameters: PictureParameters, path: Path) -> PictureRecipe:
    if parameters.record is not None:
        return recipe_of_record(parameters.record, f"The record in {path}")
    return recipe_of_other_program(parameters)


def _see_it_is_one(workspace: Workspace, path: Path, parameters: PictureParameters, called: Path) -> None:
    """See that a file of ours is one picture, and not the sheet of a grid; `called` is what a person calls it.

    Raises:
        UsageError: It is a sheet; its hint names pictures of its cells.
    """
    if parameters.record is not None or parameters.software != "assetctl":
        return
    grid = (read_record(path) or {}).get("grid")
    if not isinstance(grid, dict) and parameters.fields.get("Script") != "X/Y/Z plot":
        return
    places = islice(_cells(workspace, path, grid), _CELLS_NAMED)
    named = " or ".join(f"`assetctl reproduce {shlex.quote(place)}`" for place in places)
    hint = f"Name one of its cells: {named}." if named else "Name one of its cells, which lie in a folder of its name."
    raise UsageError(f"{called} is the sheet of a grid, not one picture.", hint)


#: Cells of a sheet that a hint names.
_CELLS_NAMED = 2


def _cells(workspace: Workspace, path: Path, grid: object) -> Iterator[str]:
    """Pictures of cells of a sheet, as far as they are where they were saved, or beside the sheet."""
    cells = grid.get("cells") if isinstance(grid, dict) else None
    for cell in cells[:_CELLS_LOOKED_AT] if isinstance(cells, list) else ():
        sha256 = cell.get("sha256") if isinstance(cell, dict) else None
        number = workspace.catalog.generations.number_of(sha256) if isinstance(sha256, str) else None
        if number is not None and (made := made_picture(workspace, number)).is_there:
            yield made.image_path
    if not cells:
        with suppress(OSError):
            yield from sorted(str(each) for each in path.with_suffix("").iterdir() if each.suffix == path.suffix)


#: Cells of a sheet that are looked for.
_CELLS_LOOKED_AT = 400


def _within_layers(recipe: PictureRecipe, checkpoint: Asset | None) -> PictureRecipe:
    """The recipe with a clip skip that the checkpoint has: the picture may be of another, and nobody can choose it."""
    skip = recipe.request.settings.get("clip_skip") or 1
    family = None if checkpoint is None else family_called(checkpoint.family)
    if skip <= 1 or checkpoint is None or family is None or family.driven is None or not family.driven.clip_skip:
        return recipe
    layers = text_layers(OpenedCheckpoint(checkpoint), family.driven.text_encoders[0])
    if layers is None or skip <= layers:
        return recipe
    request = replace(recipe.request, settings={**recipe.request.settings, "clip_skip": layers})
    has = f"the text encoder of {checkpoint.name} has {layers} {'layer' if layers == 1 else 'layers'}"
    remark = f"Its clip skip, {skip}, is more than there is: {has}, and {layers} is used."
    return replace(recipe, request=request, remarks=(*recipe.remarks, remark))


def _size_remarks(original: Original, recipe: PictureRecipe) -> list[str]:
    """Whether the file was cropped or scaled since, and kept its record."""
    if not (recipe.exact and original.is_there):
        return []
    file, then = look_at_picture(original.path), tuple(recipe.request.settings[side] for side in ("width", "height"))
    if (file.width, file.height) in ((None, None), then):
        return []
    sizes = f"it is {file.width}x{file.height} pixels, and its record says {then[0]}x{then[1]}"
    return [f"The picture was changed since it was made: {sizes}."]


def _family_remarks(resolved: tuple[ResolvedAsset, ...], recipe: PictureRecipe) -> list[str]:
    """Families are believed of the catalog alone; those of the record may be anyone's words."""
    pairs = ((each.asset, then.get("family")) for each, then in zip(resolved, recipe.then, strict=True))
    return [
        f"{asset.name} is of family {asset.family} here; the record says {family}."
        for asset, family in pairs
        if asset is not None and recipe.exact and family != asset.family
    ]


def _require(resolved: tuple[ResolvedAsset, ...], *, other_bytes: bool) -> None:
    """Refuse to go on without an asset that the picture was made of."""
    missing = [each for each in resolved if each.status == "missing"]
    if missing:
        names = ", ".join(_described(each) for each in missing)
        places = ", ".join(_place(each.sources[0]) for each in missing if each.sources)
        more = f"Where to look: {places}. " if places else ""
        trashed = list(dict.fromkeys(each.note for each in missing if each.note))
        pulled = [f"{more}`assetctl pull` or `assetctl import` what is missing, then run this again."]
        raise NotFoundError(
            f"{'An asset is' if len(missing) == 1 else 'Assets are'} missing: {names}.",
            " ".join(trashed if all(each.note for each in missing) else trashed + pulled),
        )
    for each in resolved:
        if each.status == "ambiguous":
            raise AmbiguousNameError(
                f"{_described(each)} could be any of {', '.join(each.candidates)}.",
                "Remove or rename all but one; `assetctl verify` computes hashes that are not known yet.",
                each.candidates,
            )
    others = [each for each in resolved if each.status == "other_bytes"]
    if others and not other_bytes:
        names = ", ".join(_described(each) for each in others)
        raise HashMismatchError(
            f"Of the same name, and with other bytes than the picture was made of: {names}.",
            "Pull or import the right file; or take what is here with --other-bytes, for a picture that resembles it.",
        )


def _place(source: str) -> str:
    return f"{source} (open in a browser, then `assetctl import`)" if is_page(source) else source


def _described(each: ResolvedAsset) -> str:
    used = each.used
    digits = f" ({used.hash[:12]})" if used.hash else ""
    return f"the {used.role} {used.name!r}{digits}" if used.name else f"the {used.role}{digits}"


def _selection(resolved: tuple[ResolvedAsset, ...], recipe: PictureRecipe, *, renamed: bool) -> Selection:
    """What is here of it; if `renamed`, under the names that the picture has for it."""
    uses = [
        AssetUse(
            each.used.role,
            _as_then(each, fields, renamed=renamed),
            _weight(each.used),
            fields.get("found_by"),
            each.used.text_weight if each.used.role == "lora" else None,
        )
        for each, fields in zip(resolved, recipe.then, strict=True)
    ]
    for role in ("checkpoint", "vae"):  # the first counts
        uses = [use for use in uses if use.role != role] + [use for use in uses if use.role == role][:1]
    request = recipe.request
    selection = Selection(tuple(uses), request.prompt, request.negative_prompt, request.settings)
    if selection.checkpoint is None:
        hint = "`assetctl inspect PICTURE` shows what it says, for `assetctl generate PROMPT --checkpoint NAME`."
        raise NotFoundError("The picture does not say which checkpoint it was made with.", hint)
    return selection


def _weight(used: UsedAsset) -> float:
    return 1.0 if used.weight is None or used.role != "lora" else used.weight


def _as_then(each: ResolvedAsset, fields: dict[str, Any], *, renamed: bool) -> Asset:
    """The asset with all that the catalog said of it then, so that the new picture says the same of it.

    Of what is not known to be the same file, only the word is kept that the prompt calls an embedding by.
    """
    asset = each.asset
    assert asset is not None  # noqa: S101 - `_require` saw to it
    if each.matched_by != "sha256":
        fields = {"trigger_words": fields["trigger_words"]} if "trigger_words" in fields else {}
    kept = fields.keys() - {"family", "found_by"} - (set() if renamed else {"name"})
    return replace(asset, **{key: fields[key] for key in kept})


def _asset_remarks(resolved: tuple[ResolvedAsset, ...], *, exact: bool) -> list[str]:
    remarks = []
    for each in resolved:
        asset: Asset | None = each.asset
        if asset is None:
            continue
        if each.status == "other_bytes":
            remarks.append(f"{_described(each)} is not here; {asset.name} has its name, but other bytes.")
        elif each.matched_by == "name" and (exact or each.used.hash):
            remarks.append(f"{_described(each)} was found by its name; whether the bytes are the same is not known.")
        elif each.used.name and asset.name.lower() != each.used.name.lower() and exact:
            remarks.append(f"{each.used.name!r} is called {asset.name} now; the new picture keeps the name of then.")
    return [remark[0].upper() + remark[1:] for remark in remarks]


def _surrounded(plan: Plan, recipe: PictureRecipe, environment: _Environment) -> tuple[Plan, list[str]]:
    """The plan with the device, precision and threads of then, and what differs from then."""
    then = recipe.environment
    now = environment(then.get("device", "auto"), then.get("dtype", "auto"), recipe.threads)
    unknown = [] if "threads" in now else [_UNKNOWN]
    if unknown:  # and nothing is to be made
        then = {name: value for name, value in then.items() if name in now}
    else:
        plan = replace(plan, device=now["device"], dtype=now["dtype"], threads=int(now["threads"]))
    names = dict.fromkeys((*now, *then))
    differing = [name for name in names if then.get(name) != now.get(name)]
    return plan, unknown + [
        f"Another {_SPOKEN.get(name, name)}: {then.get(name, 'none was recorded')} then, "
        f"{now.get(name, 'none is recorded')} now."
        for name in differing
    ]


_UNKNOWN = (
    "Whether device, precision, threads and processor are those of then is known only once torch is loaded: "
    "`assetctl reproduce` tells it."
)

_SPOKEN = {
    "dtype": "precision",
    "threads": "number of threads",
    **{name: f"version of {name}" for name in ("assetctl", "torch", "diffusers", "transformers", "peft", "python")},
    "pillow": "version of Pillow",
}
