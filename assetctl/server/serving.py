"""Serving a home: one server a home, on a TCP address and on a socket in the home, until somebody ends it."""

from __future__ import annotations

import contextlib
import errno
import importlib.util
import ipaddress
import logging
import os
import secrets
import signal
import socket
import stat
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from assetctl.errors import MissingExtraError, StorageError, UsageError
from assetctl.files.disk import storage_errors
from assetctl.server import SOCKET
from assetctl.server.client import LostError, Server, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType

    from filelock import BaseFileLock

    from assetctl.registry import Registry
    from assetctl.server.queue import Queue
    from assetctl.server.safety import Access

#: Where A1111's server is, and its clients look for one.
PORT = 7860

_LOCK, _NOTE, _TOKEN = "server.lock", "server.json", "server.token"

_PACKAGES = ("starlette", "uvicorn", "jinja2", "python_multipart")

#: Seconds between two looks whether the home is there.
_LOOK = 1.0

#: Seconds that a server which is to end has for it.
_PATIENCE = 40.0


@dataclass(frozen=True, slots=True)
class Serving:
    """A server of a home.

    Attributes:
        url: Its address.
        socket: Its socket in the home, where the system has such.
        pid: The number of its process.
        token: What programs must show that ask it by `url`; told once, when it is made.
        token_file: Where it is kept, if one is needed.
    """

    url: str
    pid: int
    socket: str | None = None
    token: str | None = None
    token_file: str | None = None


def serve(
    registry: Registry,
    *,
    host: str = "127.0.0.1",
    port: int = PORT,
    told: Callable[[Serving], None],
    command: list[str] | None = None,
    manifest: Path | None = None,
) -> None:
    """Serve a home until this process is told to end; the job that is then at work waits for the next server.

    Args:
        registry: The home.
        host: Where it listens. Others than this machine's own addresses need a token, which is made.
        port: 0 for a free one.
        told: Called once it answers.
        command: What starts a worker, in place of assetctl's own.
        manifest: Whose recipes are models too, for OpenAI's clients.

    Raises:
        MissingExtraError: What it takes is not installed.
        UsageError: A server of this home runs already, or the address cannot be had.
        StorageError: The home cannot be written, or was deleted or moved away meanwhile.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        hint = "Install them with `pip install 'assetctl[serve]'`."
        raise MissingExtraError(f"Serving needs packages that are not installed: {', '.join(missing)}.", hint)
    from assetctl.server.queue import Queue  # noqa: PLC0415 - asking for the end of one needs none

    home = registry.settings.home
    with contextlib.ExitStack() as held:
        registry = held.enter_context(type(registry)(registry.settings, paths=False))
        is_there = held.enter_context(_locked(home))
        outer = held.enter_context(contextlib.closing(_listen(host, port)))
        inner = held.enter_context(_inner(home))
        access, token, is_new = _access(home, host)
        serving = Serving(
            _url(outer, host), os.getpid(), None if inner is None else str(home / SOCKET), token if is_new else None,
            None if token is None else str(home / _TOKEN),
        )  # fmt: skip
        held.enter_context(_noted(home, serving))
        queue = Queue(registry, command)
        queue.start()
        held.callback(queue.close)
        sockets = [outer] if inner is None else [outer, inner]
        _answer(registry, queue, access, sockets, serving.url, manifest, lambda: told(serving), is_there)
        if not is_there():
            raise StorageError(f"The server has ended: its home {home} is gone.", "Start it again for another home.")


def stop(home: Path) -> Serving | None:
    """End the server of a home; `None` where none runs.

    Raises:
        StorageError: It does not end, or cannot be asked to: its disk takes no sockets.
    """
    lock = _lock(home)
    if not (home / _LOCK).exists() or _acquired(lock):
        lock.release()
        return None
    serving, is_asked = _read_note(home), False
    if serving is not None and serving.socket is None and hasattr(socket, "AF_UNIX"):
        hint = "Press Ctrl-C where it runs, or end its process."
        raise StorageError(f"The server of this home (process {serving.pid}) cannot be asked to end.", hint)
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if _acquired(lock):
            lock.release()
            return serving
        is_asked = is_asked or _ask_to_end(home, serving)
        time.sleep(0.05)
    who = "" if serving is None else f" (process {serving.pid})"
    raise StorageError(f"The server of this home does not end{who}.", "Look what keeps it, or end its process.")


def _ask_to_end(home: Path, serving: Serving | None) -> bool:
    """Whether a server was asked to end: over its socket, for the number of its process may be a stranger's here."""
    if hasattr(socket, "AF_UNIX"):
        with contextlib.suppress(LostError):  # it begins or ends just now, or hangs
            Server(home).ask("POST", "/owner/end")
            return True
    elif serving is not None:  # Windows, where a number is one process's
        with contextlib.suppress(ProcessLookupError), storage_errors("end the server"):
            os.kill(serving.pid, signal.SIGTERM)
            return True
    return False


