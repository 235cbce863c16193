"""History: the pictures that were made, and the command line that makes one again."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assetctl.catalog import GenerationFilter
from assetctl.errors import AmbiguousNameError, FileError, NotFoundError, StorageError, UsageError
from assetctl.files.hashing import hash_file
from assetctl.identify.plugins import family_called
from assetctl.operations.select.prompts import with_embeddings
from assetctl.options import LARGEST_SEED, OPTIONS, complete, label, shown, taken, together, written
from assetctl.prompt import without_tags
from assetctl.samplers import sampled_by_diffusers
from assetctl.settings import program
from assetctl.types import AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    from assetctl.catalog import Generation, GenerationAsset
    from assetctl.errors import CatalogError
    from assetctl.operations.workspace import Workspace
    from assetctl.options import Option, Settings

_AGO = re.compile(r"(\d{1,5})\s*([hdwmy])")
_DAYS = {"h": 1 / 24, "d": 1, "w": 7, "m": 30, "y": 365}
_MAX_LIMIT = 2**31 - 1

#: Bytes that no picture of ours has: its sides end at 4096 pixels.
_LARGEST = 2**28


@dataclass(frozen=True, slots=True)
class Remade:
    """A picture of the history, and the words of the command line that makes it again.

    Attributes:
        request: What `/v1/generate` is asked for the same.
    """

    generation: Generation
    command: Sequence[str]
    request: Mapping[str, Any]


def history(
    workspace: Workspace,
    *,
    used: str | None = None,
    prompt: str | None = None,
    seed: int | None = None,
    since: str | None = None,
    before: int | None = None,
    limit: int | None = 20,
    damaged: Callable[[CatalogError], None] | None = None,
) -> list[Generation]:
    """The pictures that were made, newest first, without their records.

    Args:
        workspace: The home.
        used: An asset that took part, by name, path or hash; or by the name of one that is gone.
        prompt: Words that occur in the prompt, in any case.
        seed: Exactly this one.
        since: A date or time in ISO 8601, local where it names no zone; or `12h`, `7d`, `2w`, `3m`, `1y` ago.
        before: The number of a picture: only older ones.
        limit: How many at most; `None` for all.
        damaged: Told of every picture that is left out since what is kept of it is damaged.

    Raises:
        NotFoundError, AmbiguousNameError: The asset.
        UsageError: A number, or `since`.
        CatalogError: What is kept of one is damaged, and nobody wants to be told of those.
    """
    if seed is not None and not (type(seed) is int and 0 <= seed <= LARGEST_SEED):
        raise UsageError(f"{shown(seed)} is not a seed.", f"Seeds lie between 0 and {LARGEST_SEED}.")
    if limit is not None and not (type(limit) is int and 1 <= limit <= _MAX_LIMIT):
        raise UsageError(
            f"The limit must be 1 to {_MAX_LIMIT}, not {shown(limit)}.",
            "`None` stands for all of them, and 0 on the command line.",
        )
    words = tuple((prompt or "").split())
    moment = None if since is None else parse_since(since)
    numbers: tuple[int, ...] = ()
    name = None
    if used is not None:
        try:
            numbers = (workspace.catalog.read.find(used).id,)
        except NotFoundError:
            if not workspace.catalog.generations.latest(GenerationFilter(name=used), 1):
                raise
            name = used
    wanted = GenerationFilter(numbers, name, words, seed, moment, before)
    return [_followed(workspace, each) for each in workspace.catalog.generations.latest(wanted, limit, damaged)]


def made_picture(workspace: Workspace, number: int) -> Generation:
    """One picture that was made, with its record, or without where that is damaged.

    Raises:
        NotFoundError: No picture has this number.
    """
    return _followed(workspace, workspace.catalog.generations.get(number))


def _followed(workspace: Workspace, generation: Generation) -> Generation:
    """A picture where it is: one that is gone from where it was saved may have moved with its folder, by its name.

    Nothing but its bytes tells it from another file.
    """
    saved = Path(generation.image_path)
    if _holds(saved, generation):
        return generation
    there = workspace.settings.outputs / saved.name
    if there != saved and _holds(there, generation):
        return replace(generation, image_path=str(there))
    return replace(generation, replaced=os.path.lexists(saved))


def _holds(path: Path, generation: Generation) -> bool:
    """Whether a file is the picture, byte for byte."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return False
        return hash_file(path, frozenset({"sha256"})).sha256 == generation.image_sha256
    except (StorageError, FileError, OSError):
        return False


def parse_since(text: str, now: datetime | None = None) -> str:
    """The moment that `text` stands for, in UTC.

    Raises:
        UsageError: It is none.
    """
    ago = _AGO.fullmatch(text.strip().lower())
    try:
        if ago:
            moment = (now or datetime.now(UTC)) - timedelta(days=int(ago[1]) * _DAYS[ago[2]])
        else:
            moment = datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        hint = "Write a date like 2026-01-31, or 12h, 7d, 2w, 3m, 1y."
        raise UsageError(f"{text!r} is no time.", hint) from error
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"  # pads a year as `strftime` does not


def remade(workspace: Workspace, number: int) -> Remade:
    """One picture that was made, and the words that make it again.

    Raises:
        NotFoundError: No picture has this number.
    """
    generation = made_picture(workspace, number)
    read, there = workspace.catalog.read, []
    for use in generation.assets:
        with suppress(NotFoundError, AmbiguousNameError):
            if use.asset is not None:
                there.append(AssetUse(use.role, read.find(use.asset)))
    prompts = generation.prompt, generation.negative_prompt
    more = calls_more(workspace, Selection(tuple(there), *prompts, complete(generation.settings)))
    texts = _text_weights(generation)
    uses = [
        Wanted(each.role, each.asset or each.name, each.weight, texts.get(each.name), is_here=True)
        for each in generation.assets
    ]
    request = asked_for(*prompts, uses, complete(generation.settings), more=more)
    return Remade(generation, command_line(generation, workspace.settings.home, more=more), request)


