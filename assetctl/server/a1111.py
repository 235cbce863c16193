"""A1111's face, `/sdapi/v1`: its names, its defaults, its answers, for programs that speak to it."""

from __future__ import annotations

import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from assetctl.errors import AssetctlError, NotFoundError, UnusableError
from assetctl.server import a1111_answers as answers
from assetctl.server.a1111_fields import CHOICES, FIELDS, TXT2IMG, Txt2Img, job_said, kept, settings_of, usual_settings
from assetctl.server.app import Face, status_of
from assetctl.server.endpoints import FLAG, LARGEST_PICTURE, TEXT, Answer, Asked, Endpoint
from assetctl.server.face import Words
from assetctl.server.requests import request_of
from assetctl.server.waiting import NOT_YET, Fields, about, make

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.server.endpoints import Schema
    from assetctl.types import Asset

_BASE = "/sdapi/v1"

#: Bytes that a picture has as base64.
_LARGEST = LARGEST_PICTURE * 4 // 3 + 2**16

#: Lists of what there is none of here, and of which A1111's clients ask at their start.
_NONE = {
    "latent-upscale-modes": "Latent upscalers", "hypernetworks": "Hypernetworks", "face-restorers": "Face restorers",
    "realesrgan-models": "Upscalers", "prompt-styles": "Styles", "script-info": "Scripts", "extensions": "Extensions",
}  # fmt: skip
_REFRESHES = (
    "refresh-checkpoints", "refresh-vae", "refresh-loras", "refresh-embeddings", "reload-checkpoint",
    "unload-checkpoint",
)  # fmt: skip

#: What starts from a picture.
_CANNOT = ("img2img", "extra-single-image", "extra-batch-images", "interrogate")

#: What Gradio says of its queue, which some plug-ins ask to see whether somebody is there.
_QUEUE = {
    "msg": "estimation", "rank": None, "queue_size": 0, "avg_event_process_time": None,
    "avg_event_concurrent_process_time": None, "rank_eta": None, "queue_eta": 0,
}  # fmt: skip

_OBJECT: Schema = {"type": "object"}
_OBJECTS: Schema = {"type": "array", "items": {"type": "object"}}
_ANSWERS: Mapping[str, Schema] = {
    "txt2img": {
        "type": "object", "required": ["images", "parameters", "info"],
        "properties": {"images": {"type": "array", "items": TEXT}, "parameters": _OBJECT, "info": TEXT},
    },
    "png-info": {
        "type": "object", "required": ["info", "items", "parameters"],
        "properties": {"info": TEXT, "items": _OBJECT, "parameters": _OBJECT},
    },
    "progress": {
        "type": "object", "required": ["progress", "eta_relative", "state", "current_image", "textinfo"],
        "properties": {
            "progress": {"type": "number"}, "eta_relative": {"type": "number"}, "state": _OBJECT,
            "current_image": {"type": ["string", "null"]}, "textinfo": {"type": ["string", "null"]},
        },
    },
    **dict.fromkeys(
        ("sd-models", "sd-vae", "samplers", "schedulers", "loras", "upscalers", *_NONE), _OBJECTS
    ),
    **dict.fromkeys(("embeddings", "memory", "cmd-flags", "scripts"), _OBJECT),
}  # fmt: skip


#: What fields of `/v1/generate` are called here.
_CALLED: Mapping[str, str] = {
    "checkpoint": "sd_model_checkpoint", "vae": "sd_vae", "sampler": "sampler_name", "variation_seed": "subseed",
    **FIELDS,
}  # fmt: skip


def _typed(fields: Mapping[str, Any]) -> str | None:
    """Fields of `/v1/generate` as `txt2img` takes them; `None` where it has no such."""
    body: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    for name, value in fields.items():
        called = _CALLED.get(name, name)
        if called in TXT2IMG:
            body[called] = value
        elif called in (*CHOICES, *FIELDS.values()):
            settings[called] = value
        elif name != "loras":
            return None
    body |= {"override_settings": settings} if settings else {}
    tags = [f"<lora:{name}:{1 if weight is None else weight:g}>" for name, weight in fields.get("loras", {}).items()]
    return ", ".join([json.dumps(body, ensure_ascii=False)[1:-1], *tags] if body else tags)


