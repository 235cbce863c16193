"""A server's worker: jobs are done once, in their order, whatever is killed; and `generate` borrows it."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import headers
import painting
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from disks import fill, small_disk, unwritable
from filelock import FileLock
from generation import tiny
from painting import Server, is_alive, paint_here, pictures_of, serving
from patience import fair

from assetctl import Registry, Request
from assetctl.cli.main import run
from assetctl.run import Preview, Run
from assetctl.server.client import Painter
from assetctl.server.client import Server as HomeServer
from assetctl.server.plans import lines_of
from assetctl.server.queue import Queue

pytest.importorskip("starlette")
pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets of files")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with two checkpoints, and a painter in place of diffusers."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ASSETCTL_HOME", str(folder))
    for number, name in enumerate(("dawn", "dusk")):
        write_sparse(tmp_path / "files" / f"{name}.safetensors", whole_checkpoint(), {"x": str(number)})
        tiny.write_vocabulary(tmp_path / "files" / f"{name}.config" / "tokenizer")
    with Registry.open(folder) as registry:
        registry.import_files(tmp_path / "files")
    paint_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return folder


def generate(capsys, *arguments):
    """Run `assetctl generate`: its exit code, and what it said."""
    capsys.readouterr()
    code = run(["generate", *map(str, arguments)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err


def test_a_job_is_done_and_says_what_was_made(home):
    with serving(home) as server:
        number = server.submit(prompt="a cat", checkpoint="dawn", num_images=2, seed=7)
        job = server.await_job(number)
    assert job["status"] == "done"
    recorded, lying = pictures_of(home)
    assert sorted(each.settings["seed"] for each in recorded) == [7, 8]
    assert sorted(each.image_path for each in recorded) == lying


def test_jobs_of_a_higher_priority_come_first_and_equal_ones_as_they_came(home):
    with serving(home, PAINTER_SECONDS="0.1") as server:
        first = server.submit(prompt="first", checkpoint="dawn", seed=1)
        later = [server.submit(prompt=f"later {number}", checkpoint="dawn", seed=1) for number in range(2)]
        urgent = server.submit(prompt="urgent", checkpoint="dawn", seed=1, priority=5)
        for number in (first, *later, urgent):
            server.await_job(number)
    recorded, _ = pictures_of(home)
    assert [each.prompt for each in reversed(recorded)] == ["first", "urgent", "later 0", "later 1"]


def test_seeds_that_do_not_follow_each_other_are_one_job_and_its_pictures_are_counted_through(home):
    seeds = [7, 8, 3, 2**32 - 1, 2**32, 2**32 + 1]
    heard = []
    with Registry.open(home) as registry:
        queue = Queue(registry, [sys.executable, str(Path(painting.__file__)), str(home)])
        queue.start()
        try:
            request = {"prompt": "a cat", "checkpoint": "dawn", "seeds": seeds}
            with queue.following("generate", request, heard.append) as job:
                end = time.monotonic() + fair(30)
                while not registry.jobs.get(job.id).has_ended and time.monotonic() < end:
                    time.sleep(0.05)
            ended = registry.jobs.get(job.id)
        finally:
            queue.close()
        assert (ended.status, len(ended.pictures)) == ("done", len(seeds))
        assert sorted(each.settings["seed"] for each in registry.history(None)) == sorted(seeds)
    steps = [each["event"] for each in heard if each.get("event", {}).get("event") == "step"]
    assert {each["pictures"] for each in steps} == {len(seeds)}
    assert [each["picture"] for each in steps if each["step"] == 1] == list(range(1, len(seeds) + 1))


def test_a_job_is_cancelled_while_it_waits_and_while_it_is_made(home):
    with serving(home, PAINTER_SECONDS="0.3", PAINTER_STEPS="50") as server:
        running = server.submit(prompt="long", checkpoint="dawn", seed=1)
        waiting = server.submit(prompt="after", checkpoint="dawn", seed=1)
        server.await_job(running, "running")
        for number in (waiting, running):
            server.ask("POST", f"/owner/jobs/{number}/cancel")
        assert server.await_job(waiting)["status"] == "cancelled"
        assert server.await_job(running, seconds=10)["status"] == "cancelled"
        done = server.submit(prompt="next", checkpoint="dawn", seed=1, steps=1)
        server.ask("POST", f"/owner/jobs/{done}/cancel")  # at once: it may be on its way to the worker
        assert server.await_job(done, seconds=10)["status"] == "cancelled"
    assert pictures_of(home) == ([], [])


def test_a_job_that_is_cancelled_while_it_loads_what_is_large_ends_soon(home):
    command = [sys.executable, str(Path(painting.__file__)), str(home)]
    with Registry.open(home) as registry:
        queue = Queue(registry, command, patience=0.3)
        queue.start()
        try:
            numbers = [
                queue.submit("generate", {"prompt": prompt, "checkpoint": "dawn", "seeds": [1]}).id
                for prompt in ("what is large", "a cat")
            ]
            heard = threading.Event()
            with queue.listening(numbers[0], lambda _: heard.set()):
                assert heard.wait(fair(20))
                queue.cancel(numbers[0])
                end = time.monotonic() + fair(20)
                while not registry.jobs.get(numbers[1]).has_ended and time.monotonic() < end:
                    time.sleep(0.05)
            assert [registry.jobs.get(number).status for number in numbers] == ["cancelled", "done"]
        finally:
            queue.close()


def test_a_worker_ends_with_its_server_whatever_kills_that(home):
    server = Server(home)
    server.await_job(server.submit(prompt="a cat", checkpoint="dawn", seed=1))
    server.submit(prompt="what is large", checkpoint="dawn", seed=1)
    (worker,) = server.workers()
    server.kill()
    end = time.monotonic() + fair(10)
    while is_alive(worker):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_job_that_kills_its_worker_is_tried_twice_and_says_why_and_the_next_one_is_done(home):
    with serving(home, PAINTER_DIES="a bomb") as server:
        bad = server.submit(prompt="a bomb", checkpoint="dawn", seed=1)
        good = server.submit(prompt="a cat", checkpoint="dawn", seed=1)
        job = server.await_job(bad)
        assert (job["status"], server.await_job(good)["status"]) == ("failed", "done")
    assert "killed (SIGKILL)" in job["error"]["message"]
    assert "memory" in job["error"]["message"]


#: A worker of few words, whose prompts say what it does.
CURT = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    prompt = said.get("request", {}).get("prompt")
    if prompt == "die":
        sys.exit(1)
    if prompt == "rave":
        print("no JSON", flush=True)
    if prompt == "work":
        print(json.dumps({"job": said["job"], "ended": "done", "pictures": []}), flush=True)
"""


