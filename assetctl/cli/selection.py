"""Options that name the assets of a selection, shared by `check` and `generate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

CheckpointOption = Annotated[str | None, typer.Option("--checkpoint", "-c", metavar="NAME", help="The model.")]
LorasOption = Annotated[
    list[str] | None, typer.Option("--lora", "-l", metavar="NAME[:WEIGHT]", help="A LoRA; can be repeated.")
]
EmbeddingsOption = Annotated[
    list[str] | None, typer.Option("--embedding", "-e", metavar="NAME", help="An embedding; can be repeated.")
]
RecipeOption = Annotated[
    str | None, typer.Option("--recipe", "-r", metavar="NAME", help="A selection that the manifest names.")
]
ManifestOption = Annotated[Path, typer.Option("--file", "-f", metavar="PATH", help="The manifest that has the recipe.")]
OutsideOption = Annotated[
    bool,
    typer.Option("--allow-outside", help="Let paths leave the manifest's folder: you wrote it yourself."),
]
VaeOption = Annotated[str | None, typer.Option("--vae", metavar="NAME", help="A VAE instead of the checkpoint's own.")]
