"""Settings that change nothing beside the others that are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.identify.plugins import family_called
from assetctl.options import option
from assetctl.samplers import takes_churn, takes_eta, told_apart, usual_eta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.options import Settings
    from assetctl.types import Finding

RULE = Rule(
    "idle_settings",
    "Every setting that is asked for does something with the sampler, the checkpoint and the other settings.",
    {
        "warning": "A setting changes nothing, as what it goes with is not asked for or not there.",
        "info": "A picture is taken out of a larger batch than is asked for.",
    },
    generating=True,
)

#: Options that do nothing without others, by one that does.
_NEEDS = {
    "variation_seed": ("variation_strength",),
    "leftover_noise": ("end_step",),
    "s_tmin": ("s_churn",),
    "s_tmax": ("s_churn",),
    "resize_seed_width": ("resize_seed_height",),
    "resize_seed_height": ("resize_seed_width",),
}

#: What a family obeys that says so, as SDXL does.
_OF_SOME = ("prompt_l", "negative_l", "sizes", "negative_sizes")


def check(context: Context) -> Iterator[Finding]:
    """Look at each setting that is not as usual; where nothing is filled in, at none."""
    settings = context.selection.settings
    if not context.generating or not {"flavour", "sampler", "eta"} <= settings.keys():
        return
    for name, others in _NEEDS.items():
        if _asked(settings, name) and not any(_asked(settings, other) for other in others):
            needed = " and ".join(option(other).called for other in others)
            yield RULE.finding("warning", f"{option(name).called} does nothing without {needed}.", f"Add {needed}.")
    yield from _of_sampler(settings)
    yield from _of_family(context)
    count, place = settings.get("latent_batch", 1), settings.get("latent_index", 0)
    if place >= count:
        message = f"--latent-index {place} is beyond a batch of {count}: it is taken out of one of {place + 1}."
        yield RULE.finding("info", message, f"Indices are counted from 0: for the last of {count}, it is {count - 1}.")


def _asked(settings: Settings, name: str) -> bool:
    usual = option(name).usual
    return bool(settings.get(name, usual) != usual)


def _of_sampler(settings: Settings) -> Iterator[Finding]:
    sampler, flavour = settings["sampler"], settings["flavour"]
    if flavour not in ("a1111", "comfyui"):
        return
    plain = told_apart(sampler)[0]
    if _asked(settings, "s_churn") and not takes_churn(sampler, flavour):
        message = f"--s-churn does nothing: {plain} adds no noise before its steps."
        yield RULE.finding("warning", message, "Leave it out, or choose Euler, Heun or DPM2.")
    if settings["eta"] != usual_eta(sampler) and not takes_eta(sampler, flavour):
        message = f"--eta does nothing: {plain} draws no noise anew between its steps, or always as much."
        yield RULE.finding("warning", message, "Leave it out, or choose Euler a or another that draws noise.")


def _of_family(context: Context) -> Iterator[Finding]:
    checkpoint = context.selection.checkpoint
    family = None if checkpoint is None else family_called(checkpoint.family)
    if checkpoint is None or family is None or family.driven is None:
        return
    for name in _OF_SOME:
        if name not in family.driven.obeys and _asked(context.selection.settings, name):
            message = f"{option(name).called} does nothing: {checkpoint.name} is of family {family.name}."
            yield RULE.finding("warning", message, "Leave it out: SDXL alone is told such things.", checkpoint)
