"""What the page's answers are made with: its templates, its files, and a person's words for options."""

from __future__ import annotations

import hashlib
import re
import shlex
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import orjson
from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape
from starlette.responses import Response

import assetctl
from assetctl.options import OPTIONS
from assetctl.server.face import Words
from assetctl.text import readable_size, visible
from assetctl.types import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from assetctl.options import Option

#: No script, style or picture but this server's own, and no page around this one; previews of steps are `data:`.
_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {"content-security-policy": _POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store"}

TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "LICENSE": "text/plain"}

#: Kinds that have a place in a picture, by that place.
PLACES = {"checkpoint": "checkpoint", "lora": "lora", "embedding": "embedding", "vae": "vae"}


@cache
def page_files() -> dict[str, tuple[bytes, str]]:
    """The page's own files, and the beginning of the hash of each, by which it is asked for."""
    folder = files(__package__) / "static"
    found = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
    return {name: (data, hashlib.sha256(data).hexdigest()[:12]) for name, data in found.items()}


def _file_url(name: str) -> str:
    return f"/page/files/{name}?v={page_files()[name][1]}"


@cache
def templates() -> Environment:
    """All templates, and what they know."""
    found = Environment(
        loader=PackageLoader(__package__), autoescape=True, trim_blocks=True, lstrip_blocks=True, auto_reload=False
    )
    found.globals |= {"file": _file_url, "version": assetctl.__version__, "kinds": KINDS, "places": PLACES}
    filters: dict[str, Callable[..., object]] = {
        "size": readable_size,
        "inpath": lambda name: quote(name, safe=""),
        "seen": visible,
        "short": lambda name: name if len(name) <= 44 else f"{name[:24]}…{name[-16:]}",  # names differ at their ends
        "when": lambda at: f"{at[:10]} {at[11:16]}",
        "json": _data,
        "typed": _typed,
        "plain": PLAIN,
        "start": start_of,
    }
    found.filters |= filters
    return found


def _typed(text: str) -> Markup:
    """A sentence in which stands between backticks what is to be typed; a list of assets can be looked at here."""
    return Markup("").join(
        _linked(part[1:-1], "Your" if text.startswith(part) else "your") if part.startswith("`") else escape(part)
        for part in re.split("(`[^`]+`)", text)
    )


def _linked(typed: str, your: str) -> Markup:
    try:
        words = shlex.split(typed)
    except ValueError:
        words = []
    pairs = dict(zip(words[2::2], words[3::2], strict=False))
    if words[:2] != ["assetctl", "list"] or not pairs.keys() <= {"--fits", "--kind", "--family"}:
        return Markup("<code>{}</code>").format(typed)
    if fits := pairs.pop("--fits", None):
        return Markup('<a href="/assets/{}#fits">{} page of {}</a>').format(quote(fits, safe=""), your, fits)
    query = urlencode({name.removeprefix("--"): value for name, value in pairs.items()})
    return Markup('<a href="/{}">{} library</a>').format(f"?{query}" if query else "", your)


def _data(value: object) -> str:
    """JSON that can stand in a page."""
    return orjson.dumps(value).decode().replace("<", "\\u003c").replace("&", "\\u0026")


def html(template: str, status: int = 200, **values: object) -> Response:
    """An answer made of a template."""
    made = templates().get_template(template).render(**values)
    return Response(made, status, HEADERS, "text/html; charset=utf-8")


def label(option: Option) -> str:
    """What an option is called beside its field: as A1111 calls it, but where several go by that."""
    if sum(each.field == option.field for each in OPTIONS) == 1:
        return str(option.field)
    return str(option.name).replace("_", " ").capitalize()


def start_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """What the form says to ask for this; seeds are texts, as they may be larger than a script counts."""
    return {name: str(value) if name.endswith("seed") else value for name, value in request.items()}


def _spoken(fields: Mapping[str, Any]) -> str:
    """Fields of a request, as the form calls them."""
    names = {**PLAIN.names, **{each.name: label(each) for each in OPTIONS}}
    parts = []
    for name, value in fields.items():
        if name == "auto_embeddings":
            parts.append(names["--no-auto-embeddings"])
        elif isinstance(value, dict):
            kind = names["--lora" if name == "loras" else "--embedding"]
            parts += [f"{kind} {each}{'' if weight is None else f' at {weight:g}'}" for each, weight in value.items()]
        else:
            called = names.get(name, names.get(f"--{name}", f"{name.replace('_', ' ')}:"))
            parts.append(f"{called} {value}")
    return ", ".join(parts)


#: What the page calls what the command line calls by flags.
PLAIN = Words.of(
    {
        "--checkpoint": "checkpoint", "--vae": "VAE", "--lora": "LoRA", "--embedding": "embedding",
        "--negative": "negative prompt", "--prompt": "prompt", "--count": "Pictures",
        "--help": "The help below each field",
        "--no-auto-embeddings": "“Find embeddings by their words” switched off",
    },
    label, _spoken, "",
)  # fmt: skip
