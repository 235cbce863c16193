"""Recipes: a named selection of a manifest, with what a person chose this time on top."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from assetctl.generation.samplers import canonical_sampler
from assetctl.manifest import read_manifest
from assetctl.manifest.manifest import find_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.manifest import Manifest, Recipe
    from assetctl.operations.selecting import Choice


def wanted_in(manifest: Path) -> Manifest:
    """What a manifest wants; its recipes name samplers that there are.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense; says in which line and key.
    """
    return read_manifest(manifest, canonical_sampler)


def read_recipe(manifest: Path, name: str) -> Recipe:
    """The recipe of this name.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense, or has no such recipe.
    """
    return find_recipe(wanted_in(manifest), name, manifest)


def with_recipe(choice: Choice, recipe: Recipe) -> Choice:
    """What the recipe selects, and what was chosen beside it; a checkpoint, VAE or prompt of one's own counts."""
    return replace(
        choice,
        checkpoint=choice.checkpoint or recipe.checkpoint,
        loras=(*recipe.loras, *choice.loras),
        embeddings=(*recipe.embeddings, *choice.embeddings),
        vae=choice.vae or recipe.vae,
        prompt=recipe.prompt if choice.prompt is None else choice.prompt,
        negative_prompt=recipe.negative_prompt if choice.negative_prompt is None else choice.negative_prompt,
        steps=recipe.steps if choice.steps is None else choice.steps,
        cfg_scale=recipe.cfg if choice.cfg_scale is None else choice.cfg_scale,
    )
