"""One list of words: the README's table is taken from it, and it knows what assetctl says."""

from __future__ import annotations

import re
from pathlib import Path

from assetctl.cli.render import COLUMNS
from assetctl.types import KINDS

CHECKOUT = Path(__file__).resolve().parent.parent
GLOSSARY = (CHECKOUT / "docs" / "glossary.md").read_text("utf-8")
README = (CHECKOUT / "README.md").read_text("utf-8")


def rows(text: str) -> list[tuple[str, str]]:
    """Words and meanings of a table."""
    return [
        row for row in re.findall(r"^\| ([^|`]+?) \| (.+?) \|$", text, re.MULTILINE) if row[0] not in ("word", "---")
    ]


def test_the_readmes_words_are_the_glossarys():
    told = rows(README.partition("## Words")[2])
    assert len(told) > 5
    assert set(told) <= set(rows(GLOSSARY))


def test_each_word_is_explained_once():
    words = [word for word, _ in rows(GLOSSARY)]
    assert len(words) == len(set(words)) > 20


def test_every_kind_is_explained():
    assert [kind for kind in KINDS if f"`{kind}`" not in GLOSSARY] == []


def test_the_columns_of_a_list_are_among_the_words():
    words = {word.upper() for word, _ in rows(GLOSSARY)}
    assert set(COLUMNS) - {"NAME", "SIZE", "TAGS"} <= words
