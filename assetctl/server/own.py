"""assetctl's own face, `/v1`: its answers are the documents that `--json` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.errors import NotFoundError, UsageError
from assetctl.operations.library.edit import Changes
from assetctl.server.app import Face
from assetctl.server.endpoints import FLAG, NAME, NAMES, NUMBER, TEXT, WHOLE, Asked, Endpoint
from assetctl.server.requests import PICTURES, SELECTION, job_of, request_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.operations.select.prompts import PromptReading
    from assetctl.server.endpoints import Schema
    from assetctl.types import Asset, AssetDetails, CheckReport, Fitting

#: Assets of one page.
_PAGE = 1000

_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": _PAGE}


def _assets(asked: Asked) -> Sequence[Asset] | Sequence[Fitting] | Sequence[tuple[Asset, str]]:
    query = dict(asked.query)
    limit, words, fits = query.pop("limit", 100), query.pop("q", None), query.pop("fits", None)
    if not 1 <= limit <= _PAGE:
        raise UsageError(f"limit must be 1 to {_PAGE}.", "Ask for the next ones with filters.")
    query["tags"] = query.pop("tag", ())
    if words is not None:
        if fits is not None or query["tags"] or "sort" in query or "in_store" in query:
            raise UsageError("q goes with kind, family, base_model and format alone.", "Leave the others out.")
        del query["tags"]
        return asked.registry.search(words, limit=limit, **query)
    if fits is not None:
        return asked.registry.fitting(fits, limit=limit, **query)
    return asked.registry.list(limit=limit, **query)


def _asset(asked: Asked) -> AssetDetails:
    return asked.registry.inspect(asked.path["name"], hashes=False)


def _edit(asked: Asked) -> Asset:
    body = dict(asked.body)
    for name in ("trigger_words", "add_tags", "remove_tags", "reset"):
        if name in body:
            body[name] = tuple(body[name])
    return asked.registry.edit(asked.path["name"], Changes(**body))


def _remove(asked: Asked) -> object:
    asset = asked.registry.get(asked.path["name"])
    if asset.name != asked.path["name"]:  # what is deleted is named whole
        raise NotFoundError(f"There is no asset {asked.path['name']!r:.60}.", "Name it as GET /v1/assets does.")
    removal = asked.registry.plan_removal(asset.name)
    asked.registry.remove(removal)
    return removal


def _check(asked: Asked) -> CheckReport:
    body = dict(asked.body)
    purpose, commercial = body.pop("for", None), body.pop("commercial", False)
    return asked.registry.check(request_of(body), purpose=purpose, commercial=commercial)


def _prompt(asked: Asked) -> PromptReading:
    return asked.registry.prompt(
        asked.body["prompt"],
        checkpoint=asked.body.get("checkpoint"),
        embeddings=asked.body.get("embeddings", ()),
        auto_embeddings=asked.body.get("auto_embeddings", True),
    )


def _generate(asked: Asked) -> object:
    body = dict(asked.body)
    priority = body.pop("priority", 0)
    wanted = job_of(body)
    asked.registry.plan(request_of(wanted))  # what cannot work is said now
    return asked.queue.submit("generate", wanted, priority)


def _jobs(asked: Asked) -> object:
    return asked.registry.jobs.latest(asked.query.get("limit", 100))


def _job(asked: Asked) -> object:
    return asked.registry.jobs.get(int(asked.path["id"]))


_FILTERS: Mapping[str, Schema] = {"kind": NAME, "family": TEXT, "base_model": TEXT, "format": TEXT}

OWN = Face(
    (
        Endpoint(
            "GET", "/v1/assets", _assets, "List assets, search them, or find what fits a checkpoint.",
            "list[types.Asset] | list[types.Fitting]",
            query={**_FILTERS, "tag": NAMES, "in_store": FLAG, "sort": NAME, "fits": NAME, "q": TEXT, "limit": _LIMIT},
        ),
        Endpoint("GET", "/v1/assets/{name:path}", _asset, "All that is known of an asset.", "types.AssetDetails"),
        Endpoint(
            "PATCH", "/v1/assets/{name:path}", _edit, "Change what the catalog says of an asset.", "types.Asset",
            body={
                **dict.fromkeys(("name", "kind", "family", "base_model", "variant", "prediction", "notes"), TEXT),
                **dict.fromkeys(("trigger_words", "add_tags", "remove_tags", "reset"), NAMES),
                "default_weight": NUMBER,
            },
        ),
        Endpoint(
            "DELETE", "/v1/assets/{name:path}", _remove, "Move an asset to the trash.",
            "operations.library.remove.Removal",
        ),
        Endpoint(
            "POST", "/v1/check", _check, "Whether a selection works together, and can be generated with.",
            "types.CheckReport", body={**SELECTION, **PICTURES, "for": NAME, "commercial": FLAG},
        ),
        Endpoint(
            "POST", "/v1/generate", _generate, "Have pictures made.", "catalog.jobs.Job",
            body={**SELECTION, **PICTURES, "priority": WHOLE}, status=202,
        ),
        Endpoint("GET", "/v1/jobs", _jobs, "Jobs.", "list[catalog.jobs.Job]", query={"limit": _LIMIT}),
        Endpoint("GET", "/v1/jobs/{id:int}", _job, "A job.", "catalog.jobs.Job"),
        Endpoint(
            "POST", "/v1/prompt", _prompt, "How a prompt is read.", "operations.select.prompts.PromptReading",
            body={"prompt": TEXT, "checkpoint": NAME, "embeddings": NAMES, "auto_embeddings": FLAG},
            required=("prompt",),
        ),
    )
)  # fmt: skip
