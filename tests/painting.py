"""A worker of a server whose pictures are plain squares: as fast as the test likes.

Variables of its environment say what it does: PAINTER_STEPS steps a picture of PAINTER_SECONDS each, PAINTER_DIES the
prompts over which it kills itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from patience import fair

ROOT = Path(__file__).parents[1]


class Painter:
    """A backend that paints plain squares, and may end early.

    Args:
        before: Told of each picture by its number, before it is given.
    """

    name = "painter"

    def __init__(self, before=lambda _number: None):
        self.before = before

    def environment(self, device, dtype, threads):
        return {"device": device, "dtype": dtype, "threads": str(threads)}

    def generate(self, plan, run):
        from PIL import Image

        from assetctl.errors import GenerationError
        from assetctl.request import Picture
        from assetctl.run import Preview, Started, Step

        if plan.prompt.text == "a failure":
            raise GenerationError("It cannot be painted.", "Ask for another.")
        run.tell(Started(stage="load"))
        if plan.prompt.text == "what is large":
            time.sleep(60)  # and tells nothing
        steps, seconds = int(os.environ.get("PAINTER_STEPS", "2")), float(os.environ.get("PAINTER_SECONDS", "0"))
        for number, seed in enumerate(plan.seeds, 1):
            for step in range(1, steps + 1):
                run.wait(seconds)
                if plan.prompt.text in os.environ.get("PAINTER_DIES", "").split(";"):
                    os.kill(os.getpid(), signal.SIGKILL)
                run.tell(Step(picture=number, pictures=len(plan.seeds), step=step, steps=steps))
                if run.wants_previews:
                    run.tell(Preview(picture=number, step=step, image=b"a preview"))
            self.before(number)
            colour = (seed % 256, len(plan.prompt.text) % 256, 0)
            yield Picture(Image.new("RGB", (8, 8), colour), seed, self.environment("cpu", "fp32", 1))


def paint_here(monkeypatch):
    """Have commands in this process paint as the worker does."""
    monkeypatch.setattr("assetctl.generation.diffusers.DiffusersBackend", lambda *_: Painter())


class Server:
    """A server of a home, in a process of its own."""

    def __init__(self, home, *, painter=True, port=0, **variables):
        command = [sys.executable, __file__, str(home)] if painter else None
        code = f"""
import sys
from assetctl import Registry
from assetctl.server import serving
told = lambda found: print(found.url, flush=True)
with Registry.open(sys.argv[1], paths=False) as registry:
    serving.serve(registry, port={port}, told=told, command={command!r})
"""
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(home)],
            env={**os.environ, "PYTHONPATH": path, **variables},
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self.process.stdout.readline().strip()
        assert self.url, "the server did not start"

    def ask(self, method, path, body=None):
        from assetctl.server.client import Server as Asked

        return Asked(self.home, patience=60).ask(method, path, body)

    def submit(self, **said):
        """The number of a job."""
        return self.ask("POST", "/v1/generate", said)["data"]["id"]

    def job(self, number):
        return self.ask("GET", f"/v1/jobs/{number}")["data"]

    def await_job(self, number, *states, seconds=120):
        end = time.monotonic() + fair(seconds)
        while time.monotonic() < end:
            if (job := self.job(number))["status"] in (states or ("done", "failed", "cancelled")):
                return job
            time.sleep(0.02)
        raise AssertionError(f"job {number} is {job['status']}")

    def workers(self):
        """Numbers of the processes that work for it."""
        return children(self.process.pid)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def end(self, number=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(fair(60))
        self.process.stdout.close()


@contextmanager
def serving(home, **options):
    """A server while the block runs."""
    server = Server(home, **options)
    try:
        yield server
    finally:
        server.end()


def children(pid):
    """Numbers of the processes that a process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def is_alive(pid):
    """Whether a process runs; one that nobody has heard of the end of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def pictures_of(home):
    """What the catalog's history says, and what lies in the outputs: by path."""
    from assetctl import Registry

    with Registry.open(home) as registry:
        recorded = registry.history(None)
    lying = sorted(str(path) for path in (home / "outputs").glob("*.png"))
    return recorded, lying


if __name__ == "__main__":
    if "painting" not in sys.modules:
        sys.path.insert(0, str(ROOT))
    from assetctl.server.worker import work

    work(lambda _registry: Painter())
