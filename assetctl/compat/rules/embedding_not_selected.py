"""Words of prompts that embeddings go by, and that are read as mere words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.types import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Severity

RULE = Rule(
    "embedding_not_selected",
    "Each word of the prompts that an embedding goes by stands for it.",
    {
        "warning": "A prompt names an embedding that is not here, or does not fit, or could be any of several.",
        "info": "A word of a prompt is that of an embedding which does not fit, or nobody asked for.",
    },
)


def check(context: Context) -> Iterator[Finding]:
    """Tell of each word once for each prompt."""
    for each in context.selection.mentions:
        if each.used:
            continue
        said = f"embedding:{each.word}" if each.explicit else each.word
        message = f"The {each.where} says {said}, which {each.why_not}."
        severity: Severity = "warning" if each.explicit or len(each.names) > 1 else "info"
        yield Finding(RULE.name, severity, each.names, message, each.hint)
