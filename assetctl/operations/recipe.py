"""What a picture says of how it was made, as something to make another from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assetctl.generation.metadata import UsedAsset
    from assetctl.generation.plan import GenerationRequest


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to make one picture.

    Attributes:
        exact: Whether assetctl made it, and recorded everything.
        software: Who made it.
        assets: What it was made of, as it names them.
        then: What the catalog said of each of them when the picture was made, by the fields of `Asset`.
        remarks: What is not carried over, each in one sentence.
        environment: Where it was made; empty where that is not known.
        threads: Their number, where it can be had.
    """

    exact: bool
    software: str | None
    request: GenerationRequest
    assets: tuple[UsedAsset, ...]
    then: tuple[dict[str, Any], ...]
    remarks: tuple[str, ...] = ()
    prediction: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    threads: int | None = None
