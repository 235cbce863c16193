"""Tokens of embeddings and trigger words of LoRAs, found in a prompt."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.prompt.tags import ParsedPrompt, parse_prompt
from assetctl.prompt.weights import BREAK

if TYPE_CHECKING:
    from collections.abc import Iterable

_BRACKETS = re.compile(r"[()\[\]\\]")
_GAP = re.compile(r"[\s_]+")
_COMMA = re.compile(r" ?, ?")

#: Stands for a chunk break, which no phrase reaches across.
_WALL = "\x00"


def split_at_tokens(text: str, tokens: Iterable[str]) -> list[tuple[str, str | None]]:
    """Cut `text` at the tokens of embeddings.

    A token matches as a whole word in any case, not as a part of a longer word or hyphenated name;
    where several match, the longest wins.

    Returns:
        The pieces of `text` in order, which together are `text`: `(piece, None)` for plain text and
        `(piece, token)` for a match, with the token spelled as in `tokens`.
    """
    known = sorted({token.lower(): token for token in tokens if token}.values(), key=len, reverse=True)
    if not known:
        return [(text, None)] if text else []
    pattern = "|".join(f"({_whole_name(token)})" for token in known)
    pieces: list[tuple[str, str | None]] = []
    start = 0
    for found in re.finditer(pattern, text, re.IGNORECASE):
        pieces += [(text[start : found.start()], None), (found[0], known[(found.lastindex or 1) - 1])]
        start = found.end()
    pieces.append((text[start:], None))
    return [piece for piece in pieces if piece[0]]


def words_present(prompt: ParsedPrompt | str, words: Iterable[str]) -> set[str]:
    """Those of `words` that occur in the prompt.

    A word or phrase occurs in any case, as whole words, whatever the weights and brackets around its parts,
    and with any run of spaces and underscores between them.
    """
    text = _plain(prompt)
    return {word for word in words if (plain := _plain(word)) and re.search(_whole_word(plain), text)}


def _plain(prompt: ParsedPrompt | str) -> str:
    segments = (parse_prompt(prompt) if isinstance(prompt, str) else prompt).segments
    text = "".join(_WALL if text == BREAK and weight < 0 else text for text, weight in segments)
    spaced = _GAP.sub(" ", _BRACKETS.sub("", text)).casefold()
    return _COMMA.sub(", ", spaced).strip(" ,")


def _whole_word(word: str) -> str:
    """A pattern for `word`, not inside a longer word; an edge that is a sign needs no boundary."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w\Z", word) else ""
    return before + re.escape(word) + after


def _whole_name(name: str) -> str:
    """A pattern for `name`, not inside a longer word, nor next to a hyphen that goes on with one."""
    before = r"(?<!\w-)" if re.match(r"\w", name) else ""
    after = r"(?!-\w)" if re.search(r"\w\Z", name) else ""
    return before + _whole_word(name) + after
