"""assetctl's own face, `/v1`: assets, and what is asked about them. Answers are the documents that `--json` prints."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import assetctl
from assetctl.errors import NotFoundError, UsageError
from assetctl.operations.acquire.upload import Upload
from assetctl.operations.library.edit import Changes
from assetctl.server.endpoints import (
    FLAG,
    LARGEST_FILE,
    NAME,
    NAMES,
    NUMBER,
    PROMPT,
    TEXT,
    Answer,
    Asked,
    Endpoint,
)
from assetctl.server.face import Face
from assetctl.server.own_jobs import JOBS
from assetctl.server.requests import PICTURES, SELECTION, request_of, see_tokens
from assetctl.server.views import Health, family_views, options
from assetctl.types import Fitting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.operations.acquire.search import SearchHit
    from assetctl.operations.library.identify_files import Identified
    from assetctl.operations.library.remove import Removal
    from assetctl.operations.select.prompts import PromptReading
    from assetctl.samplers import SamplerListing
    from assetctl.server.endpoints import Schema
    from assetctl.server.views import FamilyView, OptionView
    from assetctl.types import Asset, CheckReport

#: Characters of a file's metadata that are told: those of a large LoRA have a tenth of that.
_MOST_METADATA = 2**22

#: Assets of a page, and how many there can be; how far a ranked list goes.
_PAGE, _LARGEST_PAGE, _DEEPEST = 50, 1000, 10_000

_LIMIT: Schema = {
    "type": "integer", "minimum": 1, "maximum": _LARGEST_PAGE,
    "description": f"How many at most: by default {_PAGE}. A `Link` header says where the next ones are.",
}  # fmt: skip
_OFFSET: Schema = {
    "type": "integer", "minimum": 0, "maximum": _DEEPEST, "description": "How many of a ranked list to pass over.",
}  # fmt: skip

_FILTERS: Mapping[str, Schema] = {
    "kind": NAME | {"description": "checkpoint, lora, embedding, vae, controlnet…"},
    "family": TEXT | {"description": "sd1, sd2, sdxl, flux1…; empty for unknown."},
    "base_model": TEXT | {"description": "“SD 1.5”, Pony, Illustrious…; empty for unknown."},
    "format": TEXT | {"description": "safetensors, diffusers, pickle, gguf or png."},
}

#: Those of `q`; others do not go with it.
_RANKED = ("in_store", "sort", "after", "fits")


def _assets(asked: Asked) -> Answer:
    query = dict(asked.query)
    asked.registry.require_family(query.get("family"))
    limit, words, fits = query.pop("limit", _PAGE), query.pop("q", None), query.pop("fits", None)
    if words is None and fits is None:
        if "offset" in query:
            raise UsageError("offset goes with q and fits alone.", "Go on after the last asset's name, with after.")
        query["tags"] = query.pop("tag", ())
        assets = asked.registry.list(limit=limit, **query)
        return _page(asked, assets, {"after": assets[-1].name} if len(assets) == limit else None)
    _see_ranked(asked.query)
    start = query.pop("offset", 0)
    ranked: Sequence[object]
    query["tags"] = query.pop("tag", ())
    if words is not None:
        ranked = asked.registry.search(words, limit=limit, offset=start, **query)
    else:
        fitting = asked.registry.fitting(str(fits), limit=start + limit, **query)
        ranked = [Fitting(asset, fit) for asset, fit in fitting[start:]]
    more = {"offset": start + limit} if len(ranked) == limit and start + limit <= _DEEPEST else None
    return _page(asked, ranked, more)


def _see_ranked(query: Mapping[str, object]) -> None:
    without = _RANKED if "q" in query else ("sort", "after")
    wrong = next((each for each in without if each in query), None)
    if wrong is not None:
        raise UsageError(f"{wrong} does not go with {'q' if 'q' in query else 'fits'}.", "Leave one of them out.")


def _page(asked: Asked, found: Sequence[object], more: Mapping[str, object] | None) -> Answer:
    """A page of a list, and where the next one is."""
    if more is None:
        return Answer(found)
    query = {**asked.query, **more}
    said = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
    return Answer(found, headers={"link": f'<{asked.base}/v1/assets?{urlencode(said, doseq=True)}>; rel="next"'})


def _upload(asked: Asked) -> Upload:
    return Upload(asked.query["filename"], asked.chunks, asked.size)


def _add(asked: Asked) -> Answer:
    result = asked.registry.upload(_upload(asked), name=asked.query.get("name"), tags=asked.query.get("tag", ()))
    return Answer(result.asset, 200 if result.known else 201, warnings=result.warnings)


def _identify(asked: Asked) -> Identified:
    return asked.registry.identify_upload(_upload(asked))


def _asset(asked: Asked) -> Answer:
    details = asked.registry.inspect(asked.path["name"], hashes=False)
    left, told = _MOST_METADATA, dict[str, str]()
    for key, value in details.metadata.items():
        if len(key) + len(value) > left:
            warning = f"Of the file's metadata, {len(details.metadata) - len(told)} entries are too large to be told."
            return Answer(replace(details, metadata=told), warnings=[f"{warning} `assetctl inspect` tells them."])
        left -= len(key) + len(value)
        told[key] = value
    return Answer(details)


def _edit(asked: Asked) -> Asset:
    body = dict(asked.body)
    for name in ("trigger_words", "add_tags", "remove_tags", "reset"):
        if name in body:
            body[name] = tuple(body[name])
    if "preview" in body:  # a number alone, written as no file is called: a path of this machine is nobody's to name
        body["preview"] = "" if body["preview"] is None else f"{body['preview']:018}"
    return asked.registry.edit(_exactly(asked).name, Changes(**body))


def _exactly(asked: Asked) -> Asset:
    """The asset that is called so: what is changed or deleted is named whole, and by no path."""
    asset = asked.registry.get(asked.path["name"])
    if asset.name != asked.path["name"]:
        raise NotFoundError(f"There is no asset {asked.path['name']!r:.60}.", "Name it as GET /v1/assets does.")
    return asset


def _remove(asked: Asked) -> Removal:
    removal = asked.registry.plan_removal(_exactly(asked).name)
    entry = asked.registry.remove(removal)
    return replace(removal, removed=True, trash=None if entry is None else entry.id)


def _check(asked: Asked) -> CheckReport:
    body = dict(asked.body)
    purpose, commercial = body.pop("for", None), body.pop("commercial", False)
    see_tokens(body, asked.registry)
    return asked.registry.check(request_of(body), purpose=purpose, commercial=commercial)


def _prompt(asked: Asked) -> PromptReading:
    return asked.registry.prompt(
        asked.body["prompt"],
        checkpoint=asked.body.get("checkpoint"),
        embeddings=asked.body.get("embeddings", ()),
        auto_embeddings=asked.body.get("auto_embeddings", True),
    )


def _search(asked: Asked) -> Sequence[SearchHit]:
    query = dict(asked.query)
    return asked.registry.search_source(query.pop("source"), query.pop("q"), **query)


def _samplers(asked: Asked) -> SamplerListing:
    return asked.registry.samplers()


def _families(_asked: Asked) -> list[FamilyView]:
    return family_views()


def _options(_asked: Asked) -> list[OptionView]:
    return options()


def _health(asked: Asked) -> Health:
    return Health(str(assetctl.__version__), asked.registry.jobs.count("queued"), asked.queue.running)


_NAME_IN_PATH = "All that is known of an asset, by its name or by six digits of its hash and more."

_FILE: Mapping[str, Schema] = {"filename": NAME | {"description": "What the file is called, without folders."}}

OWN = Face(
    (
        Endpoint(
            "GET", "/v1/assets", _assets, "List assets, search them, or find what fits a checkpoint.",
            "list[types.Asset] | list[types.Fitting]", group="Assets",
            query={
                **_FILTERS,
                "tag": NAMES | {"description": "Only with this tag; can be repeated."},
                "in_store": FLAG | {"description": "Only what assetctl keeps, or only what lies elsewhere."},
                "sort": {"type": "string", "enum": ["name", "size", "added", "used"],
                         "description": "By name; or the largest, last added, or last used in a picture first."},
                "after": NAME | {"description": "The name of the last asset of the page before."},
                "fits": NAME | {"description": "A checkpoint: only what can be used with it, best first."},
                "q": TEXT | {"description": "Words of names, trigger words, tags and notes, best first."},
                "limit": _LIMIT, "offset": _OFFSET,
            },
        ),
        Endpoint(
            "POST", "/v1/assets", _add, "Upload a file, and make an asset of it.", "types.Asset", group="Assets",
            query={**_FILE, "name": NAME | {"description": "What the asset is to be called."},
                   "tag": NAMES | {"description": "Can be repeated."}},
            required=("filename",), upload=True, largest=LARGEST_FILE, status=201, also=200,
        ),
        Endpoint(
            "GET", "/v1/assets/{name:path}", _asset, _NAME_IN_PATH, "types.AssetDetails", group="Assets", heavy=True,
        ),
        Endpoint(
            "PATCH", "/v1/assets/{name:path}", _edit, "Change what the catalog says of an asset.", "types.Asset",
            group="Assets",
            body={
                **dict.fromkeys(("name", "kind", "family", "base_model", "variant", "prediction"), TEXT),
                "notes": PROMPT,
                **dict.fromkeys(("trigger_words", "add_tags", "remove_tags", "reset"), NAMES),
                "default_weight": NUMBER,
                "preview": {
                    "type": ["integer", "null"], "minimum": 1, "maximum": 10**18 - 1,
                    "description": "The number of a picture of the history to show it by, or null.",
                },
            },
        ),
        Endpoint(
            "DELETE", "/v1/assets/{name:path}", _remove, "Move an asset to the trash.",
            "operations.library.remove.Removal", slow=True, group="Assets",
        ),
        Endpoint(
            "POST", "/v1/identify", _identify, "Upload a file to be told what it is; nothing of it is kept.",
            "operations.library.identify_files.Identified", query=_FILE, required=("filename",), upload=True,
            largest=LARGEST_FILE, group="Assets",
        ),
        Endpoint(
            "GET", "/v1/search", _search, "Search a source, and see what of it is here.",
            "list[operations.acquire.search.SearchHit]", required=("source", "q"), slow=True, group="Sources",
            query={"source": {"type": "string", "enum": ["huggingface", "civitai"]}, "q": TEXT, "kind": NAME,
                   "family": NAME, "limit": {"type": "integer", "minimum": 1, "maximum": 100}},
        ),
        Endpoint(
            "POST", "/v1/check", _check, "Whether a selection works together, and can be generated with.",
            "types.CheckReport", group="Pictures",
            heavy=True,
            body={
                **SELECTION, **PICTURES,
                "for": NAME | {"description": "generate, comfyui or any."},
                "commercial": FLAG | {"description": "Whether licences are asked too."},
            },
        ),
        Endpoint(
            "POST", "/v1/prompt", _prompt, "How a prompt is read.", "operations.select.prompts.PromptReading",
            body={"prompt": PROMPT, "checkpoint": NAME, "embeddings": NAMES, "auto_embeddings": FLAG},
            required=("prompt",), group="Pictures", heavy=True,
        ),
        *JOBS,
        Endpoint("GET", "/v1/samplers", _samplers, "Samplers and schedules.", "samplers.SamplerListing", group="About"),
        Endpoint("GET", "/v1/families", _families, "Families of models.", "list[server.views.FamilyView]",
                 group="About"),
        Endpoint("GET", "/v1/options", _options, "Options of a picture.", "list[server.views.OptionView]",
                 group="About"),
        Endpoint("GET", "/v1/health", _health, "That the server is there.", "server.views.Health", group="About"),
    )
)  # fmt: skip
