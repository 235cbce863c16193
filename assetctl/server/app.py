"""The application: every endpoint of every face behind one guard, errors answered as each face has them."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from assetctl.errors import AssetctlError, CorruptFileError, InternalError, UsageError
from assetctl.server.endpoints import Asked, Endpoint
from assetctl.server.face import Face, error_answer, status_of
from assetctl.server.openapi import description_routes
from assetctl.server.safety import LARGEST_BODY, MOST_CONNECTIONS, Access, Guard, TooLargeError, TooSlowError, hear_out
from assetctl.wire.documents import error_document

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence

    from starlette.routing import BaseRoute

    from assetctl.registry import Registry
    from assetctl.server.queue import Queue

__all__ = ["Face", "make_app", "status_of"]

#: Threads of what is answered at once, of what takes a processor's time, of what waits for others, of uploads on their
#: way: as many as there are connections, for who sends slowly is to keep nobody else from it; of large bodies, each
#: of which is read in one go; and of who asks whether the server is there. There are few of the first two: more would
#: share the same processor, each be slower, and keep all others from their turn.
_THREADS = {"quick": 6, "few": 2, "slow": 16, "coming": MOST_CONNECTIONS, "large": 1, "health": 1}

#: Bytes of bodies that are held at a time, of those that are larger than most.
_MOST_HELD = 2**28


def make_app(
    registry: Registry, queue: Queue, faces: Sequence[Face], access: Access, routes: Sequence[BaseRoute] = ()
) -> Guard:
    """The whole application of a home.

    Args:
        registry: The home, opened without paths: what lies on its disk is nobody's to ask for.
        queue: Its jobs.
        faces: The APIs.
        access: Who is let in.
        routes: What else there is, such as a page; asked after the faces.
    """
    if registry.takes_paths:
        raise ValueError("A server's registry takes no paths.")
    paths: dict[str, dict[str, _Handler]] = {}
    larger = {}
    limits = _Limits()
    for face in faces:
        for endpoint in face.endpoints:
            handler = _Handler(registry, queue, face, endpoint, limits)
            paths.setdefault(endpoint.path, {}).setdefault(endpoint.method, handler)
            larger[endpoint.method, endpoint.path] = endpoint.largest or face.largest
    found = [Route(path, _by_method(handlers), methods=list(handlers)) for path, handlers in paths.items()]
    found.sort(key=lambda route: "{" in route.path)  # a name may be anything; what has a path of its own comes first
    handlers: dict[Any, Any] = {HTTPException: _no_page, Exception: _defect}
    return Guard(
        Starlette(
            routes=[*description_routes([face for face in faces if face.title]), *found, *routes],
            exception_handlers=handlers,
        ),
        access,
        larger,
    )


async def _no_page(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        return await _defect(request, error)
    said = {404: "There is no such page.", 405: f"This takes no {request.method:.20}."}.get(error.status_code, "No.")
    document = {"code": "not_found" if error.status_code == 404 else "usage", "message": said}
    return error_answer(error.status_code, document | {"hint": "What there is, is at /docs."}, error.headers)


async def _defect(_request: Request, error: Exception) -> Response:
    return error_answer(500, error_document(InternalError(f"assetctl has a defect: {type(error).__name__}: {error}")))


def _by_method(handlers: Mapping[str, _Handler]) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def handle(request: Request) -> Response:
        return await handlers["GET" if request.method == "HEAD" else request.method](request)

    return handle


class _Limits:
    """How many are answered at a time, made when the loop is there; and how many bytes of large bodies are held."""

    def __init__(self) -> None:
        self._made: dict[str, anyio.CapacityLimiter] = {}
        self.held = 0

    def __getitem__(self, sort: str) -> anyio.CapacityLimiter:
        return self._made.setdefault(sort, anyio.CapacityLimiter(_THREADS[sort]))


class _Handler:
    """Answers what is asked of one endpoint."""

    def __init__(self, registry: Registry, queue: Queue, face: Face, endpoint: Endpoint, limits: _Limits) -> None:
        self._registry, self._queue, self._face, self._endpoint = registry, queue, face, endpoint
        self._limits = limits
        self._is_coroutine = inspect.iscoroutinefunction(endpoint.answer)

    async def __call__(self, request: Request) -> Response:
        try:
            return await self._answered(request)
        except AssetctlError as error:
            return await self._refused(request, self._face.failure(error))
        except TooSlowError:
            return error_answer(408, _usage("It took too long to come."), {"connection": "close"})
        except TooLargeError:
            return await self._refused(request, error_answer(413, _usage("The body is too large.")))
        except ClientDisconnect:
            return Response(status_code=400)
        except Exception as error:  # noqa: BLE001 - a defect ends one request, not the server
            return self._face.failure(InternalError(f"assetctl has a defect: {type(error).__name__}: {error}"))

    async def _refused(self, request: Request, answer: Response) -> Response:
        """Likewise; the rest of an upload that is refused is not waited for."""
        if self._endpoint.upload:
            answer.headers["connection"] = "close"
            answer.background = None
            return _Heard(answer, request)
        return answer

    async def _answered(self, request: Request) -> Response:
        endpoint = self._endpoint
        self._see_type(request)
        is_read = (endpoint.body is not None or endpoint.open) and not endpoint.upload
        if not is_read:
            return await self._worked_out(request, b"")
        data = bytearray()  # which grows where it is: joining pieces would keep all others waiting
        try:
            async for chunk in request.stream():
                data += chunk
                self._limits.held += len(chunk)
                if self._limits.held > _MOST_HELD and len(data) > LARGEST_BODY:
                    return _Heard(error_answer(503, _usage("Too many large bodies come at a time."), _LATER), request)
            return await self._worked_out(request, data)
        finally:
            self._limits.held -= len(data)

    async def _worked_out(self, request: Request, data: bytes | bytearray) -> Response:
        endpoint = self._endpoint
        sort = "coming" if endpoint.upload else "slow" if endpoint.slow else "few" if endpoint.heavy else "quick"
        sort = "large" if len(data) > LARGEST_BODY else "health" if endpoint.path == "/v1/health" else sort
        if not self._is_coroutine:
            return await anyio.to_thread.run_sync(self._in_thread, request, data, limiter=self._limits[sort])
        asked = await anyio.to_thread.run_sync(self._asked, request, data, limiter=self._limits[sort])
        is_read = endpoint.body is not None or endpoint.open
        found = await _unless_gone(request, endpoint.answer(asked)) if is_read else await endpoint.answer(asked)  # type: ignore[misc,arg-type]
        return await anyio.to_thread.run_sync(self._face.success, endpoint, found, limiter=self._limits["quick"])

    def _see_type(self, request: Request) -> None:
        """Uploads come as they are, and all else as JSON: two readings of one body would be one too many."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if self._endpoint.upload and kind == "application/json":
            raise UsageError("A file is sent as it is.", "Send it as application/octet-stream.")
        if self._endpoint.body is not None and not self._endpoint.upload and kind not in ("application/json", ""):
            raise UsageError("The body is no JSON.", "Send it as application/json.")

    def _in_thread(self, request: Request, data: bytes | bytearray) -> Response:
        asked = self._asked(request, data)
        try:
            return self._face.success(self._endpoint, self._endpoint.answer(asked))
        finally:
            if isinstance(asked.chunks, _Coming):
                asked.chunks.close()

    def _asked(self, request: Request, data: bytes | bytearray) -> Asked:
        query: dict[str, list[str]] = {}
        for name, value in request.query_params.multi_items():
            query.setdefault(name, []).append(value)
        return Asked(
            self._registry,
            self._queue,
            {name: str(value) for name, value in request.path_params.items()},
            self._endpoint.query_of(query),
            self._endpoint.body_of(data),
            str(request.base_url).rstrip("/"),
            dict(request.headers),
            _Coming(request, self._limits["slow"]) if self._endpoint.upload else iter(()),
            int(request.headers.get("content-length", "0")),
            self._limits["few"],
            self._face.words.within,
        )


