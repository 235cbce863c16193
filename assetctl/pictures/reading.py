"""What a picture, or a text from one, says of how it was made."""

from __future__ import annotations

import pkgutil
import re
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.pictures.dialects import comfyui
from assetctl.pictures.dialects.own import find_record
from assetctl.pictures.image_files import read_texts
from assetctl.pictures.parameters import Collection, PictureParameters, mapping, parse_json
from assetctl.prompt.syntax import without_tags
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
    found = next((found for found in answers if found is not None), None)
    if found is None or found.text is None or found.software not in _BESIDE_GRAPHS:
        return found
    graph = comfyui.read(texts)
    return found if graph is None else _with_infotext(graph, found)


#: Whose infotexts stand beside graphs: those of ComfyUI's savers, some of which name no program, or write as Civitai.
_BESIDE_GRAPHS = (None, "A1111", "ComfyUI", "Civitai", "Tensor.Art")

#: What an infotext says too, where its graph does not show it.
_SETTINGS = ("seed", "steps", "cfg_scale", "sampler", "scheduler", "width", "height")
_PROMPTS = ("prompt", "negative_prompt")


def _with_infotext(graph: PictureParameters, infotext: PictureParameters) -> PictureParameters:
    """A graph, which is what ran, with the hashes of the infotext beside it, and with what the graph does not show."""
    if graph.settings.keys().isdisjoint(("sampler", "steps")):
        note = "It has a graph too, whose sampler could not be found: its infotext alone is read."
        return replace(infotext, notes=(*infotext.notes, note))
    own = {name: value for name, value in graph.settings.items() if name != "scheduler" or "sampler" in graph.settings}
    unsure = {"seed"} if comfyui.EDITED in graph.notes else set[str]()
    settings = {
        name: infotext.settings[name]
        for name in _SETTINGS
        if name in infotext.settings and (name in unsure or name not in own)
    }
    prompts = {name: getattr(infotext, name) for name in _PROMPTS if _is_hidden(graph, infotext, name)}
    assets = Collection()
    assets.extend(graph.assets)
    unknown = [each for each in infotext.assets if not assets.complete(each)]
    used = [each for each in unknown if prompts and each.role == "embedding"]
    assets.extend(used)
    others = [each for each in unknown if each not in used and (each.hash or not each.sources)]  # pages name no files
    told = {note for name in prompts for note in _hiding(name)}
    notes = [each for each in graph.notes if each not in told]
    names = [name.replace("_", " ") for name in (*prompts, *settings)]
    if names:
        notes += [*infotext.notes, f"Its graph does not show its {', '.join(names)}: what its infotext says is taken."]
    if any(_differs(graph, infotext, name) for name in _PROMPTS if name not in prompts):
        notes.append("Its infotext has other prompts than its graph, whose are taken.")
    if others:
        shown = ", ".join(each.name or each.hash or "" for each in others[:_NAMED])
        more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        notes.append(f"Its infotext names what its graph does not use: {shown}{more}. It is left out.")
    return replace(
        graph,
        settings=own | settings,
        assets=assets.assets(),
        text=infotext.text,
        notes=tuple(dict.fromkeys(notes)),
        illegible=graph.illegible.difference(prompts),
        **prompts,
    )


#: Assets that a note names.
_NAMED = 8

#: What of an embedding's name is not told by a graph's prompt as it is read.
_PATHS = re.compile(r"embedding:(?:[^\s,():]*[\\/])?|\.(?:pt|bin|safetensors)\b", re.IGNORECASE)


def _hiding(name: str) -> set[str]:
    """Notes on a graph that does not show a prompt."""
    return {*comfyui.unread(name), *([comfyui.NO_PROMPT] if name == "prompt" else [])}


def _is_hidden(graph: PictureParameters, infotext: PictureParameters, name: str) -> bool:
    """Whether the infotext tells a prompt better: its text is the one that came out of nodes that are not known."""
    if getattr(infotext, name) is None and infotext.software is None:  # nor does the infotext, which is a prompt alone
        return False
    if name in graph.illegible or not {*_hiding(name), comfyui.EDITED}.isdisjoint(graph.notes):
        return True
    is_strange = any(note.startswith(comfyui.STRANGE) for note in graph.notes)
    return is_strange and getattr(graph, name) is not None and _differs(graph, infotext, name)


def _differs(graph: PictureParameters, infotext: PictureParameters, name: str) -> bool:
    """Whether both have a prompt of other words."""
    own, said = getattr(graph, name) or "", getattr(infotext, name)
    one, other = ("".join(_PATHS.sub("", without_tags(each)).split()).casefold() for each in (own, said or ""))
    return said is not None and one != other


@cache
def dialects() -> tuple[Dialect, ...]:
    """All dialects, found by their place, in the order in which they are asked."""
    modules = pkgutil.iter_modules([str(Path(__file__).with_name("dialects"))])
    found: list[Dialect] = [import_module(f"assetctl.pictures.dialects.{module.name}").DIALECT for module in modules]
    return tuple(sorted(found, key=lambda each: (each.rank, each.name)))
