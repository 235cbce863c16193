"""A1111's face, `/sdapi/v1`: its names, its defaults, its answers, for programs that speak to it."""

from __future__ import annotations

import base64
import binascii
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from assetctl.errors import AssetctlError, GenerationError, NotFoundError, UnusableError, UsageError
from assetctl.pictures import read_parameters
from assetctl.server.app import Face, status_of
from assetctl.server.endpoints import FLAG, TEXT, Asked, Endpoint
from assetctl.server.requests import job_of, request_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.catalog import Generation
    from assetctl.catalog.jobs import Job
    from assetctl.server.endpoints import Schema
    from assetctl.types import Asset

#: The largest picture that is looked into, in bytes.
_LARGEST = 12 * 2**20

_ANYTHING: Schema = {}
_TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
_NUMBER_OR_NONE: Schema = {"type": ["number", "null"]}

#: Fields of `txt2img` that are obeyed, with the option of a picture that each is.
_OPTIONS = {
    "steps": "steps", "cfg_scale": "cfg_scale", "width": "width", "height": "height", "eta": "eta",
    "s_churn": "s_churn", "s_tmin": "s_tmin", "s_tmax": "s_tmax", "s_noise": "s_noise",
    "subseed_strength": "variation_strength", "seed_resize_from_w": "resize_seed_width",
    "seed_resize_from_h": "resize_seed_height",
}  # fmt: skip

#: What A1111 takes where a field is left out, or is none of its own.
_DEFAULTS: Mapping[str, Any] = {"steps": 50, "cfg_scale": 7.0, "width": 512, "height": 512, "sampler_name": "Euler"}

#: Values of the fields above with which nothing is asked for.
_IDLE: Mapping[str, Any] = {
    "eta": (None,), "s_churn": (None, 0), "s_tmin": (None, 0), "s_tmax": (None, 0), "s_noise": (None, 1),
    "subseed_strength": (None, 0), "seed_resize_from_w": (None, 0, -1), "seed_resize_from_h": (None, 0, -1),
}  # fmt: skip

#: Fields that ask for something that cannot be done yet, unless they have one of these values.
_NOT_YET: Mapping[str, tuple[Any, ...]] = {
    "restore_faces": (None, False), "tiling": (None, False), "enable_hr": (None, False), "styles": (None, []),
    "refiner_checkpoint": (None, "", "None"), "script_name": (None, "", "None"), "s_min_uncond": (None, 0),
    "firstpass_image": (None, ""), "init_images": (None, []),
}  # fmt: skip

#: What `override_settings` and `options` may set, with the option that each is; others are refused.
_SETTINGS = {"CLIP_stop_at_last_layers": "clip_skip", "eta_noise_seed_delta": "ensd", "randn_source": "noise"}
_NOISES = {"gpu": "nv", "nv": "nv", "cpu": "cpu"}

#: Settings that change no picture: what is kept, shown and loaded.
_HARMLESS = re.compile(
    r"(samples|grid|save|do_not_|jpeg|webp|live|show|sd_checkpoint|sd_vae_checkpoint|export|outdir|directories|"
    r"send_|return_|enable_|memmon|n_rows|img2img|filename|list_|ui|quicksettings|hidden|gallery|notification)"
)

_DATA = re.compile(r"data:image/[a-z+]{1,10};base64,")


