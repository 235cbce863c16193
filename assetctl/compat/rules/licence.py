"""Licences, where someone asks whether they allow to sell pictures or models.

What its page said counts first. A file names its licence in its own metadata (`modelspec.license`); one that does not
is not known to allow it.
Sources: https://spdx.org/licenses, and the texts of the licences.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "licence",
    "Where it is asked with --commercial: every licence allows commercial use.",
    {"error": "A licence forbids commercial use.", "warning": "A licence sets terms for it, or is not known."},
)

_FORBIDS = re.compile(r"non-?commercial|(?:^|-)nc(?:-|$)|research-only")
_TERMS = re.compile(r"stability-?ai|stabilityai|community|fair-ai-public|gpl")
_ALLOWS = re.compile(
    r"apache|(?:^|-)mit(?:-|$)|bsd|cc0|unlicense|open-?rail|cc-by-(?:sa-)?\d|cc-by(?:-sa)?$|attribution-(?:sharealike-)?\d"
)
_SHOWN = 80


def check(context: Context) -> Iterator[Finding]:
    """Read what each file says of its licence, if it is asked."""
    if not context.situation.commercial:
        return
    told = dict(context.situation.facts)
    for asset in dict.fromkeys(context.selection.assets()):
        facts = told.get(asset.path)
        if facts is not None and facts.commercial is not None:
            if not facts.commercial:
                message = f"{asset.name} may not be used commercially, its page says: {facts.licence}."
                yield RULE.finding("error", message, f"Leave it out, or ask its author: {facts.page}", asset)
            continue
        header = context.header(asset)
        said = "" if header is None else header.metadata.get("modelspec.license", "").strip()
        shown = " ".join(said[:_SHOWN].split())
        words = re.sub(r"[\s_/+]+", "-", shown.lower())
        where = _where(asset)
        if _FORBIDS.search(words):
            hint = "Leave it out, choose another, or ask its author."
            yield RULE.finding("error", f"{asset.name} may not be used commercially: {shown}.", hint, asset)
        elif _TERMS.search(words):
            message = f"{asset.name} may be used commercially under conditions: {shown}."
            yield RULE.finding("warning", message, where, asset)
        elif not _ALLOWS.search(words):
            message = f"{asset.name} does not say whether it may be used commercially{': ' + shown if shown else ''}."
            yield RULE.finding("warning", message, where, asset)


def _where(asset: Asset) -> str:
    """Where its terms can be read; a place on this machine has none."""
    if asset.source is None or Path(asset.source).is_absolute():
        return f"Nothing is known of where it came from; `assetctl enrich {asset.typed}` asks by its hash."
    return f"Read its terms where it came from: {asset.source}."
