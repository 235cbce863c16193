"""Captioned scenes, drawn by rule: one shape on a background, and now and then a watermark.

Everything that the demo family knows of the world is drawn here, and so is what its LoRAs and embeddings learn.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Width and height of a scene in pixels.
SIZE = 96

#: Pictures are drawn so many times as large and then reduced, for smooth edges.
_FINE = 4

Colour = tuple[float, float, float]

COLOURS: dict[str, Colour] = {
    "red": (220, 30, 30),
    "green": (30, 160, 50),
    "blue": (35, 70, 215),
    "yellow": (245, 220, 40),
    "orange": (245, 135, 20),
    "purple": (125, 45, 175),
    "pink": (250, 140, 185),
    "cyan": (40, 210, 225),
    "white": (248, 248, 248),
    "black": (15, 15, 15),
    "gray": (128, 128, 128),
}
SHAPES = ("circle", "square", "triangle", "star")

#: What the embedding, the LoRAs and their words stand for.
COOKIE: Colour = (125, 75, 30)
SEPIA: Colour = (120, 72, 30)

#: The corner where a watermark is, in shares of the picture: left, top, right, bottom.
WATERMARK_BOX = (0.67, 0.86, 0.95, 0.945)
#: How often a scene has one, and how often its caption then says so.
WATERMARKS, TOLD = 0.45, 0.25

#: One in ten combinations of shape, colour and background is never shown, so that the evaluation can ask for them.
_HELD_OUT = 10


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture before it is drawn.

    Attributes:
        shape: One of `SHAPES`, or `cat`.
        colour: The shape's name of a colour.
        background: The background's.
        other: A second colour's name, which the shape's is mixed with by `mix`.
        paint: The shape's colour itself; `backdrop` the background's.
        x, y: The middle, in shares of the picture, like `radius`, that of the circle around the shape.
        angle: In radians.
        watermark: Whether there is one.
        vintage: How strongly the borders are toned, from 0 to 1.
    """

    shape: str
    colour: str
    background: str
    paint: Colour
    backdrop: Colour
    x: float
    y: float
    radius: float
    angle: float
    other: str = ""
    mix: float = 0.0
    watermark: bool = False
    vintage: float = 0.0

    def changed(self, **changes: object) -> Scene:
        """The same scene but for some fields."""
        return replace(self, **changes)  # type: ignore[arg-type]


def held_out(shape: str, colour: str, background: str) -> bool:
    """Whether the model never sees this combination."""
    return random.Random(f"{shape} {colour} {background}").randrange(_HELD_OUT) == 0


def make_scene(
    chance: random.Random,
    *,
    shape: str | None = None,
    colour: str | None = None,
    background: str | None = None,
    mixed: float = 0.0,
    watermarks: float = WATERMARKS,
) -> Scene:
    """A scene in which everything that is not given is up to chance.

    `mixed` is how often the shape's colour is a mixture, and `watermarks` how often there is a watermark.
    """
    colour = colour or chance.choice(list(COLOURS))
    background = background or chance.choice([name for name in COLOURS if name != colour])
    other, mix = "", 0.0
    paint = COLOURS[colour]
    if chance.random() < mixed:
        other, mix = chance.choice([name for name in COLOURS if name != background]), chance.random()
        paint = blend(paint, COLOURS[other], mix)
    return Scene(
        shape=shape or chance.choice(SHAPES),
        colour=colour,
        background=background,
        paint=_jitter(chance, paint),
        backdrop=_jitter(chance, COLOURS[background]),
        x=0.5 + chance.uniform(-0.05, 0.05),
        y=0.5 + chance.uniform(-0.05, 0.05),
        radius=chance.uniform(0.28, 0.345),
        angle=chance.uniform(-0.12, 0.12),
        other=other,
        mix=mix,
        watermark=chance.random() < watermarks,
    )


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """A mixture: `share` 0 is all `first`, 1 all `second`."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return red, green, blue


def _jitter(chance: random.Random, colour: Colour) -> Colour:
    red, green, blue = (min(255.0, max(0.0, value + chance.uniform(-8, 8))) for value in colour)
    return red, green, blue


def draw(scene: Scene, size: int = SIZE) -> Image.Image:
    """Draw a scene, `size` pixels wide and high."""
    image = Image.new("RGB", (size * _FINE, size * _FINE), _rgb(scene.backdrop))
    pen = _Pen(ImageDraw.Draw(image), scene, size * _FINE)
    _SHAPES[scene.shape](pen)
    if scene.watermark:
        _draw_watermark(pen)
    image = image.reduce(_FINE)
    return _tone(image, scene.vintage) if scene.vintage else image


@dataclass(frozen=True, slots=True)
class _Pen:
    """Draws with places in radii around a scene's middle, on a picture of `size` pixels."""

    canvas: ImageDraw.ImageDraw
    scene: Scene
    size: int

    def polygon(self, corners: Sequence[tuple[float, float]], lower: float = 0.0) -> None:
        """A polygon whose corners are given by distance and direction from the middle, or from below it."""
        scene, points = self.scene, []
        for distance, direction in corners:
            turn, reach = direction + scene.angle, distance * scene.radius
            x, y = scene.x + reach * math.cos(turn), scene.y + lower * scene.radius + reach * math.sin(turn)
            points.append((x * self.size, y * self.size))
        self.canvas.polygon(points, fill=_rgb(scene.paint))

    def disc(self, x: float, y: float, reach: float, fill: Colour) -> None:
        """A disc of radius `reach` around a point."""
        scene = self.scene
        middle_x, middle_y, reach = scene.x + x * scene.radius, scene.y + y * scene.radius, reach * scene.radius
        box = (middle_x - reach, middle_y - reach, middle_x + reach, middle_y + reach)
        self.canvas.ellipse([value * self.size for value in box], fill=_rgb(fill))

    def bar(self, box: Sequence[float], fill: Colour) -> None:
        """A rectangle, in shares of the picture."""
        self.canvas.rectangle([value * self.size for value in box], fill=_rgb(fill))


