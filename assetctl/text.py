"""Text from elsewhere: shown without what lets in, and without what hides."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote_plus, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable


#: Controls but for the tab and line ends; what turns the order; what is drawn as nothing; tags, which spell invisibly.
_IN_NO_TEXT = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    r"\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f"
)

#: Lines, and what joins and parts letters: writings and emoji need them in prose, and no name does.
_IN_NO_NAME = r"\t\n\r\u200c\u200d"


@cache
def _hidden(*, prose: bool) -> re.Pattern[str]:
    """Compiled when it is first needed: plain text, which most is, needs it not."""
    return re.compile(f"[{_IN_NO_TEXT}{'' if prose else _IN_NO_NAME}]")


def hidden_in(text: str, *, prose: bool = False) -> str | None:
    """The first character of a name, or of prose, that nobody would see, as `U+202E`; `None` if there is none."""
    if text.isascii() and text.isprintable():
        return None
    found = _hidden(prose=prose).search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


#: What a model's file ends in.
_MODEL_SUFFIX = re.compile(r"\.(?:safetensors|sft|ckpt|pth?|bin|gguf)$", re.IGNORECASE)


def without_suffix(name: str) -> str:
    """The name of a model's file without what such files end in; any other name as it is."""
    return _MODEL_SUFFIX.sub("", name)


def model_path(name: str) -> tuple[str, ...]:
    """Folders and file of a model as programs of any system write them."""
    parts = name.replace("\\", "/").split("/")
    return tuple(part for part in map(str.strip, parts) if part not in ("", "."))


def cut(text: str, most: int) -> str:
    """So much of a text as anybody reads: its beginning and its end. Names in files may have megabytes."""
    return text if len(text) <= most else f"{text[: most * 2 // 3]} … {text[-most // 3 :]}"


def readable_size(size: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def visible(text: str, *, prose: bool = False) -> str:
    """A name, or prose, without the characters that nobody sees; in a name, lines and tabs become blanks."""
    if text.isascii() and text.isprintable():
        return text
    seen = text if prose else re.sub(r"[\t\n\r]+", " ", text)
    return _hidden(prose=prose).sub("", seen)


def escaped(text: str) -> str:
    """A TOML document with the characters that nobody sees written as TOML's escapes, which are seen.

    It says the same: such characters stand in quotes, where TOML reads them back.
    """
    if text.isascii():
        return text
    return _hidden(prose=True).sub(lambda found: _as_escape(ord(found[0])), text)


def _as_escape(point: int) -> str:
    return f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}"


#: Parameters of an address that let in whoever has them, and nothing else.
_LETS_IN = (
    r"[\w.~-]{0,40}(?:token(?!i[sz])|secret|signature|passw|pwd|credential|x-amz-|x-goog-|api[-_.]?key|access[-_.]?key|"
    r"key-pair|auth(?!or(?!i[sz]))|jwt|expires)[\w.~-]{0,40}|sig|pass"
)

#: Parameters that let in, or say which file is meant: their values tell.
_MAY_LET_IN = r"key|code|policy|[\w.~-]{0,40}session[\w.~-]{0,40}"

#: Characters from which on a value was made up by a machine, where it does not end as a file's name.
_MADE_UP = 20
_SUFFIX = r"\.[a-z][a-z0-9]{0,11}"

_HEADERS = "(?:proxy-)?authorization|x-api-key"

#: Parameters in a running text, whatever the address around them.
_PARAMETER = r"(?P<before>[?&;#])(?P<name>[^?&;#=\s\"'<>]{1,120})=(?P<value>[^&;#\s\"'<>]+)"

#: Who is logged in; a password holds what it likes.
_LOGGED_IN = (
    r"(?<=://)(?:[^/?#\s\"'<>:]{0,100}:[^/?#\s<>]{0,200}|[^/?#\s\"'<>:]{0,100}:(?!\d{1,5}[/?#])[^@\s\"'<>]{0,200}|"
    r"[^/?#\s\"'<>]*)@"
)

#: What else hides in running text: headers and cookies.
_HIDING = (
    (_LOGGED_IN, ""),
    (
        rf"({_HEADERS})((?:[\"']?\s*[:=]|[\"']\s*,)\s*(?:b?[\"'])?)(?:(?:bearer|basic|token)\s+)?[^\s\"',)]+",
        r"\1\2***",
    ),
    (r"(cookie[\"']?\s*[:=]\s*[\"']?[^\s=\"']{1,40}=)[^\s\"',;]+", r"\1***"),
)

