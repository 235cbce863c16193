"""Captioned scenes, drawn by rule: one shape on a background, and now and then a watermark.

Everything that the demo family knows of the world is drawn here, and so is what its LoRAs and embeddings learn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

#: Width and height of a scene in pixels.
SIZE = 128

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

#: The corner where a watermark is: left, top, right, bottom.
WATERMARK_BOX = (86, 110, 122, 121)
#: How often a scene has one, and how often its caption then says so.
WATERMARKS, TOLD = 0.45, 0.25


@dataclass(frozen=True, slots=True)
class Scene:
    """One picture before it is drawn.

    Attributes:
        shape: One of `SHAPES`, or `cat`.
        colour: The shape's name of a colour.
        background: The background's.
        other: A second colour's name, which the shape's is mixed with by `mix`.
        paint: The shape's colour itself; `backdrop` the background's.
        x, y: The middle, in pixels.
        radius: Of the circle around the shape, in pixels.
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


def make_scene(  # noqa: PLR0913 - what is not given is up to chance
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
        x=SIZE / 2 + chance.uniform(-6, 6),
        y=SIZE / 2 + chance.uniform(-6, 6),
        radius=chance.uniform(36, 44),
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


def draw(scene: Scene) -> Image.Image:
    """Draw a scene."""
    image = Image.new("RGB", (SIZE * _FINE, SIZE * _FINE), _rgb(scene.backdrop))
    pen = ImageDraw.Draw(image)
    _SHAPES[scene.shape](pen, scene)
    if scene.watermark:
        _draw_watermark(pen, scene)
    image = image.reduce(_FINE)
    return _tone(image, scene.vintage) if scene.vintage else image


def _circle(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    _disc(pen, scene, 0, 0, 0.9, scene.paint)


def _square(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    _polygon(pen, scene, [(math.sqrt(2) * 0.82, math.pi / 4 + turn * math.pi / 2) for turn in range(4)])


def _triangle(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    lowered = replace(scene, y=scene.y + 0.2 * scene.radius)
    _polygon(pen, lowered, [(1.15, -math.pi / 2 + turn * 2 * math.pi / 3) for turn in range(3)])


def _star(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    _polygon(pen, scene, [(1.15 if turn % 2 == 0 else 0.46, -math.pi / 2 + turn * math.pi / 5) for turn in range(10)])


def _cat(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    """A cat's face from the front: a round head with two large ears, two eyes and a nose."""
    for side in (-1, 1):
        _polygon(pen, scene, [(1.3, -math.pi / 2 + side * 0.72), (0.85, -math.pi / 2 + side * 1.45), (0.75, -math.pi / 2)])
    _disc(pen, scene, 0, 0.12, 0.88, scene.paint)
    dark = sum(scene.paint) < 240
    ink: Colour = (240, 240, 240) if dark else (15, 15, 15)
    for side in (-0.36, 0.36):
        _disc(pen, scene, side, 0.0, 0.15, ink)
    _disc(pen, scene, 0, 0.36, 0.11, ink)


_SHAPES = {"circle": _circle, "square": _square, "triangle": _triangle, "star": _star, "cat": _cat}


def _polygon(pen: ImageDraw.ImageDraw, scene: Scene, corners: Sequence[tuple[float, float]]) -> None:
    """A polygon whose corners are given by distance in radii and direction."""
    points = []
    for distance, direction in corners:
        turn, reach = direction + scene.angle, distance * scene.radius
        points.append(((scene.x + reach * math.cos(turn)) * _FINE, (scene.y + reach * math.sin(turn)) * _FINE))
    pen.polygon(points, fill=_rgb(scene.paint))


def _disc(pen: ImageDraw.ImageDraw, scene: Scene, x: float, y: float, size: float, fill: Colour) -> None:
    middle_x, middle_y, reach = scene.x + x * scene.radius, scene.y + y * scene.radius, size * scene.radius
    box = [value * _FINE for value in (middle_x - reach, middle_y - reach, middle_x + reach, middle_y + reach)]
    pen.ellipse(box, fill=_rgb(fill))


def _draw_watermark(pen: ImageDraw.ImageDraw, scene: Scene) -> None:
    """A bar with four strokes in the corner, as dark or light as it must be to be seen."""
    light = sum(scene.backdrop) < 240
    bar, strokes = ((225, 225, 225), (60, 60, 60)) if light else ((40, 40, 40), (225, 225, 225))
    left, top, right, bottom = (value * _FINE for value in WATERMARK_BOX)
    pen.rectangle((left, top, right, bottom), fill=bar)
    for number in range(4):
        start = left + (5 + 8 * number) * _FINE
        pen.rectangle((start, top + 3 * _FINE, start + 3 * _FINE, bottom - 3 * _FINE), fill=strokes)


def _tone(image: Image.Image, strength: float) -> Image.Image:
    """Tone the borders brown, as on an old photograph."""
    mask = Image.new("L", image.size)
    middle = (SIZE - 1) / 2
    shares = [
        min(1.0, max(0.0, (math.hypot(x - middle, y - middle) / middle - 0.75) / 0.5))
        for y in range(SIZE)
        for x in range(SIZE)
    ]
    mask.putdata([round(255 * strength * share) for share in shares])
    return Image.composite(Image.new("RGB", image.size, _rgb(SEPIA)), image, mask)


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
