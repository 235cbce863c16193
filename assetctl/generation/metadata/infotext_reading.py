"""An infotext, as A1111 and everyone after it writes them, taken apart.

The prompt, then `Negative prompt:` and what follows it, then one line of fields. Old versions put remarks behind
it, such as `Used embeddings: …`. Prompts are anyone's words, so only the place of a line tells what it is.

Format: `create_infotext` in `modules/processing.py` and `parse_generation_parameters` in
`modules/infotext_utils.py` of https://github.com/AUTOMATIC1111/stable-diffusion-webui.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.generation.metadata.collecting import MAX_ASSETS, NO_FILE, Collection, role_of
from assetctl.generation.metadata.fields import Fields, parse_fields
from assetctl.generation.metadata.parameters import PictureParameters, with_understood
from assetctl.generation.metadata.values import MAX_SIDE, MAX_STEPS, clean, integer, line, mapping, number, prompt
from assetctl.prompt import parse_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

NEGATIVE = "Negative prompt:"

_STEPS = re.compile(r"\s*+Steps:\s*+[0-9]++\s*+(?:,|$)")
_REMARK = re.compile(r"(\w[\w ]{0,40}):[ \t]*+(.*+)")
_PAIR = re.compile(r"(.*): ([0-9A-Za-z]{4,64})", re.DOTALL)
_SIZE = re.compile(r"\s*([0-9]{1,7})\s*x\s*([0-9]{1,7})\s*")

#: At least two of these are in every line of fields, and hardly in a prompt's last line.
_TELLING = {"Steps", "Sampler", "CFG scale", "Seed", "Size", "Model hash"}

#: Fields by the attribute, or the role of the assets, that expresses them.
_ATTRIBUTES = {
    "Steps": "steps", "Sampler": "sampler", "CFG scale": "cfg_scale", "Seed": "seed", "Size": "width",
    "Clip skip": "clip_skip", "Version": "software",
}  # fmt: skip
_ROLES = {
    "Model": "checkpoint", "Model hash": "checkpoint", "VAE": "vae", "VAE hash": "vae", "Lora hashes": "lora",
    "TI hashes": "embedding", "Used embeddings": "embedding", "Hashes": "checkpoint",
}  # fmt: skip

#: Remarks and numbered fields of one text that are looked at.
_MAX_REMARKS = 20
_MAX_NUMBERED = 20


def parse(text: str) -> tuple[PictureParameters, bool]:
    """What an infotext says, and whether it has a line of fields at all; without one all of it is prompt."""
    lines = clean(text).strip().split("\n")
    at, fields = _fields_line(lines)
    for remark in map(_REMARK.fullmatch, [] if at is None else lines[at + 1 :][:_MAX_REMARKS]):
        if remark is not None:
            fields.plain.setdefault(remark[1], remark[2])
    positive, negative = _prompts(lines[:at])
    said, size = fields.plain, _SIZE.fullmatch(fields.plain.get("Size", ""))
    found = PictureParameters(
        software=None if at is None else _software(said.get("Version", "")),
        prompt=prompt(positive),
        negative_prompt=prompt(negative),
        steps=integer(said.get("Steps"), 0, MAX_STEPS),
        sampler=_sampler(said),
        cfg_scale=number(said.get("CFG scale")),
        seed=integer(said.get("Seed"), -1),
        width=integer(size[1], 1, MAX_SIDE) if size else None,
        height=integer(size[2], 1, MAX_SIDE) if size else None,
        clip_skip=integer(said.get("Clip skip"), 1, 100),
        assets=_assets(positive, negative, fields).assets(),
        fields=said,
        extra=fields.nested,
        text=clean(text),
        understood=_neutral(said),
    )
    return with_understood(found, _ATTRIBUTES, _ROLES), at is not None


def _neutral(said: dict[str, str]) -> frozenset[str]:
    """Fields that say no more than that something is as usual, or that belong to one that is read."""
    names = {key for key in said if key.startswith("AddNet")}
    if said.get("VAE", "x").lower() in NO_FILE:
        names.add("VAE")
    if said.get("Schedule type", "").lower() in ("automatic", "karras", "exponential"):
        names.add("Schedule type")
    return frozenset(names)


def _fields_line(lines: list[str]) -> tuple[int | None, Fields]:
    """Which line holds the fields: the last one, or the last that starts with steps where remarks follow it."""
    fields = parse_fields(lines[-1])
    if len(_TELLING & fields.plain.keys()) >= 2:
        return len(lines) - 1, fields
    at = next((at for at in reversed(range(len(lines))) if _STEPS.match(lines[at])), None)
    return at, Fields() if at is None else parse_fields(lines[at])


def _prompts(lines: list[str]) -> tuple[str, str]:
    at = next((at for at, each in enumerate(lines) if each.lstrip().startswith(NEGATIVE)), len(lines))
    negative = "\n".join(lines[at:]).strip()
    return "\n".join(lines[:at]).strip(), negative.removeprefix(NEGATIVE).strip()


def _software(version: str) -> str:
    return next((name for name in ("assetctl", "ComfyUI") if version.startswith(name)), "A1111")


def _sampler(said: dict[str, str]) -> str | None:
    """The sampler as A1111 named it before it told samplers and schedules apart."""
    name, schedule = line(said.get("Sampler")), line(said.get("Schedule type"))
    if name and schedule in ("Karras", "Exponential") and not name.endswith(schedule):
        return f"{name} {schedule}"
    return name


def _assets(positive: str, negative: str, fields: Fields) -> Collection:
    found, said = Collection(), fields.plain
    for text in (positive, negative):
        for name, weight in parse_prompt(text).loras[:MAX_ASSETS]:
            found.add("lora", name, weight=weight)
    model = said.get("Model")
    found.add("checkpoint", model, digest=said.get("Model hash"))
    vae = said.get("VAE", "")
    if vae.lower() not in NO_FILE:
        found.add("vae", vae, digest=said.get("VAE hash"))
    for name, digest in _pairs(said.get("Lora hashes", "")):
        found.add("lora", name, digest=digest)
    for name, digest in (*_pairs(said.get("TI hashes", "")), *_bracketed(said.get("Used embeddings", ""))):
        found.add("embedding", name, digest=digest)
    _add_hashes(found, mapping(fields.nested.get("Hashes")), model, vae)
    _add_numbered(found, said)
    for key in ("Hypernet", "Refiner"):
        name, digest = _name_and_hash(said.get(key, ""), "[" if key == "Refiner" else "(")
        found.add("other", name, digest=digest, weight=said.get("Hypernet strength") if key == "Hypernet" else None)
    return found


def _add_hashes(found: Collection, hashes: dict[str, object], model: str | None, vae: str) -> None:
    """The object that Civitai reads: `model`, `vae`, `lora:NAME`, `embed:NAME` and their hashes."""
    for key, digest in hashes.items():
        kind, _, name = key.partition(":")
        role = role_of(kind)
        if name:
            found.add(role, name, digest=digest)
        elif role == "checkpoint":
            found.add(role, model, digest=digest)
        elif role == "vae":
            found.add(role, vae, digest=digest)


def _add_numbered(found: Collection, said: dict[str, str]) -> None:
    """What extensions number: LoRAs of Additional Networks, and ControlNets."""
    for number_ in range(1, _MAX_NUMBERED + 1):
        name, digest = _name_and_hash(said.get(f"AddNet Model {number_}", ""), "(")
        weight = said.get(f"AddNet Weight A {number_}") or said.get(f"AddNet Weight {number_}")
        found.add("lora", name, digest=digest, weight=weight)
    for number_ in range(_MAX_NUMBERED):
        inner = parse_fields(said.get(f"ControlNet {number_}", "")).plain
        name, digest = _name_and_hash(inner.get("Model") or inner.get("model") or "", "[")
        if name.lower() not in NO_FILE:
            found.add("controlnet", name, digest=digest, weight=inner.get("Weight") or inner.get("weight"))


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """`name: hash` between commas, where a name may contain both signs itself."""
    pending: list[str] = []
    for piece in text.split(", "):
        pending.append(piece)
        pair = _PAIR.fullmatch(piece)
        if pair is not None:
            yield ", ".join([*pending[:-1], pair[1]]), pair[2]
            pending = []


def _bracketed(text: str) -> Iterator[tuple[str, str]]:
    """`name [hash]` between commas."""
    for piece in text.split("]")[:-1]:
        name, _, digest = piece.rpartition("[")
        yield name.strip(" ,"), digest


def _name_and_hash(text: str, bracket: str) -> tuple[str, str]:
    """A name with its hash in brackets at the end, or a name alone."""
    if bracket not in text or text[-1] not in ")]":
        return text, ""
    name, _, digest = text.rpartition(bracket)
    return name.strip(), digest[:-1]
