"""OpenAI's face, `/v1/images/generations` and `/v1/models`: a model is a checkpoint, or a recipe of a manifest."""

from __future__ import annotations

import base64
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from assetctl.errors import AmbiguousNameError, AssetctlError, NotFoundError, UnusableError, UsageError
from assetctl.request import Request
from assetctl.server.app import Face, status_of
from assetctl.server.endpoints import LARGEST_PICTURE, PROMPT, TEXT, Answer, Asked, Endpoint
from assetctl.server.requests import SETTINGS, job_of, request_of
from assetctl.server.waiting import NOT_YET, Fields, about, make, option_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from assetctl.server.endpoints import Schema
    from assetctl.server.waiting import Made
    from assetctl.types import Asset

_TEXT_OR_NONE: Schema = TEXT | {"type": ["string", "null"]}
_WHOLE_OR_NONE: Schema = {"type": ["integer", "null"]}

#: What clients send for OpenAI's own models, with the values that ask for nothing; `None` where that is any value.
_PASSED_OVER: Mapping[str, tuple[Any, ...] | None] = {
    "quality": None, "style": None, "user": None, "moderation": None, "output_compression": None,
    "partial_images": None, "background": (None, "auto", "opaque"), "stream": (None, False),
    "output_format": (None, "png"),
}  # fmt: skip

_FORMATS = ("b64_json", "url", None)

#: Options of a picture that may be sent besides, as `/v1/generate` calls them; a size is one already.
_EXTRAS = tuple(name for name in SETTINGS if name not in ("width", "height"))

_FIELDS: Mapping[str, Schema] = {
    "prompt": PROMPT | {"minLength": 1, "description": "What the pictures show."},
    "model": _TEXT_OR_NONE | {"description": "A checkpoint or a recipe: GET /v1/models lists them."},
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": 10, "description": "How many: by default 1."},
    "size": _TEXT_OR_NONE | {"description": "`512x768`, or `auto` for the checkpoint's own."},
    "response_format": {
        "type": ["string", "null"], "enum": list(_FORMATS),
        "description": "How pictures are handed over: by default both ways.",
    },
    "seed": _WHOLE_OR_NONE | {"description": "Of the first picture; the others count on from it."},
    "negative_prompt": PROMPT | {"type": ["string", "null"], "description": "What they must not show."},
    **{name: {"description": "Passed over, or refused where it asks for something."} for name in _PASSED_OVER},
    **{
        name: SETTINGS[name] | {"type": [SETTINGS[name]["type"], "null"]} for name in _EXTRAS
    },
}  # fmt: skip

#: When an asset came of which nobody knows.
_LONG_AGO = "1970-01-01T00:00:00Z"

_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")

_MODEL: Schema = {
    "type": "object", "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": TEXT, "object": {"const": "model"}, "created": {"type": "integer"}, "owned_by": TEXT,
    },
}  # fmt: skip
_PICTURES: Schema = {
    "type": "object", "required": ["created", "data"],
    "properties": {
        "created": {"type": "integer"},
        "data": {
            "type": "array",
            "items": {
                "type": "object", "properties": {"b64_json": TEXT, "url": TEXT, "seed": {"type": "integer"}},
            },
        },
    },
}  # fmt: skip