class A1111(Face):
    """A1111's API over one home. What `options` sets is kept as long as the server runs."""

    title = "A1111's API"
    largest = 17 * 2**20  # a picture in base64

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._setting = threading.Lock()
        super().__init__(tuple(self._endpoints()))

    def failure(self, error: AssetctlError) -> Response:
        """An error, as A1111 has it."""
        status = {400: 422}.get(status_of(error), status_of(error))
        detail = error.message if error.hint is None else f"{error.message} {error.hint}"
        said = {"error": type(error).__name__, "detail": detail, "body": "", "errors": error.message}
        return Response(orjson.dumps(said), status, media_type="application/json")

    def _endpoints(self) -> list[Endpoint]:
        base, picture = "/sdapi/v1", {
            **dict.fromkeys(("prompt", "negative_prompt"), _TEXT_OR_NONE),
            **dict.fromkeys(("seed", "subseed", "batch_size", "n_iter", *_OPTIONS), _NUMBER_OR_NONE),
            **dict.fromkeys(("sampler_name", "sampler_index", "scheduler"), _TEXT_OR_NONE),
            **dict.fromkeys(("send_images", "save_images", "override_settings_restore_afterwards"), FLAG),
            "override_settings": {"type": ["object", "null"]},
            "alwayson_scripts": {"type": ["object", "null"]},
        }  # fmt: skip
        read = {
            "sd-models": (self._models, "Checkpoints."),
            "sd-vae": (_vaes, "VAEs."),
            "samplers": (_samplers, "Samplers."),
            "schedulers": (_schedulers, "Schedules."),
            "loras": (_loras, "LoRAs."),
            "embeddings": (_embeddings, "Embeddings."),
            "options": (self._options, "What is chosen."),
            "cmd-flags": (lambda _: {}, "Flags of the command line, of which there are none."),
            "memory": (_memory, "Memory."),
            "progress": (_progress, "How far the job at work is."),
            "scripts": (lambda _: {"txt2img": [], "img2img": []}, "Scripts, of which there are none."),
            **{name: (lambda _: [], f"{words}, of which there are none.") for name, words in _NONE.items()},
        }
        write = {
            "interrupt": (_interrupt, "Stop the job at work."),
            "skip": (_interrupt, "Likewise."),
            **{name: (lambda _: None, "Nothing: what is here is known.") for name in _REFRESHES},
        }
        return [
            *(Endpoint("GET", f"{base}/{name}", answer, words, open=True) for name, (answer, words) in read.items()),
            *(
                Endpoint("POST", f"{base}/{name}", answer, words, body={}, open=True)
                for name, (answer, words) in write.items()
            ),
            Endpoint("POST", f"{base}/options", self._set_options, "Choose a checkpoint, a VAE, or settings.", body={},
                     open=True),
            Endpoint("POST", f"{base}/png-info", _png_info, "What a picture says of how it was made.",
                     body={"image": TEXT}, required=("image",), open=True),
            Endpoint("POST", f"{base}/txt2img", self._txt2img, "Make pictures of a text.", body=picture, open=True),
            *(
                Endpoint("POST", f"{base}/{name}", _not_yet, "Not yet.", body={}, open=True)
                for name in ("img2img", "extra-single-image", "extra-batch-images", "interrogate")
            ),
        ]  # fmt: skip

    # checkpoints and settings

    def _models(self, asked: Asked) -> list[dict[str, Any]]:
        return [
            {
                "title": _title(each), "model_name": each.name, "hash": (each.sha256 or "")[:10] or None,
                "sha256": each.sha256, "filename": each.path, "config": None,
            }
            for each in asked.registry.list(kind="checkpoint")
        ]  # fmt: skip

    def _options(self, asked: Asked) -> dict[str, Any]:
        chosen = self._checkpoint(asked)
        return {
            "samples_format": "png", "CLIP_stop_at_last_layers": 1, "eta_noise_seed_delta": 0, "randn_source": "NV",
            "sd_vae": "Automatic",
            "sd_model_checkpoint": None if chosen is None else _title(chosen),
            "sd_checkpoint_hash": None if chosen is None else chosen.sha256,
            **{name: value for name, value in self._settings.items() if name != "sd_model_checkpoint"},
        }  # fmt: skip

    def _set_options(self, asked: Asked) -> None:
        settings = dict(asked.body)
        _understood(settings)
        if settings.get("sd_model_checkpoint") is not None:
            settings["sd_model_checkpoint"] = _called(asked, settings["sd_model_checkpoint"]).name
        with self._setting:
            self._settings |= {name: settings[name] for name in settings if name in (*_SETTINGS, *_CHOICES)}

    def _checkpoint(self, asked: Asked, wanted: object = None) -> Asset | None:
        name = wanted or self._settings.get("sd_model_checkpoint")
        if name is not None:
            return _called(asked, name)
        return next(iter(asked.registry.list(kind="checkpoint", sort="used", limit=1)), None)

    # pictures

    async def _txt2img(self, asked: Asked) -> dict[str, Any]:
        body = asked.body
        wanted = await _in_thread(self._wanted, asked)
        job = asked.queue.submit("generate", wanted)
        job = await asked.queue.ended(job.id)
        if job.status == "failed" and job.error is not None:
            raise GenerationError(str(job.error.get("message")), job.error.get("hint"))
        made = await _in_thread(_pictures, asked, job)
        answer: dict[str, Any] = await _in_thread(_answer, body, made)
        return answer

    def _wanted(self, asked: Asked) -> dict[str, Any]:  # noqa: C901 - a field after the other
        """What a job is to make."""
        body = asked.body
        for name, idle in _NOT_YET.items():
            if name in body and body[name] not in idle:
                raise UnusableError(f"assetctl cannot do {name} yet.", "Leave it out.")
        for name, script in (body.get("alwayson_scripts") or {}).items():
            if any(script.get("args") or ()) if isinstance(script, dict) else script:
                raise UnusableError(f"assetctl has no script {name!r:.60}.", "Leave it out.")
        settings = {**self._settings, **(body.get("override_settings") or {})}
        _understood(settings)
        checkpoint = self._checkpoint(asked, settings.get("sd_model_checkpoint"))
        if checkpoint is None:
            raise NotFoundError("There is no checkpoint.", "`assetctl pull` or `assetctl import` one.")
        sampler = body.get("sampler_name") or body.get("sampler_index") or _DEFAULTS["sampler_name"]
        wanted: dict[str, Any] = {
            "prompt": body.get("prompt") or "", "negative_prompt": body.get("negative_prompt") or "",
            "checkpoint": checkpoint.name, "sampler": sampler, "flavour": "a1111",
        }  # fmt: skip
        for name, option in _OPTIONS.items():
            value = body.get(name)
            value = _DEFAULTS.get(name) if value is None else value
            if value is not None and value not in _IDLE.get(name, ()):
                wanted[option] = value
        if wanted.get("variation_strength"):
            wanted["variation_seed"] = max(int(body.get("subseed") or 0), 0)
        if body.get("scheduler"):
            wanted["scheduler"] = body["scheduler"]
        vae = settings.get("sd_vae")
        if vae not in (None, "", "Automatic", "None"):
            wanted["vae"] = _called(asked, vae, kind="vae").name
        for name, option in _SETTINGS.items():
            if name in settings:
                wanted[option] = _setting(name, settings[name])
        count = int((body.get("batch_size") or 1) * (body.get("n_iter") or 1))
        seed = body.get("seed")
        made = job_of({**wanted, "num_images": count, **({} if seed in (None, -1) else {"seed": int(seed)})})
        asked.registry.plan(request_of(made))
        return made