class Wanted(NamedTuple):
    """An asset of a picture that is to be made again, as it is called here, or there where it is not here."""

    role: str
    name: str
    weight: float | None
    text_weight: object = None
    is_here: bool = True


def asked_for(
    prompt: str, negative_prompt: str, uses: Iterable[Wanted], settings: Settings, *, more: bool
) -> dict[str, Any]:
    """What `/v1/generate` is asked for a picture. LoRAs that are not here stay in the prompt, for a check to tell.

    Args:
        prompt: With its LoRA tags, as all prompts are kept.
        negative_prompt: Likewise.
        uses: What it is made of.
        settings: Those that it says.
        more: Whether the prompts call embeddings that it was made without.
    """
    body: dict[str, Any] = {"prompt": without_tags(prompt).strip()}
    body |= {"negative_prompt": negative} if (negative := without_tags(negative_prompt).strip()) else {}
    for use in uses:
        weight = 1.0 if use.weight is None else use.weight
        is_tag = use.text_weight is not None or not use.is_here or use.name in body.get("loras", {})
        if use.role == "lora" and is_tag:  # only a tag can say both weights, or the same LoRA once more
            both = "" if use.text_weight is None else f"{use.text_weight}:"
            body["prompt"] += f" <lora:{use.name}:{both}{weight}>"
        elif use.role == "lora":
            body.setdefault("loras", {})[use.name] = weight
        elif use.role == "embedding" and use.is_here:
            body.setdefault("textual_inversions", {})[use.name] = None
        elif use.role in ("checkpoint", "vae") and use.is_here:
            body.setdefault(use.role, use.name)
    body |= {"auto_embeddings": False} if more else {}
    is_plain = sampled_by_diffusers(settings.get("flavour") or "")
    said = {each: settings[each.name] for each in OPTIONS if settings.get(each.name) is not None}
    return body | {
        each.name: value
        for each, value in said.items()
        if value != each.silent
        or not (value == each.usual or (each.sampled and is_plain))
        or (each.name == "scheduler" and not is_plain)  # distilled models have their own where nobody says one
    }


def calls_more(workspace: Workspace, selection: Selection) -> bool:
    """Whether prompts call embeddings of the catalog that are not among what is selected."""
    read = workspace.catalog.read
    try:
        found = with_embeddings(read, selection)
    except AmbiguousNameError:
        return True
    return len(found.uses) > len(selection.uses)


def lines_of(generation: Generation) -> list[tuple[str, str]]:
    """How a picture was made, each with what that is called."""
    lines = [("prompt", generation.prompt), ("negative", generation.negative_prompt)]
    lines += [(label(each), written(each, generation.settings) or "") for each in together("field").values()]
    return [(name, value) for name, value in lines if value]


def _text_weights(generation: Generation) -> dict[object, object]:
    """Weights of LoRAs for text encoders, by their names of then, where the record says such."""
    assets = (generation.record or {}).get("assets", [])
    return {
        each.get("name"): each.get("text_weight")
        for each in (assets if isinstance(assets, list) else [])
        if isinstance(each, dict) and each.get("role") == "lora"
    }


def command_line(generation: Generation, home: Path, *, more: bool = False) -> list[str]:
    """The words that make this picture again, with the names that its assets go by now.

    LoRAs that the prompt named in tags are named as options, with the weights that they had.

    Args:
        generation: The picture.
        home: Where it was made.
        more: Whether the prompts call embeddings that it was made without.
    """
    words = [*program(home), "generate", *(["--no-auto-embeddings"] if more else [])]
    text_weights = _text_weights(generation)
    for use in generation.assets:
        words += [f"--{use.role}", _named(use, text_weights.get(use.name) if use.role == "lora" else None)]
    negative = without_tags(generation.negative_prompt).strip()
    if negative:
        words += [f"--negative={negative}"] if negative.startswith("-") else ["--negative", negative]
    settings = complete(generation.settings)
    unasked = _unasked(generation, settings)
    for flag, options in together("flag").items():
        value = written(options, settings, "repr")
        if options[0].silent is not None:  # what is taken anyway needs no word, and what is not does
            value = _unless_taken(options, settings, unasked)
        if options[0].type is bool:
            words += [] if value is None else [flag]
        else:
            words += [] if value is None else [flag, value]
    return [*words, "--", without_tags(generation.prompt).strip()]


def _unasked(generation: Generation, settings: Settings) -> dict[str, Any]:
    """What would be taken of each option for the assets that a picture was made of."""
    assets = [each for each in (generation.record or {}).get("assets", []) if isinstance(each, dict)]
    family = next((each.get("family") for each in assets if each.get("role") == "checkpoint"), None)
    live = (each.get("base_model") for each in assets if each.get("weight", 1.0))
    return taken(settings, family_called(family), [each for each in live if isinstance(each, str)])


def _unless_taken(options: Sequence[Option], settings: Settings, unasked: Settings) -> str | None:
    """The word for options of one flag, or none where these are taken anyway or would do nothing."""
    is_taken = all(settings[each.name] == unasked.get(each.name, each.silent) for each in options)
    if is_taken or (options[0].sampled and sampled_by_diffusers(settings["flavour"])):
        return None
    return written([replace(each, silent=None) for each in options], settings, "repr")


def _named(use: GenerationAsset, text_weight: object) -> str:
    weights = [each for each in (text_weight, use.weight) if isinstance(each, int | float)]
    return ":".join([use.asset or use.name, *map(_number, weights)])


def _number(value: float) -> str:
    return repr(float(value)).removesuffix(".0")
