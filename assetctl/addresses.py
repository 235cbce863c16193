"""Addresses from outside: taken apart without surprises, and shown without what lets in."""

from __future__ import annotations

import re
from functools import cache
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

#: Parameters of an address that let in whoever has them.
_LETS_IN = (
    r"[\w.~-]{0,40}(?:token|secret|signature|passw|pwd|credential|x-amz-|x-goog-|api[-_.]?key|access[-_.]?key|key-pair|"
    r"auth(?!or)|jwt|session|expires)[\w.~-]{0,40}|key|sig|pass|policy|code"
)

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
    return urlunsplit((parts.scheme, host, parts.path, _open_query(parts.query), ""))


def redacted(text: str) -> str:
    """Any text as it may leave: what lets in, in addresses, headers and by its form, is hidden."""
    for pattern, hidden in _patterns():
        text = pattern.sub(hidden, text)
    return text


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Compiled where something is told: most commands never need them."""
    return tuple((re.compile(pattern, re.IGNORECASE), hidden) for pattern, hidden in _HIDING)


def _is_secret(name: str) -> bool:
    """Whether a parameter of this name lets in."""
    return re.fullmatch(_LETS_IN, name, re.IGNORECASE) is not None


def _short_without_secrets(reference: str) -> str:
    before, mark, query = reference.partition("?")
    names = re.findall(r"(?:^|&)([^=&]*)", query)
    if not mark or not any(_is_secret(name) for name in names):
        return reference
    kept = _open_query(query)
    return f"{before}?{kept}" if kept else before


def _open_query(query: str) -> str:
    try:
        pairs = parse_qsl(query, keep_blank_values=True)
    except ValueError:  # more parameters than any address has
        return ""
    return urlencode([(key, value) for key, value in pairs if not _is_secret(key)])