class _Coming:
    """What an upload consists of, for a thread. Once it is there, few are looked into at a time.

    Args:
        request: Whose body it is.
        turns: Those few.
    """

    def __init__(self, request: Request, turns: anyio.CapacityLimiter) -> None:
        self._stream, self._turns, self._is_there = request.stream(), turns, False

    def __iter__(self) -> Iterator[bytes]:
        try:
            while (chunk := anyio.from_thread.run(_next, self._stream)) is not None:
                yield chunk
        except (ClientDisconnect, TooSlowError) as error:
            raise CorruptFileError("The upload broke off.", "Send it again.") from error
        anyio.from_thread.run(self._turns.acquire_on_behalf_of, self)
        self._is_there = True

    def close(self) -> None:
        """It was looked into."""
        if self._is_there:
            anyio.from_thread.run_sync(self._turns.release_on_behalf_of, self)


async def _next(coming: Any) -> bytes | None:  # noqa: ANN401 - starlette's stream
    return await anext(coming, None)


class _Heard(Response):
    """An answer after which what still comes is thrown away, for a moment: a client that writes reads none."""

    def __init__(self, answer: Response, request: Request) -> None:
        super().__init__(answer.body, answer.status_code, dict(answer.headers))
        self._request = request

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - of ASGI
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with contextlib.suppress(TooLargeError, TooSlowError):
            await hear_out(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, object]) -> object:
    """An answer that may take long, which nobody waits for when whoever asked has gone."""
    waiting = asyncio.ensure_future(answer)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise ClientDisconnect
        return waiting.result()
    finally:
        for each in (waiting, gone):
            each.cancel()
        await asyncio.gather(waiting, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


_LATER = {"retry-after": "2", "connection": "close"}


def _usage(message: str) -> dict[str, Any]:
    return {"code": "usage", "message": message, "hint": None}
