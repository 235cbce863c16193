"""An asset in a role that its kind does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, serves

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "kind",
    "Every asset is of the kind that its place in the selection asks for.",
    {"error": "An asset is of another kind, or nobody knows of which."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare each asset's kind with its role."""
    for use in context.selection.uses:
        role, asset = use.role, use.asset
        if serves(use):
            continue
        if asset.kind == "unknown":
            message = f"{asset.name} is used as {_a(role)}, and its kind is unknown."
            yield RULE.finding(
                "error", message, f"If it is one, say so: `assetctl edit {asset.typed} --kind {role}`.", asset
            )
        else:
            message = f"{asset.name} is used as {_a(role)}, and is {_a(asset.kind)}."
            hint = f"Choose one that `assetctl list --kind {role}` shows."
            if context.set_by_hand(asset, "kind"):
                hint += f" You set its kind: `assetctl edit {asset.typed} --reset kind` takes that back."
            yield RULE.finding("error", message, hint, asset)


def _a(kind: str) -> str:
    word = {"lora": "LoRA", "vae": "VAE", "controlnet": "ControlNet"}.get(kind, kind)
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"
