"""Addresses from outside: taken apart without surprises, and shown without what lets in."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

#: Parameters of an address that let in whoever has them, and nothing else.
_LETS_IN = (
    r"[\w.~-]{0,40}(?:token(?!i[sz])|secret|signature|passw|pwd|credential|x-amz-|x-goog-|api[-_.]?key|access[-_.]?key|"
    r"key-pair|auth(?!or)|jwt|expires)[\w.~-]{0,40}|sig|pass"
)

#: Parameters that let in, or say which file is meant: their values tell.
_MAY_LET_IN = r"key|code|policy|[\w.~-]{0,40}session[\w.~-]{0,40}"

#: What was made up by a machine to let in: long, and without the end of a file's name.
_MADE_UP = r"[^\s/]{20,}$"
_SUFFIX = r"\.[a-z][a-z0-9]{0,11}$"

_HEADERS = "(?:proxy-)?authorization|x-api-key"

#: What hides the same in running text: who is logged in, parameters, headers, and tokens by their form.
_HIDING = (
    (r"(?<=://)[^/?#\s\"'<>]*@", ""),
    (rf"([?&;#](?:{_LETS_IN})=)[^&;#\s\"'<>]+", r"\1***"),
    (rf"({_HEADERS})([\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s\"',)]+", r"\1\2***"),
    (r"(cookie[\"']?\s*[:=]\s*[\"']?[^\s=\"']{1,40}=)[^\s\"',;]+", r"\1***"),  # not where an asset is called so
    (r"\b(bearer|basic)\s+(?=\S*\d|\S{16})[a-z0-9._~+/=-]{8,}", r"\1 ***"),
    (r"\b(?-i:hf_)[a-z0-9]{20,}", "hf_***"),
)

#: References of ours that are no address, and end in parameters as one does.
_SHORT = ("civitai:", "urn:", "air:", "hf:")


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
        return _short_without_secrets(address) if address.lower().startswith(_SHORT) else redacted(address)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, urlencode(_open_pairs(parts.query)), ""))


def redacted(text: str) -> str:
    """Any text as it may leave: what lets in, in addresses, headers and by its form, is hidden."""
    for pattern, hidden in _patterns():
        text = pattern.sub(hidden, text)
    return text


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compiled where something is told: most commands never need them."""
    return tuple((re.compile(pattern, re.IGNORECASE), hidden) for pattern, hidden in _HIDING)


def _is_secret(name: str, value: str) -> bool:
    """Whether a parameter lets in. One that may say which file is meant belongs to the address, unless made up to."""
    if re.fullmatch(_LETS_IN, name, re.IGNORECASE):
        return True
    return re.fullmatch(_MAY_LET_IN, name, re.IGNORECASE) is not None and _is_made_up(value)


def _is_made_up(value: str) -> bool:
    return bool(re.search(_MADE_UP, value)) and not re.search(_SUFFIX, value, re.IGNORECASE)


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
