"""The infotext that is written into our pictures, for A1111's "PNG Info" and for Civitai to read back.

Format: `create_infotext` in `modules/processing.py` and `quote` in `modules/infotext_utils.py` of
https://github.com/AUTOMATIC1111/stable-diffusion-webui. `Hashes` is the field that Civitai finds resources by; it
stands last, as the extension https://github.com/civitai/sd_civitai_extension puts it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from assetctl.generation.metadata.values import clean, line
from assetctl.prompt import without_tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assetctl.generation.plan import Plan
    from assetctl.types import Asset

# Blanks match from the start of their run alone, and are never given back: all else is quadratic in their number.
_MARK = re.compile(r"(?<!\s)[^\S\n]*+\n\s*+(?=Negative prompt:)")
_NEEDS_QUOTES = re.compile(r"[,:\n]|^[\"{\[\s]|\s$")
#: What would end the JSON or a field early for readers that look for it with a pattern.
_NOT_IN_HASHES = re.compile(r"[,:{}\"\\]")


def infotext(plan: Plan, seed: int) -> str:
    """A picture's parameters as A1111 writes them.

    The prompt names every LoRA with its weight, wherever the request named it. A line of a prompt that starts with
    `Negative prompt:` would end the prompt for every reader, so it joins the line before it.
    """
    loras = [(use.asset.name, use.weight) for use in plan.selection.loras]
    lines = [_MARK.sub(" ", with_loras(clean(plan.prompt.text), loras))]
    negative = without_tags(clean(plan.negative_prompt.text)).strip()  # its LoRAs are named with the prompt's
    if negative:
        lines.append(f"Negative prompt: {_MARK.sub(' ', negative)}")
    fields = [f"{key}: {_quote(value)}" for key, value in _fields(plan, seed).items() if value]
    hashes = _hashes(plan)
    if hashes:
        fields.append(f"Hashes: {hashes}")
    return "\n".join([*lines, ", ".join(fields)])


def with_loras(prompt: str, loras: Iterable[tuple[str, float]]) -> str:
    """A prompt with these LoRA tags at its end, and no others."""
    tags = [f"<lora:{clean(name)}:{weight:g}>" for name, weight in loras]
    return " ".join([without_tags(prompt).strip(), *tags]).strip()


def autov2(asset: Asset | None) -> str:
    """The first ten digits of the SHA256; empty where there is none."""
    return "" if asset is None or asset.sha256 is None else asset.sha256[:10]


def software() -> str:
    """Our name and version."""
    from importlib.metadata import version  # noqa: PLC0415 - 30 ms that only writing pays

    return f"assetctl {version('assetctl')}"


def _fields(plan: Plan, seed: int) -> dict[str, str]:
    """The last line's fields in A1111's order; those without a value are left out."""
    checkpoint, vae = plan.selection.checkpoint, plan.selection.vae
    loras = [(use.asset.name, use.asset.autov3 or autov2(use.asset)) for use in plan.selection.loras]
    embeddings = [(each.name, (each.sha256 or "")[:12]) for each in plan.selection.embeddings]
    return {
        "Steps": str(plan.steps),
        "Sampler": plan.sampler,
        "CFG scale": f"{plan.cfg_scale:g}",
        "Seed": str(seed),
        "Size": f"{plan.width}x{plan.height}",
        "Model hash": autov2(checkpoint),
        "Model": _name(checkpoint),
        "VAE hash": autov2(vae),
        "VAE": _name(vae),
        "Clip skip": "" if plan.clip_skip == 1 else str(plan.clip_skip),
        "RNG": "CPU",
        "Lora hashes": _pairs(loras),
        "TI hashes": _pairs(embeddings),
        "Version": software(),
    }


def _hashes(plan: Plan) -> str:
    """Civitai's object of AutoV2 hashes, without names that a pattern would stumble over."""
    selection = plan.selection
    named = [("model", selection.checkpoint), ("vae", selection.vae)]
    named += [(f"lora:{line(use.asset.name)}", use.asset) for use in selection.loras]
    named += [(f"embed:{line(each.name)}", each) for each in selection.embeddings]
    pairs = (
        f'"{key}": "{autov2(asset)}"'
        for key, asset in named
        if autov2(asset) and not _NOT_IN_HASHES.search(key.partition(":")[2])
    )
    found = ", ".join(pairs)
    return f"{{{found}}}" if found else ""


def _name(asset: Asset | None) -> str:
    return "" if asset is None else line(asset.name) or ""


def _pairs(named: list[tuple[str, str]]) -> str:
    return ", ".join(f"{line(name)}: {digits}" for name, digits in named if digits)


def _quote(text: str) -> str:
    return orjson.dumps(text).decode() if _NEEDS_QUOTES.search(text) else text
