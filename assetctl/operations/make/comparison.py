"""How far two pictures agree: in figures, and side by side on one sheet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from assetctl.errors import UsageError
from assetctl.pictures.saving import whole_file
from assetctl.pictures.sheet import Table, draw_sheet

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class Comparison:
    """How far two pictures agree.

    Attributes:
        status: `identical`, byte for byte; `same_pixels`, in another file; `different`; or `unknown`,
            where the other picture is gone or cannot be read, and its hash is another.
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
        return Comparison("unknown", f"not comparable: the pixels of {old} cannot be read ({error})")
    statistics = ImageStat.Stat(difference)
    largest = max(high for _, high in statistics.extrema)
    if largest == 0:
        return Comparison("same_pixels", "the same pixels, in another file", 0, 0.0)
    mean = sum(statistics.mean) / 3
    detail = f"different: by {mean:.2f} on average and at most {largest}, of 255"
    return Comparison("different", detail, largest, mean)


def _rgb(image: Image) -> Image:
    return image.convert("RGB")


def save_comparison(new: Path, old: Path, found: Comparison, place: Path, *, replace: bool = False) -> None:
    """Save both pictures and what is between them on one sheet, whole or not at all.

    Args:
        new: One picture.
        old: The other.
        found: How they compare.
        place: Where to: a PNG, JPEG or WebP file.
        replace: Whether a file that is there is replaced.

    Raises:
        NameTakenError: There is a file of that name.
        UsageError: It is of another format.
        StorageError: It cannot be written.
    """
    form = sheet_format(place)
    said, shown = _difference(new, old)
    table = Table([[old, new, shown]], [f"the original\n{old.name}", f"made again\n{new.name}", said])
    sheet = draw_sheet(table, title=found.detail, format=form)
    with whole_file(place, replace=replace, option="--compare-as") as file:
        sheet.save(file, {"jpg": "jpeg"}.get(form, form))


def sheet_format(place: Path) -> str:
    """The format of a sheet of this name.

    Raises:
        UsageError: It is none that sheets have.
    """
    found = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}.get(place.suffix.lower())
    if found is None:
        raise UsageError(f"{place} does not end in .png, .jpg or .webp.", "Name a .png, .jpg or .webp file.")
    return found


def _difference(new: Path, old: Path) -> tuple[str, Image | str]:
    """What differs, as much stronger as there is room for, with its label; or why that cannot be shown."""
    from PIL import Image, ImageChops, ImageStat  # noqa: PLC0415 - part of the extra `generate`

    label = "the difference"
    try:
        with Image.open(new, formats=_FORMATS) as ours, Image.open(old, formats=_FORMATS) as theirs:
            if ours.size != theirs.size:
                return label, "They are of other sizes."
            found = ImageChops.difference(_rgb(ours), _rgb(theirs))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return label, "One of them cannot be read."
    largest = max(int(high) for _, high in ImageStat.Stat(found).extrema)
    times = 255 // largest if largest else 1
    return f"{label}\n{times} times as strong" if times > 1 else label, found.point(lambda value: value * times)
