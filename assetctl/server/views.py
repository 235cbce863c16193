"""What the server's own documents have besides those of the command line: what can be asked for."""

from __future__ import annotations

from dataclasses import dataclass

from assetctl.identify.plugins import families
from assetctl.options import OPTIONS


@dataclass(frozen=True, slots=True)
class OptionView:
    """Something that can be asked of a picture.

    Attributes:
        name: As a field of `/v1/generate`.
        type: `int`, `float`, `str` or `bool`.
        help: What it does.
        flag: On the command line.
        usual: What is taken where neither the assets nor their family have their own.
        minimum: The least that can be asked for.
        maximum: The most.
        multiple: Of what it must be one.
        values: The words that there are.
    """

    name: str
    type: str
    help: str
    flag: str
    usual: int | float | str | bool | None
    minimum: float | None
    maximum: float | None
    multiple: int
    values: list[str]


def options() -> list[OptionView]:
    """All options of a picture."""
    return [
        OptionView(
            each.name, each.type.__name__, each.help, each.flag, each.usual, each.bounds and each.bounds[0],
            each.bounds and each.bounds[1], each.multiple, list(each.values),
        )
        for each in OPTIONS
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class FamilyView:
    """A family of models.

    Attributes:
        name: As assets have it.
        base_models: Those of the family that can be told apart, in Civitai's spelling.
        latents: Families that share these share VAEs.
        generates: Whether assetctl generates with it; others it only recognises.
    """

    name: str
    base_models: list[str]
    latents: str
    generates: bool


def family_views() -> list[FamilyView]:
    """All families that can be identified."""
    return [
        FamilyView(each.name, sorted({name for _, name in each.lineages}), each.latents or each.name, bool(each.driven))
        for each in families()
    ]


@dataclass(frozen=True, slots=True)
class Health:
    """That the server is there.

    Attributes:
        version: Of assetctl.
        queued: Jobs that wait.
        running: Numbers of the jobs at work: one that makes pictures at most, and one that fetches.
    """

    version: str
    queued: int
    running: list[int]