class OpenAI(Face):
    """OpenAI's API over one home.

    Args:
        manifest: Whose recipes are models too.
    """

    title = "OpenAI"

    def __init__(self, manifest: Path | None = None) -> None:
        self._manifest = manifest
        version: dict[str, Schema] = {"api-version": TEXT}
        super().__init__((
            Endpoint("GET", "/v1/models", self._models, "Checkpoints and recipes.", query=version, open=True),
            Endpoint("GET", "/v1/models/{name:path}", self._model, "One of them.", query=version, open=True),
            Fields(
                "POST", "/v1/images/generations", self._generations, "Make pictures of a text.", query=version,
                body=_FIELDS, required=("prompt",),
            ),
            *(
                Endpoint(
                    "POST", f"/v1/images/{name}", self._cannot, "Not yet.", query=version, status=NOT_YET,
                    largest=LARGEST_PICTURE,
                )
                for name in ("edits", "variations")
            ),
        ))  # fmt: skip

    def failure(self, error: AssetctlError) -> Response:
        """An error, as OpenAI has it."""
        status = status_of(error)
        headers = {"x-should-retry": "false"} if status >= 500 else {}  # else its clients try twice more by themselves
        return Response(orjson.dumps(self.words.within(_said(error, status))), status, headers, "application/json")

    def schema(self, endpoint: Endpoint) -> Mapping[str, Any]:
        """The JSON Schema of an answer."""
        if endpoint.path == "/v1/models":
            listed = {"object": {"const": "list"}, "data": {"type": "array", "items": _MODEL}}
            return {"type": "object", "required": list(listed), "properties": listed}
        return {"/v1/images/generations": _PICTURES, "/v1/models/{name:path}": _MODEL}.get(endpoint.path, {})

    # models

    def _recipes(self) -> Mapping[str, Request]:
        if self._manifest is None or not self._manifest.exists():
            return {}
        from assetctl.manifest.manifest import read_manifest  # noqa: PLC0415 - most servers are given none

        return read_manifest(self._manifest).recipes

    def _models(self, asked: Asked) -> dict[str, Any]:
        checkpoints = [_shown(each) for each in asked.registry.list(kind="checkpoint")]
        names = {each["id"] for each in checkpoints}
        try:
            recipes = self._recipes()
        except AssetctlError:  # told to whoever asks for one; checkpoints are models in spite of it
            recipes = {}
        return {"object": "list", "data": [*(_entry(each) for each in recipes if each not in names), *checkpoints]}

    def _model(self, asked: Asked) -> dict[str, Any]:
        name = asked.path["name"]
        found = self._found(asked, name)
        return _entry(name) if isinstance(found, Request) else _shown(found)

    def _found(self, asked: Asked, name: str | None) -> Asset | Request:
        """The checkpoint or recipe that a model is; of no name, the checkpoint that was used last.

        Raises:
            NotFoundError, AmbiguousNameError: There is none, or there are several.
        """
        with about("model"):
            if name is None:
                latest = asked.registry.list(kind="checkpoint", sort="used", limit=1)
                if not latest:
                    raise NotFoundError("There is no checkpoint.", "`assetctl pull` or `assetctl import` one.")
                return latest[0]
            try:
                found = asked.registry.get(name)
            except NotFoundError:
                recipe = self._recipes().get(name)
                if recipe is None:
                    raise NotFoundError(f"There is no model {name!r:.80}.", "GET /v1/models lists them.") from None
                return recipe
            if found.kind != "checkpoint":
                raise NotFoundError(f"{found.name} is no checkpoint.", "GET /v1/models lists them.")
            return found

    # pictures

    async def _generations(self, asked: Asked) -> dict[str, Any]:
        wanted = await asked.worked_out(self._wanted, asked)
        made = await make(asked, wanted)
        if made.job.status != "done":
            raise UnusableError("The job was cancelled.", "Ask again.")
        return await run_in_threadpool(_answered, asked, made)

    def _wanted(self, asked: Asked) -> dict[str, Any]:
        """What a job is to make."""
        body = asked.body
        for name, idle in _PASSED_OVER.items():
            if idle is not None and name in body and body[name] not in idle:
                with about(name):
                    raise UnusableError(f"assetctl cannot do {name} {body[name]!r:.40}.", "Leave it out.")
        settings = {name: option_of(name, body[name], name) for name in _EXTRAS if body.get(name) is not None}
        settings |= _sides(body.get("size"))
        model = self._found(asked, body.get("model") or None)
        wanted: dict[str, Any] = {}
        wanted |= _of_recipe(asked, model) if isinstance(model, Request) else {"checkpoint": model.name}
        wanted |= {"prompt": body["prompt"], **settings}
        if body.get("negative_prompt") is not None:
            wanted["negative_prompt"] = body["negative_prompt"]
        wanted["num_images"] = body.get("n") or 1
        if body.get("seed") is not None:
            wanted["seed"] = option_of("seed", body["seed"], "seed")
        made = job_of(wanted)
        asked.queue.foresee(request_of(made))
        return made

    def _cannot(self, _asked: Asked) -> Answer:
        error = UnusableError("assetctl cannot start from a picture yet.", "Ask for /v1/images/generations.")
        return Answer(_said(error, NOT_YET), NOT_YET, {"x-should-retry": "false"})


def _said(error: AssetctlError, status: int) -> dict[str, Any]:
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = error.code
    if isinstance(error, (NotFoundError, AmbiguousNameError)) and error.reference == "model":
        code = "model_not_found"
    message = error.message if error.hint is None else f"{error.message} {error.hint}"
    return {"error": {"message": message, "type": kind, "param": error.reference, "code": code}}


def _shown(asset: Asset) -> dict[str, Any]:
    added = datetime.strptime(asset.added_at or _LONG_AGO, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    return _entry(asset.name, int(added.timestamp()))


def _entry(name: str, created: int = 0) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "assetctl"}


def _sides(size: str | None) -> dict[str, int]:
    """Width and height.

    Raises:
        UsageError: It is no size.
    """
    if size in (None, "", "auto"):
        return {}
    sides = _SIZE.fullmatch(size or "")
    if sides is None:
        with about("size"):
            raise UsageError(f"size is {size!r:.40}.", "Write it as 512x512.")
    named = zip(("width", "height"), sides.groups(), strict=True)
    return {name: option_of(name, int(side), "size") for name, side in named}


def _of_recipe(asked: Asked, recipe: Request) -> dict[str, Any]:
    """What a job says that is to be as a recipe has it."""
    wanted: dict[str, Any] = {"loras": {}, "embeddings": [], **recipe.settings}
    for use in recipe.uses:
        role = use.role or asked.registry.get(use.reference).kind
        if role == "lora":
            wanted["loras"][use.reference] = use.weight
        elif role == "embedding":
            wanted["embeddings"].append(use.reference)
        else:
            wanted[role] = use.reference
    for name in ("negative_prompt", "auto_embeddings", "dynamic"):
        if getattr(recipe, name) is not None:
            wanted[name] = getattr(recipe, name)
    return wanted


def _answered(asked: Asked, made: Made) -> dict[str, Any]:
    """Pictures as OpenAI hands them over: where nothing is said, some clients look for one form, some for the other."""
    form = asked.body.get("response_format")
    data: list[dict[str, Any]] = []
    for picture, content in zip(made.pictures, made.data, strict=True):
        entry: dict[str, Any] = {"seed": picture.settings["seed"]}
        if form != "url":
            entry["b64_json"] = base64.b64encode(content).decode()
        if form != "b64_json":
            entry["url"] = f"{asked.base}/v1/pictures/{picture.number}/file"
        data.append(entry)
    return {"created": int(time.time()), "output_format": "png", "data": data}
