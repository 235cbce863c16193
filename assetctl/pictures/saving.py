"""Saving a picture with A1111's infotext and our record inside, as PNG, JPEG or WebP."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from assetctl.errors import GenerationError, NameTakenError, StorageError, UsageError
from assetctl.options import OPTIONS, complete, together, written
from assetctl.pictures.image_files import RECORD, exif_block
from assetctl.prompt import without_tags
from assetctl.samplers import LEGACY, sampled_by_diffusers, told_apart, usual_eta
from assetctl.text import clean, line, sound

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from PIL.Image import Image

    from assetctl.options import Settings
    from assetctl.request import Plan, PlannedUse


#: The fields that A1111 writes first; other options come after the assets.
_FIRST = ("Steps", "Sampler", "CFG scale", "Seed", "Size")

# Blanks match from the start of their run alone, and are never given back: all else is quadratic in their number.
_MARK = re.compile(r"(?<!\s)[^\S\n]*+\n\s*+(?=Negative prompt:)")
_NEEDS_QUOTES = re.compile(r"[,:\n]|^[\"{\[\s]|\s$")
#: What would end the JSON or a field early for readers that look for it with a pattern.
_NOT_IN_HASHES = re.compile(r"[,:{}\"\\]")


def infotext(plan: Plan, seed: int, more: Mapping[str, str] | None = None) -> str:
    """A picture's parameters as A1111 writes them.

    The prompt names every LoRA with its weight, wherever the request named it. A line of a prompt that starts with
    `Negative prompt:` would end the prompt for every reader, so it joins the line before it. `more` fields follow.
    """
    loras = [(use.name, use.weight, use.text_weight) for use in plan.of("lora")]
    lines = [_MARK.sub(" ", with_loras(clean(plan.prompt.text), loras))]
    negative = without_tags(clean(plan.negative_prompt.text)).strip()  # its LoRAs are named with the prompt's
    if negative:
        lines.append(f"Negative prompt: {_MARK.sub(' ', negative)}")
    said = {**_fields(plan, seed), **(more or {})}
    fields = [f"{key}: {_quote(value)}" for key, value in said.items() if value]
    hashes = _hashes(plan)
    if hashes:
        fields.append(f"Hashes: {hashes}")
    return "\n".join([*lines, ", ".join(fields)])


def with_loras(prompt: str, loras: Iterable[tuple[str, float, float | None]]) -> str:
    """A prompt with tags of these LoRAs at its end, and no others; each with its weight, and that for text encoders."""
    tags = [
        f"<lora:{clean(name)}:{weight:g}>" if text is None else f"<lora:{clean(name)}:{text:g}:{weight:g}>"
        for name, weight, text in loras
    ]
    return " ".join([without_tags(prompt).strip(), *tags]).strip()


@cache
def software() -> str:
    """Our name and version."""
    from importlib.metadata import version  # noqa: PLC0415 - 30 ms that only writing pays

    return f"assetctl {version('assetctl')}"


def _fields(plan: Plan, seed: int) -> dict[str, str]:
    """The last line's fields in A1111's order; those without a value are left out."""
    settings = {**complete(plan.settings), "seed": seed}
    said = {field: written(options, settings) or "" for field, options in together("field").items()}
    said |= _of_sampling(settings)
    loras = [(use.name, use.autov3 or use.autov2 or "") for use in plan.of("lora")]
    embeddings = [(use.name, (use.sha256 or "")[:12]) for use in plan.of("embedding")]
    first = {field: said.pop(field) for field in _FIRST}
    return {
        **first,
        **_named("Model", plan.checkpoint),
        **_named("VAE", plan.vae),
        **said,
        "Lora hashes": _hash_list(loras),
        "TI hashes": _hash_list(embeddings),
        "Version": software(),
    }


def _of_sampling(settings: Settings) -> dict[str, str]:
    """What A1111 says otherwise of how a picture was sampled, or not at all."""
    eta, name = settings.get("eta"), "Eta DDIM" if settings["sampler"] == "DDIM" else "Eta"
    own = {"Eta": "", "RNG": settings.get("noise") or "CPU"}
    if eta not in (None, usual_eta(settings["sampler"])) or (name == "Eta DDIM" and eta):
        own[name] = f"{eta:g}"
    if sampled_by_diffusers(settings["flavour"]):
        return own | {"Flavour": "" if settings["flavour"] == LEGACY else settings["flavour"]}
    plain, schedule = told_apart(settings["sampler"], settings["scheduler"])
    return own | {"Sampler": plain, "Schedule type": schedule, "Flavour": settings["flavour"]}


def _named(field: str, use: PlannedUse | None) -> dict[str, str]:
    """An asset's hash and name, in two fields."""
    return {} if use is None else {f"{field} hash": use.autov2 or "", field: line(use.name) or ""}


#: What a role is called in Civitai's object; where there can be several, the name follows.
_CIVITAI_WORDS = {"checkpoint": "model", "vae": "vae", "lora": "lora:", "embedding": "embed:"}


def _hashes(plan: Plan) -> str:
    """Civitai's object of AutoV2 hashes, without names that a pattern would stumble over."""
    named = [
        (f"{word}{line(use.name)}" if word.endswith(":") else word, use.autov2)
        for role, word in _CIVITAI_WORDS.items()
        for use in plan.of(role)
    ]
    pairs = (
        f'"{key}": "{digits}"'
        for key, digits in dict.fromkeys(named)
        if digits and not _NOT_IN_HASHES.search(key.partition(":")[2])
    )
    found = ", ".join(pairs)
    return f"{{{found}}}" if found else ""


