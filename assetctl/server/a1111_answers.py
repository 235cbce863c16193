"""What A1111's face answers with: lists of what there is, and pictures with what A1111 says beside them."""

from __future__ import annotations

import base64
import binascii
import os
import re
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

import assetctl
from assetctl.errors import AmbiguousNameError, AssetctlError, FileError, NotFoundError, UsageError
from assetctl.pictures import read_parameters
from assetctl.server.waiting import about, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.catalog import Generation
    from assetctl.server.endpoints import Asked
    from assetctl.server.waiting import Made
    from assetctl.types import Asset

#: Digits of a number that is told back.
_LONGEST = 100

#: Characters of base64 that are read in one go; a multiple of four.
_AT_ONCE = 2**20

_DATA = re.compile(r"data:image/[a-z+]{1,10};base64,")
_HASH_BEHIND = re.compile(r"(.*\S)\s*\[([0-9a-fA-F]{6,64})\]", re.DOTALL)

NO_UPSCALER = {"name": "None", "model_name": None, "model_path": None, "model_url": None, "scale": 4.0}


def error_said(error: AssetctlError) -> dict[str, Any]:
    """An error, as A1111 has it, and the field it is about."""
    detail = error.message if error.hint is None else f"{error.message} {error.hint}"
    field = {} if error.reference is None else {"field": error.reference}
    return {"error": type(error).__name__, "detail": detail, "body": "", "errors": error.message, **field}


def idle_state() -> dict[str, Any]:
    """What A1111 says of its state while nothing is at work."""
    return {
        "skipped": False, "interrupted": False, "stopping_generation": False, "job": "", "job_count": 0,
        "job_timestamp": "0", "job_no": 0, "sampling_step": 0, "sampling_steps": 0,
    }  # fmt: skip


def models(asked: Asked) -> list[dict[str, Any]]:
    """Checkpoints."""
    return [
        {
            "title": title_of(each), "model_name": each.name, "hash": each.autov2, "sha256": each.sha256,
            "filename": each.path, "config": None,
        }
        for each in asked.registry.list(kind="checkpoint")
    ]  # fmt: skip


def title_of(asset: Asset) -> str:
    """What clients show of a checkpoint, and send back to choose it."""
    digits = f" [{asset.autov2}]" if asset.autov2 else ""
    return f"{Path(asset.path).name}{digits}"


def called(asked: Asked, name: str, kind: str = "checkpoint") -> Asset:
    """What a client means by a title, a model's name, a file's name or a hash.

    Raises:
        NotFoundError: Nothing is called so.
        AmbiguousNameError: Several are.
    """
    text = name.strip()
    titled = _HASH_BEHIND.fullmatch(text)
    for each in (text, *(() if titled is None else (titled[2], titled[1]))):
        try:
            found = asked.registry.get(each)
        except AssetctlError:
            continue
        if found.kind == kind:
            return found
    file = Path((text if titled is None else titled[1]).replace("\\", "/")).name
    there = [each for each in asked.registry.list(kind=kind) if file in (Path(each.path).name, Path(each.path).stem)]
    if len(there) == 1:
        return there[0]
    if there:
        names = [each.name for each in there]
        raise AmbiguousNameError(f"There are several called {file!r:.80}.", f"One of: {', '.join(names[:9])}.", names)
    listed = {"checkpoint": "sd-models", "vae": "sd-vae"}[kind]
    raise NotFoundError(f"There is no {kind} {text!r:.80}.", f"GET /sdapi/v1/{listed} lists them.")


def vae_of(asked: Asked, settings: Mapping[str, Any]) -> dict[str, str]:
    """The VAE that settings choose, in place of the checkpoint's own."""
    name = settings.get("sd_vae")
    if name in (None, "", "Automatic", "None"):
        return {}
    with about("sd_vae"):
        return {"vae": called(asked, str(name), "vae").name}


def vaes(asked: Asked) -> list[dict[str, Any]]:
    """VAEs, by the names of their files."""
    return [{"model_name": Path(each.path).name, "filename": each.path} for each in asked.registry.list(kind="vae")]


def samplers(asked: Asked) -> list[dict[str, Any]]:
    """Samplers."""
    return [
        {"name": each.name, "aliases": [each.comfyui] if each.comfyui else [], "options": {}}
        for each in asked.registry.samplers().samplers
        if "a1111" in each.flavours
    ]


def schedulers(asked: Asked) -> list[dict[str, Any]]:
    """Schedules."""
    return [
        {
            "name": each.name.lower().replace(" ", "_"), "label": each.name, "aliases": None, "default_rho": -1.0,
            "need_inner_model": False,
        }
        for each in asked.registry.samplers().schedules
    ]  # fmt: skip


def loras(asked: Asked) -> list[dict[str, Any]]:
    """LoRAs."""
    return [
        {"name": each.name, "alias": each.name, "path": each.path, "metadata": {}}
        for each in asked.registry.list(kind="lora")
    ]