class A1111(Face):
    """A1111's API over one home. What `options` sets is kept as long as the server runs."""

    title = "A1111"
    words = Words.of(
        {
            "--checkpoint": _CALLED["checkpoint"], "--vae": _CALLED["vae"], "--lora": "<lora:…> in the prompt",
            "--negative": "negative_prompt", "--prompt": "prompt", "--count": "batch_size and n_iter",
        },
        lambda option: _CALLED.get(option.name, option.name),
        _typed,
    )  # fmt: skip

    def __init__(self) -> None:
        self._settings: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._jobs: set[int] = set()
        self._interrupted: set[int] = set()
        super().__init__((*self._read(), *self._written()))

    def failure(self, error: AssetctlError) -> Response:
        """An error, as A1111 has it."""
        status = {400: 422}.get(status_of(error), status_of(error))
        said = self.words.within(answers.error_said(error))
        return Response(orjson.dumps(said), status, media_type="application/json")

    def schema(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """The JSON Schema of an answer."""
        if (endpoint.method, endpoint.path) == ("GET", f"{_BASE}/options"):
            return _OBJECT
        return _ANSWERS.get(endpoint.path.removeprefix(f"{_BASE}/"), {})

    def _read(self) -> list[Endpoint]:
        """What only tells."""
        found = {
            "sd-models": (answers.models, "Checkpoints."),
            "sd-vae": (answers.vaes, "VAEs."),
            "samplers": (answers.samplers, "Samplers."),
            "schedulers": (answers.schedulers, "Schedules."),
            "loras": (answers.loras, "LoRAs."),
            "embeddings": (self._embeddings, "Embeddings: those that fit the checkpoint, and those that do not."),
            "options": (self._options, "What is chosen."),
            "cmd-flags": (lambda _: {}, "Flags of the command line, of which there are none."),
            "memory": (answers.memory, "Memory."),
            "scripts": (lambda _: {"txt2img": [], "img2img": []}, "Scripts, of which there are none."),
            "upscalers": (lambda _: [answers.NO_UPSCALER], "Upscalers, of which there are none."),
            **{name: (lambda _: [], f"{words}, of which there are none.") for name, words in _NONE.items()},
        }
        return [
            *(Endpoint("GET", f"{_BASE}/{name}", answer, words, open=True) for name, (answer, words) in found.items()),
            Endpoint(
                "GET", f"{_BASE}/progress", self._progress, "How far the job at work is.",
                query={"skip_current_image": FLAG}, open=True,
            ),
            Endpoint("GET", "/internal/ping", lambda _: {}, "Whether somebody is there.", open=True),
            Endpoint("GET", "/queue/status", lambda _: _QUEUE, "Likewise, as Gradio has it.", open=True),
        ]  # fmt: skip

    def _written(self) -> list[Endpoint]:
        """What is sent somewhere."""
        return [
            Txt2Img("POST", f"{_BASE}/txt2img", self._txt2img, "Make pictures of a text.", body=TXT2IMG, open=True),
            Fields(
                "POST", f"{_BASE}/options", self._set_options, "Choose a checkpoint, a VAE, or settings.",
                body=dict.fromkeys(CHOICES, TEXT | {"type": ["string", "null"]}), open=True,
            ),
            Fields(
                "POST", f"{_BASE}/png-info", answers.png_info, "What a picture says of how it was made.",
                body={"image": TEXT | {"maxLength": _LARGEST}}, required=("image",), open=True, largest=_LARGEST,
                heavy=True,
            ),
            Fields("POST", f"{_BASE}/interrupt", self._interrupt, "Stop the job at work.", body={}, open=True),
            Fields("POST", f"{_BASE}/skip", self._skip, "Stop the picture at work, the last one.", body={}, open=True),
            *(
                Fields("POST", f"{_BASE}/{name}", lambda _: None, "Nothing.", body={}, open=True)
                for name in _REFRESHES
            ),
            *(
                Endpoint("POST", f"{_BASE}/{name}", _cannot, "Not yet.", status=NOT_YET, largest=_LARGEST)
                for name in _CANNOT
            ),
        ]  # fmt: skip

    # checkpoints and settings

    def _options(self, asked: Asked) -> dict[str, Any]:
        try:
            chosen = self._checkpoint(asked)
        except AssetctlError:  # it was removed, or renamed
            chosen = None
        return {
            **usual_settings(),
            **self._settings,
            "sd_model_checkpoint": None if chosen is None else answers.title_of(chosen),
            "sd_checkpoint_hash": None if chosen is None else chosen.sha256,
        }

    def _set_options(self, asked: Asked) -> None:
        self._keep(asked, asked.body)

    def _keep(self, asked: Asked, given: Mapping[str, Any]) -> None:
        """Have settings hold from now on.

        Raises:
            UsageError, UnusableError: One makes no sense, or is not obeyed.
            NotFoundError: There is no such asset.
        """
        own, settings = settings_of(given), kept(given)
        if settings.get("sd_model_checkpoint") is not None:
            with about("sd_model_checkpoint"):
                settings["sd_model_checkpoint"] = answers.called(asked, settings["sd_model_checkpoint"]).name
        else:
            settings.pop("sd_model_checkpoint", None)
        vae = answers.vae_of(asked, settings)
        checkpoint = self._checkpoint(asked, settings.get("sd_model_checkpoint")) if "clip_skip" in own else None
        if checkpoint is not None:
            with about("CLIP_stop_at_last_layers"):  # which depends on the checkpoint, and else fails all that follows
                asked.registry.plan(request_of(job_said({}, {**own, "checkpoint": checkpoint.name, **vae})))
        with self._lock:
            self._settings = {**self._settings, **settings}

    def _checkpoint(self, asked: Asked, wanted: str | None = None) -> Asset | None:
        """That which was chosen; the one that was used last, when nobody has chosen, which is kept from then on."""
        name = wanted or self._settings.get("sd_model_checkpoint")
        if name is not None:
            with about("sd_model_checkpoint"):
                return answers.called(asked, name)
        found = next(iter(asked.registry.list(kind="checkpoint", sort="used", limit=1)), None)
        if found is not None:
            with self._lock:
                self._settings = {"sd_model_checkpoint": found.name, **self._settings}
        return found

    def _embeddings(self, asked: Asked) -> dict[str, Any]:
        there = asked.registry.list(kind="embedding")
        try:
            chosen = self._checkpoint(asked)
            fitting = [] if chosen is None else asked.registry.fitting(chosen.name, kind="embedding")
            fits = {asset.name for asset, _ in fitting}
        except AssetctlError:  # nobody knows what fits a checkpoint of no known family
            fits = {each.name for each in there}
        return {
            "loaded": {each.token: answers.embedding_said(each) for each in there if each.name in fits},
            "skipped": {each.token: answers.embedding_said(each) for each in there if each.name not in fits},
        }

    # pictures

    @property
    def _has_previews(self) -> bool:
        """Whether pictures are shown on their way, from the first time that somebody asks how far they are."""
        return self._settings.get("live_previews_enable") is not False

    async def _txt2img(self, asked: Asked) -> dict[str, Any]:
        wanted = await asked.worked_out(self._wanted, asked)
        number = None

        def begun(job: int) -> None:
            nonlocal number
            number = job
            self._jobs.add(job)

        try:
            made = await make(asked, wanted, begun, previews=self._has_previews)
        finally:
            if number is not None:
                self._jobs.discard(number)
                self._interrupted.discard(number)
        return await run_in_threadpool(answers.answered, asked.body, made)

    def _wanted(self, asked: Asked) -> dict[str, Any]:
        """What a job is to make."""
        body = asked.body
        override = body.get("override_settings") or {}
        with about("override_settings"):
            own = settings_of(override)
        settings = {**self._settings, **override}
        checkpoint = self._checkpoint(asked, settings.get("sd_model_checkpoint"))
        if checkpoint is None:
            raise NotFoundError("There is no checkpoint.", "`assetctl pull` or `assetctl import` one.")
        chosen = {
            **settings_of(self._settings),
            **own,
            "checkpoint": checkpoint.name,
            **answers.vae_of(asked, settings),
        }
        wanted = job_said(body, chosen)
        asked.queue.foresee(request_of(wanted))
        if body.get("override_settings_restore_afterwards") is False:
            self._keep(asked, override)
        return wanted

    def _interrupt(self, asked: Asked) -> dict[str, Any]:
        number = asked.queue.painting
        if number is not None and number in self._jobs:
            self._interrupted.add(number)
            asked.queue.cancel(number)
        return {}

    def _skip(self, asked: Asked) -> None:
        number = asked.queue.painting
        at = None if number is None else asked.queue.progress(number)
        if at is not None and at.picture < at.pictures:
            raise UnusableError("assetctl cannot skip one of several pictures yet.", "Interrupt: those made are kept.")
        self._interrupt(asked)

    def _progress(self, asked: Asked) -> dict[str, Any]:
        number = asked.queue.painting
        if number is None:
            return {
                "progress": 0.0,
                "eta_relative": 0.0,
                "state": answers.idle_state(),
                "current_image": None,
                "textinfo": None,
            }
        shown = not asked.query.get("skip_current_image", False) and self._has_previews
        at = asked.queue.progress(number, previews=shown)
        spent = time.monotonic() - at.begun
        done = min(0.01 + at.fraction, 1.0)  # 0 is what A1111's clients know as: nothing is at work
        state = answers.idle_state() | {
            "interrupted": number in self._interrupted, "job": f"job {number}", "job_count": max(at.pictures, 1),
            "job_no": max(at.picture - 1, 0), "sampling_step": at.step, "sampling_steps": at.steps,
            "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(time.time() - spent)),
        }  # fmt: skip
        image = base64.b64encode(at.preview).decode() if shown and at.preview is not None else None
        return {
            "progress": done, "eta_relative": spent / done - spent, "state": state, "current_image": image,
            "textinfo": None,
        }  # fmt: skip


def _cannot(_asked: Asked) -> Answer:
    error = UnusableError("assetctl cannot start from a picture yet.", "Ask for txt2img.")
    return Answer(answers.error_said(error), NOT_YET)