def _circle(pen: _Pen) -> None:
    pen.disc(0, 0, 0.9, pen.scene.paint)


def _square(pen: _Pen) -> None:
    pen.polygon([(math.sqrt(2) * 0.82, math.pi / 4 + turn * math.pi / 2) for turn in range(4)])


def _triangle(pen: _Pen) -> None:
    pen.polygon([(1.15, -math.pi / 2 + turn * 2 * math.pi / 3) for turn in range(3)], lower=0.2)


def _star(pen: _Pen) -> None:
    pen.polygon([(1.2 if turn % 2 == 0 else 0.46, -math.pi / 2 + turn * math.pi / 5) for turn in range(10)])


def _cat(pen: _Pen) -> None:
    """A cat's face from the front: a round head with two large ears and two eyes."""
    up = -math.pi / 2
    for side in (-1, 1):
        pen.polygon([(1.35, up + side * 0.72), (0.85, up + side * 1.45), (0.7, up)])
    pen.disc(0, 0.12, 0.88, pen.scene.paint)
    ink: Colour = (240, 240, 240) if _is_dark(pen.scene.paint) else (15, 15, 15)
    for eye in (-0.36, 0.36):
        pen.disc(eye, 0.1, 0.17, ink)


_SHAPES = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "cat": _cat}


def _draw_watermark(pen: _Pen) -> None:
    """A bar with four strokes in the corner, as dark or light as it must be to be seen."""
    dark, light = (40, 40, 40), (225, 225, 225)
    bar, strokes = (light, dark) if _is_dark(pen.scene.backdrop) else (dark, light)
    left, top, _, bottom = WATERMARK_BOX
    pen.bar(WATERMARK_BOX, bar)
    for number in range(4):
        start = left + 0.04 + 0.06 * number
        pen.bar((start, top + 0.024, start + 0.023, bottom - 0.024), strokes)


def _tone(image: Image.Image, strength: float) -> Image.Image:
    """Tone the borders brown, as on an old photograph."""
    middle = (image.width - 1) / 2
    distances = [math.hypot(x - middle, y - middle) / middle for y in range(image.height) for x in range(image.width)]
    mask = Image.new("L", image.size)
    mask.putdata([round(255 * strength * min(1.0, max(0.0, (each - 0.75) / 0.5))) for each in distances])
    return Image.composite(Image.new("RGB", image.size, _rgb(SEPIA)), image, mask)


def _is_dark(colour: Colour) -> bool:
    return sum(colour) < 240


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (round(value) for value in colour)
    return red, green, blue


def caption(chance: random.Random, scene: Scene) -> str:
    """Words for a scene: mostly all of it, in several ways; sometimes only a part."""
    article = "an" if scene.colour[0] in "aeiou" else "a"
    thing, behind = f"{scene.colour} {scene.shape}", scene.background
    ground = "an" if behind[0] in "aeiou" else "a"
    ways = [
        (6, f"{article} {thing} on {ground} {behind} background"),
        (2, f"{thing} on {behind} background"),
        (2, f"{article} {thing}, {behind} background"),
        (1, f"a picture of {article} {thing} on {ground} {behind} background"),
        (1, f"{behind} background, {thing}"),
        (1, f"{article} {thing}"),
    ]
    if not scene.mix:
        ways += [(1, f"a {scene.shape} on {ground} {behind} background")]
    text = chance.choices([way for _, way in ways], [share for share, _ in ways])[0]
    return f"{text}, watermark" if scene.watermark and chance.random() < TOLD else text