@contextmanager
def queue_of(registry, *words):
    """A queue whose worker says little."""
    queue = Queue(registry, [sys.executable, *(words or ("-c", CURT))])
    queue.start()
    try:
        yield queue
    finally:
        queue.close()


def await_state(registry, number, *states):
    end = time.monotonic() + fair(30)
    while (job := registry.jobs.get(number)).status not in states:
        assert time.monotonic() < end, job
        time.sleep(0.02)
    return job


def test_what_nobody_expected_of_a_worker_or_of_the_disk_ends_one_job_and_not_those_behind_it(home, monkeypatch):
    def refuse(*_):
        raise OSError("the disk fails")

    with Registry.open(home) as registry, queue_of(registry) as queue:
        monkeypatch.setattr("assetctl.server.queue.clear_up", refuse)
        numbers = [
            queue.submit("generate", {"prompt": prompt, "seeds": [1]}).id for prompt in ("rave", "work", "die", "work")
        ]
        jobs = [await_state(registry, number, "done", "failed") for number in numbers]
    assert [job.status for job in jobs] == ["failed", "done", "failed", "done"]
    assert (jobs[0].error["code"], "defect" in jobs[0].error["message"]) == ("internal", True)
    assert "twice" in jobs[2].error["message"]


def test_a_job_that_is_cancelled_again_and_again_takes_no_more_of_the_server_than_once(home):
    with Registry.open(home) as registry, queue_of(registry) as queue:
        number = queue.submit("generate", {"prompt": "wait", "seeds": [1]}).id
        await_state(registry, number, "running")
        before = threading.active_count()
        for _ in range(50):
            assert queue.cancel(number).status == "running"
        assert threading.active_count() - before <= 2


