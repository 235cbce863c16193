"""What a picture, or a text from one, says of how it was made."""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.pictures.dialects.own import find_record
from assetctl.pictures.image_files import read_texts
from assetctl.pictures.parameters import PictureParameters, mapping, parse_json
from assetctl.text import clean, line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.pictures.parameters import Dialect

#: Names that pictures of any origin have: the keywords of PNG and the tags of EXIF.
_REMARKS = frozenset({
    "Title", "Author", "Description", "Copyright", "Creation Time", "Software", "Disclaimer", "Warning", "Source",
    "Comment", "UserComment", "ImageDescription", "Make", "Model",
})  # fmt: skip


def read_parameters(path: Path) -> PictureParameters | None:
    """How a picture was made, as far as it says, or `None` if it says nothing.

    Where it holds texts that may be parameters, and none is understood, their names are all there is: `unread`.

    Reads PNG, JPEG and WebP, and in them what assetctl, A1111, Civitai, InvokeAI and ComfyUI write. All of it is
    bounded in size, and its texts are without control characters.

    Raises:
        CorruptFileError: The picture is damaged or cut short.
        FileError: It is no picture of these formats.
        StorageError: It cannot be read.
    """
    texts = read_texts(path)
    found = _understood(texts)
    unread = _unread(texts) if found is None else ()
    return PictureParameters(unread=unread) if unread else found


def parse_infotext(text: str) -> PictureParameters:
    """What a text says that was copied out of a picture or from a web page: an infotext or a graph in JSON.

    Text without parameters is a prompt.
    """
    return _understood({"parameters": text, "prompt": text}) or PictureParameters(text=clean(text) or None)


def read_record(path: Path) -> dict[str, Any] | None:
    """The record that `save_picture` wrote into a picture, or `None` if it holds none.

    Raises:
        CorruptFileError: The picture is damaged or cut short.
        FileError: It is not a PNG, JPEG or WebP picture.
        StorageError: It cannot be read.
    """
    return find_record(read_texts(path))


def _unread(texts: Mapping[str, str]) -> tuple[str, ...]:
    """Names of texts that may be parameters: JSON by any name, and all that has no usual name."""
    found = (
        line(name)
        for name, text in texts.items()
        if text.strip() and ((name not in _REMARKS and ":" not in name) or mapping(parse_json(text)))
    )
    return tuple(dict.fromkeys(filter(None, found)))


def _understood(texts: Mapping[str, str]) -> PictureParameters | None:
    answers = (dialect.read(texts) for dialect in dialects())
    return next((found for found in answers if found is not None), None)


@cache
def dialects() -> tuple[Dialect, ...]:
    """All dialects, found by their place, in the order in which they are asked."""
    modules = pkgutil.iter_modules([str(Path(__file__).with_name("dialects"))])
    found: list[Dialect] = [import_module(f"assetctl.pictures.dialects.{module.name}").DIALECT for module in modules]
    return tuple(sorted(found, key=lambda each: (each.rank, each.name)))
