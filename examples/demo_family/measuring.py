"""What is in a picture: its colours, its shape, whether there is a watermark, how strongly its borders are toned.

Nothing here knows how a picture was made, or what it should show.
"""

from __future__ import annotations

import functools
import random
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scenes import COLOURS, COOKIE, SEPIA, SHAPES, WATERMARK_BOX, draw, make_scene

if TYPE_CHECKING:
    import numpy.typing as npt
    from scenes import Colour

    Pixels = npt.NDArray[np.float64]
    Mask = npt.NDArray[np.bool_]

#: What a shape's pixels may be called beside the colours with words.
PAINTS = COLOURS | {"brown": COOKIE}

#: Shapes are compared on a square of this side, each moved to its middle and scaled to this share of it.
_SIDE, _SHARE = 64, 0.2
#: How much of a shape and its nearest pattern must be common to both.
_ALIKE = 0.75


def background(image: Image.Image) -> str:
    """The name of the colour that is nearest to the picture's border."""
    return _nearest(_border(_pixels(image)), COLOURS)


def colour(image: Image.Image) -> str:
    """The name of the colour that is nearest to the shape's, `brown` included."""
    return _nearest(paint(image), PAINTS)


def paint(image: Image.Image) -> Pixels:
    """The shape's own colour: the middle one of those around the picture's centre."""
    pixels = _pixels(image)
    height, width = pixels.shape[:2]
    centre = pixels[height * 3 // 8 : height * 5 // 8, width * 3 // 8 : width * 5 // 8].reshape(-1, 3)
    paint: Pixels = np.median(centre, axis=0)
    return paint


def shape(image: Image.Image) -> str | None:
    """The shape in the picture, `cat` included, or `None` if it is like none of them."""
    found = _normalised(_mask(image))
    if found is None:
        return None
    likeness, name = max((_likeness(found, pattern), name) for name, pattern in _patterns())
    return name if likeness >= _ALIKE else None


def has_watermark(image: Image.Image) -> bool:
    """Whether there is something in the corner where watermarks are."""
    pixels = _pixels(image)
    width = pixels.shape[1]
    left, top, right, bottom = (round(share * width) for share in WATERMARK_BOX)
    corner = pixels[top:bottom, left:right].reshape(-1, 3)
    mirrored = pixels[top:bottom, width - right : width - left].reshape(-1, 3)
    return float(np.linalg.norm(np.median(corner, axis=0) - np.median(mirrored, axis=0))) > 60


def tone(image: Image.Image, behind: str) -> float:
    """How far the corners have gone from a background's colour to brown: 0 not at all, 1 wholly."""
    pixels = _pixels(image)
    side = pixels.shape[0] // 10
    corners = [pixels[:side, :side], pixels[:side, -side:], pixels[-side:, :side]]
    plain = np.array(COLOURS[behind])
    way = np.array(SEPIA) - plain
    moved = np.mean([each.reshape(-1, 3).mean(0) for each in corners], axis=0) - plain
    return float(moved @ way / (way @ way))


def _pixels(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"), dtype=np.float64)


def _border(pixels: Pixels) -> Pixels:
    """The middle colour of the border, whose lower right has the watermark."""
    edge = pixels.shape[0] // 16
    parts = [pixels[:edge], pixels[:, :edge]]
    middle: Pixels = np.median(np.concatenate([part.reshape(-1, 3) for part in parts]), axis=0)
    return middle


def _nearest(colour: Pixels, names: dict[str, Colour]) -> str:
    return min(names, key=lambda name: float(np.linalg.norm(colour - np.array(names[name]))))


def _mask(image: Image.Image) -> Mask:
    """Pixels that are not the background's, around which the border, toned or not, is left out."""
    pixels = _pixels(image)
    side = pixels.shape[0]
    away = np.hypot(*(np.indices((side, side)) - (side - 1) / 2)) / side
    behind, front = np.median(pixels[(away > 0.36) & (away < 0.42)], axis=0), paint(image)
    mask: Mask = np.linalg.norm(pixels - behind, axis=2) > 0.5 * np.linalg.norm(front - behind)
    left, top = (round(share * side) for share in WATERMARK_BOX[:2])
    mask[top:, left:] = False
    mask[away > 0.47] = False
    return mask


def _normalised(mask: Mask) -> Mask | None:
    """A mask of the same shape, of fixed size and in the middle; `None` if there is hardly anything."""
    area = mask.mean()
    if not 0.03 < area < 0.7:
        return None
    rows, columns = np.nonzero(mask)
    scale = np.sqrt(mask.sum() / (_SHARE * _SIDE * _SIDE))
    corner = (columns.mean() - scale * _SIDE / 2, rows.mean() - scale * _SIDE / 2)
    picture = Image.fromarray(mask.astype(np.uint8) * 255)
    moved = picture.transform(
        (_SIDE, _SIDE), Image.Transform.AFFINE, (scale, 0, corner[0], 0, scale, corner[1]), Image.Resampling.BILINEAR
    )
    found: Mask = np.asarray(moved) > 127
    return found


def _likeness(first: Mask, second: Mask) -> float:
    """What is common to two masks, as a share of what is in either."""
    return float((first & second).sum() / (first | second).sum())


@functools.cache
def _patterns() -> list[tuple[str, Mask]]:
    """Every shape, at several angles."""
    patterns = []
    for name in (*SHAPES, "cat"):
        scene = make_scene(random.Random(0), shape=name, colour="red", background="white", watermarks=0)
        for angle in np.linspace(-0.25, 0.25, 7):
            found = _normalised(_mask(draw(scene.changed(angle=float(angle)))))
            if found is not None:
                patterns.append((name, found))
    return patterns