SCATTERED = {"seed": [11, 200, 300, 4000], "checkpoint": "dawn"}


def await_pictures(home, count):
    end = time.monotonic() + fair(20)
    while len(pictures_of(home)[0]) < count and time.monotonic() < end:
        time.sleep(0.02)


def see_it_has_all(home, job):
    recorded, lying = pictures_of(home)
    assert {each["number"] for each in job["images"]} == {each.number for each in recorded}
    assert len(job["images"]) == len(lying) > 0


def test_a_job_whose_worker_is_killed_has_the_pictures_that_there_are(home):
    with serving(home, PAINTER_SECONDS="0.1", PAINTER_STEPS="2") as server:
        number = server.submit(prompt="a cat", **SCATTERED)
        for count in (1, 2):
            await_pictures(home, count)
            (worker,) = server.workers()
            os.kill(worker, signal.SIGKILL)
        job = server.await_job(number)
    assert job["status"] == "failed"
    see_it_has_all(home, job)


def test_a_job_that_is_cancelled_while_its_worker_hangs_has_the_pictures_that_there_are(home):
    command = [sys.executable, str(Path(painting.__file__)), str(home)]
    with Registry.open(home) as registry, pytest.MonkeyPatch.context() as environment:
        environment.setenv("PAINTER_SECONDS", "0.1")
        queue = Queue(registry, command, patience=0.3)
        queue.start()
        try:
            number = queue.submit("generate", {"prompt": "a cat", "checkpoint": "dawn", "seeds": [11, 200, 300]}).id
            await_pictures(home, 1)
            (worker,) = painting.children(os.getpid())
            os.kill(worker, signal.SIGSTOP)
            queue.cancel(number)
            end = time.monotonic() + fair(20)
            while not registry.jobs.get(number).has_ended and time.monotonic() < end:
                time.sleep(0.02)
        finally:
            queue.close()
        job = registry.jobs.get(number)
        assert (job.status, sorted(job.pictures)) == ("cancelled", sorted(each.number for each in registry.history()))
        assert job.pictures


@pytest.mark.parametrize("how", ["by its server", "without a server"])
def test_a_job_that_is_cancelled_when_it_waits_again_has_the_pictures_that_there_are(home, how):
    request = {"prompt": "a cat", "checkpoint": "dawn", "seeds": [11, 200]}
    with Registry.open(home, paths=False) as registry:
        number = registry.jobs.add("generate", request).id
        registry.generate_batch(lines_of(number, request)[1:], backend=painting.Painter())
        if how == "by its server":
            Queue(registry).cancel(number)
        else:
            assert run(["jobs", "cancel", str(number)]) == 0
        job = registry.jobs.get(number)
    recorded, _ = pictures_of(home)
    assert (job.status, list(job.pictures)) == ("cancelled", [each.number for each in recorded])
    assert len(recorded) == 1


def test_a_second_server_says_who_runs_and_a_killed_one_is_followed(home, capsys):
    with serving(home) as server:
        assert run(["serve", "--port", "0"]) == 2
        said = capsys.readouterr().err
        assert server.url in said
        assert str(server.process.pid) in said
        number = server.submit(prompt="a cat", checkpoint="dawn", seed=1)
        server.await_job(number)
        server.kill()
        assert (home / "server.sock").exists()
        with serving(home) as follower:
            assert follower.job(number)["status"] == "done"
            assert (home / "server.sock").stat().st_mode & 0o077 == 0
    assert not (home / "server.sock").exists()
    assert not (home / "server.json").exists()