def _hash_list(named: list[tuple[str, str]]) -> str:
    return ", ".join(f"{line(name)}: {digits}" for name, digits in dict.fromkeys(named) if digits)


def _quote(text: str) -> str:
    return orjson.dumps(text).decode() if _NEEDS_QUOTES.search(text) else text


def picture_record(plan: Plan, seed: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Everything that a picture was made from, each asset with its hashes."""
    settings = {**complete(plan.settings), "seed": seed}
    always = {each.name: settings[each.name] for each in OPTIONS if each.silent is None}
    unusual = {each.name: settings[each.name] for each in OPTIONS if each.silent not in (None, settings[each.name])}
    return {
        "version": 1,
        "software": software(),
        "prompt": sound(plan.prompt.text),
        "negative_prompt": sound(plan.negative_prompt.text),
        **always,
        "prediction": plan.prediction,
        "assets": [_asset_record(use) for use in plan.uses],
        "environment": dict(environment),
        **unusual,
    }


def _asset_record(use: PlannedUse) -> dict[str, Any]:
    return {
        "role": use.role,
        "name": sound(use.name),
        "kind": use.kind,
        "family": use.family,
        "base_model": use.base_model,
        "sha256": use.sha256,
        "autov2": use.autov2,
        "autov3": use.autov3,
        "source": _public(use.source),
        "trigger_words": [sound(word) for word in use.trigger_words],
        **({} if use.applied_weight is None else {"weight": use.applied_weight}),
        **({} if use.text_weight is None else {"text_weight": use.text_weight}),
        **({} if use.found_by is None else {"found_by": sound(use.found_by)}),
    }


def _public(source: str | None) -> str | None:
    """Where others could get the asset; a path would tell them of this machine, and nothing else."""
    return source if source is not None and source.startswith(("hf://", "https://", "civitai:", "urn:air:")) else None


#: Suffixes of what pictures can be saved as, and the format of each.
FORMATS = {".png": "png", ".jpg": "jpg", ".jpeg": "jpg", ".webp": "webp"}

_QUALITY = 95

#: Bytes of a JPEG segment past its length.
_MAX_SEGMENT = 2**16 - 3


def save_picture(image: Image, path: Path, text: str, record: Mapping[str, Any], *, replace: bool = False) -> None:
    """Write a picture with its texts in the format of its suffix, whole or not at all.

    Args:
        image: The picture; transparency is lost in a JPEG.
        path: Where to.
        text: See `infotext`.
        record: See `picture_record`.
        replace: Whether a file that is there is replaced; else there must be none.

    Raises:
        UsageError: Pictures are not saved by that suffix.
        GenerationError: The texts are too long for a JPEG.
        NameTakenError: There is a file of that name.
        StorageError: The disk is full, or the folder may not be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        hint = "Name a .png, .jpg or .webp file."
        raise UsageError(f"{path} does not end in .png, .jpg or .webp.", hint)
    save = {".png": _save_png, ".webp": _save_webp}.get(suffix, _save_jpeg)
    with whole_file(path, replace=replace, option="--out") as file:
        save(image, file, sound(text), orjson.dumps(record))


@contextmanager
def whole_file(path: Path, *, replace: bool, option: str) -> Iterator[BinaryIO]:
    """A file to write, which has its name once it is whole; a link of that name gives way, and leads nowhere.

    Args:
        path: Where to; the folder is made.
        replace: Whether a file that is there is replaced; else there must be none.
        option: What a person names another place with.

    Raises:
        NameTakenError: There is a file of that name.
        StorageError: The disk is full, or the folder may not be written.
    """
    # nobody can foretell this name, and none is too long for it
    part = path.with_name(f".assetctl-{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            yield file
        if replace:
            part.replace(path)
        else:
            _move_to_new(part, path)
    except FileExistsError as error:
        raise NameTakenError(f"{path} exists already.", f"Choose another name with `{option} PATH`.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(
            f"{path} cannot be written: {why}.", f"Free space, or choose another `{option} PATH`."
        ) from error
    finally:
        with suppress(OSError):  # what failed above is what counts
            part.unlink()


def _save_png(image: Image, file: BinaryIO, text: str, record: bytes) -> None:
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415 - 60 ms that only saving pays

    texts = PngInfo()
    texts.add_text("parameters", text)
    texts.add_text(RECORD, record.decode())
    image.save(file, "png", pnginfo=texts)


def _save_jpeg(image: Image, file: BinaryIO, text: str, record: bytes) -> None:
    block = exif_block(text, record)
    if len(block) > _MAX_SEGMENT:
        raise GenerationError(
            f"A JPEG cannot hold the picture's parameters: they take {len(block)} of {_MAX_SEGMENT} bytes.",
            "Save it as PNG or WebP: `--out NAME.png`.",
        )
    plain = image if image.mode in ("L", "RGB") else image.convert("RGB")
    plain.save(file, "jpeg", quality=_QUALITY, subsampling=0, exif=block)


def _save_webp(image: Image, file: BinaryIO, text: str, record: bytes) -> None:
    image.save(file, "webp", quality=_QUALITY, exif=exif_block(text, record))


def _move_to_new(part: Path, path: Path) -> None:
    """Give `part` the name `path`, unless that is taken: a hard link says so atomically, where there are any.

    Elsewhere the name is taken first, by an empty file of ours, which the picture then replaces.
    """
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        path.open("xb").close()
        part.replace(path)