def is_running(home: Path) -> bool:
    """Whether a server of a home runs."""
    if not (home / _LOCK).exists():
        return False
    lock = _lock(home)
    try:
        return not _acquired(lock)
    finally:
        lock.release()


# One a home.


def _lock(home: Path) -> BaseFileLock:
    from filelock import FileLock  # noqa: PLC0415 - as where the store's locks are

    return FileLock(home / _LOCK)


def _acquired(lock: BaseFileLock) -> bool:
    from filelock import Timeout  # noqa: PLC0415 - likewise

    with storage_errors(f"lock {lock.lock_file}"):
        try:
            lock.acquire(timeout=0)
        except Timeout:  # which is an error of the system's, too
            return False
    return True


@contextmanager
def _locked(home: Path) -> Iterator[Callable[[], bool]]:
    """Be the one server of a home. The system takes the lock back from a process that has ended.

    Returns:
        Tells whether the home is there still, and no other lies in its place.
    """
    with storage_errors(f"write in {home}"):
        home.mkdir(parents=True, exist_ok=True)
    lock = _lock(home)
    if not _acquired(lock):
        other = _read_note(home)
        who = "" if other is None else f": {other.url} (process {other.pid})"
        raise UsageError(f"A server of this home runs already{who}.", "`assetctl serve --stop` ends it.")
    first = (home / _LOCK).stat()

    def is_there() -> bool:
        try:
            return os.path.samestat(first, (home / _LOCK).stat())
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # a disk that does not say is given time
            return True

    try:
        yield is_there
    finally:
        lock.release()


@contextmanager
def _noted(home: Path, serving: Serving) -> Iterator[None]:
    """Have the home say who serves it."""
    path = home / _NOTE
    said = {"url": serving.url, "pid": serving.pid, "socket": serving.socket, "token_file": serving.token_file}
    try:
        with storage_errors(f"write {path}"):
            path.write_bytes(orjson.dumps(said))
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()


def _read_note(home: Path) -> Serving | None:
    try:
        return Serving(**orjson.loads((home / _NOTE).read_bytes()))
    except (OSError, ValueError, TypeError):  # it is being written, or was left
        return None


# Where it listens.


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens at an address.

    Raises:
        UsageError: It cannot be had.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        found = socket.socket(family)
    except OSError as error:
        raise UsageError(f"There is no address {host}: {error.strerror}.", "Name one with --host.") from error
    try:
        if os.name == "posix":  # elsewhere, it would let two servers have the same port
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(512)
    except OSError as error:
        found.close()
        if error.errno == errno.EADDRINUSE:
            hint = "Name another with --port, or 0 for a free one."
            raise UsageError(f"Port {port} of {host} is taken by another program.", hint) from error
        hint = "Name another address with --host, or another port with --port."
        raise UsageError(f"Nobody can listen at {host}, port {port}: {error.strerror}.", hint) from error
    return found