def test_a_taken_port_is_told_of(home, capsys):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = other.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 2
    assert f"Port {port} of 127.0.0.1 is taken" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("where", "why"), [("read-only", "the disk is read-only"), ("full", "the disk is full"), ("a file", "a file")]
)
def test_a_home_that_cannot_be_served_is_told_of_in_a_sentence_and_nothing_is_left(home, tmp_path, capsys, where, why):
    with ExitStack() as held:
        if where == "read-only":
            there = held.enter_context(unwritable(home, tmp_path / "seen"))
        elif where == "full":
            disk = held.enter_context(small_disk(tmp_path / "disk", 20 * 2**20))
            there = Path(shutil.copytree(home, disk / "home", symlinks=True))
            fill(disk)
        else:
            there = tmp_path / "a file"
            there.write_text("a person's")
        before = sorted(map(str, there.rglob("server.[!l]*")))
        code = run(["--home", str(there), "serve", "--port", "0"])
        said = capsys.readouterr().err
        assert code == 1, said
        assert why in said
        assert len(said.strip().splitlines()) <= 3, said  # what, and what to do
        assert sorted(map(str, there.rglob("server.[!l]*"))) == before
    assert run(["serve", "--stop"]) == 0


def test_a_server_is_ended_by_a_command_by_ctrl_c_and_by_a_signal(home, capsys):
    assert run(["serve", "--stop"]) == 0
    assert "No server" in capsys.readouterr().out
    with serving(home) as server:
        assert run(["serve", "--stop"]) == 0
        assert server.url in capsys.readouterr().out
        assert server.process.wait(fair(10)) == 0
    with serving(home) as server, subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        note = json.loads((home / "server.json").read_bytes())  # a number may be another process's where it is read
        (home / "server.json").write_text(json.dumps(note | {"pid": other.pid}))
        assert run(["serve", "--stop"]) == 0
        assert (server.process.wait(fair(10)), other.poll()) == (0, None)
        other.kill()
    for number in (signal.SIGINT, signal.SIGTERM):
        with serving(home, PAINTER_SECONDS="1") as server:
            job = server.submit(prompt="a cat", checkpoint="dawn", seed=int(number))
            server.await_job(job, "running")
            begun = time.monotonic()
            server.end(number)
            assert server.process.returncode == 0
            assert time.monotonic() - begun < fair(8)
        with Registry.open(home) as registry:
            assert registry.jobs.get(job).status == "queued"  # it waits again
            assert registry.jobs.get(job).attempts == 0


def test_the_socket_of_a_home_with_a_long_path_is_found(home, tmp_path, capsys):
    far = tmp_path / ("deep" * 30) / "home"
    far.parent.mkdir()
    home.rename(far)
    with serving(far) as server:
        server.await_job(server.submit(prompt="a cat", checkpoint="dawn", seed=1))
        code, _, said = generate(capsys, "a cat", "--home", far, "--checkpoint", "dawn", "--seed", 2)
    assert (code, "by the server of this home" in said) == (0, True)


def test_what_is_not_a_socket_is_left_alone(home, capsys):
    (home / "server.sock").write_text("a person's")
    assert run(["serve", "--port", "0"]) == 1
    assert "is no socket" in capsys.readouterr().err
    assert (home / "server.sock").read_text() == "a person's"


def test_another_address_takes_a_token_that_is_told_once_and_kept_for_the_owner(home):
    said = []
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-m", "assetctl", "serve", "--host", "0.0.0.0", "--port", "0"],  # noqa: S104
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        said.append(process.communicate(timeout=fair(30))[1])
    token = (home / "server.token").read_text()
    assert [token in each for each in said] == [True, False]
    assert all("plain HTTP" in each for each in said)
    assert (home / "server.token").stat().st_mode & 0o077 == 0


