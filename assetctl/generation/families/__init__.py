"""What a family that can be generated with is made of: its parts, its latents, and how it is told what to paint.

A file each, as `BUILD`, found by its place; of another package, by an entry point in the group `assetctl.builds` that
has the family's name. Nothing here imports torch: what is checked before anything is loaded, and
what is loaded, both read it. What a family's files look like, and what may be asked of it, is `Driven` in
`identify/families/`, which compatibility rules and options read too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from assetctl.errors import UnusableError
from assetctl.identify.plugins import driven_families

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a channel of latents adds to red, green and blue.
Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Latents:
    """The space that a family paints in.

    Attributes:
        channels: How many numbers there are at each place.
        scale: By what the VAE's numbers are multiplied.
        factor: Pixels of a picture to one place, along each side.
        colours: What each channel adds to a colour, for previews; shares of full brightness.
        grey: The colour where all channels are nought.
    """

    channels: int
    scale: float
    factor: int
    colours: tuple[Colour, ...]
    grey: Colour = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Told:
    """How a family is told what to paint.

    Attributes:
        sizes: Whether it is told the picture's size and the pooled text besides.
        zeros_for_nothing: Whether an empty negative prompt is zeros, and not the encoding of nothing.
        missing_layers: Layers of its text encoder that are not in its files, of those that other programs count.
    """

    sizes: bool = False
    zeros_for_nothing: bool = False
    missing_layers: int = 0


@dataclass(frozen=True, slots=True)
class Build:
    """What diffusers is to make of a family.

    Attributes:
        pipeline: diffusers' class.
        parts: Its components with weights or words, by diffusers' names; what each may be is in `folders.COMPONENTS`.
        scheduler: diffusers' class, where a checkpoint does not name one.
        latents: The space that it paints in.
        told: How it is told what to paint.
        heads: Heads of attention at each level of its UNet; `None` for heads of width 64.
        spacing: How its scheduler spaces its steps, where not as by default.
        index: What diffusers' `model_index.json` has for it besides its parts.
    """

    pipeline: str
    parts: tuple[str, ...]
    scheduler: str
    latents: Latents
    told: Told
    heads: int | None = None
    spacing: str | None = None
    index: Mapping[str, object] = field(default_factory=dict)


def build_of(family: str) -> Build:
    """What a family is made of.

    Raises:
        UnusableError: It cannot be generated with.
    """
    name = family.replace("-", "_")
    if name.isidentifier() and find_spec(f"{__name__}.{name}") is not None:
        found = getattr(import_module(f"{__name__}.{name}"), "BUILD", None)
        if isinstance(found, Build):
            return found
    from importlib.metadata import entry_points  # noqa: PLC0415 - 30 ms, which a family of our own does without

    for entry in entry_points(group="assetctl.builds", name=family):
        found = entry.load()
        if isinstance(found, Build):
            return found
    hint = f"Choose a checkpoint of one of: {', '.join(driven_families())}."
    raise UnusableError(f"The family {family} cannot be generated with.", hint)
