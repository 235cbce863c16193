"""Tokens that are words of everyday prompts: whoever writes the word wakes the embedding up, and loses the word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "shadowed_word",
    "No embedding goes by a word of everyday prompts.",
    {"warning": "An embedding's token is an ordinary word, which means the embedding and no longer the word."},
)

#: What prompts are mostly made of.
_EVERYDAY = """
a an and of on in at with the by to for from man woman girl boy person people portrait face eyes hair hand hands cat
dog horse bird fish animal dragon flower flowers tree forest garden mountain sea ocean river lake sky sun moon star
stars cloud clouds rain snow fire water light dark night day sunset city street house room castle car ship red green
blue yellow orange purple pink brown black white gray grey gold silver big small old new young beautiful cute pretty
happy sad angry detailed realistic photo photograph picture image painting drawing sketch art style anime cartoon
comic render illustration watercolor oil pencil ink digital concept cinematic vintage modern fantasy dress shirt hat
armor sword background foreground blurry sharp quality best worst good bad high low masterpiece smile standing
sitting walking running looking solo simple view close full body
"""
_WORDS = frozenset(_EVERYDAY.split())


def check(context: Context) -> Iterator[Finding]:
    """Look the tokens up among everyday words."""
    for asset in context.embeddings:
        token = asset.token
        if token.lower() in _WORDS:
            message = f"{asset.name} goes by the token {token}, and stands for that word wherever a prompt has it."
            hint = f"Give it a token of its own: `assetctl edit {asset.typed} --trigger-word {asset.typed}-token`."
            yield RULE.finding("warning", message, hint, asset)