def test_generate_by_a_server_is_the_same_in_all_that_it_says_and_makes(home, tmp_path, capsys):
    arguments = ["a cat", "--checkpoint", "dawn", "--seed", 7, "--count", 2, "--json"]
    alone, alone_err = generate(capsys, *arguments, "--out", tmp_path / "alone" / "cat.png")[1:]
    with serving(home) as server:
        code, out, err = generate(capsys, *arguments, "--out", tmp_path / "served" / "cat.png")
        assert code == 0
        assert generate(capsys, *arguments, "--out", tmp_path / "served" / "cat.png")[0] == 2  # there is one
        assert generate(capsys, *arguments, "--out", tmp_path / "served" / "cat.png", "--force")[0] == 0
        before = len(server.ask("GET", "/v1/jobs")["data"])
        for more in (["--no-server"], []):
            os.environ["ASSETCTL_SERVER"] = "1" if more else "0"
            try:
                assert generate(capsys, "a cat", "-c", "dawn", *more)[0] == 0
            finally:
                del os.environ["ASSETCTL_SERVER"]
        assert len(server.ask("GET", "/v1/jobs")["data"]) == before == 2
    assert err == alone_err
    one, other = (json.loads(each)["data"] for each in (alone, out))
    for each in (one, other):
        del each["timings"]
        for image in each["images"]:
            image.pop("number")
    assert json.dumps(one).replace("/alone/", "/served/") == json.dumps(other)
    for name in ("cat.png", "cat-2.png"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "served" / name).read_bytes()


def test_what_is_refused_was_not_made_by_the_server(home, tmp_path, capsys):
    (tmp_path / "there.png").write_bytes(b"mine")
    refused = (("--lora", "no-such"), ("--out", tmp_path / "there.png"), ("--grid", "steps: 4, many"))
    with serving(home):
        for wrong in refused:
            code, _, said = generate(capsys, "a cat", "--checkpoint", "dawn", *wrong)
            assert (code != 0, "made by the server" in said) == (True, False), wrong
        code, _, said = generate(capsys, "a cat", "--checkpoint", "dawn")
    assert (code, said.count("made by the server")) == (0, 1)


def test_a_job_of_a_command_says_all_that_was_asked_for_and_how_many_pictures_there_are(home, capsys):
    with serving(home) as server:
        assert generate(capsys, "a cat", "-c", "dawn", "--steps", 3, "--count", 2)[0] == 0
        request = server.ask("GET", "/v1/jobs/1")["data"]["request"]
    assert (request["steps"], request["checkpoint"], request["loras"], "plan" in request) == (3, "dawn", {}, False)
    assert run(["jobs", "--all"]) == 0
    assert re.search(r"1\s+done\s+a cat\s.*\s2\s", capsys.readouterr().out)


def test_ctrl_c_of_generate_cancels_its_job(home):
    with serving(home, PAINTER_SECONDS="0.2", PAINTER_STEPS="100") as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "assetctl", "generate", "a cat", "--checkpoint", "dawn"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        await_first_job(server)
        server.await_job(1, "running")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=fair(20))
        assert process.returncode == 130
        assert "by the server of this home" in said
        assert server.await_job(1, seconds=10)["status"] == "cancelled"
    assert pictures_of(home) == ([], [])


def await_first_job(server):
    end = time.monotonic() + fair(30)
    while time.monotonic() < end:
        if server.ask("GET", "/v1/jobs")["data"]:
            return
        time.sleep(0.05)
    raise AssertionError


def test_generate_goes_on_by_itself_where_the_server_is_killed(home, monkeypatch, capsys):
    server = Server(home, PAINTER_SECONDS="0.2", PAINTER_STEPS="5")
    killer = subprocess.Popen(
        [sys.executable, "-c", f"import time, os; time.sleep(2.5); os.kill({server.process.pid}, 9)"]
    )
    code, out, said = generate(capsys, "a cat", "--checkpoint", "dawn", "--seed", 3, "--count", 6)
    killer.wait()
    server.kill()
    assert (code, "The server of this home is gone" in said) == (0, True)
    recorded, lying = pictures_of(home)
    assert sorted(out.split()) == lying
    assert sorted(each.settings["seed"] for each in recorded) == [3, 4, 5, 6, 7, 8]


