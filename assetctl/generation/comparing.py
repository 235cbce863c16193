"""Whether two picture files are the same: in their bytes, or else in their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two pictures agree.

    Attributes:
        status: `identical`, byte for byte; `same_pixels`, in another file; `different`; or `unknown`,
            where the other picture is gone or can not be read, and its hash is another.
        max_difference: Of one channel of one pixel, 0 to 255.
        mean_difference: Over all of them.
        detail: All of it in one sentence, for a person.
    """

    status: Literal["identical", "same_pixels", "different", "unknown"]
    detail: str
    max_difference: int | None = None
    mean_difference: float | None = None


#: What is looked into: nothing but what `save_picture` writes.
_FORMATS = ("PNG", "JPEG", "WEBP")

IDENTICAL = Comparison("identical", "identical, byte for byte", 0, 0.0)


def compare_pixels(new: Path, old: Path) -> Comparison:
    """Compare two pictures, whose bytes are not the same, by what they show."""
    from PIL import Image, ImageChops, ImageStat  # noqa: PLC0415 - part of the extra `generate`

    try:
        with Image.open(new, formats=_FORMATS) as ours, Image.open(old, formats=_FORMATS) as theirs:
            if ours.size != theirs.size:  # also keeps a huge picture from being unpacked
                sizes = f"{ours.width}x{ours.height} instead of {theirs.width}x{theirs.height}"
                return Comparison("different", f"different: it is {sizes} pixels")
            difference = ImageChops.difference(_rgb(ours), _rgb(theirs))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return Comparison("unknown", f"not comparable: the pixels of {old} can not be read ({error})")
    statistics = ImageStat.Stat(difference)
    largest = max(high for _, high in statistics.extrema)
    if largest == 0:
        return Comparison("same_pixels", "the same pixels, in another file", 0, 0.0)
    mean = sum(statistics.mean) / 3
    detail = f"different: by {mean:.2f} on average and at most {largest}, of 255"
    return Comparison("different", detail, largest, mean)


def _rgb(image: Image) -> Image:
    return image.convert("RGB")
