"""Embeddings that were made for the negative prompt, and stand in the positive one."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, audible, flavour_of
from assetctl.prompt.flavours import split_at_embeddings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "negative_embedding",
    "Embeddings of what a picture should not show stand in the negative prompt.",
    {"warning": "An embedding that is negative by its name or tags is in the positive prompt."},
)

#: How such embeddings are called: EasyNegative, bad-hands-5, FastNegativeV2, ng_deepnegative, verybadimagenegative.
_NAMES = re.compile(
    r"negative|(?:^|[^a-z])(?:neg|ng|bad)(?=[^a-z]|$)|(?:^|very)bad[-_]?(?:hand|image|artist|prompt|pict)"
)


def check(context: Context) -> Iterator[Finding]:
    """Look for the tokens of embeddings that seem negative, if there is a prompt to look at."""
    selection = context.selection
    if not selection.prompt:
        return
    negative = [asset for asset in context.embeddings if _seems_negative(asset)]
    tokens = {asset: asset.token for asset in negative}
    texts, flavour = audible(selection.prompt).segments, flavour_of(selection)
    pieces = (split_at_embeddings(text, tokens.values(), flavour) for text, _ in texts)
    used = {token.lower() for piece in pieces for _, token in piece if token is not None}
    misplaced = {asset: token for asset, token in tokens.items() if token.lower() in used}
    wanted = ", ".join(filter(None, (*dict.fromkeys(misplaced.values()), selection.negative_prompt)))
    for asset, token in misplaced.items():
        message = f"{asset.name} seems to be made for the negative prompt, and {token} is in the prompt."
        yield RULE.finding("warning", message, f"Take it out, and write `--negative {shlex.quote(wanted)}`.", asset)


def _seems_negative(asset: Asset) -> bool:
    return any(_NAMES.search(word.lower()) for word in (asset.name, *asset.trigger_words, *asset.tags))