def test_a_server_that_does_not_answer_is_passed_over(home, capsys):
    with serving(home) as server:
        os.kill(server.process.pid, signal.SIGSTOP)
        code, _, said = generate(capsys, "a cat", "--checkpoint", "dawn")
        os.kill(server.process.pid, signal.SIGCONT)
    assert (code, "does not answer" in said) == (0, True)


def test_jobs_are_listed_and_cancelled_with_a_server_and_without(home, capsys):
    with serving(home, PAINTER_SECONDS="0.3", PAINTER_STEPS="100") as server:
        numbers = [server.submit(prompt=f"cat {number}", checkpoint="dawn", seed=1) for number in range(3)]
        server.await_job(numbers[0], "running")
        assert run(["jobs", "cancel", str(numbers[0])]) == 0
        assert server.await_job(numbers[0])["status"] == "cancelled"
        server.await_job(numbers[1], "running")
        server.kill()
    capsys.readouterr()
    assert run(["jobs", "cancel", str(numbers[1]), str(numbers[2]), "--json"]) == 0
    assert [each["status"] for each in json.loads(capsys.readouterr().out)["data"]] == ["cancelled"] * 2
    assert run(["jobs"]) == 0
    assert "No job waits." in capsys.readouterr().out
    assert run(["jobs", "--all", "--quiet"]) == 0
    assert capsys.readouterr().out.split() == [str(number) for number in reversed(numbers)]
    assert run(["jobs", "cancel", "99"]) == 3


def test_a_job_at_work_is_not_said_to_end_where_its_server_cannot_be_told(home, capsys):
    with Registry.open(home) as registry:
        running, waiting = (registry.jobs.add("generate", {"prompt": "a cat", "seeds": [1]}).id for _ in range(2))
        assert registry.jobs.take().id == running
    (home / "server.json").write_text(json.dumps({"url": "http://x", "pid": 5, "socket": None, "token_file": None}))
    with FileLock(home / "server.lock"):  # as on a disk that takes no sockets
        assert run(["jobs", "cancel", str(running)]) == 1
        said = capsys.readouterr().err
        assert ("does not answer" in said, "ends at its next step" in said) == (True, False)
        assert run(["jobs", "cancel", str(waiting), "--quiet"]) == 0
        begun = time.monotonic()
        assert run(["serve", "--stop"]) == 1
        assert "process 5" in capsys.readouterr().err
        assert time.monotonic() - begun < fair(5)
    with Registry.open(home) as registry:
        assert [registry.jobs.get(number).status for number in (running, waiting)] == ["running", "cancelled"]
    assert run(["jobs", "cancel", str(running)]) == 0  # which nobody is at any more


def test_a_full_disk_ends_a_job_with_its_reason_and_the_queue_goes_on(home, tmp_path):
    with small_disk(tmp_path / "disk", 40 * 2**20) as disk:
        shutil.copytree(home, disk / "home", symlinks=True)
        with serving(disk / "home", PAINTER_SECONDS="0.3") as server:
            number = server.submit(prompt="a cat", checkpoint="dawn", seed=1)
            server.await_job(number, "running")
            taken = fill(disk)
            time.sleep(1.5)
            taken.unlink()
            job = server.await_job(number)
            assert job["status"] == "done" or job["error"]["code"] == "storage"
            assert server.await_job(server.submit(prompt="a dog", checkpoint="dawn", seed=1))["status"] == "done"


def test_previews_are_made_for_who_wants_them(home):
    with serving(home, PAINTER_SECONDS="0.02", PAINTER_STEPS="5") as server, Registry.open(home) as registry:
        said = []
        plan, _ = registry.plan(Request.of("a cat", checkpoint="dawn", seed=1))
        for wanted in (False, True):
            listening = Run(said.append, previews=wanted)
            pictures = list(Painter(HomeServer(home), registry.backend).generate(plan, listening))
            assert [picture.seed for picture in pictures] == [1]
            assert any(isinstance(event, Preview) for event in said) is wanted
        assert server.workers()


