"""What commands that select assets ask for, as options, and the request that is made of them."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assetctl.cli import completion
from assetctl.cli.session import to_stderr
from assetctl.errors import UsageError
from assetctl.options import OPTIONS, Option, parse_sides, together
from assetctl.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

#: Where the options of a picture stand in the help; the second are for those who know them from A1111 or ComfyUI.
PICTURE, SAMPLING = "Picture", "Sampling, as A1111 and ComfyUI call it"


def offering(words: Sequence[str]) -> Callable[[str], list[completion.Offer]]:
    """What completes one of a few words."""

    def complete(incomplete: str) -> list[completion.Offer]:
        return completion.words(words)(incomplete)

    return complete


def any_asset(ctx: typer.Context, incomplete: str) -> list[completion.Offer]:
    """What completes the name of an asset."""
    return completion.asset_names()(ctx, incomplete)


def _named(kind: str) -> Callable[[typer.Context, str], list[completion.Offer]]:
    """What completes the name of an asset of a kind."""

    def complete(ctx: typer.Context, incomplete: str) -> list[completion.Offer]:
        return completion.asset_names(kind)(ctx, incomplete)

    return complete


#: More than one can be typed, so that the second is refused and does not take the place of the first unseen.
CheckpointOption = Annotated[
    list[str] | None,
    typer.Option("--checkpoint", "-c", metavar="NAME", help="The model.", autocompletion=_named("checkpoint")),
]
LorasOption = Annotated[
    list[str] | None,
    typer.Option(
        "--lora",
        "-l",
        metavar="NAME[:WEIGHT]",
        help="A LoRA; can be repeated. NAME:TEXT:UNET gives text encoders a weight of their own.",
        autocompletion=_named("lora"),
    ),
]
EmbeddingsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--embedding",
        "-e",
        metavar="NAME",
        help="An embedding; can be repeated.",
        autocompletion=_named("embedding"),
    ),
]
AutoEmbeddingsOption = Annotated[
    bool | None,
    typer.Option(
        "--auto-embeddings/--no-auto-embeddings",
        help="Find embeddings by their words in the prompts, as A1111 does; by default they are used.",
        show_default=False,
    ),
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        "-r",
        metavar="NAME",
        help="A selection that the manifest names.",
        autocompletion=completion.recipes,
    ),
]
ManifestOption = Annotated[Path, typer.Option("--file", "-f", metavar="PATH", help="The manifest that has the recipe.")]
VaeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--vae",
        metavar="NAME",
        help="A VAE instead of the checkpoint's own.",
        autocompletion=_named("vae"),
    ),
]
NegativeOption = Annotated[str | None, typer.Option("--negative", "-n", help="What it must not show.")]


def setting_parameters() -> list[inspect.Parameter]:
    """A flag for each option of a picture; one for those that are written together."""
    return [_parameter(flag, options) for flag, options in together("flag").items()]


def _parameter(flag: str, options: list[Option]) -> inspect.Parameter:
    first = options[0]
    several = len(options) > 1
    said = typer.Option(
        flag,
        help=f"{first.help} One of: {', '.join(first.values)}." if first.values else first.help,
        metavar="x".join(each.name[0].upper() for each in options) if several else None,
        autocompletion=offering(first.values) if first.values else None,
        rich_help_panel=SAMPLING if first.sampled else PICTURE,
    )
    typed: Any = str if several else first.type
    return inspect.Parameter(
        _argument(flag), inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[typed | None, said]
    )


def words_of_flag(names: Iterable[str]) -> tuple[str, ...]:
    """The words that an option of a picture can be, if these are names of one and it has such."""
    return next((each.values for each in OPTIONS if each.flag in names), ())


def _argument(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def settings_of(arguments: dict[str, Any]) -> dict[str, Any]:
    """What was typed for the options of a picture, by their names.

    Raises:
        UsageError: Something that is written together makes no sense.
    """
    found: dict[str, Any] = {}
    for flag, options in together("flag").items():
        value = arguments[_argument(flag)]
        if value is not None:
            found |= parse_sides(options, value) if len(options) > 1 else {options[0].name: value}
    return found


#: The most that is read of a prompt which comes by standard input, in characters.
_LONGEST = 1_000_000


def read_prompts(*texts: str | None) -> tuple[str | None, ...]:
    """Prompts as they were typed; the one that was typed as `-` is read from standard input.

    Raises:
        UsageError: Two are `-`, or what comes is too long, no text, or nothing.
    """
    if texts.count("-") > 1:
        raise UsageError("Standard input can be one prompt, not two.", "Type one of them.")
    return tuple(_from_stdin() if text == "-" else text for text in texts)


def _from_stdin() -> str:
    if sys.stdin.isatty():
        to_stderr("note", "Type the prompt; Ctrl-D ends it.")
    data = sys.stdin.buffer.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise UsageError(f"What comes by standard input is longer than {_LONGEST} bytes.", "A prompt is a few lines.")
    try:
        text = data.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UsageError("What comes by standard input is no UTF-8 text.", "Pipe a prompt into it.") from error
    if not text.strip():
        raise UsageError("Nothing comes by standard input.", "Pipe a prompt into it, or type it in the place of -.")
    return text


def single(flag: str, names: list[str] | None) -> str | None:
    """The one name that was typed behind a flag, if any was.

    Raises:
        UsageError: There are several.
    """
    several = list(dict.fromkeys(names or ()))
    if len(several) > 1:
        told = " and ".join([", ".join(several[:-1]), several[-1]])
        raise UsageError(f"{flag} was given {len(several)} times, with {told}: there is one.", f"Name one with {flag}.")
    return next(iter(several), None)


def with_recipe(request: Request, recipe: str | None, manifest: Path) -> Request:
    """What was typed, laid over a recipe of the manifest where one is named."""
    if recipe is None:
        return request
    from assetctl.operations.select.check import read_recipe  # noqa: PLC0415 - most requests name none

    return request.over(read_recipe(manifest, recipe))
