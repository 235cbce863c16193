"""assetctl's own face, `/v1`: what is made and fetched by jobs, and the pictures that came of them."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio
import orjson
from starlette.responses import Response, StreamingResponse

from assetctl.errors import FileError, NotFoundError, StoppedError, UsageError
from assetctl.operations.acquire.upload import Upload
from assetctl.server.endpoints import FLAG, LARGEST_PICTURE, NAME, NAMES, PROMPT, TEXT, WHOLE, Answer, Asked, Endpoint
from assetctl.server.face import status_of
from assetctl.server.requests import PICTURES, SELECTION, job_of, request_of, see_tokens
from assetctl.sources import find_source
from assetctl.wire import document, envelope
from assetctl.wire.hints import error_classes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from assetctl.catalog import Generation
    from assetctl.catalog.jobs import Job
    from assetctl.operations.acquire.pull import PullPlan
    from assetctl.operations.make.history import Remade
    from assetctl.operations.make.inspect_picture import Outlook, PictureDetails
    from assetctl.operations.make.queued import JobDetails
    from assetctl.server.endpoints import Schema
    from assetctl.server.safety import Send

#: Seconds after which a listener to whom nothing was told is told that.
_HEARTBEAT = 10.0

#: Jobs that may wait.
_MOST_WAITING = 10_000

#: What the last event of a job is called. A browser that listens again says it, and is told to leave it be.
_LAST = "end"

#: How pictures begin, and what they are then.
_TYPES = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}

#: Bytes that no picture of ours has.
_LARGEST = 2**28


async def _generate(asked: Asked) -> object:
    return await _submitted(asked, await asked.worked_out(_wanted, asked))


def _wanted(asked: Asked) -> Job:
    body = dict(asked.body)
    priority = body.pop("priority", 0)
    see_tokens(body, asked.registry)
    wanted = job_of(body)
    asked.queue.foresee(request_of(wanted))  # what cannot work is said now
    return _queued(asked, "generate", wanted, priority)


async def _pull(asked: Asked) -> object:
    return await _submitted(asked, await asked.worked_out(_to_pull, asked))


def _to_pull(asked: Asked) -> Job:
    body = dict(asked.body)
    find_source(body["reference"], asked.registry.settings, paths=False)  # what cannot be meant is said now
    if body.get("nsfw") and not body.get("previews"):
        raise UsageError("nsfw says which previews may come.", "Add previews.")
    return _queued(asked, "pull", body, body.pop("priority", 0))


def _queued(asked: Asked, kind: str, wanted: Mapping[str, Any], priority: int) -> Job:
    if asked.registry.jobs.count("queued") >= _MOST_WAITING:
        raise UsageError(f"{_MOST_WAITING} jobs wait already.", "Wait until some are done.")
    return asked.queue.submit(kind, wanted, priority)


async def _submitted(asked: Asked, job: Job) -> object:
    """The answer to who has submitted a job: that it is there, or what became of it."""
    if not asked.query.get("wait"):
        (shown,) = await asked.worked_out(_shown, asked, [job])
        return Answer(shown, headers={"location": str(shown.url)})
    ended = await asked.queue.ended(job.id)
    if ended.error is not None:
        said = asked.worded(envelope({"error": dict(ended.error)}, ()))
        return Response(orjson.dumps(said), _status(ended.error), media_type=_JSON)
    if ended.status == "cancelled":
        raise StoppedError(f"Job {job.id} was cancelled.", f"GET /v1/jobs/{job.id} has what was made of it; ask again.")
    return Answer((await asked.worked_out(_shown, asked, [ended]))[0], 200)


_JSON = "application/json"


def _status(error: Mapping[str, Any]) -> int:
    kind = error_classes().get(str(error.get("code")))
    return 500 if kind is None else status_of(kind("", None))


def _plan_pull(asked: Asked) -> PullPlan:
    return asked.registry.plan_pull(asked.query["reference"])


def _jobs(asked: Asked) -> Answer:
    limit, before, after = asked.query.get("limit", 50), asked.query.get("before"), asked.query.get("after")
    if before is not None and after is not None:
        raise UsageError("A page goes on before a job that ended, or after one that waits.", "Leave one of them out.")
    known = asked.registry.jobs
    jobs = known.latest(limit, after=after) if before is None else known.ended_before(before, limit)
    if len(jobs) < limit:
        return Answer(_shown(asked, jobs))
    last = jobs[-1]
    rest = urlencode({"limit": limit, "before" if last.has_ended else "after": last.id})
    return Answer(_shown(asked, jobs), headers={"link": f'<{asked.base}/v1/jobs?{rest}>; rel="next"'})


def _shown(asked: Asked, jobs: Sequence[Job]) -> Sequence[JobDetails]:
    return asked.registry.job_details(jobs, at=asked.queue.at_work(), base=asked.base)


def _job(asked: Asked) -> JobDetails:
    return _numbered(asked, _number(asked))


def _numbered(asked: Asked, number: int) -> JobDetails:
    return _shown(asked, [asked.registry.jobs.get(number)])[0]


def _number(asked: Asked) -> int:
    """The number in the path.

    Raises:
        NotFoundError: It is none.
    """
    text = asked.path["number"]
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise NotFoundError(f"There is no number {text!r:.40}.", "What there is, is at /docs.")
    return int(text)


def _cancel(asked: Asked) -> JobDetails:
    number = _number(asked)
    asked.queue.cancel(number)
    return _numbered(asked, number)


async def _events(asked: Asked) -> Response:
    number = _number(asked)
    job = await asked.worked_out(_numbered, asked, number)
    if asked.headers.get("last-event-id") == _LAST:
        return Response(status_code=204)
    told = _told(asked, number, job)
    return _Stream(told, media_type="text/event-stream", headers={"cache-control": "no-store"})


class _Stream(StreamingResponse):
    """An answer that goes on, and leaves nothing behind when whoever reads it goes away."""

    async def stream_response(self, send: Send) -> None:
        """Send it."""
        try:
            await super().stream_response(send)
        finally:
            with anyio.CancelScope(shield=True):
                await self.body_iterator.aclose()  # type: ignore[attr-defined]  # it is a generator


async def _told(asked: Asked, number: int, job: JobDetails) -> AsyncIterator[bytes]:
    """A job as it is, what happens to it, and how it ended."""
    yield _event("job", asked.worded(document(job)), 0)
    happening = asked.queue.events(number, previews=bool(asked.query.get("previews")))
    count, coming = 0, None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(happening, None))
            done, _ = await asyncio.wait({coming}, timeout=_HEARTBEAT)
            if not done:
                yield b": nothing new\n\n"
                continue
            said, coming = coming.result(), None
            if said is None or "ended" in said:
                break
            event = said["event"]
            if event["event"] != "preview" or asked.query.get("previews"):
                count += 1
                yield _event(event["event"], asked.worded(event), count)
    except StoppedError:  # the server ends, and the job waits for the next one
        return
    finally:
        with anyio.CancelScope(shield=True):
            if coming is not None:
                coming.cancel()
                await asyncio.wait({coming})
            await happening.aclose()  # type: ignore[attr-defined]  # it is a generator
    job = await asked.worked_out(_numbered, asked, number)
    yield _event("job", asked.worded(document(job)), _LAST)


def _event(name: str, data: object, number: object) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (str(number).encode(), name.encode(), orjson.dumps(data))


def _pictures(asked: Asked) -> Answer:
    query = dict(asked.query)
    limit, used = query.pop("limit", 20), query.pop("with", None)
    found: Sequence[Generation] = asked.registry.history(limit, used=used, **query)
    if len(found) < limit:
        return Answer(found)
    rest = urlencode({**asked.query, "before": found[-1].number})
    return Answer(found, headers={"link": f'<{asked.base}/v1/pictures?{rest}>; rel="next"'})


def _picture(asked: Asked) -> Remade:
    return asked.registry.remade(_number(asked))


def _outlook(asked: Asked) -> Outlook:
    return asked.registry.outlook(_number(asked))


def _file(asked: Asked) -> Response:
    number = _number(asked)
    picture = asked.registry.generation(number)
    tag = f'"{picture.image_sha256}"'
    headers = {"etag": tag, "cache-control": "private, no-cache", "content-disposition": "inline"}
    data = _bytes(Path(picture.image_path)) if picture.is_there else b""
    if hashlib.sha256(data).hexdigest() != picture.image_sha256:
        hint = f"`assetctl reproduce {number}` makes it again."
        raise NotFoundError(f"The file of picture {number} is gone, or is another one now.", hint)
    if asked.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    kind = next((kind for start, kind in _TYPES.items() if data.startswith(start)), "application/octet-stream")
    return Response(data, headers=headers, media_type=kind)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST)
    except OSError:
        return b""


def look_into(asked: Asked) -> PictureDetails:
    """What a picture that somebody sends says."""
    upload = Upload(asked.query.get("filename", "picture"), asked.chunks, asked.size)
    details = asked.registry.inspect_upload(upload)
    if details.file.format is None:
        raise FileError("This is no PNG, JPEG or WebP picture.", "Send one as it was saved.")
    return details


def _read(asked: Asked) -> PictureDetails:
    return asked.registry.inspect_infotext(asked.body["text"])


_JOB = "operations.make.queued.JobDetails"

_WAIT: Mapping[str, Schema] = {"wait": FLAG | {"description": "Answer when it is done, with 200."}}

_LIMIT: Schema = {"type": "integer", "minimum": 1, "maximum": 1000}

JOBS = (
    Endpoint(
        "POST", "/v1/generate", _generate, "Have pictures made.", _JOB, query=_WAIT, group="Pictures",
        body={**SELECTION, **PICTURES, "priority": WHOLE}, status=202, also=200,
    ),
    Endpoint(
        "GET", "/v1/pictures", _pictures, "The pictures that were made, newest first.", "list[catalog.Generation]",
        group="Pictures",
        query={
            "with": NAME | {"description": "An asset that took part."},
            "prompt": TEXT | {"description": "Words that occur in the prompt."},
            "seed": WHOLE, "since": NAME | {"description": "A date, or 12h, 7d, 2w, 3m, 1y ago."},
            "before": WHOLE | {"description": "The number of the last picture of the page before."}, "limit": _LIMIT,
        },
    ),
    Endpoint(
        "POST", "/v1/pictures/inspect", look_into,
        "Upload a picture to be told what it was made of, and what comes of making it again.",
        "operations.make.inspect_picture.PictureDetails", query={"filename": NAME}, upload=True,
        largest=LARGEST_PICTURE, group="Pictures",
    ),
    Endpoint(
        "POST", "/v1/pictures/read", _read, "Likewise of a text that was copied out of a picture or from a page.",
        "operations.make.inspect_picture.PictureDetails", body={"text": PROMPT}, required=("text",), heavy=True,
        group="Pictures",
    ),
    Endpoint(
        "GET", "/v1/pictures/{number}/outlook", _outlook, "What comes of making a picture again.",
        "operations.make.inspect_picture.Outlook", heavy=True, group="Pictures",
    ),
    Endpoint(
        "GET", "/v1/pictures/{number}", _picture, "A picture, and the command line that makes it again.",
        "operations.make.history.Remade", group="Pictures",
    ),
    Endpoint(
        "GET", "/v1/pictures/{number}/file", _file, "The file of a picture.", produces="image/png", group="Pictures",
    ),
    Endpoint(
        "GET", "/v1/pull/plan", _plan_pull, "What fetching something would bring.",
        "operations.acquire.pull.PullPlan", query={"reference": NAME}, required=("reference",), slow=True,
        group="Sources",
    ),
    Endpoint(
        "POST", "/v1/pull", _pull, "Fetch an asset from a source.", _JOB, query=_WAIT,
        body={
            "reference": NAME | {"description": "hf://ORG/REPO[@REVISION][/FILE], or a page's address."},
            "name": NAME | {"description": "What the asset is to be called."}, "tags": NAMES,
            "previews": FLAG | {"description": "Whether a picture comes too that its source shows it by, made small."},
            "nsfw": FLAG | {"description": "Whether that may be any, not just one that is rated as safe."},
            "priority": WHOLE,
        },
        required=("reference",), status=202, also=200, group="Sources",
    ),
    Endpoint(
        "GET", "/v1/jobs", _jobs, "Jobs: those that run or wait in the order of their turn, then those that ended.",
        f"list[{_JOB}]", group="Jobs",
        query={
            "limit": _LIMIT,
            "before": WHOLE | {"description": "The id of the last job of the page before, where it has ended."},
            "after": WHOLE | {"description": "Likewise, where it runs or waits."},
        },
    ),
    Endpoint("GET", "/v1/jobs/{number}", _job, "A job.", _JOB, group="Jobs"),
    Endpoint("DELETE", "/v1/jobs/{number}", _cancel, "Cancel a job.", _JOB, group="Jobs"),
    Endpoint(
        "GET", "/v1/jobs/{number}/events", _events, "What happens to a job, as server-sent events, until it ends.",
        produces="text/event-stream", group="Jobs",
        query={"previews": FLAG | {"description": "Whether looks at what is made are sent too."}},
    ),
)  # fmt: skip
