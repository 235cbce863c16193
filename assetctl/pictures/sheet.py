r"""One picture of many: pictures in rows and columns, each with its label, as a comparison or a grid shows them.

Nothing of a label is lost: it is wrapped, and what no font at hand can draw is written as `\u732b`. Pictures of
unlike sizes keep theirs. A sheet that would be too large for its format has them all smaller, by one measure.

Two are compared in figures as well: how far they agree.
"""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from assetctl.errors import UsageError
from assetctl.pictures.image_files import look_at_picture
from assetctl.pictures.saving import whole_file
from assetctl.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL.Image import Image

#: What stands in a cell: a picture, the file of one, width and height of one that is to come, or why there is none.
Shown: TypeAlias = "Image | Path | tuple[int, int] | str"

#: Pixels of a whole sheet, below what other programs open without a question, and of a side, in each format.
MAX_PIXELS = 80_000_000
MAX_SIDES = {"png": 65_500, "jpg": 65_500, "webp": 16_383}

#: Pixels of a font, the least and the most; and how many lines of it a picture is high.
_SMALLEST, _LARGEST, _LINES = 12, 48, 24

#: Characters of a label, a title or a reason that are drawn, and lines that it has of its own.
_MOST, _PARTS = 2000, 9

#: Letters that have room in a line as long as the font is high, at most.
_NARROWEST = 6

#: A cell without a picture, where nothing says how large that would have been.
_UNKNOWN = (256, 256)

#: The least that pictures are scaled to.
_LEAST_SCALE = 1 / 64

#: What stands in place of a file that is no picture any more.
_UNREADABLE = "This picture cannot be read."

_PAPER, _INK, _FAINT, _EMPTY = "#ffffff", "#111111", "#666666", "#e8e8e8"


@dataclass(frozen=True, slots=True)
class Table:
    """Pictures in rows and columns.

    Attributes:
        cells: Row by row; all rows are as long as each other.
        columns: A label above each column; none for none.
        rows: A label before each row; none for none.
        title: What stands above it.
    """

    cells: Sequence[Sequence[Shown]]
    columns: Sequence[str] = ()
    rows: Sequence[str] = ()
    title: str = ""


def draw_sheet(*tables: Table, title: str = "", format: str = "png") -> Image:  # noqa: A002 - what pictures have
    """A picture with these tables below each other, below a title.

    Raises:
        UsageError: It would be too large for its format, however small the pictures.
    """
    return lay_out(tables, title=title, format=format).draw()


def lay_out(tables: Sequence[Table], *, title: str = "", format: str = "png") -> Layout:  # noqa: A002 - as above
    """How a sheet will be drawn: its size is known once the sizes of its pictures are.

    Raises:
        UsageError: It would be too large for its format, however small the pictures.
    """
    scale, side = 1.0, MAX_SIDES[format]
    while True:
        layout = Layout(tables, title, scale)
        width, height = layout.size
        over = max(width / side, height / side, math.sqrt(width * height / MAX_PIXELS))
        if over <= 1:
            return layout
        if scale <= _LEAST_SCALE:
            raise UsageError(
                f"The sheet would be {width}x{height} pixels, and a {format} picture has {side} at most along a side.",
                "Ask for fewer values, or exchange rows and columns.",
            )
        scale = max(scale / over * 0.97, _LEAST_SCALE)


