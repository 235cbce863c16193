"""What a picture says of itself: A1111's text, which other tools read, and assetctl's own record.

A PNG holds both as text chunks, `parameters` and `assetctl`.

Format: `create_infotext` in `modules/processing.py` and `quote` in `modules/infotext_utils.py` of
https://github.com/AUTOMATIC1111/stable-diffusion-webui; PNG chunks: https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import secrets
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from assetctl.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from PIL.Image import Image

    from assetctl.generation.plan import Plan
    from assetctl.types import Asset

PARAMETERS = "parameters"
RECORD = "assetctl"

_TAG = re.compile(r"\s*<(?:lora|lyco):[^<>]*>", re.IGNORECASE)
_SIGNATURE = b"\x89PNG\r\n\x1a\n"

#: Limits on what is read of a strange picture: bytes of a text, and chunks before the pixels.
_MAX_TEXT = 2**20
_MAX_CHUNKS = 1000


def infotext(plan: Plan, seed: int) -> str:
    """A picture's parameters as A1111 writes them, so that its "PNG Info" reads them back.

    The prompt names every LoRA with its weight, wherever the request named it.
    """
    lines = [_prompt_with_loras(plan)]
    negative = _TAG.sub("", plan.negative_prompt.text).strip()  # its LoRAs are named with the prompt's
    if negative:
        lines.append(f"Negative prompt: {negative}")
    fields = (f"{key}: {_quote(value)}" for key, value in _fields(plan, seed).items() if value)
    return "\n".join([*lines, ", ".join(fields)])


def record(plan: Plan, seed: int, environment: Mapping[str, str]) -> dict[str, Any]:
    """Everything that a picture was made from, each asset with its hashes."""
    selection = plan.selection
    used: list[tuple[str, Asset, float | None]] = []
    if selection.checkpoint is not None:
        used.append(("checkpoint", selection.checkpoint, None))
    used += [("lora", use.asset, use.weight) for use in selection.loras]
    used += [("embedding", each, None) for each in selection.embeddings]
    if selection.vae is not None:
        used.append(("vae", selection.vae, None))
    return {
        "version": 1,
        "prompt": plan.prompt.text,
        "negative_prompt": plan.negative_prompt.text,
        "steps": plan.steps,
        "cfg_scale": plan.cfg_scale,
        "sampler": plan.sampler,
        "seed": seed,
        "width": plan.width,
        "height": plan.height,
        "prediction": plan.prediction,
        "assets": [_asset_record(role, asset, weight) for role, asset, weight in used],
        "environment": dict(environment),
    }


def save_png(image: Image, path: Path, text: str, record: Mapping[str, Any]) -> None:
    """Write a picture with its texts, whole or not at all.

    Args:
        image: The picture.
        path: Where to; there must be no file yet.
        text: See `infotext`.
        record: See `record`.

    Raises:
        StorageError: There is a file of that name, the disk is full, or the folder may not be written.
    """
    from PIL.PngImagePlugin import PngInfo  # noqa: PLC0415 - part of the extra `generate`

    texts = PngInfo()
    texts.add_text(PARAMETERS, text)
    texts.add_text(RECORD, orjson.dumps(record).decode())
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("xb") as file:
            image.save(file, "png", pnginfo=texts)
        _move_to_new(part, path)
    except FileExistsError as error:
        raise StorageError(f"{path} exists already.", "Choose another name with `--out PATH`.") from error
    except OSError as error:
        why = error.strerror or str(error)
        raise StorageError(
            f"{path} can not be written: {why}.", "Free space, or choose another `--out PATH`."
        ) from error
    finally:
        with suppress(OSError):  # what failed above is what counts
            part.unlink()


def read_png_record(path: Path) -> dict[str, Any] | None:
    """The record that `save_png` wrote into a picture, or `None` if it holds none.

    Reads the chunks before the pixels, and no more than a megabyte of text.

    Raises:
        StorageError: The file can not be read.
    """
    try:
        with path.open("rb") as file:
            text = next((value for key, value in _texts(file) if key == RECORD), None)
    except OSError as error:
        raise StorageError(
            f"{path} can not be read: {error.strerror}.", "Check the path and its permissions."
        ) from error
    try:
        found = None if text is None else orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _prompt_with_loras(plan: Plan) -> str:
    tags = [f"<lora:{use.asset.name}:{use.weight:g}>" for use in plan.selection.loras]
    return " ".join([_TAG.sub("", plan.prompt.text).strip(), *tags]).strip()


def _fields(plan: Plan, seed: int) -> dict[str, str]:
    """The last line's fields in A1111's order; those without a value are left out."""
    checkpoint, vae = plan.selection.checkpoint, plan.selection.vae
    loras = [(use.asset.name, use.asset.autov3 or _short(use.asset)) for use in plan.selection.loras]
    embeddings = [(each.name, (each.sha256 or "")[:12]) for each in plan.selection.embeddings]
    return {
        "Steps": str(plan.steps),
        "Sampler": plan.sampler,
        "CFG scale": f"{plan.cfg_scale:g}",
        "Seed": str(seed),
        "Size": f"{plan.width}x{plan.height}",
        "Model hash": _short(checkpoint),
        "Model": _name(checkpoint),
        "VAE hash": _short(vae),
        "VAE": _name(vae),
        "RNG": "CPU",
        "Lora hashes": _pairs(loras),
        "TI hashes": _pairs(embeddings),
        "Version": f"assetctl {importlib.metadata.version('assetctl')}",
    }


def _short(asset: Asset | None) -> str:
    """AutoV2: the first ten digits of the SHA256."""
    return "" if asset is None or asset.sha256 is None else asset.sha256[:10]


def _name(asset: Asset | None) -> str:
    return "" if asset is None else asset.name


def _pairs(named: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name}: {digits}" for name, digits in named if digits)


def _quote(value: object) -> str:
    text = str(value)
    return orjson.dumps(text).decode() if re.search(r"[,:\n]", text) else text


def _asset_record(role: str, asset: Asset, weight: float | None) -> dict[str, Any]:
    return {
        "role": role,
        "name": asset.name,
        "kind": asset.kind,
        "family": asset.family,
        "base_model": asset.base_model,
        "sha256": asset.sha256,
        "autov3": asset.autov3,
        "source": _public(asset.source),
        "trigger_words": list(asset.trigger_words),
    } | ({} if weight is None else {"weight": weight})


def _move_to_new(part: Path, path: Path) -> None:
    """Give `part` the name `path`, unless that is taken: a hard link says so atomically, where there are any."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        if path.exists():
            raise FileExistsError(path) from None
        part.rename(path)