#: Tokens by their form, where they are made up: assets may be called like each of the words, and like much after them.
_VALUE = r"(?=\S{0,200}\d)(?P<value>[a-z0-9_+][a-z0-9._~+/=-]{19,})"
_NAMED = r"(?P<before>\b(?:[\w-]{0,40}[-_])?(?:token|secret|password|api[-_]?key)[\"']?\s*[:=]\s*(?:b?[\"'])?)"
_BY_FORM = (
    rf"\b(?P<before>bearer\s+){_VALUE}",
    r"\b(?P<before>basic\s+)(?-i:(?=\S{0,200}[A-Z])(?=\S{0,200}[a-z]))(?P<value>[a-z0-9+/]{20,}={0,2})(?![\w.-])",
    rf"{_NAMED}{_VALUE}",
    r"\b(?P<before>(?-i:hf_))(?P<value>[a-z0-9]{20,})",
)

#: References of ours that are no address, and end in parameters as one does.
_SHORT = r"(?:urn|air|hf|(?:[\w.-]{1,40}:){0,2}(?:civitai|huggingface)):"


#: Characters of the longest address that servers and proxies take.
_LONGEST = 8000

#: Characters of the longest name of a host.
_LONGEST_HOST = 253

#: What no address has, and no host.
_STRAY = r"[\x00-\x1f\x7f\ud800-\udfff]"
_NO_HOST = r"[\s\\]"


def is_address(text: str) -> bool:
    """Whether this can be the address of something on the web: it has a host, and no port that is none."""
    parts = parts_of(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or len(text) > _LONGEST:
        return False
    if re.search(_STRAY, text) or re.search(_NO_HOST, parts.netloc) or len(parts.hostname) > _LONGEST_HOST:
        return False
    try:
        parts.hostname.rstrip(".").encode("ascii" if parts.hostname.isascii() else "idna")
    except UnicodeError:
        return False
    if "%" in parts.hostname and ":" not in parts.hostname:  # only behind a colon it names a network of this machine
        return False
    return parts.port != 0 and all(0 < len(label) < 64 for label in parts.hostname.rstrip(".").split("."))


def parts_of(address: str) -> SplitResult:
    """The parts of an address; all empty, where it is none."""
    try:
        parts = urlsplit(address)
        parts.port  # noqa: B018 - raises, where it is no number
    except ValueError:
        return SplitResult("", "", "", "", "")
    return parts


def without_secrets(address: str) -> str:
    """An address or reference as it may be shown and kept: without a password, and without parameters that let in.

    What is no address is not touched, but for what `redacted` finds in it.
    """
    parts = parts_of(address)
    if not parts.netloc or parts.scheme not in ("http", "https"):
        return _short_without_secrets(address) if re.match(_SHORT, address, re.IGNORECASE) else redacted(address)
    host = parts.netloc.rpartition("@")[2]
    path = re.sub(_PARAMETER, _without_value, parts.path, flags=re.IGNORECASE)  # where & was written for ?
    return urlunsplit((parts.scheme, host, path, urlencode(_open_pairs(parts.query)), ""))


def mark_of_hidden(reference: str) -> str | None:
    """What tells two references apart that are shown alike, and may mean different files; `None` if nothing does.

    A few digits of a hash: too few to find out from them what is hidden.
    """
    pairs = [pair for pair in _pairs(reference.partition("?")[2].partition("#")[0]) if _may_be_secret(*pair)]
    return hashlib.sha256(urlencode(pairs).encode()).hexdigest()[:8] if pairs else None


def redacted(text: str) -> str:
    """Any text as it may leave: what lets in, in addresses, headers and by its form, is hidden."""
    for pattern, hidden in _patterns():
        text = pattern.sub(hidden, text)
    return text


def _without_value(found: re.Match[str]) -> str:
    """A parameter in a text, judged as `without_secrets` judges it."""
    name, value = unquote_plus(found["name"]), unquote_plus(found["value"])
    return f"{found['before']}{found['name']}=***" if _is_secret(name, value) else found[0]


def _without_token(found: re.Match[str]) -> str:
    return f"{found['before']}***" if _is_made_up(found["value"]) else found[0]


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...]:
    """Compiled where something is told: most commands never need them."""
    judged = ((_PARAMETER, _without_value), *((form, _without_token) for form in _BY_FORM))
    return (
        *((re.compile(pattern, re.IGNORECASE), hidden) for pattern, hidden in _HIDING),
        *((re.compile(pattern, re.IGNORECASE), judge) for pattern, judge in judged),
    )


def _is_secret(name: str, value: str) -> bool:
    """Whether a parameter lets in. One that may say which file is meant belongs to the address, unless made up to."""
    if re.fullmatch(_LETS_IN, name, re.IGNORECASE):
        return True
    return _may_be_secret(name, value)


def _may_be_secret(name: str, value: str) -> bool:
    """Whether a parameter may let in, by its value, and by its name may as well say which file is meant."""
    return re.fullmatch(_MAY_LET_IN, name, re.IGNORECASE) is not None and _is_made_up(value)


