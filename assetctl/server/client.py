"""The server of a home, for commands of whoever owns it: asked over a socket that nobody else can open.

`Painter` has pictures made by its worker, which has loaded already what the last ones needed. The command itself
plans, saves and records them as ever. Where the server goes away, the command makes the rest itself.
"""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import time
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from assetctl import __version__
from assetctl.errors import AssetctlError, InternalError, StoppedError
from assetctl.run import Saved, Warned
from assetctl.server import SOCKET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from assetctl.request import Backend, Picture, Plan
    from assetctl.run import Event, Run

#: The longest path that systems take for a socket.
_LONGEST = 100

#: Seconds that a server has to answer, and how long one that makes pictures may be silent: it says a word every 5.
_PATIENCE, _SILENCE = 5.0, 60.0

#: Seconds between two looks whether the command was stopped.
_LOOK = 0.1

#: What an answer's head may be, in bytes.
_HEAD = 65_536

#: Beginnings of variables that pictures may depend on, besides what their plan says.
_TELLING = ("OMP_", "GOMP_", "KMP_", "MKL_", "CUDA_", "TORCH_", "PYTORCH_", "HIP_", "HSA_", "ROCR_")


class LostError(Exception):
    """The server does not answer, or not any more."""


@contextmanager
def short(path: Path) -> Iterator[str]:
    """A path that is short enough for a socket, and leads to the same file."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="a") as folder:
        link = Path(folder) / "h"
        link.symlink_to(path.parent)
        yield str(link / path.name)


def circumstances() -> str:
    """What pictures depend on beside their plan and the machine, in short: the same where they come out the same."""
    said = sorted((name, value) for name, value in os.environ.items() if name.startswith(_TELLING))
    try:
        processors: object = sorted(os.sched_getaffinity(0))  # type: ignore[attr-defined, unused-ignore]  # Linux alone
    except AttributeError:
        processors = os.cpu_count()
    return sha256(repr((__version__, said, processors)).encode()).hexdigest()


class Server:
    """A server that is there, as its owner asks it.

    Args:
        home: Whose server.
        patience: Seconds that it has to answer.
    """

    def __init__(self, home: Path, patience: float = _PATIENCE) -> None:
        self._path, self._patience = home / SOCKET, patience

    @property
    def may_be_there(self) -> bool:
        """Whether it is worth asking: there is a socket, and a system that has such."""
        return hasattr(socket, "AF_UNIX") and self._path.exists()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What it answers, shortly.

        Raises:
            LostError: It does not.
            AssetctlError: It refuses.
        """
        from assetctl.wire.reading import read  # noqa: PLC0415 - few commands ask

        with self._asking(method, path, body) as (connection, beginning):
            connection.settimeout(self._patience)
            data = beginning
            try:
                while more := connection.recv(_HEAD):
                    data += more
                found: dict[str, Any] = orjson.loads(data)
            except (OSError, ValueError) as error:
                raise LostError(str(error)) from error
        if "error" in found:
            raise read(AssetctlError, found["error"])
        return found

    def tell_recorded(self, job: int, pictures: Sequence[int]) -> None:
        """Tell that the command is done with one more picture of its job, and of those that it recorded."""
        with contextlib.suppress(LostError, AssetctlError):  # they are in the history all the same
            self.ask("POST", f"/owner/jobs/{job}/pictures", {"pictures": list(pictures)})

    def paint(self, plan: Plan, run: Run) -> Iterator[dict[str, Any]]:
        """All that its worker tells of a plan's pictures. Whoever asks no more has the job cancelled.

        Raises:
            LostError: It does not answer, or not any more.
            Cancelled: The run was cancelled.
        """
        from assetctl.server.plans import plan_said  # noqa: PLC0415 - as above

        body = {"plan": plan_said(plan), "previews": run.wants_previews}
        with self._asking("POST", "/owner/paint", body) as (connection, beginning):
            connection.settimeout(_LOOK)
            parts: list[bytes] = []
            more = beginning
            while True:
                parts.append(more)
                if b"\n" in more:
                    *lines, rest = b"".join(parts).split(b"\n")
                    parts = [rest]
                    yield from (orjson.loads(line) for line in lines if line)
                more = _more(connection, run)

    @contextmanager
    def _asking(self, method: str, path: str, body: Mapping[str, Any] | None) -> Iterator[tuple[socket.socket, bytes]]:
        """A connection on which something was asked, and what came of the answer behind its head.

        It is HTTP 1.0, whose answers come as they are, and end with the connection.
        """
        data = b"" if body is None else orjson.dumps(dict(body))
        head = f"{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(data)}\r\n\r\n"
        try:
            connection = socket.socket(socket.AF_UNIX)
        except (AttributeError, OSError) as error:
            raise LostError(str(error)) from error
        with contextlib.closing(connection):
            connection.settimeout(self._patience)
            try:
                with short(self._path) as reachable:
                    connection.connect(reachable)
                connection.sendall(head.encode() + data)
                said = b""
                while b"\r\n\r\n" not in said:
                    more = connection.recv(_HEAD)
                    if not more or len(said) > _HEAD:
                        raise LostError("It hung up.")
                    said += more
            except OSError as error:
                raise LostError(str(error)) from error
            yield connection, said.partition(b"\r\n\r\n")[2]