def _texts(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Keyword and text of the chunks before the pixels, for texts of a bearable length."""
    if file.read(8) != _SIGNATURE:
        return
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        length, kind = int.from_bytes(head[:4]), head[4:]
        if len(head) < 8 or kind in (b"IDAT", b"IEND"):
            return
        if kind in (b"tEXt", b"iTXt") and length <= _MAX_TEXT:
            yield _text(kind, file.read(length))
            file.seek(4, os.SEEK_CUR)
        else:
            file.seek(length + 4, os.SEEK_CUR)


def _text(kind: bytes, chunk: bytes) -> tuple[str, bytes]:
    keyword, _, rest = chunk.partition(b"\0")
    name = keyword.decode("latin-1")
    if kind == b"tEXt":
        return name, rest.decode("latin-1").encode()
    compressed, text = rest[:1] == b"\x01", rest[2:].split(b"\0", 2)[-1]
    if not compressed:
        return name, text
    try:
        return name, zlib.decompressobj().decompress(text, _MAX_TEXT)
    except zlib.error:
        return name, b""


def _public(source: str | None) -> str | None:
    """Where others could get the asset; a path would tell them of this machine, and nothing else."""
    return source if source is not None and source.startswith(("hf://", "https://", "civitai:", "urn:air:")) else None