def _is_made_up(value: str) -> bool:
    """Whether a value looks made up by a machine, to let in, rather than by people, to say what they mean."""
    last = value.rpartition("/")[2]
    _, dot, suffix = last.rpartition(".")
    return len(last) >= _MADE_UP and " " not in last and not re.fullmatch(_SUFFIX, f"{dot}{suffix}", re.IGNORECASE)


def _short_without_secrets(reference: str) -> str:
    before, mark, query = reference.partition("?")
    pairs, kept = _pairs(query), _open_pairs(query)
    if not mark or (pairs and len(kept) == len(pairs)):
        return reference
    return f"{before}?{urlencode(kept)}" if kept else before


def _open_pairs(query: str) -> list[tuple[str, str]]:
    """The parameters that do not let in."""
    return [(name, value) for name, value in _pairs(query) if not _is_secret(name, value)]


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True)
    except ValueError:  # more parameters than any address has
        return []


#: What would speak to the terminal, or turn the order of what it shows: all but tabs and line ends.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def safe(text: str, *, lines: bool = False) -> str:
    """The text without characters that a terminal obeys rather than shows.

    Line ends are shown as escapes, for what holds one may go on with `error: `; of whole `lines`, they stay.
    """
    text = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if lines else text.replace("\n", "\\n")


def terminal_json(document: str) -> str:
    """A JSON document that says the same, with what a terminal would obey written as JSON's escapes."""
    return document if document.isascii() and "\x7f" not in document else _UNSAFE.sub(_escape, document)


def _escape(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\t\n\r" else f"\\u{ord(found[0]):04x}"


def counted(number: int, word: str) -> str:
    """A number of things whose plural ends in s: "1 file", "2 files"."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


class Air(NamedTuple):
    """An AIR, the field's own identifier: where its resource is kept, how it is called there, what is asked behind."""

    source: str
    resource: str
    query: str


#: Places that an AIR names, with and without `urn:air:`.
_AIR_SOURCES = ("civitai", "huggingface", "civitai-r2", "orchestrator", "dockerhub", "ghcr")


def air(reference: str) -> Air | None:
    """`[urn:][air:][ECOSYSTEM:][TYPE:]SOURCE:RESOURCE`, in any letter case; `None` for what is none.

    Source: https://developer.civitai.com, "AIR identifiers". `oci` stands for whatever keeps container images.
    """
    body, _, query = reference.partition("?")
    if body.lower().startswith(("http:", "https:", "hf:")):
        return None
    fields = body.split(":")
    is_marked = [field.lower() for field in fields[:2]] == ["urn", "air"] or fields[0].lower() == "air"
    while fields[0].lower() in ("urn", "air") and len(fields) > 1:
        del fields[0]
    places = [number for number, field in enumerate(fields[:3]) if field.lower() in _AIR_SOURCES]
    place = places[0] if places else min(2, len(fields) - 2) if is_marked else -1
    if place < 0 or place + 1 >= len(fields) or not all(map(_AIR_FIELD.fullmatch, fields[:place])):
        return None
    source = "oci" if fields[0].lower() == "oci" else fields[place].lower()
    return Air(source, ":".join(fields[place + 1 :]), query)


_AIR_FIELD = re.compile(r"[\w.-]*", re.ASCII)


#: Limits on a text that a picture brings, in characters, and on a line of it.
MAX_TEXT = 2 * 2**20
MAX_LINE = 500

_NEWLINE = re.compile("\r\n?|[\x85\u2028\u2029]")
# Controls but tab and newline, and the invisible characters that reorder or hide text in a terminal; joiners stay,
# which emoji and several scripts need.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")


def sound(text: str) -> str:
    """Text that can be encoded: lone surrogates become U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


class Altered(str):
    """Text that lost characters that cannot be shown when it was made clean."""

    __slots__ = ()


def is_altered(text: str) -> bool:
    """Whether a text is no longer what it was once it is clean, apart from the ends of its lines."""
    return isinstance(text, Altered) or len(text) > MAX_TEXT or bool(_CONTROL.search(_NEWLINE.sub("\n", sound(text))))


def clean(value: object) -> str:
    """Text of any number of lines without control characters; empty for what is no text."""
    if not isinstance(value, str):
        return ""
    return _CONTROL.sub("", _NEWLINE.sub("\n", sound(value[:MAX_TEXT])))


def line(value: object) -> str | None:
    """Text in one line of bounded length; `None` where there is none."""
    text = value[: 4 * MAX_LINE] if isinstance(value, str) else ""
    return re.sub(r"[\n\t]", " ", clean(text)).strip()[:MAX_LINE] or None
