"""What goes into the catalog, and the little that comes out of it beside assets."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from assetctl.types import LONGEST_NAME

if TYPE_CHECKING:
    from assetctl.types import AssetFile, Identification, Origin, Selection


@dataclass(frozen=True, slots=True)
class NewAsset:
    """An asset about to enter the catalog.

    Attributes:
        name: The wanted name; a taken one gets a number behind it.
        path: The file, or the diffusers folder, absolute.
        files: All its files; one of role `main`, or several of role `part`.
        sha256: Of the file, or of the folder's list of files; `None` while not hashed.
        in_store: Whether assetctl owns the bytes.
    """

    name: str
    path: str
    files: tuple[AssetFile, ...]
    identification: Identification
    in_store: bool
    sha256: str | None = None
    origin: Origin | None = None
    tags: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """All its bytes."""
        return sum(file.size for file in self.files)


class KnownFile(NamedTuple):
    """A file as the catalog last saw it."""

    asset_id: int
    asset_path: str
    role: str
    size: int
    mtime_ns: int
    sha256: str | None


class FileHashes(NamedTuple):
    """Hashes of one file; `None` leaves what was known."""

    path: str
    sha256: str | None = None
    autov3: str | None = None
    blake3: str | None = None


@dataclass(frozen=True, slots=True)
class GenerationEntry:
    """One picture that was made.

    Attributes:
        selection: The assets and their weights.
        image_path: Where the picture lies.
        image_sha256: Of the picture's file.
        record: Everything that was recorded in the picture.
    """

    selection: Selection
    prompt: str
    negative_prompt: str
    steps: int
    cfg_scale: float
    sampler: str
    seed: int
    width: int
    height: int
    image_path: str
    image_sha256: str
    record: dict[str, object]


@dataclass(frozen=True, slots=True)
class GenerationAsset:
    """An asset's part in a picture that was made.

    Attributes:
        name: What it was called then.
        asset: What it is called now; `None` if it has left the catalog.
    """

    role: str
    name: str
    sha256: str | None
    weight: float | None
    asset: str | None


@dataclass(frozen=True, slots=True)
class Generation:
    """A picture that was made, as the catalog keeps it.

    Attributes:
        number: Counts up from 1.
        image_path: Where it was saved; it may lie elsewhere by now.
        image_sha256: Of the file as it was saved.
        record: Everything that was recorded in it; `None` in a list of many.
    """

    number: int
    created_at: str
    prompt: str
    negative_prompt: str
    steps: int
    cfg_scale: float
    sampler: str
    seed: int
    width: int
    height: int
    image_path: str
    image_sha256: str
    assets: tuple[GenerationAsset, ...]
    record: dict[str, Any] | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is still a file where the picture was saved."""
        return os.path.exists(self.image_path)  # noqa: PTH110 - a `Path` costs more, and there may be many


@dataclass(frozen=True, slots=True)
class GenerationFilter:
    """Which pictures are asked for; conditions add up, and `None` is none.

    Attributes:
        asset_ids: Any of these assets was used, by its number or as the same bytes.
        name: An asset that was called so was used, whether it is still there or not.
        words: Each occurs in the prompt, in any case.
        since: Made at this time or later, ISO 8601 in UTC.
    """

    asset_ids: tuple[int, ...] = ()
    name: str | None = None
    words: tuple[str, ...] = ()
    seed: int | None = None
    since: str | None = None


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted-2` and so on if it is taken; `taken` is in lower case and is added to."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        end = f"-{number}"
        name = wanted[: LONGEST_NAME - len(end)] + end
    taken.add(name.lower())
    return name
