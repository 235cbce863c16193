"""Jobs are one document at every door; pictures wait for no pull; and what a job came to is known to who asks late."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request as Asking
from urllib.request import urlopen

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from painting import Painter, is_alive, paint_here, pictures_of, serving
from patience import fair, skip_if_starved
from served import events, served

from assetctl import Registry, Request
from assetctl.cli.main import run

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("starlette")

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs sockets of files")

LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with a checkpoint, and a painter in place of diffusers; what is pulled comes from the loopback."""
    folder = tmp_path / "home"
    monkeypatch.setenv("ASSETCTL_HOME", str(folder))
    monkeypatch.setenv("ASSETCTL_PULL_PRIVATE", "1")
    write_sparse(tmp_path / "files/dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "files/dawn.config/tokenizer")
    with Registry.open(folder) as registry:
        registry.import_files(tmp_path / "files")
    paint_here(monkeypatch)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def silent():
    """The address of a file whose server takes calls and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/w.safetensors"


def over_http(server, path, body=None):
    """What is answered at the server's address."""
    data = None if body is None else json.dumps(body).encode()
    asked = Asking(server.url + path, data, {"Content-Type": "application/json"})
    try:
        with urlopen(asked, timeout=fair(120)) as answer:
            return json.loads(answer.read())
    except HTTPError as error:
        return json.loads(error.read())


def printed(capsys, *words):
    """The document that a command prints."""
    capsys.readouterr()
    assert run([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def pull(server, reference):
    return over_http(server, "/v1/pull", {"reference": reference})["data"]["id"]


def a_job_of_each(server, hub, silent, tmp_path, capsys):
    """Jobs in every state, of every face; the last two are at work, and stay so."""
    hub.add("cats/w", {"w.safetensors": headers.write_safetensors(tmp_path / "w.safetensors", LORA).read_bytes()})
    said = {"checkpoint": "dawn", "seed": 7}
    for path, body in (
        ("/v1/generate?wait=true", {"prompt": "ours", "num_images": 2, **said}),
        ("/sdapi/v1/txt2img", {"prompt": "of A1111's", "seed": 7, "steps": 2}),
        ("/v1/images/generations", {"prompt": "of OpenAI's", "model": "dawn", "size": "64x64"}),
        ("/v1/generate?wait=true", {"prompt": "a failure", **said}),
        ("/v1/pull?wait=true", {"reference": "hf://cats/w"}),
        ("/v1/pull?wait=true", {"reference": "hf://cats/w", "name": "other"}),  # which is warned of
        ("/v1/pull?wait=true", {"reference": "hf://cats/nothing"}),
    ):
        over_http(server, path, body)
    printed(capsys, "generate", "a command's", "-c", "dawn", "--count", 2)
    server.await_job(pull(server, silent), "running")
    server.await_job(server.submit(prompt="what is large", **said), "running")
    for prompt in ("cancelled", "waits"):
        server.submit(prompt=prompt, priority=3, **said)
    waiting = pull(server, "hf://cats/w")
    cancelled = next(each["id"] for each in over_http(server, "/v1/jobs")["data"] if each["status"] == "queued")
    server.ask("DELETE", f"/v1/jobs/{cancelled}")
    return waiting


def test_a_job_is_one_document_at_the_command_line_and_over_http(home, hub, silent, tmp_path, capsys):
    skip_if_starved()  # a silent server is given up in time
    with serving(home) as server:
        waiting = a_job_of_each(server, hub, silent, tmp_path, capsys)
        theirs = over_http(server, "/v1/jobs?limit=100")
        ours = printed(capsys, "jobs", "--all")
        assert ours == theirs
        shown = [(each["kind"], each["command"], each["status"]) for each in ours["data"]]
        assert {status for _, _, status in shown} == {"queued", "running", "done", "failed", "cancelled"}
        assert {("pull", False, "queued"), ("pull", False, "running"), ("pull", False, "failed")} <= {*shown}
        assert ("generate", True, "done") in shown
        for each in ours["data"]:
            assert over_http(server, f"/v1/jobs/{each['id']}")["data"] == each
            assert printed(capsys, "jobs", "list", each["id"])["data"] == [each]
        assert printed(capsys, "jobs")["data"] == [each for each in ours["data"] if each["finished_at"] is None]
        done = [each for each in ours["data"] if each["status"] == "done"]
        assert all(len(each["images"]) == each["pictures"] for each in done)
        assert [len(each["assets"]) for each in done if each["kind"] == "pull"] == [1, 1]
        assert "as w" in next(each["warnings"][0]["message"] for each in done if each["warnings"])
        assert over_http(server, "/v1/health")["data"]["running"] == [each["id"] for each in ours["data"][1::-1]]
    schema = printed(capsys, "schema", "jobs")["data"]["commands"][0]["document"]
    jsonschema.Draft202012Validator(schema).validate(ours)
    alone = printed(capsys, "jobs", "--all")
    jsonschema.Draft202012Validator(schema).validate(alone)
    assert {(each["url"], each["events"]) for each in alone["data"]} == {(None, None)}
    for each, before in zip(alone["data"][-8:], ours["data"][-8:], strict=True):
        for image in (*each["images"], *before["images"]):
            del image["url"]
        assert {**each, "url": "", "events": ""} == {**before, "url": "", "events": ""}
    assert next(each for each in alone["data"] if each["id"] == waiting)["status"] == "queued"


def test_pictures_are_made_while_a_pull_waits_and_a_pull_goes_on_while_pictures_wait(home, hub, silent, tmp_path):
    content = headers.write_safetensors(tmp_path / "w.safetensors", LORA).read_bytes()
    hub.add("cats/w", {"w.safetensors": content})
    with serving(home) as server:
        stuck, after = pull(server, silent), pull(server, "hf://cats/w")
        server.await_job(stuck, "running")
        assert server.await_job(server.submit(prompt="a cat", checkpoint="dawn", seed=1))["status"] == "done"
        assert [server.job(number)["status"] for number in (stuck, after)] == ["running", "queued"]
        large = server.submit(prompt="what is large", checkpoint="dawn", seed=1)
        server.await_job(large, "running")
        page = urlopen(f"{server.url}/jobs").read().decode()
        assert [f'aria-label="Progress of job {number}"' in page for number in (stuck, large)] == [True, True]
        begun = time.monotonic()
        server.ask("DELETE", f"/v1/jobs/{stuck}")
        assert [server.await_job(number)["status"] for number in (stuck, after)] == ["cancelled", "done"]
        assert time.monotonic() - begun < fair(10)
        assert server.job(large)["status"] == "running"


def test_a_worker_that_is_killed_over_a_pull_ends_no_picture_and_the_pull_is_tried_again(home, silent):
    with serving(home, PAINTER_SECONDS="0.2", PAINTER_STEPS="15") as server:
        stuck = pull(server, silent)
        server.await_job(stuck, "running")
        (fetching,) = server.workers()
        picture = server.submit(prompt="a cat", checkpoint="dawn", seed=1)
        server.await_job(picture, "running")
        os.kill(fetching, signal.SIGKILL)
        assert (server.await_job(picture)["status"], server.job(picture)["attempts"]) == ("done", 1)
        job = server.await_job(stuck, "running")
        assert job["attempts"] == 2
        assert fetching not in server.workers()
        server.ask("DELETE", f"/v1/jobs/{stuck}")
        assert server.await_job(stuck)["status"] == "cancelled"


def test_a_job_of_a_command_names_the_pictures_that_the_command_recorded(home, tmp_path, capsys):
    (tmp_path / "jobs.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two", "count": 2}\n')
    with serving(home) as server:
        results = [
            printed(capsys, "generate", *words, "-c", "dawn", "--seed", 5)["data"]
            for words in (("a cat",), ("cats", "--count", 3))
        ]
        results += printed(capsys, "generate", "--batch", "jobs.jsonl", "-c", "dawn")["data"]
        made = [[image["number"] for image in each["images"]] for each in results]
        grid = printed(capsys, "generate", "a cat", "--grid", "seed: 8, 9", "-c", "dawn")["data"]
        made += [[cell["image"]["number"]] for cell in grid["cells"]]
        again = printed(capsys, "reproduce", made[0][0])["data"]
        made.append([again["images"][0]["number"]])
        jobs = sorted(over_http(server, "/v1/jobs")["data"], key=lambda job: job["id"])
    assert [[image["number"] for image in job["images"]] for job in jobs] == made
    assert {(job["kind"], job["command"], job["status"]) for job in jobs} == {("generate", True, "done")}
    recorded, _ = pictures_of(home)
    files = {each.number: each.image_sha256 for each in recorded}
    assert all(image["sha256"] == files[image["number"]] for job in jobs for image in job["images"])
    assert again["comparison"]["status"] == "identical"


def test_reproduce_says_that_a_server_makes_it_unless_it_is_told_not_to(home, capsys):
    printed(capsys, "generate", "a cat", "-c", "dawn", "--seed", 5)
    with serving(home) as server:
        for words, count in (((), 1), (("--no-server",), 1), (("--dry-run",), 1)):
            assert run(["reproduce", "1", *words]) == 0
            assert ("made by the server of this home" in capsys.readouterr().err) is not bool(words)
            assert len(over_http(server, "/v1/jobs")["data"]) == count
    first, *others = [Path(each.image_path).read_bytes() for each in pictures_of(home)[0]]
    assert others == [first, first]


def test_a_picture_made_again_over_http_is_to_the_byte_what_reproduce_makes(home, capsys):
    whole = {"negative_prompt": "blurry", "sampler": "DPM++ 2M", "scheduler": "karras", "cfg_scale": 7, "width": 64}
    with serving(home) as server:
        for seed, more in enumerate(({}, whole, {"flavour": "comfyui"}), 1):
            asked = {"prompt": "a (cat:1.2)", "checkpoint": "dawn", "seed": seed, **more}
            (first,) = over_http(server, "/v1/generate?wait=true", asked)["data"]["images"]
            request = over_http(server, f"/v1/pictures/{first['number']}")["data"]["request"]
            (served_again,) = over_http(server, "/v1/generate?wait=true", request)["data"]["images"]
            (by_hand,) = printed(capsys, "reproduce", first["number"], "--no-server")["data"]["images"]
            assert len({first["number"], served_again["number"], by_hand["number"]}) == 3
            files = {each.number: Path(each.image_path).read_bytes() for each in pictures_of(home)[0]}
            assert files[served_again["number"]] == files[by_hand["number"]] == files[first["number"]], asked


def test_pages_of_jobs_lead_to_those_that_wait_and_then_to_those_that_ended(home):
    with served(home, PAINTER_SECONDS="0.1", PAINTER_STEPS="1000") as server:
        said = {"prompt": "a cat", "checkpoint": "dawn"}
        numbers = [server.post("/v1/generate", {**said, "seed": seed}).data["id"] for seed in range(5)]
        server.await_job(numbers[0], "running")
        server.ask("DELETE", f"/v1/jobs/{numbers[1]}")
        pages, path = [], "/v1/jobs?limit=2"
        while path is not None:
            reply = server.get(path)
            pages.append([each["id"] for each in reply.data])
            link = reply.headers.get("link")
            path = link and link.partition(server.url)[2].partition(">")[0]
        assert server.get("/v1/jobs?before=1&after=1").status == 400
    assert pages == [[numbers[0], numbers[2]], numbers[3:], [numbers[1]]]


def test_jobs_are_listed_in_pages_until_there_are_no_more_whatever_begins_meanwhile(home):
    with Registry.open(home) as registry:
        ended, first, *waiting = (registry.jobs.add("pull", {}, priority).id for priority in (9, 8, 0, 5))
        ended_too = registry.jobs.add("generate", {"seeds": [1]}).id
        registry.jobs.take(["pull"])
        registry.jobs.take(["generate"])
        for number in (ended, ended_too):
            registry.jobs.end(number, "done")
        registry.jobs.take()
        pages = [registry.jobs.latest(1)]
        while page := registry.jobs.latest(1, after=pages[-1][0].id):
            if page[0].has_ended:
                break
            pages.append(page)
        assert [page[0].id for page in pages] == [first, waiting[1], waiting[0]]
        registry.jobs.end(first, "done")
        registry.jobs.take()
        assert [each.id for each in registry.jobs.latest(9, after=waiting[1], ended=False)] == [waiting[0]]


def test_warnings_of_a_job_are_told_to_who_asks_when_it_has_ended_and_another_server_runs(home, hub, tmp_path):
    content = headers.write_safetensors(tmp_path / "w.safetensors", LORA).read_bytes()
    hub.add("cats/w", {"w.safetensors": content})
    with served(home) as server:
        server.post("/v1/pull?wait=true", {"reference": "hf://cats/w"})
        number = server.post("/v1/pull?wait=true", {"reference": "hf://cats/w", "name": "other"}).data["id"]
        heard = [events(server, number)]
    with served(home) as server:
        heard.append(events(server, number))
    for each in heard:
        (warned,) = [said for _, name, said in each if name == "warned"]
        assert "as w" in warned["message"]
        assert each[-1][2]["warnings"] == [{name: warned[name] for name in ("message", "hint")}]
        assert "warnings" not in each[-1][2]["request"]


def test_of_many_warnings_the_last_are_kept(home):
    with Registry.open(home) as registry:
        job = registry.jobs.add("pull", {"reference": "x"})
        registry.jobs.take()
        said = [{"event": "warned", "message": f"{number}", "hint": None} for number in range(50)]
        registry.jobs.end(job.id, "done", warnings=said)
        assert [each["message"] for each in registry.jobs.get(job.id).warnings] == [f"{n}" for n in range(30, 50)]


def test_a_server_that_starts_takes_away_what_killed_workers_left_and_no_more(home, capsys):
    with serving(home, PAINTER_SECONDS="5") as server:
        numbers = [server.submit(prompt=f"cat {number}", checkpoint="dawn", seed=1) for number in range(2)]
        server.await_job(numbers[0], "running")
        end = time.monotonic() + fair(40)
        while not list((home / "jobs").glob("*.begun")) and time.monotonic() < end:
            time.sleep(0.02)
        (worker,) = server.workers()
        os.kill(worker, signal.SIGSTOP)  # or it would see that its server is gone, and clear up first
        server.kill()
        os.kill(worker, signal.SIGKILL)
        while is_alive(worker) and time.monotonic() < end:  # the system takes its claim back then
            time.sleep(0.02)
    left = {path.name for path in (home / "jobs").iterdir()}
    assert left
    other = home / "jobs" / f"{'0' * 32}.begun"  # of a list of jobs, which says how often it was begun
    other.write_bytes(b"...")
    assert run(["jobs", "cancel", *map(str, numbers)]) == 0
    capsys.readouterr()
    with serving(home):
        assert [path.name for path in (home / "jobs").iterdir()] == [other.name]


def test_a_start_looks_into_no_ended_job_where_nothing_is_left(home, monkeypatch):
    from assetctl.catalog.jobs import Jobs
    from assetctl.server.plans import clear_up

    asked = []
    monkeypatch.setattr(Jobs, "ended_before", lambda *_: asked.append(1) or [])
    with Registry.open(home) as registry:
        clear_up(registry)
        (home / "jobs").mkdir()
        clear_up(registry)
        assert asked == []
        (home / "jobs" / "x.begun").touch()
        clear_up(registry)
        assert asked == [1]


def test_a_damaged_picture_hides_no_job_and_none_is_forgotten_unsaid(home, capsys):
    with Registry.open(home) as registry:
        request = Request.of("a cat", checkpoint="dawn", count=2, seed=1)
        made = [each.number for each in registry.generate(request, backend=Painter()).images]
        job = registry.jobs.add("generate", {"prompt": "a cat", "seeds": [1, 2]})
        registry.jobs.take()
        registry.jobs.end(job.id, "done", made)
    with closing(sqlite3.connect(home / "catalog.db")) as catalog, catalog:
        catalog.execute("UPDATE generations SET settings = '{}' WHERE id = ?", made[:1])
    capsys.readouterr()
    for words in (["--all"], ["prune"]):
        assert run(["jobs", *words, "--json"]) == 0
        (told,) = json.loads(capsys.readouterr().out)["data"]
        assert [each["number"] for each in told["images"]] == made[1:]
        assert f"picture {made[0]} is damaged" in told["warnings"][0]["message"]


def test_who_listens_does_not_wait_for_a_job_that_waits_for_the_catalog(home, monkeypatch):
    from assetctl.catalog.jobs import Jobs
    from assetctl.server.queue import Queue

    begun, go, listened = threading.Event(), threading.Event(), threading.Event()
    add = Jobs.add

    def slow(self, *asked):
        begun.set()
        assert go.wait(fair(60))
        return add(self, *asked)

    monkeypatch.setattr(Jobs, "add", slow)
    with Registry.open(home) as registry:
        queue = Queue(registry)

        def follow():
            with queue.following("paint", {"prompt": "x"}, lambda _: None):
                pass

        def listen():
            with queue.listening(1, lambda _: None):
                listened.set()

        threads = [threading.Thread(target=each, daemon=True) for each in (follow, listen)]
        try:
            threads[0].start()
            assert begun.wait(fair(20))
            threads[1].start()
            assert listened.wait(fair(20))
        finally:
            go.set()
            for each in threads:
                each.join(fair(20))
