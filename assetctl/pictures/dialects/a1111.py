"""A1111's infotext, which Forge, SD.Next, Fooocus and most savers of other programs write too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.pictures.infotext import read_infotext
from assetctl.pictures.parameters import Dialect, parse_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.pictures.parameters import PictureParameters

#: Where an infotext may be: the first is for it alone, the others hold anyone's remarks.
PLACES = ("parameters", "UserComment", "Comment", "ImageDescription")


def read(texts: Mapping[str, str]) -> PictureParameters | None:
    """The first infotext; one without fields, which is a prompt alone, only where nothing else is kept."""
    for place in PLACES:
        text = texts.get(place, "").strip()
        if not text or (text.startswith("{") and isinstance(parse_json(text), dict)):
            continue
        found, has_fields = read_infotext(text)
        if has_fields or place == "parameters":
            return found
    return None


DIALECT = Dialect("A1111", 20, read)