#: A worker that dies once it has painted two pictures, if there are more.
MORTAL = """
import json, sys
for line in sys.stdin:
    said = json.loads(line)
    seeds = said.get("request", {}).get("plan", {}).get("seeds", [])
    for number, seed in enumerate(seeds[:2], 1):
        step = {"event": "step", "picture": number, "pictures": 4, "step": 1, "steps": 1}
        print(json.dumps({"job": said["job"], "event": step}), flush=True)
        print(json.dumps({"job": said["job"], "picture": seed}), flush=True)
    if len(seeds) > 2:
        sys.exit(1)
    print(json.dumps({"job": said["job"], "ended": "done", "pictures": []}), flush=True)
"""


def test_a_worker_that_dies_over_pictures_of_a_command_leaves_the_rest_to_the_next(home):
    heard, seeds = [], [7, 8, 9, 10]
    with (
        Registry.open(home) as registry,
        queue_of(registry, "-c", MORTAL) as queue,
        queue.following("paint", {"plan": {"seeds": seeds}, "seeds": seeds}, heard.append) as job,
    ):
        ended = await_state(registry, job.id, "done", "failed")
    assert (ended.status, ended.attempts) == ("done", 2)
    assert [each["picture"] for each in heard if "picture" in each] == seeds
    assert [each["event"]["picture"] for each in heard if "event" in each] == [1, 2, 3, 4]


LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})


