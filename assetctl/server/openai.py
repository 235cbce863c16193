"""OpenAI's face, `/v1/images/generations` and `/v1/models`: a model is a checkpoint."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from assetctl.errors import AssetctlError, GenerationError, NotFoundError, UnusableError, UsageError
from assetctl.request import MAX_COUNT
from assetctl.server.app import Face, status_of
from assetctl.server.endpoints import TEXT, Asked, Endpoint
from assetctl.server.requests import job_of, request_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.server.endpoints import Schema
    from assetctl.types import Asset

_TEXT_OR_NONE: Schema = {"type": ["string", "null"]}
_WHOLE_OR_NONE: Schema = {"type": ["integer", "null"]}

#: What clients send for OpenAI's own models, and which changes nothing of ours.
_PASSED_OVER = ("quality", "style", "user", "background", "moderation", "output_compression", "stream",
                "partial_images")  # fmt: skip

#: When an asset came of which nobody knows.
_LONG_AGO = "1970-01-01T00:00:00Z"

_SIZE = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")


class OpenAI(Face):
    """OpenAI's API over one home."""

    title = "OpenAI's API"

    def __init__(self) -> None:
        fields = {
            "prompt": TEXT, "model": _TEXT_OR_NONE, "n": _WHOLE_OR_NONE, "size": _TEXT_OR_NONE,
            "response_format": {"type": ["string", "null"], "enum": ["b64_json", "url", None]},
            "output_format": {"type": ["string", "null"], "enum": ["png", None]}, "seed": _WHOLE_OR_NONE,
            "negative_prompt": _TEXT_OR_NONE, "steps": _WHOLE_OR_NONE, **{name: {} for name in _PASSED_OVER},
        }  # fmt: skip
        super().__init__((
            Endpoint("GET", "/v1/models", _models, "Checkpoints.", open=True),
            Endpoint("GET", "/v1/models/{name:path}", _model, "A checkpoint.", open=True),
            Endpoint(
                "POST", "/v1/images/generations", _generations, "Make pictures of a text.", body=fields,
                required=("prompt",),
            ),
            *(
                Endpoint("POST", f"/v1/images/{name}", _not_yet, "Not yet.", open=True)
                for name in ("edits", "variations")
            ),
        ))  # fmt: skip

    def failure(self, error: AssetctlError) -> Response:
        """An error, as OpenAI has it."""
        status = status_of(error)
        kind = "invalid_request_error" if status < 500 else "server_error"
        message = error.message if error.hint is None else f"{error.message} {error.hint}"
        said = {"error": {"message": message, "type": kind, "param": None, "code": error.code}}
        return Response(orjson.dumps(said), status, media_type="application/json")


def _shown(asset: Asset) -> dict[str, Any]:
    added = datetime.strptime(asset.added_at or _LONG_AGO, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return {"id": asset.name, "object": "model", "created": int(added.timestamp()), "owned_by": "assetctl"}


def _models(asked: Asked) -> dict[str, Any]:
    return {"object": "list", "data": [_shown(each) for each in asked.registry.list(kind="checkpoint")]}


def _model(asked: Asked) -> dict[str, Any]:
    return _shown(_checkpoint(asked, asked.path["name"]))


def _checkpoint(asked: Asked, name: str | None) -> Asset:
    if name is not None:
        found = asked.registry.get(name)
        if found.kind != "checkpoint":
            raise NotFoundError(f"{found.name} is no checkpoint.", "GET /v1/models lists them.")
        return found
    latest = asked.registry.list(kind="checkpoint", sort="used", limit=1)
    if not latest:
        raise NotFoundError("There is no checkpoint.", "`assetctl pull` or `assetctl import` one.")
    return latest[0]


async def _generations(asked: Asked) -> dict[str, Any]:
    wanted = await run_in_threadpool(_wanted, asked)
    job = asked.queue.submit("generate", wanted)
    job = await asked.queue.ended(job.id)
    if job.status != "done":
        said = job.error or {"message": "The job was cancelled.", "hint": None}
        raise GenerationError(str(said["message"]), said.get("hint"))
    made = [await run_in_threadpool(asked.registry.generation, number) for number in job.pictures]
    if asked.body.get("response_format") == "url":
        data = [{"url": f"{asked.base}/v1/pictures/{each.number}/file"} for each in made]
    else:
        data = [
            {"b64_json": base64.b64encode(await run_in_threadpool(Path(each.image_path).read_bytes)).decode()}
            for each in made
        ]
    return {"created": int(time.time()), "data": data}


def _wanted(asked: Asked) -> dict[str, Any]:
    """What a job is to make."""
    body: Mapping[str, Any] = asked.body
    count = 1 if body.get("n") is None else body["n"]
    if not 1 <= count <= min(10, MAX_COUNT):
        raise UsageError("n must be 1 to 10.", "Ask for fewer at a time.")
    if body.get("stream"):
        raise UnusableError("assetctl streams no pictures here.", "Leave stream out.")
    wanted: dict[str, Any] = {
        "prompt": body["prompt"], "checkpoint": _checkpoint(asked, body.get("model")).name, "num_images": count,
    }  # fmt: skip
    size = body.get("size")
    if size not in (None, "auto"):
        sides = _SIZE.fullmatch(size)
        if sides is None:
            raise UsageError(f"size is {size!r:.40}.", "Write it as 512x512.")
        wanted |= {"width": int(sides[1]), "height": int(sides[2])}
    wanted |= {name: body[name] for name in ("seed", "negative_prompt", "steps") if body.get(name) is not None}
    made = job_of(wanted)
    asked.registry.plan(request_of(made))
    return made


def _not_yet(_asked: Asked) -> None:
    raise UnusableError("assetctl cannot start from a picture yet.", "Ask for images/generations.")
