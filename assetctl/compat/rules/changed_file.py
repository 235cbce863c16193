"""Files that nobody has seen to be what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import HashMismatchError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Finding

RULE = Rule(
    "changed_file",
    "Every file is as it was when it was registered, and its hash is known.",
    {
        "error": "assetctl is to make a picture with a file that holds something else since.",
        "warning": "A file was written to since, and holds something else, or nobody has looked.",
        "info": "A file was never hashed, so that nobody can tell whether it is the one that was published.",
    },
    generating=True,
    told_as=HashMismatchError,
)

#: How many assets a message names.
_SHOWN = 3


def check(context: Context) -> Iterator[Finding]:
    """Tell what the catalog and the disk said of each file; no byte is read."""
    states = dict(context.situation.states)
    assets = list(dict.fromkeys(context.selection.assets()))
    for asset in assets:
        state = states.get(asset.path)
        if state == "changed" and context.generating:
            message = f"{asset.name} is not what it was when it was registered: {asset.path}."
            hint = f"`assetctl verify {asset.typed}` tells more; `assetctl import` registers what it holds now."
            yield RULE.finding("error", message, hint, asset)
        elif state in ("changed", "touched"):
            message = f"{asset.name} was written to since it was registered: {asset.path}."
            hint = f"`assetctl verify {asset.typed}` tells whether it is the same; `assetctl import` takes it in anew."
            if state == "touched":
                message += " It holds the same bytes."
                hint = f"`assetctl verify {asset.typed}` notes the new time, so that it need not be read again."
            yield RULE.finding("warning", message, hint, asset)
    unverified = [asset for asset in assets if states.get(asset.path) == "unverified"]
    if unverified:
        yield _unverified(unverified)


def _unverified(assets: list[Asset]) -> Finding:
    """One finding for all of them: one command learns the hashes of all."""
    names = ", ".join(asset.name for asset in assets[:_SHOWN])
    more = f" and {len(assets) - _SHOWN} more" if len(assets) > _SHOWN else ""
    message = f"No hash is known of {names}{more}, so that nothing can be compared with what was published."
    command = " ".join(["assetctl verify", *(asset.typed for asset in assets)])
    return RULE.finding("info", message, f"`{command}` computes what is lacking.", *assets)
