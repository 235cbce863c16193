"""Embeddings that a prompt names and nobody selected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule, prompts_of
from assetctl.prompt import words_present

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "embedding_not_selected",
    "Each embedding whose token stands in a prompt is selected.",
    {"warning": "A prompt has the token of an embedding that is at hand and fits, and is not selected."},
)


def check(context: Context) -> Iterator[Finding]:
    """Look for the tokens of embeddings of the checkpoint's family."""
    selection = context.selection
    family = None if selection.checkpoint is None else selection.checkpoint.family
    fitting = {asset.token: asset for asset in context.situation.others if asset.family == family}
    for prompt in prompts_of(selection):
        for token in sorted(words_present(prompt, fitting)):
            asset = fitting[token]
            message = (
                f"The prompt says {token}, but the embedding {asset.name} is not selected: it is read as plain words."
            )
            yield RULE.finding("warning", message, f"Add `--embedding {asset.typed}` if you mean it.", asset)