def _more(connection: socket.socket, run: Run) -> bytes:
    """What comes next.

    Raises:
        LostError: Nothing comes any more.
        Cancelled: The run was cancelled.
    """
    end = time.monotonic() + _SILENCE
    while time.monotonic() < end:
        run.check()
        try:
            more = connection.recv(2**20)
        except TimeoutError:
            continue
        except OSError as error:
            raise LostError(str(error)) from error
        if not more:
            raise LostError("It hung up.")
        return more
    raise LostError("It is silent.")


class Painter:
    """A backend that has the worker of a server make pictures, and makes them itself where that server is gone.

    Args:
        server: Who is asked.
        own: What makes the backend of this process.
        begin: Called once, before the first pictures are asked for: what is refused never comes so far.
    """

    name = "diffusers"

    def __init__(self, server: Server, own: Callable[[], Backend], begin: Callable[[], None] = lambda: None) -> None:
        self._server, self._make_own, self._begin = server, own, begin
        self._has_begun = False
        self._job = 0
        self._own: Backend | None = None
        self._is_lost = False

    @property
    def own(self) -> Backend:
        """The backend of this process."""
        self._own = self._own or self._make_own()
        return self._own

    def environment(self, device: str, dtype: str, threads: int | None) -> dict[str, str]:
        """As the backend has it: the server's worker is one of this machine, in the same circumstances."""
        return self.own.environment(device, dtype, threads)

    def generate(self, plan: Plan, run: Run) -> Iterator[Picture]:
        """As the backend does.

        Raises:
            StoppedError: Somebody cancelled the job.
            AssetctlError: As the backend does.
        """
        recorded: list[int] = []

        def note(event: Event) -> None:
            if isinstance(event, Saved) and event.number is not None:
                recorded.append(event.number)

        done = 0
        if not self._is_lost:
            if not self._has_begun:
                self._has_begun = True
                self._begin()
            try:
                for picture in self._painted(plan, run):
                    try:
                        with run.heard_by(note):
                            yield picture
                    finally:
                        self._server.tell_recorded(self._job, recorded)
                    done += 1
            except LostError:
                self._is_lost = True
                run.tell(Warned(message="The server of this home is gone: the rest is made without it."))
            else:
                return
        from dataclasses import replace  # noqa: PLC0415 - only here

        yield from self.own.generate(replace(plan, seeds=plan.seeds[done:]), run)

    def _painted(self, plan: Plan, run: Run) -> Iterator[Picture]:
        from assetctl.run import Event  # noqa: PLC0415 - few commands ask a server
        from assetctl.server.plans import picture_meant  # noqa: PLC0415 - likewise
        from assetctl.wire.reading import read  # noqa: PLC0415 - likewise

        for said in self._server.paint(plan, run):
            if "number" in said:
                self._job = said["number"]
            elif "event" in said:
                run.tell(read(Event, said["event"]))
            elif "picture" in said:
                yield picture_meant(said["picture"])
            elif said["ended"] == "failed":
                raise read(AssetctlError, said["error"]) if said.get("error") else InternalError("The job failed.")
            elif said["ended"] == "cancelled":
                raise StoppedError("Somebody cancelled the job.", "`assetctl jobs --all` lists it.")
            elif said["ended"] == "done":
                return


def find_painter(home: Path, own: Callable[[], Backend], tell: Callable[[str], None]) -> Painter | None:
    """Who makes pictures by the server of a home, where one runs and would make the same pictures as this process.

    Args:
        home: Whose server.
        own: What makes the backend of this process.
        tell: Told why there is none though a server runs; and where one makes pictures, as soon as it is asked for any.
    """
    server = Server(home)
    if not server.may_be_there:
        return None
    try:
        said = server.ask("GET", "/owner/hello")
    except LostError as lost:
        if isinstance(lost.__cause__, (ConnectionRefusedError, FileNotFoundError)):  # one that was killed left it
            return None
        tell("The server of this home does not answer: made without it.")
        return None
    except AssetctlError as error:
        tell(f"The server of this home refuses: {error.message}")
        return None
    if said.get("circumstances") != circumstances():
        tell("The server of this home was started in another environment: made without it.")
        return None
    before = f", behind {said['before']} others" if said["before"] else ""
    remark = f"made by the server of this home ({said['url']}){before}"
    return Painter(server, own, lambda: tell(remark))
