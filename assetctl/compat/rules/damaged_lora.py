"""LoRAs whose files are broken, whatever they were made for."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "damaged_lora",
    "Each module of a LoRA has both halves, of one rank.",
    {"error": "Modules of a LoRA lack a half, or their halves do not go together, so that they change nothing."},
)


def check(context: Context) -> Iterator[Finding]:
    """Compare the halves with each other; no checkpoint is needed."""
    for lora in context.loras:
        changes = context.changes(lora)
        wrong = defaultdict[str, list[str]](list)
        for module, what in () if changes is None else changes.damaged.values():
            wrong[what].append(module)
        for what, modules in wrong.items():
            message = f"{lora.name} is damaged: {len(modules)} of its modules {what}, {modules[0]} for one."
            hint = f"Fetch it again: `assetctl inspect {lora.typed}` says where it came from."
            yield RULE.finding("error", message, hint, lora)
