"""Another program's picture becomes a recipe: what it says, as far as assetctl can do it too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.generation.metadata import UsedAsset
from assetctl.generation.plan import GenerationRequest
from assetctl.generation.samplers import canonical_sampler
from assetctl.operations.planning import MAX_CFG, MAX_CLIP_SKIP, MAX_SEED, MAX_SIDE, MAX_STEPS, MIN_SIDE
from assetctl.operations.recipe import Recipe
from assetctl.prompt import parse_prompt

if TYPE_CHECKING:
    from assetctl.generation.metadata import PictureParameters

_ROLES = ("checkpoint", "lora", "embedding", "vae")

#: Samplers to which A1111 gives Karras sigmas where its schedule is "Automatic".
_KARRAS_BY_ITSELF = ("DPM++ 2M", "DPM2", "DPM2 a")
_PLAIN_SCHEDULES = ("", "automatic", "normal", "uniform", "simple", "karras", "exponential")

#: Fields that are used, or that say nothing of how the picture looks.
_UNDERSTOOD = {
    "Steps", "Sampler", "CFG scale", "Seed", "Size", "Model", "Model hash", "VAE", "VAE hash", "Lora hashes",
    "TI hashes", "Hashes", "Clip skip", "Schedule type", "Version", "RNG", "Created Date", "Used embeddings",
    "AddNet Enabled", "User", "Civitai resources", "Civitai metadata", "Workflow", "Model 1", "Module 1",
}  # fmt: skip


def foreign_recipe(parameters: PictureParameters) -> Recipe:
    """A recipe for a picture that resembles one of A1111, ComfyUI or another program."""
    remarks = [_resemblance(parameters.software)]
    assets = _assets(parameters)
    ours = tuple(used for used in assets if used.role in _ROLES)
    return Recipe(
        exact=False,
        software=parameters.software,
        request=_request(parameters, remarks),
        assets=ours,
        then=tuple(_token(used) for used in ours),
        remarks=(*remarks, *_left_out(parameters, assets)),
    )


def _resemblance(software: str | None) -> str:
    """Why the new picture will not be the original."""
    if software == "assetctl":
        return "assetctl's own record has been lost from it, so that the picture will resemble the original at best."
    name = software or "Another program"
    return f"{name} makes its noise in another way, so that the picture will resemble the original, not equal it."


def _assets(parameters: PictureParameters) -> list[UsedAsset]:
    """What the picture names, and the LoRAs that only its prompt does."""
    assets = list(parameters.assets)
    known = {(used.name or "").lower() for used in assets if used.role == "lora"}
    texts = (parameters.prompt or "", parameters.negative_prompt or "")
    for name, weight in (tag for text in texts for tag in parse_prompt(text).loras):
        stem = name.replace("\\", "/").rpartition("/")[2]
        if stem.lower() not in known:
            known.add(stem.lower())
            assets.append(UsedAsset("lora", stem, weight=weight))
    return assets


def _token(used: UsedAsset) -> dict[str, object]:
    """In other programs, an embedding's token is the name of its file."""
    return {"trigger_words": (used.name,)} if used.role == "embedding" and used.name else {}


def _request(parameters: PictureParameters, remarks: list[str]) -> GenerationRequest:
    usual = GenerationRequest("")
    width, height = _side(parameters.width, "width", remarks), _side(parameters.height, "height", remarks)
    if parameters.seed is None:
        remarks.append("It does not say its seed: one is taken by chance.")
    elif not 0 <= parameters.seed <= MAX_SEED:
        remarks.append(f"Its seed, {parameters.seed}, is none of ours: it is taken modulo {MAX_SEED + 1}.")
    return GenerationRequest(
        prompt=parameters.prompt or "",
        negative_prompt=parameters.negative_prompt or "",
        steps=int(_bounded("steps", parameters.steps, usual.steps, (1, MAX_STEPS), remarks)),
        cfg_scale=_bounded("CFG", parameters.cfg_scale, usual.cfg_scale, (0, MAX_CFG), remarks),
        sampler=_sampler(parameters, usual.sampler, remarks),
        seed=_seed(parameters.seed, remarks),
        width=width,
        height=height,
        clip_skip=int(_bounded("clip skip", parameters.clip_skip or 1, 1, (1, MAX_CLIP_SKIP), remarks)),
    )


def _bounded(name: str, value: float | None, usual: float, bounds: tuple[float, float], remarks: list[str]) -> float:
    if value is None:
        remarks.append(f"It does not say its {name}: {usual:g} is taken.")
        return usual
    nearest = min(max(value, bounds[0]), bounds[1])
    if nearest != value:
        remarks.append(f"Its {name}, {value:g}, is out of our bounds: {nearest:g} is taken.")
    return nearest


def _seed(value: int | None, remarks: list[str]) -> int | None:
    """A seed of ours; a negative one stands for chance."""
    if value is None or value < 0:
        remarks.append("It does not say its seed: one by chance is taken.")
        return None
    return value % (MAX_SEED + 1)


def _side(value: int | None, name: str, remarks: list[str]) -> int | None:
    if value is None:
        remarks.append(f"It does not say its {name}: the checkpoint's own is taken.")
        return None
    nearest = min(max(value // 8 * 8, MIN_SIDE), MAX_SIDE)
    if nearest != value:
        remarks.append(
            f"Its {name}, {value}, is not a multiple of 8 from {MIN_SIDE} to {MAX_SIDE}: {nearest} is taken."
        )
    return nearest


def _sampler(parameters: PictureParameters, usual: str, remarks: list[str]) -> str:
    if parameters.sampler is None:
        remarks.append(f"It does not say its sampler: {usual} is taken.")
        return usual
    schedule = parameters.fields.get("Schedule type", "").lower()
    name = parameters.sampler
    try:
        known = canonical_sampler(name)
    except UsageError:
        plain = name.removesuffix(" Karras").removesuffix(" Exponential")
        try:
            known = canonical_sampler(plain)
        except UsageError:
            known = usual
        remarks.append(f"assetctl has no sampler {name!r}: {known} is taken.")
        return known
    if schedule == "automatic" and known in _KARRAS_BY_ITSELF:
        return f"{known} Karras"
    if schedule not in _PLAIN_SCHEDULES:
        remarks.append(f"assetctl has no schedule {schedule!r}: the sampler's usual one is taken.")
    return known


def _left_out(parameters: PictureParameters, assets: list[UsedAsset]) -> list[str]:
    """One sentence on what is not carried over, if anything is: fields by the word they begin with."""
    unfit = [used for used in assets if used.role not in _ROLES]
    others = [f"the {used.role} {used.name or used.hash}" for used in unfit]
    named = set[str]()
    for key in (*parameters.fields, *parameters.extra):
        is_told = any(used.name and used.name in parameters.fields.get(key, "") for used in unfit)
        if not (is_told or key in parameters.understood or key in _UNDERSTOOD or key.startswith("AddNet")):
            named.add(key)
    groups: dict[str, list[str]] = {}
    for key in sorted(named):
        groups.setdefault(key.split()[0], []).append(key)
    fields = [keys[0] if len(keys) == 1 else f"{first} ({len(keys)} settings)" for first, keys in groups.items()]
    left = [*others, *fields]
    if not left:
        return []
    shown = ", ".join(left[:_SHOWN]) + (f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
    return [f"Not carried over: {shown}."]


_SHOWN = 12
