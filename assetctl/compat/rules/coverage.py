"""LoRAs that do not reach the checkpoint, or only in part."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Asset, Coverage, Finding

#: The least share of a LoRA's own modules that must be in the checkpoint. How much of the checkpoint a LoRA changes
#: is no measure: one that was trained on attention alone changes a tenth of it, as it was meant to.
FLOOR = 0.25

RULE = Rule(
    "coverage",
    "Every module that a LoRA changes is in the checkpoint, and as wide.",
    {
        "error": f"Less than {FLOOR:.0%} of a LoRA's modules are in the checkpoint, or one is of another width.",
        "warning": "Some of the LoRA's modules are not in the checkpoint, and have no effect.",
        "info": "A LoRA widens the checkpoint's input.",
    },
)


def check(context: Context) -> Iterator[Finding]:
    """Judge what each LoRA would change."""
    for lora, covered in context.coverage:
        checkpoint, modules = context.selection.checkpoint, context.modules
        if checkpoint is None or modules is None or _said_otherwise(context, lora, covered, checkpoint):
            continue
        # where not all spellings are known, what does not match may only be named otherwise: see `not_compared`
        told = covered if modules.all_spellings else replace(covered, unmatched=())
        finding = _judged(lora, told, checkpoint)
        if finding is not None:
            yield finding
        if covered.widened:
            message = f"{lora.name} widens the input of {checkpoint.name}, as control LoRAs do: it follows a picture."
            yield RULE.finding("info", message, None, lora, checkpoint)


def _said_otherwise(context: Context, lora: Asset, covered: Coverage, checkpoint: Asset) -> bool:
    """Whether another rule says it better: `family`, `parts_elsewhere` or `damaged_lora`."""
    if None not in (lora.family, checkpoint.family) and lora.family != checkpoint.family:
        return not context.may_be(lora, checkpoint.family)
    if covered.matched or covered.shape_conflicts or covered.unmatched:
        return False
    changes = context.changes(lora)
    return bool(covered.elsewhere) or (changes is not None and bool(changes.damaged))


def _judged(lora: Asset, covered: Coverage, checkpoint: Asset) -> Finding | None:
    conflicts, unmatched = covered.shape_conflicts, covered.unmatched
    if not covered.matched and not conflicts:
        message = f"{lora.name} changes nothing in {checkpoint.name}: none of its modules is there."
    elif conflicts:
        message = f"{lora.name} has other widths than {checkpoint.name} in {_some(conflicts)}."
    elif unmatched and covered.matched < FLOOR * (covered.matched + len(unmatched)):
        share = f"{covered.matched} of its {covered.matched + len(unmatched)} modules"
        message = f"{lora.name} hardly changes {checkpoint.name}, which has only {share}, and not {_some(unmatched)}."
    elif unmatched:
        message = f"{lora.name} has modules that {checkpoint.name} lacks, and that have no effect: {_some(unmatched)}."
        hint = "Look for a version made for this base model: `generate` may refuse what does not match whole."
        return RULE.finding("warning", message, hint, lora, checkpoint)
    else:
        return None
    hint = f"It was made for another architecture: `assetctl inspect {lora.typed}` shows what is known of it."
    return RULE.finding("error", message, hint, lora, checkpoint)


def _some(modules: tuple[str, ...]) -> str:
    rest = len(modules) - 2
    return ", ".join(modules[:2]) + (f" and {rest} more" if rest > 0 else "")
