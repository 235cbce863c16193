"""Characters that nobody sees: they steer terminals, turn the order of what is shown, or make two names look like one.

Source: Unicode's categories Cc and Cf, its bidirectional controls (UAX #9), and letters that are drawn as nothing.
"""

from __future__ import annotations

import re
from functools import cache

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
