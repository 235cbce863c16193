"""Schedules that were made for another kind of model, whose steps ruin the pictures of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called
from assetctl.samplers import FOR_FLOW, sampled_by_diffusers, told_apart

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.types import Finding

RULE = Rule(
    "unsuited_schedule",
    "The schedule that is asked for was made for models as the checkpoint is one.",
    {"warning": "A schedule for models that flow is asked for beside a checkpoint that predicts noise."},
    generating=True,
)


def check(context: Context) -> Iterator[Finding]:
    """Look at the schedule, where one was filled in."""
    settings, checkpoint = context.selection.settings, context.selection.checkpoint
    if checkpoint is None or not {"flavour", "sampler", "scheduler"} <= settings.keys():
        return
    _, schedule = told_apart(settings["sampler"], settings["scheduler"])
    family = family_called(checkpoint.family)
    flows = "flow" in (checkpoint.prediction, None if family is None else family.prediction)
    if schedule not in FOR_FLOW or flows or sampled_by_diffusers(settings["flavour"]):
        return
    message = (
        f"{schedule} was made for models that flow, and {checkpoint.name} predicts noise: half of the steps hardly "
        "leave the noise, and the last one has all the details to make."
    )
    yield RULE.finding("warning", message, "Leave --scheduler out, or choose karras or normal.", checkpoint)