def embedding_said(asset: Asset) -> dict[str, Any]:
    """An embedding."""
    return {
        "step": None, "sd_checkpoint": None, "sd_checkpoint_name": asset.base_model, "shape": None, "vectors": None,
    }  # fmt: skip


def memory(_asked: Asked) -> dict[str, Any]:
    """Memory of this machine."""
    try:
        free, total = (os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # Windows and macOS do not say
        return {"ram": {"error": "unavailable"}, "cuda": {"error": "unavailable"}}
    return {"ram": {"free": free, "used": total - free, "total": total}, "cuda": {"error": "unavailable"}}


def png_info(asked: Asked) -> dict[str, Any]:
    """What a picture says of how it was made."""
    text: str = asked.body["image"].replace("\n", "").replace("\r", "")
    start = _DATA.match(text)
    with about("image"):
        try:
            first = start.end() if start else 0
            data = b"".join(
                base64.b64decode(text[at : at + _AT_ONCE], validate=True) for at in range(first, len(text), _AT_ONCE)
            )  # piece by piece: others have their turn between
        except (binascii.Error, ValueError) as error:
            hint = "Send the bytes of a PNG, JPEG or WebP file so; addresses are not followed."
            raise UsageError("image is no base64.", hint) from error
    with tempfile.TemporaryDirectory(prefix="assetctl-") as folder:
        path = Path(folder, "picture")
        path.write_bytes(data)
        with about("image"):
            try:
                said = read_parameters(path)
            except FileError as error:
                raise type(error)(error.message.replace(str(path), "The picture"), error.hint) from error
    if said is None or said.unread:
        return {"info": "", "items": {}, "parameters": {}}
    fields = {"Prompt": said.prompt or "", "Negative prompt": said.negative_prompt or "", **said.fields}
    if size := re.fullmatch(r"([0-9]+)x([0-9]+)", fields.get("Size", "")):
        fields |= {"Size-1": size[1], "Size-2": size[2]}
    return {"info": said.text or "", "items": {"parameters": said.text or ""}, "parameters": fields}


def answered(body: Mapping[str, Any], made: Made) -> dict[str, Any]:
    """Pictures as A1111 hands them over: as they were saved, each with its infotext inside."""
    images = [base64.b64encode(each).decode() for each in made.data] if body.get("send_images") is not False else []
    info = {**_info(made), "batch_size": whole(body.get("batch_size") or 1)}
    return {"images": images, "parameters": _echoed(dict(body)), "info": orjson.dumps(info).decode()}


def _echoed(value: Any) -> Any:  # noqa: ANN401 - whatever JSON has
    """The same, with numbers that can be written: Python reads larger ones than it would be wise to send."""
    if isinstance(value, dict):
        return {name: _echoed(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_echoed(each) for each in value]
    if not isinstance(value, int) or -(2**63) <= value < 2**64:
        return value
    return str(value) if abs(value) < 10**_LONGEST else None


def _info(made: Made) -> dict[str, Any]:
    """What A1111 says of pictures: of those that there are, and where there are none, of those that were asked for."""
    wanted, pictures = made.job.request, made.pictures
    first = dict(pictures[0].settings) if pictures else {**wanted}
    seeds = [each.settings["seed"] for each in pictures] or wanted["seeds"]
    variations = [each.settings.get("variation_seed", 0) for each in pictures] or wanted.get("variation_seeds", [0])
    count = len(pictures)
    prompt, negative = wanted["prompt"], wanted["negative_prompt"]
    checkpoint = next((use for each in pictures[:1] for use in each.assets if use.role == "checkpoint"), None)
    vae = next((use for each in pictures[:1] for use in each.assets if use.role == "vae"), None)
    texts = [_text(each) for each in pictures]
    return {
        "prompt": prompt, "all_prompts": [prompt] * count,
        "negative_prompt": negative, "all_negative_prompts": [negative] * count,
        "seed": seeds[0], "all_seeds": seeds, "subseed": variations[0], "all_subseeds": variations,
        "subseed_strength": first.get("variation_strength", 0), "width": first.get("width"),
        "height": first.get("height"), "sampler_name": first.get("sampler"), "cfg_scale": first.get("cfg_scale"),
        "steps": first.get("steps"), "restore_faces": False, "face_restoration_model": None,
        "sd_model_name": wanted["checkpoint"], "sd_model_hash": ((checkpoint and checkpoint.sha256) or "")[:10],
        "sd_vae_name": vae and vae.name, "sd_vae_hash": ((vae and vae.sha256) or "")[:10] or None,
        "seed_resize_from_w": first.get("resize_seed_width", 0),
        "seed_resize_from_h": first.get("resize_seed_height", 0),
        "denoising_strength": None, "extra_generation_params": {}, "index_of_first_image": 0, "infotexts": texts,
        "styles": [], "job_timestamp": time.strftime("%Y%m%d%H%M%S"), "clip_skip": first.get("clip_skip", 1),
        "is_using_inpainting_conditioning": False, "version": f"assetctl {assetctl.__version__}",
    }  # fmt: skip


def _text(picture: Generation) -> str:
    said = read_parameters(Path(picture.image_path))
    return "" if said is None else said.text or ""
