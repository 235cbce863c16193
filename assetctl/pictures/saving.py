"""Saving a picture with its infotext and its record inside, as PNG, JPEG or WebP."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from assetctl.errors import GenerationError, NameTakenError, StorageError, UsageError
from assetctl.options import OPTIONS
from assetctl.pictures.image_files import RECORD, exif_block
from assetctl.pictures.infotext import software
from assetctl.pictures.parameters import sound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from PIL.Image import Image

    from assetctl.plan import Plan, PlannedUse


def picture_record(plan: Plan, seed: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Everything that a picture was made from, each asset with its hashes."""
    settings = {**plan.settings, "seed": seed}
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
        **({} if use.found_by is None else {"found_by": sound(use.found_by)}),
    }


def _public(source: str | None) -> str | None:
    """Where others could get the asset; a path would tell them of this machine, and nothing else."""
    return source if source is not None and source.startswith(("hf://", "https://", "civitai:", "urn:air:")) else None


#: Suffixes that pictures can be saved by.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

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
    if suffix not in SUFFIXES:
        hint = "Name a .png, .jpg or .webp file."
        raise UsageError(f"{path} does not end in .png, .jpg or .webp.", hint)
    save = {".png": _save_png, ".webp": _save_webp}.get(suffix, _save_jpeg)
    # nobody can foretell this name, and none is too long for it
    part = path.with_name(f".assetctl-{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            save(image, file, sound(text), orjson.dumps(record))
        if replace:
            part.replace(path)
        else:
            _move_to_new(part, path)
    except FileExistsError as error:
        raise NameTakenError(f"{path} exists already.", "Choose another name with `--out PATH`.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(
            f"{path} cannot be written: {why}.", "Free space, or choose another `--out PATH`."
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