def kill_at_random(home, kills, whom, jobs, hub, models=("dawn", "dusk"), moments=(0.02, 0.6), steps=2, **options):
    """Have pictures and pulls done while workers or servers are killed at random moments; then see what there is."""
    chance = random.Random(kills)
    contents = {
        f"w{number}": headers.write_safetensors(home.parent / f"w{number}.bin", LORA, {"n": f"{number}"}).read_bytes()
        for number in range(jobs // 4)
    }
    for name, content in contents.items():
        hub.add(f"cats/{name}", {f"{name}.safetensors": content})
    hub.throttle = 100_000  # bytes a second: each takes a moment
    server = Server(home, **options)
    said = {"num_images": 2, "steps": steps}
    numbers = [
        server.submit(prompt=f"cat {number % 3}", checkpoint=models[number % len(models)], seed=number * 2, **said)
        for number in range(jobs)
    ]
    pulls = [server.ask("POST", "/v1/pull", {"reference": f"hf://cats/{name}"})["data"]["id"] for name in contents]
    for _ in range(kills):
        time.sleep(chance.uniform(*moments))
        if whom == "server":
            server.kill()
            server = Server(home, **options)
        else:
            for pid in server.workers():
                os.kill(pid, signal.SIGKILL)
    ended = [server.await_job(number, seconds=240) for number in numbers]
    fetched = [server.await_job(number, seconds=240) for number in pulls]
    after = server.await_job(server.submit(prompt="after", checkpoint=models[0], seed=1))
    server.end()
    assert after["status"] == "done"
    recorded, lying = pictures_of(home)
    assert sorted(each.image_path for each in recorded) == lying  # each once, and none that nobody knows
    assert len({each.image_path for each in recorded}) == len(recorded)
    from PIL import Image

    for path in lying:
        with Image.open(path) as image:
            image.load()
    done = [job for job in ended if job["status"] == "done"]
    brought = [job["assets"] for job in fetched if job["status"] == "done"]
    if whom == "server":
        assert (len(done), brought) == (jobs, [[name] for name in contents])
    assert all(job["status"] == "done" or "twice" in job["error"]["message"] for job in ended + fetched)
    with Registry.open(home) as registry:
        there = {asset.name: asset for asset in registry.list(kind="lora") if asset.name.startswith("w")}
        assert {name for names in brought for name in names} <= there.keys() <= contents.keys()
        for name, asset in there.items():
            assert Path(asset.path).read_bytes() == contents[name]
        assert registry.plan_pruning().strangers == ()
    seeds = sorted(each.settings["seed"] for each in recorded if each.prompt != "after")
    assert len(set(seeds)) == len(seeds)
    assert len(seeds) >= 2 * len(done)
    return server


@pytest.mark.parametrize("whom", ["worker", "server"])
def test_whatever_is_killed_every_job_is_done_once(home, hub, whom):
    kill_at_random(home, 4, whom, 8, hub, PAINTER_SECONDS="0.03")


@pytest.mark.long
@pytest.mark.generation
@pytest.mark.parametrize("whom", ["worker", "server"])
def test_whatever_is_killed_thirty_times_the_demos_pictures_are_made_once(tmp_path, hub, whom):
    with Registry.open(tmp_path / "home") as registry:
        registry.pull_demo()
    models = ("demo-checkpoint",)
    kill_at_random(tmp_path / "home", 30, whom, 40, hub, models, (0.2, 6), steps=20, painter=False)


def ago(**days):
    return (datetime.now(UTC) - timedelta(**days)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_jobs_that_ended_long_ago_are_forgotten_and_their_pictures_are_not(home, capsys):
    with serving(home) as server:
        first = server.submit(prompt="a cat", checkpoint="dawn", seed=1)
        server.await_job(first)
    before = pictures_of(home)
    assert len(before[1]) == 1
    ended = (
        [(ago(days=31), "done")] * 2  # a month ago
        + [(ago(hours=23), "done")] * 2  # today, before a thousand others
        + [(ago(hours=25), "failed")] * 1001  # yesterday
    )
    with Registry.open(home) as registry:
        assert registry.jobs.get(first).pictures == (1,)
        waiting = registry.jobs.add("paint", {"prompt": "x", "plan": {"seeds": [1]}}).id
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE jobs SET finished_at = ? WHERE id = ?", [ago(days=31), first])
        catalog.executemany(
            "INSERT INTO jobs (kind, status, priority, request, pictures, attempts, created_at, finished_at) "
            "VALUES ('generate', ?, 0, '{}', '[]', 1, ?, ?)",
            [(status, when, when) for when, status in ended],
        )
    with serving(home) as server:
        there = [each["id"] for each in server.ask("GET", "/v1/jobs?limit=1000")["data"]]
        last = max(there)
    with Registry.open(home) as registry:
        kept = registry.jobs.latest(10_000)
        assert "plan" not in registry.jobs.get(waiting).request  # of a command that has gone
    assert [each.id for each in kept] == [*range(last, last - 1000, -1), waiting + 4, waiting + 3, waiting]
    assert pictures_of(home) == before

    assert run(["jobs", "prune", str(last), "--quiet"]) == 0
    assert capsys.readouterr().out.split() == [str(last)]
    assert run(["jobs", "prune", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["data"]) == 1002
    assert run(["jobs", "--all", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    assert pictures_of(home) == before
    with Registry.open(home) as registry:
        number = registry.jobs.add("generate", {"prompt": "x"}).id
    assert number > last  # none is given twice
    assert run(["jobs", "prune", str(number)]) == 2
    assert run(["jobs", "prune", "1"]) == 3


def test_a_job_that_cannot_be_read_can_be_cancelled_and_keeps_no_server_from_starting(home, capsys):
    with Registry.open(home) as registry:
        waiting = registry.jobs.add("generate", {}).id
        ended = registry.jobs.add("paint", {}).id
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE jobs SET status = 'done', request = 'not json' WHERE id = ?", [ended])
    assert run(["jobs", "cancel", str(waiting)]) == 0
    with serving(home) as server:
        assert server.job(waiting)["status"] == "cancelled"
        cut = server.submit(prompt="a cat", checkpoint="dawn", seed=1)
        assert server.await_job(cut)["status"] == "done"