@dataclass(frozen=True, slots=True)
class _Text:
    """Lines in a font, and the room that they take."""

    lines: tuple[str, ...]
    font: Any
    height: int

    @property
    def width(self) -> int:
        return max((math.ceil(self.font.getlength(line)) for line in self.lines), default=0)

    @property
    def tall(self) -> int:
        return len(self.lines) * self.height

    def draw(self, canvas: Any, x: int, y: int, fill: str, *, within: int | None = None) -> None:  # noqa: ANN401 - Pillow's
        """Draw the lines from a corner on; in the middle of a width, where one is given."""
        for number, line in enumerate(self.lines):
            left = x if within is None else x + max((within - math.ceil(self.font.getlength(line))) // 2, 0)
            canvas.text((left, y + number * self.height), line, font=self.font, fill=fill)


class Layout:
    """Where everything of a sheet stands.

    Attributes:
        scale: What pictures are scaled by.
        size: Width and height in pixels.
    """

    def __init__(self, tables: Sequence[Table], title: str, scale: float) -> None:
        self.scale = scale
        sizes = [_sizes(table) for table in tables]
        sides = sorted(min(size) for each in sizes for row in each for size in row)
        middle = sides[len(sides) // 2] if sides else 0
        self._font = max(_SMALLEST, min(round(middle * scale / _LINES), _LARGEST))
        self.gap = self._font // 2
        self._parts = [_Part(table, each, self) for table, each in zip(tables, sizes, strict=True)]
        inner = max((part.width for part in self._parts), default=0)
        inner = max(inner, min(_written(title, self._font).width, 24 * self._font))
        self._title = _written(title, self._font, inner)
        height = sum(part.height + 2 * self.gap for part in self._parts) + self._title.tall
        self.size = inner + 4 * self.gap, height + 4 * self.gap

    def text(self, text: str, width: float | None = None) -> _Text:
        """A label, wrapped to a width."""
        return _written(text, self._font, width)

    @property
    def line(self) -> int:
        """How much room the letters take, along a line."""
        return self._font

    def draw(self) -> Image:
        """The sheet."""
        from PIL import Image, ImageDraw  # noqa: PLC0415 - only sheets that are drawn pay

        image = Image.new("RGB", self.size, _PAPER)
        canvas = ImageDraw.Draw(image)
        place = 2 * self.gap
        self._title.draw(canvas, place, place, _INK)
        y = place + self._title.tall + 2 * self.gap
        for part in self._parts:
            part.draw(image, canvas, place, y)
            y += part.height + 2 * self.gap
        return image


class _Part:
    """Where everything of one table stands, from its own corner."""

    def __init__(self, table: Table, sizes: Sequence[Sequence[tuple[int, int]]], layout: Layout) -> None:
        self._cells, self._gap, self._layout = table.cells, layout.gap, layout
        small = [[_scaled(size, layout.scale) for size in row] for row in sizes]
        least = layout.line * 2
        heads = [layout.text(label) for label in table.columns]
        self._widths = [max(least, *(row[x][0] for row in small)) for x in range(len(small[0]) if small else 0)]
        if heads:
            room = [min(_longest(head), 12 * layout.line) for head in heads]
            self._widths = [max(pair) for pair in zip(self._widths, room, strict=True)]
        self._heads = [layout.text(*pair) for pair in zip(table.columns, self._widths, strict=bool(table.columns))]
        across = sum(self._widths) + self._gap * max(len(self._widths) - 1, 0)
        natural = max((layout.text(label).width for label in table.rows), default=0)
        side = min(natural, max(12 * layout.line, across // 4))
        self._sides = [layout.text(label, side) for label in table.rows]
        self._side = side + self._gap if natural else 0
        self._heights = [max(least, *(height for _, height in row)) for row in small]
        if self._sides:
            self._heights = [max(tall, text.tall) for tall, text in zip(self._heights, self._sides, strict=True)]
        self.width = max(self._side + across, min(layout.text(table.title).width, 24 * layout.line))
        self._title = layout.text(table.title, self.width)
        self._head = max((head.tall for head in self._heads), default=0)
        self._head += self._gap if self._head else 0
        self._top = self._title.tall + (self._gap if self._title.tall else 0)
        self._reasons = self._told(layout.line)
        down = sum(self._heights) + self._gap * max(len(self._heights) - 1, 0)
        self._foot = self._top + self._head + down + self._gap
        self.height = self._foot - self._gap + sum(note.tall + self._gap for note in self._notes)

    def _told(self, size: int) -> dict[tuple[int, int], _Text]:
        """What stands in cells without a picture; where a reason does not fit, the number of a note below the table."""
        told: dict[tuple[int, int], _Text] = {}
        notes: dict[str, int] = {}
        for y, row in enumerate(self._cells):
            for x, cell in enumerate(row):
                if isinstance(cell, str):
                    room = self._widths[x] - self._gap, self._heights[y] - self._gap
                    told[x, y] = _fitting(cell, *room, size) or self._layout.text(
                        f"({notes.setdefault(cell, len(notes) + 1)})", room[0]
                    )
        self._notes = [self._layout.text(f"({number}) {text}", self.width) for text, number in notes.items()]
        return told

    def draw(self, image: Image, canvas: Any, left: int, top: int) -> None:  # noqa: ANN401 - Pillow's
        self._title.draw(canvas, left, top, _INK)
        y = top + self._top
        x = left + self._side
        for width, head in zip(self._widths, self._heads, strict=False):
            head.draw(canvas, x, y + self._head - self._gap - head.tall, _INK, within=width)
            x += width + self._gap
        y += self._head
        for number, (row, height) in enumerate(zip(self._cells, self._heights, strict=True)):
            if self._sides:
                side = self._sides[number]
                side.draw(canvas, left, y + (height - side.tall) // 2, _INK)
            x = left + self._side
            for column, (cell, width) in enumerate(zip(row, self._widths, strict=True)):
                shown = _loaded(cell, self._layout.scale)
                if shown is not None:
                    image.paste(shown, (x + (width - shown.width) // 2, y + (height - shown.height) // 2))
                else:
                    canvas.rectangle((x, y, x + width - 1, y + height - 1), fill=_EMPTY)
                    text = self._reasons.get((column, number)) or self._layout.text(_UNREADABLE, width - self._gap)
                    middle = y + max((height - text.tall) // 2, 0)
                    text.draw(canvas, x + self._gap // 2, middle, _FAINT, within=width - self._gap)
                x += width + self._gap
            y += height + self._gap
        y = top + self._foot
        for note in self._notes:
            note.draw(canvas, left, y, _FAINT)
            y += note.tall + self._gap


def _sizes(table: Table) -> list[list[tuple[int, int]]]:
    """The size of each cell; one without a picture is as large as those beside it."""
    known = [[_size(cell) for cell in row] for row in table.cells]
    columns = range(len(known[0]) if known else 0)
    every = [size for row in known for size in row if size is not None]
    wide = [max((size[0] for row in known if (size := row[x]) is not None), default=0) for x in columns]
    tall = [max((size[1] for size in row if size is not None), default=0) for row in known]
    usual = max(every, default=_UNKNOWN)
    return [
        [size or (wide[x] or usual[0], tall[y] or usual[1]) for x, size in enumerate(row)]
        for y, row in enumerate(known)
    ]


def _size(cell: Shown) -> tuple[int, int] | None:
    if isinstance(cell, str):
        return None
    if isinstance(cell, tuple):
        return cell
    if isinstance(cell, Path):
        found = look_at_picture(cell)
        return None if found.width is None or found.height is None else (found.width, found.height)
    return cell.size


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)


def _loaded(cell: Shown, scale: float) -> Image | None:
    """A picture as it is pasted; `None` if there is none, or it cannot be read."""
    from PIL import Image  # noqa: PLC0415 - only sheets that are drawn pay

    if isinstance(cell, str | tuple):
        return None
    try:
        if isinstance(cell, Path):
            with Image.open(cell) as opened:
                return _as_pasted(opened, scale)
        return _as_pasted(cell, scale)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # whatever a file may hold
        return None


def _as_pasted(image: Image, scale: float) -> Image:
    plain = image if image.mode == "RGB" else image.convert("RGB")
    small = _scaled(image.size, scale)
    return plain.copy() if small == image.size else plain.resize(small, reducing_gap=3)


def _written(text: str, size: int, width: float | None = None) -> _Text:
    """A text as it is drawn: in a font that has its letters, in lines of a width at most."""
    seen = visible(text[: 4 * _MOST], prose=True)
    parts = [part for line in seen.split("\n", _PARTS)[:_PARTS] if (part := " ".join(line.split()))]
    plain = "\n".join(parts)
    plain = plain if len(plain) <= _MOST else f"{plain[: _MOST - 1]}…"
    font, plain = _drawable(plain, size)
    ascent, descent = font.getmetrics() if hasattr(font, "getmetrics") else (size, size // 4)
    lines = [line for part in plain.split("\n") for line in _wrapped(part, font, width)] if plain else []
    return _Text(tuple(lines), font, max(ascent + descent, size) + 1)


def _wrapped(text: str, font: Any, width: float | None) -> list[str]:  # noqa: ANN401 - Pillow's
    if width is None:
        return [text]
    lines, line = list[str](), ""
    most = max(int(width * _NARROWEST / getattr(font, "size", _SMALLEST)), 2)  # measuring takes as long as the text
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if len(longer) <= most and font.getlength(longer) <= width:
            line = longer
            continue
        if line:
            lines.append(line)
        line = word
        while len(line) > most or (len(line) > 1 and font.getlength(line) > width):  # no line holds the word
            lengths = range(2, min(len(line), most) + 1)
            end = max(bisect_right(lengths, width, key=lambda n: font.getlength(line[:n])) + 1, 1)
            lines.append(line[:end])
            line = line[end:]
    return [*lines, line]


def _longest(text: _Text) -> int:
    """The width of the longest word of a text."""
    return max((math.ceil(text.font.getlength(word)) for line in text.lines for word in line.split(" ")), default=0)


def _fitting(text: str, width: int, height: int, size: int) -> _Text | None:
    """A text that fits into a box, in smaller letters if need be; `None` if it does not."""
    tried = (_written(text, smaller, width) for smaller in range(size, _SMALLEST - 3, -1))
    return next((found for found in tried if found.tall <= height), None)


#: Fonts that systems have, those first that have the most letters; Pillow looks for them where each system keeps its.
_FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSans-Regular.ttf", "DejaVuSans.ttf", "LiberationSans-Regular.ttf", "FreeSans.ttf",
    "WenQuanYi Zen Hei.ttf", "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "Arial Unicode.ttf", "PingFang.ttc",
    "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "arial.ttf", "Arial.ttf", "msyh.ttc", "YuGothM.ttc", "malgun.ttf",
    "segoeui.ttf", "seguisym.ttf",
)  # fmt: skip


def _drawable(text: str, size: int) -> tuple[Any, str]:
    """A font for a text, and the text with what that lacks written out."""
    wanted = {each for each in text if not each.isspace()}
    usual = _font(None, size)
    best, lacking = usual, {each for each in wanted if not _has(usual, each)}
    if lacking:
        for font in _others(size):
            less = {each for each in wanted if not _has(font, each)}
            if len(less) < len(lacking):
                best, lacking = font, less
    return best, "".join(_escaped(each) if each in lacking else each for each in text)


def _escaped(character: str) -> str:
    point = ord(character)
    return f"\\u{point:04x}" if point <= 0xFFFF else f"\\U{point:08x}"


@cache
def _font(name: str | None, size: int) -> Any:  # noqa: ANN401 - Pillow's, of one of two classes
    from PIL import ImageFont  # noqa: PLC0415 - only sheets pay

    return ImageFont.load_default(size) if name is None else ImageFont.truetype(name, size)


@cache
def _others(size: int) -> tuple[Any, ...]:
    found = []
    for name in _FONTS:
        try:
            found.append(_font(name, size))
        except (OSError, ImportError):  # it is not here; Pillow may be built without FreeType
            continue
    return tuple(found)


@cache
def _has(font: Any, character: str) -> bool:  # noqa: ANN401 - Pillow's
    """Whether a font draws a character as itself: a box stands for all that it lacks."""
    if not hasattr(font, "getmetrics"):  # the font of a Pillow without FreeType
        return character.isascii()
    if unicodedata.bidirectional(character) in ("R", "AL") and not _turns():
        return False
    drawn, box = font.getmask(character), font.getmask("\uffff")
    return drawn.size != box.size or bytes(drawn) != bytes(box)


@cache
def _turns() -> bool:
    """Whether Pillow can write from right to left."""
    from PIL import features  # noqa: PLC0415 - only sheets pay

    return bool(features.check("raqm"))


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
