"""What the owner of a home asks its server over the home's own socket, besides all that others may ask."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.catalog.jobs import ON_DEVICE
from assetctl.errors import AssetctlError
from assetctl.server.client import circumstances
from assetctl.server.safety import OWNER
from assetctl.wire import document

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from assetctl.registry import Registry
    from assetctl.server.queue import Queue

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
    Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: Seconds between two signs of life to a command that waits.
_BEAT = 5.0

#: Bytes of a plan.
_LARGEST = 2**26


class Owner:
    """The application behind the home's socket.

    Args:
        app: What answers all else.
        registry: The home.
        queue: Its jobs.
        url: How others reach the server.
        end: Lets the server end.
    """

    def __init__(self, app: App, registry: Registry, queue: Queue, url: str, end: Callable[[], object]) -> None:
        self._app, self._registry, self._queue, self._url, self._end = app, registry, queue, url, end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let others."""
        path, method = scope.get("path", ""), scope.get("method")
        is_owner = scope.get("state", {}).get(OWNER)
        if scope["type"] != "http" or not (is_owner and path.startswith("/owner/")):
            await self._app(scope, receive, send)
        elif (method, path) == ("GET", "/owner/hello"):
            before = await asyncio.to_thread(self._before)
            await _answer(send, {"url": self._url, "circumstances": circumstances(), "before": before})
        elif (method, path) == ("GET", "/owner/jobs"):
            at = {str(number): document(each) for number, each in self._queue.at_work().items()}
            await _answer(send, {"url": self._url, "at": at})
        elif (method, path) == ("POST", "/owner/paint"):
            await self._paint(receive, send)
        elif (method, path) == ("POST", "/owner/end"):
            await _answer(send, {})
            self._end()
        elif method == "POST" and (found := re.fullmatch(r"/owner/jobs/([0-9]{1,18})/(cancel|pictures)", path)):
            await self._change(int(found[1]), await _body(receive) if found[2] == "pictures" else None, send)
        else:
            await _answer(send, {"error": {"code": "usage", "message": "There is no such page.", "hint": None}})

    async def _change(self, number: int, recorded: Mapping[str, Any] | None, send: Send) -> None:
        """Cancel a job, or hear which pictures a command has recorded of it."""
        try:
            if recorded is None:
                await asyncio.to_thread(self._queue.cancel, number)
            else:
                await asyncio.to_thread(self._queue.recorded, number, recorded["pictures"])
        except AssetctlError as error:
            await _answer(send, {"error": document(error)})
        else:
            await _answer(send, {})

    def _before(self) -> int:
        """How many jobs that make pictures wait or are at work."""
        return sum(self._registry.jobs.count(status, ON_DEVICE) for status in ("queued", "running"))

    async def _paint(self, receive: Receive, send: Send) -> None:
        """Have the pictures of a plan made for a command, and tell it all; where it hangs up, the job is over."""
        asked = await _body(receive)
        heard: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def hear(event: Mapping[str, Any]) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(heard.put_nowait, event)

        gone = asyncio.create_task(_hung_up(receive))
        with contextlib.ExitStack() as following:
            job = await asyncio.to_thread(
                following.enter_context, self._queue.following("paint", _shown(asked["plan"]) | asked, hear)
            )
            try:
                await send({"type": "http.response.start", "status": 200, "headers": []})
                await _say(send, {"number": job.id})
                await self._tell(job.id, heard, gone, send)
            finally:
                gone.cancel()
                with contextlib.suppress(AssetctlError):
                    await asyncio.shield(asyncio.to_thread(self._cancel_unless_ended, job.id))

    def _cancel_unless_ended(self, number: int) -> None:
        if not self._registry.jobs.get(number).has_ended:
            self._queue.cancel(number)

    async def _tell(
        self, number: int, heard: asyncio.Queue[Mapping[str, Any]], gone: asyncio.Task[None], send: Send
    ) -> None:
        """Pass on what happens to a job until it ends, or nobody hears it any more."""
        while not gone.done():
            hearing = asyncio.ensure_future(heard.get())
            await asyncio.wait({hearing, gone}, timeout=_BEAT, return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                hearing.cancel()
                await _say(send, None)
                continue
            event = hearing.result()
            if "ended" not in event:
                await _say(send, event)
                continue
            if event["ended"] == "closing":
                return  # the command goes on by itself
            job = await asyncio.to_thread(self._registry.jobs.get, number)
            if job.has_ended:  # else another worker makes the rest
                await _say(send, {"ended": job.status, "error": job.error})
                await send({"type": "http.response.body", "body": b""})
                return


def _shown(plan: Mapping[str, Any]) -> dict[str, Any]:
    """What a list of jobs shows of a plan: as a request has it."""
    names = {use["role"]: use["name"] for use in plan["uses"]}
    weights = {
        f"{role}s": {use["name"]: use["weight"] for use in plan["uses"] if use["role"] == role}
        for role in ("lora", "embedding")
    }
    return {
        "prompt": plan["prompt"]["text"], "negative_prompt": plan["negative_prompt"]["text"],
        "checkpoint": names.get("checkpoint"), "vae": names.get("vae"), **weights,
        **{name: value for name, value in plan["settings"].items() if name != "seed" and value is not None},
        "seeds": plan["seeds"],
    }  # fmt: skip


async def _body(receive: Receive) -> dict[str, Any]:
    data, more = b"", True
    while more and len(data) <= _LARGEST:
        message = await receive()
        data += message.get("body", b"")
        more = message.get("more_body", False)
    found: dict[str, Any] = orjson.loads(data)
    return found


async def _hung_up(receive: Receive) -> None:
    """Return once whoever asked is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _say(send: Send, line: Mapping[str, Any] | None) -> None:
    """A line of a long answer, or a sign of life."""
    body = b"\n" if line is None else orjson.dumps(dict(line)) + b"\n"
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _answer(send: Send, said: Mapping[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200 if "error" not in said else 400, "headers": headers})
    await send({"type": "http.response.body", "body": orjson.dumps(dict(said))})