def _url(listening: socket.socket, host: str) -> str:
    port = listening.getsockname()[1]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextmanager
def _inner(home: Path) -> Iterator[socket.socket | None]:
    """A socket in the home, for its owner alone; Windows has none, nor have some disks."""
    path = home / SOCKET
    if not hasattr(socket, "AF_UNIX"):
        yield None
        return
    _clear(path)
    listening = socket.socket(socket.AF_UNIX)
    before = os.umask(0o177)  # no other thread runs yet
    try:
        with short(path) as reachable:
            listening.bind(reachable)
        listening.listen(128)
    except OSError:
        listening.close()
        yield None
        return
    finally:
        os.umask(before)
    try:
        yield listening
    finally:
        listening.close()
        with contextlib.suppress(OSError):
            path.unlink()


def _clear(path: Path) -> None:
    """Remove the socket that a server left which was killed; the lock says that it runs no more.

    Raises:
        StorageError: It is something else.
    """
    if not os.path.lexists(path):
        return
    with storage_errors(f"remove {path}"):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise StorageError(f"{path} is no socket of a server.", "Move it away.")
        path.unlink()


def _access(home: Path, host: str) -> tuple[Access, str | None, bool]:
    """Who is let in, the token that they show, and whether it is new."""
    from assetctl.server.safety import LOOPBACK, Access  # noqa: PLC0415 - asking for the end of a server needs none

    if _is_loopback(host):
        return Access(LOOPBACK | {host}), None, False
    path = home / _TOKEN
    made = secrets.token_urlsafe(32)
    with storage_errors(f"write {path}"):
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(made)
        except FileExistsError:
            path.chmod(0o600)
            kept = path.read_text().strip()
            if len(kept) < 16:
                hint = "Delete it, and a new one is made."
                raise StorageError(f"{path} holds no token that is long enough.", hint) from None
            return Access(frozenset(), kept), kept, False
    return Access(frozenset(), made), made, True


# Answering.


def _answer(
    registry: Registry, queue: Queue, access: Access, sockets: Sequence[socket.socket], url: str,
    manifest: Path | None,
    ready: Callable[[], object], is_there: Callable[[], bool],
) -> None:  # fmt: skip
    """Answer on all sockets until the process is told to end, by Ctrl-C or SIGTERM, or its home is gone."""
    from assetctl.server.a1111 import A1111  # noqa: PLC0415 - asking for the end of a server needs none
    from assetctl.server.app import make_app  # noqa: PLC0415 - likewise
    from assetctl.server.http import make_server  # noqa: PLC0415 - likewise
    from assetctl.server.openai import OpenAI  # noqa: PLC0415 - likewise
    from assetctl.server.own import OWN  # noqa: PLC0415 - likewise
    from assetctl.server.owner import Owner  # noqa: PLC0415 - likewise
    from assetctl.server.page import page_face, page_routes  # noqa: PLC0415 - likewise

    app = make_app(registry, queue, [OWN, A1111(), OpenAI(manifest), page_face()], access, page_routes(registry, queue))

    def end(sig: int = signal.SIGTERM, frame: FrameType | None = None) -> None:  # noqa: ARG001 - as uvicorn names them
        server.force_exit = server.should_exit  # whoever asks twice is in a hurry
        server.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # what is cut off now is no defect
        threading.Thread(target=queue.close, name="close").start()  # which ends what waits for jobs

    def watch() -> None:
        while is_there():
            if ended.wait(_LOOK):
                return
        end()

    server = make_server(Owner(app, registry, queue, url, end), ready=ready)
    server.handle_exit = end  # type: ignore[method-assign]  # uvicorn's own would end the process before it has left
    ended = threading.Event()
    threading.Thread(target=watch, name="watch", daemon=True).start()
    try:
        server.run(list(sockets))
    finally:
        ended.set()
