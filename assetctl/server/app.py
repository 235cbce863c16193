"""The application: every endpoint of every face behind one guard, errors answered as each face has them."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from assetctl.errors import AssetctlError, InternalError
from assetctl.server.endpoints import Asked, Endpoint
from assetctl.server.safety import Access, Guard, TooLargeError, TooSlowError
from assetctl.wire import Outcome, envelope
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from assetctl.registry import Registry
    from assetctl.server.queue import Queue

#: Statuses by the code of an error, and else by what a process would exit with.
_BY_CODE = {
    "not_found": 404, "ambiguous": 409, "unusable": 501, "incompatible": 422, "unauthorized": 502, "offline": 503,
    "extra_missing": 501, "forbidden": 403, "out_of_date": 409,
}  # fmt: skip
_BY_EXIT = {2: 400, 3: 404, 4: 422, 5: 422, 6: 502, 130: 409}


def status_of(error: AssetctlError) -> int:
    """The HTTP status of an error."""
    return _BY_CODE.get(error.code, _BY_EXIT.get(error.exit_code, 500))


class Face:
    """How one API answers: its endpoints, and what its errors look like.

    Attributes:
        endpoints: What can be asked.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = endpoints

    def success(self, endpoint: Endpoint, found: object) -> Response:
        """An answer."""
        if isinstance(found, Response):
            return found
        made = Outcome(found).document() if endpoint.gives else found
        return Response(orjson.dumps(made), endpoint.status, media_type="application/json")

    def failure(self, error: AssetctlError) -> Response:
        """An error."""
        said = envelope({"error": error_document(error)}, ())
        return Response(orjson.dumps(said), status_of(error), media_type="application/json")


def make_app(registry: Registry, queue: Queue, faces: Sequence[Face], access: Access) -> Guard:
    """The whole application of a home."""
    routes = [
        Route(endpoint.path, _handler(registry, queue, face, endpoint), methods=[endpoint.method])
        for face in faces
        for endpoint in face.endpoints
    ]

    async def unknown(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        said = {404: "There is no such page.", 405: "This is not asked for so."}.get(status, "It went wrong.")
        return JSONResponse(
            {"version": 1, "error": {"code": "not_found", "message": said, "hint": "What there is, is at /docs."}},
            status,
        )

    return Guard(Starlette(routes=routes, exception_handlers={404: unknown, 405: unknown}), access)


def _handler(
    registry: Registry, queue: Queue, face: Face, endpoint: Endpoint
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            data = await request.body() if endpoint.body is not None or endpoint.open else b""
            query: dict[str, list[str]] = {}
            for name, value in request.query_params.multi_items():
                query.setdefault(name, []).append(value)
            asked = Asked(
                registry,
                queue,
                {name: str(value) for name, value in request.path_params.items()},
                endpoint.query_of(query),
                endpoint.body_of(data),
                str(request.base_url).rstrip("/"),
            )
            if inspect.iscoroutinefunction(endpoint.answer):
                return face.success(endpoint, await endpoint.answer(asked))
            return face.success(endpoint, await run_in_threadpool(endpoint.answer, asked))
        except AssetctlError as error:
            return face.failure(error)
        except (TooSlowError, TooLargeError) as error:
            slow = isinstance(error, TooSlowError)
            return _closed(408 if slow else 413, "It took too long to come." if slow else "The body is too large.")
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001 - a defect ends one request, not the server
            return face.failure(InternalError(f"assetctl has a defect: {type(error).__name__}: {error}"))

    return handle


def _closed(status: int, message: str) -> Response:
    content: dict[str, Any] = {"version": 1, "error": {"code": "usage", "message": message, "hint": None}}
    return JSONResponse(content, status, {"connection": "close"})