_NONE = {
    "upscalers": "Upscalers", "latent-upscale-modes": "Latent upscalers", "hypernetworks": "Hypernetworks",
    "face-restorers": "Face restorers", "realesrgan-models": "Upscalers", "prompt-styles": "Styles",
    "script-info": "Scripts", "extensions": "Extensions",
}  # fmt: skip
_REFRESHES = ("refresh-checkpoints", "refresh-vae", "refresh-loras", "refresh-embeddings", "reload-checkpoint",
              "unload-checkpoint")  # fmt: skip
_CHOICES = ("sd_model_checkpoint", "sd_vae")


def _understood(settings: Mapping[str, Any]) -> None:
    """Refuse a setting that would change pictures, and does not."""
    for name in settings:
        if name not in (*_SETTINGS, *_CHOICES) and not _HARMLESS.match(name):
            raise UnusableError(f"assetctl has no setting {name!r:.60}.", "Leave it out.")


def _setting(name: str, value: object) -> object:
    if name == "randn_source":
        if str(value).lower() not in _NOISES:
            raise UsageError(f"randn_source is {value!r:.40}.", "Choose GPU, CPU or NV.")
        return _NOISES[str(value).lower()]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{name} must be a number.", "Leave it out.")
    return int(value)


def _title(asset: Asset) -> str:
    digits = f" [{asset.sha256[:10]}]" if asset.sha256 else ""
    return f"{Path(asset.path).name}{digits}"


def _called(asked: Asked, name: object, kind: str = "checkpoint") -> Asset:
    """What a client means by a title, a model's name, a file's name or a hash.

    Raises:
        NotFoundError: Nothing is called so.
    """
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"A {kind} is named by a text.", "GET /sdapi/v1/sd-models lists them.")
    text = name.strip()
    for each in asked.registry.list(kind=kind):
        if text in (_title(each), each.name, Path(each.path).name, Path(each.path).stem):
            return each
    found = asked.registry.get(re.sub(r"\s*\[[0-9a-f]{6,64}\]$", "", text))
    if found.kind != kind:
        raise NotFoundError(f"{found.name} is no {kind}.", "GET /sdapi/v1/sd-models lists them.")
    return found


def _vaes(asked: Asked) -> list[dict[str, Any]]:
    return [{"model_name": each.name, "filename": each.path} for each in asked.registry.list(kind="vae")]


def _samplers(asked: Asked) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "aliases": [each.comfyui] if each.comfyui else [], "options": {}}
        for each in asked.registry.samplers().samplers
        if "a1111" in each.flavours
    ]


def _schedulers(asked: Asked) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name.lower().replace(" ", "_"), "label": each.name, "aliases": None, "default_rho": -1.0,
            "need_inner_model": False,
        }
        for each in asked.registry.samplers().schedules
    ]  # fmt: skip


def _loras(asked: Asked) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "alias": each.name, "path": each.path, "metadata": {}}
        for each in asked.registry.list(kind="lora")
    ]


def _embeddings(asked: Asked) -> dict[str, Any]:
    loaded = {
        each.name: {
            "step": None, "sd_checkpoint": None, "sd_checkpoint_name": each.base_model, "shape": None, "vectors": None,
        }
        for each in asked.registry.list(kind="embedding")
    }  # fmt: skip
    return {"loaded": loaded, "skipped": {}}


def _memory(_asked: Asked) -> dict[str, Any]:
    free, total = (os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") for pages in ("SC_AVPHYS_PAGES", "SC_PHYS_PAGES"))
    return {"ram": {"free": free, "used": total - free, "total": total}, "cuda": {"error": "unavailable"}}


def _progress(asked: Asked) -> dict[str, Any]:
    number = asked.queue.running
    state = {"skipped": False, "interrupted": False, "stopping_generation": False, "job": "", "job_count": 0,
             "job_timestamp": "0", "job_no": 0, "sampling_step": 0, "sampling_steps": 0}  # fmt: skip
    if number is None:
        return {"progress": 0.0, "eta_relative": 0.0, "state": state, "current_image": None, "textinfo": None}
    at = asked.queue.progress(number)
    spent = time.monotonic() - at.begun
    state |= {"job": f"job {number}", "job_count": at.pictures, "job_no": max(at.picture - 1, 0),
              "sampling_step": at.step, "sampling_steps": at.steps}  # fmt: skip
    return {
        "progress": at.fraction,
        "eta_relative": spent / at.fraction - spent if at.fraction else 0.0,
        "state": state,
        "current_image": None if at.preview is None else base64.b64encode(at.preview).decode(),
        "textinfo": None,
    }


def _interrupt(asked: Asked) -> dict[str, Any]:
    number = asked.queue.running
    if number is not None:
        asked.queue.cancel(number)
    return {}


def _not_yet(_asked: Asked) -> None:
    raise UnusableError("assetctl cannot start from a picture yet.", "Ask for txt2img.")


def _png_info(asked: Asked) -> dict[str, Any]:
    text = _DATA.sub("", asked.body["image"][:100]) + asked.body["image"][100:]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UsageError("image is no base64.", "Send the bytes of a PNG, JPEG or WebP file so.") from error
    if len(data) > _LARGEST:
        raise UsageError("The picture is too large.", f"At most {_LARGEST // 2**20} MB are read.")
    with tempfile.TemporaryDirectory(prefix="assetctl-") as folder:
        path = Path(folder, "picture")
        path.write_bytes(data)
        said = read_parameters(path)
    if said is None or said.unread:
        return {"info": "", "items": {}, "parameters": {}}
    fields = {"Prompt": said.prompt or "", "Negative prompt": said.negative_prompt or "", **said.fields}
    return {"info": said.text or "", "items": {"parameters": said.text or ""}, "parameters": fields}


def _answer(body: Mapping[str, Any], made: Sequence[Generation]) -> dict[str, Any]:
    """Pictures as A1111 hands them over."""
    data = [Path(each.image_path).read_bytes() for each in made]
    texts = [(_text(each) or "") for each in made]
    seeds = [each.settings["seed"] for each in made]
    first = dict(made[0].settings) if made else {}
    count = len(made)
    prompt, negative = body.get("prompt") or "", body.get("negative_prompt") or ""
    checkpoint = next((use for use in made[0].assets if use.role == "checkpoint"), None) if made else None
    info = {
        "prompt": prompt, "all_prompts": [prompt] * count,
        "negative_prompt": negative, "all_negative_prompts": [negative] * count,
        "seed": seeds[0] if seeds else -1, "all_seeds": seeds,
        "subseed": first.get("variation_seed", 0), "all_subseeds": [first.get("variation_seed", 0)] * count,
        "subseed_strength": first.get("variation_strength", 0),
        "width": first.get("width"), "height": first.get("height"), "sampler_name": first.get("sampler"),
        "cfg_scale": first.get("cfg_scale"), "steps": first.get("steps"), "batch_size": 1, "restore_faces": False,
        "face_restoration_model": None, "sd_model_name": checkpoint and checkpoint.name,
        "sd_model_hash": ((checkpoint and checkpoint.sha256) or "")[:10], "sd_vae_name": None, "sd_vae_hash": None,
        "seed_resize_from_w": -1, "seed_resize_from_h": -1, "denoising_strength": None,
        "extra_generation_params": {}, "index_of_first_image": 0, "infotexts": texts, "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S"), "clip_skip": first.get("clip_skip", 1),
        "is_using_inpainting_conditioning": False, "version": "assetctl",
    }  # fmt: skip
    images = [base64.b64encode(each).decode() for each in data] if body.get("send_images") is not False else []
    return {"images": images, "parameters": dict(body), "info": orjson.dumps(info).decode()}


def _pictures(asked: Asked, job: Job) -> list[Generation]:
    return [asked.registry.generation(number) for number in job.pictures]


def _text(picture: Generation) -> str | None:
    said = read_parameters(Path(picture.image_path))
    return None if said is None else said.text


async def _in_thread(call: Any, *arguments: Any) -> Any:  # noqa: ANN401 - whatever it is
    from starlette.concurrency import run_in_threadpool  # noqa: PLC0415

    return await run_in_threadpool(call, *arguments)
