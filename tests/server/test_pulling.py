"""Fetching over HTTP, from a Hub and a Civitai on the loopback: every kind of reference, and whatever goes wrong."""

from __future__ import annotations

import hashlib
import io
import os
import signal
import socket
import sqlite3
import threading
import time
from contextlib import closing
from urllib.parse import quote

import headers
import pytest
from disks import small_disk
from patience import fair
from written_pictures import near, picture

from assetctl import Registry

pytest.importorskip("starlette")
pytest.importorskip("jsonschema")
Image = pytest.importorskip("PIL.Image")

from painting import Server, is_alive  # noqa: E402 - which needs starlette
from served import events, see_described, served  # noqa: E402 - likewise

LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})


def a_lora(folder, number=0, size=0):
    """A LoRA's bytes, some of which are in its header: as many as are wanted."""
    said = {"n": f"{number}", "x": "x" * size}
    return headers.write_safetensors(folder / f"made-{number}.safetensors", LORA, said).read_bytes()


@pytest.fixture
def server(hub, civitai, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with served(tmp_path / "home", ASSETCTL_PULL_PRIVATE="1") as server:
        yield server
        see_described(server)


def pull(server, reference, **said):
    """Have something fetched, and wait for it."""
    return server.post("/v1/pull?wait=true", {"reference": reference, **said})


def slow(hub, tmp_path, megabytes=3, seconds=4):
    """A LoRA on the Hub that takes some time; its bytes."""
    content = a_lora(tmp_path, 1, megabytes * 10**6)
    hub.add("cats/slow", {"slow.safetensors": content})
    hub.throttle = len(content) // seconds
    return content


def await_bytes(job, seconds=20):
    """A job some of whose bytes came."""
    end = time.monotonic() + fair(seconds)
    while time.monotonic() < end:
        found = job()
        if found["status"] == "failed" or 200_000 < found["fetched"] < (found["total"] or 0):
            assert found["status"] == "running", found["error"]
            return found
        time.sleep(0.02)
    raise AssertionError(found)


FORMS = [
    "hf://cats/w{n}/w{n}.safetensors", "hf://cats/w{n}", "cats/w{n}", "hf://cats/w{n}@main", "{hub}/cats/w{n}",
    "{hub}/cats/w{n}/blob/main/w{n}.safetensors", "urn:air:sd1:lora:huggingface:cats/w{n}",
    "civitai:{n}", "civitai:{n}@{n}0", "urn:air:sd1:lora:civitai:{n}@{n}0", "{civitai}/models/{n}/cats",
    "{civitai}/models/{n}?modelVersionId={n}0", "{civitai}/api/download/models/{n}0", "civitai:by-hash/{hash}",
    "{storage}/{n}0-0?/w{n}.safetensors",  # whose address says nothing of its bytes: what is here is not known by it
]  # fmt: skip


def test_every_kind_of_reference_brings_its_file(server, hub, civitai, tmp_path):
    for number, form in enumerate(FORMS, 1):
        content = a_lora(tmp_path, number)
        hub.add(f"cats/w{number}", {f"w{number}.safetensors": content})
        civitai.add(number, number * 10, (f"w{number}.safetensors", content))
        digest = hashlib.sha256(content).hexdigest()
        said = {"hub": hub.url, "civitai": civitai.url, "storage": civitai.storage_url, "hash": digest[:10]}
        reference = form.format(n=number, **said)
        plan = server.get(f"/v1/pull/plan?reference={quote(reference)}")
        assert (plan.status, plan.data["here"], plan.data["missing"]) in ((200, None, len(content)), (200, None, 0)), (
            form
        )
        job = pull(server, reference).data
        assert (job["status"], job["progress"], len(job["assets"])) == ("done", 1.0, 1), form
        asset = server.get(f"/v1/assets/{quote(job['assets'][0])}").data
        assert (asset["sha256"], asset["in_store"]) == (digest, True), form
        assert server.get(f"/v1/pull/plan?reference={quote(reference)}").data["here"] == (
            None if "storage" in form else asset["name"]
        ), form


def test_what_lets_in_is_shown_by_no_job_and_kept_by_none_that_ended(server, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    reference = f"http://ann:hush-hush@127.0.0.1:{port}/w.safetensors?token=sesame-sesame&id=5"
    failed = pull(server, reference)
    begun = server.post("/v1/pull", {"reference": reference})
    cancelled = server.ask("DELETE", f"/v1/jobs/{begun.data['id']}")
    server.await_job(begun.data["id"])
    shown = [*map(str, (failed.error, begun.data, cancelled.data))]
    shown += [str(server.get(path).data) for path in ("/v1/jobs", "/v1/jobs/1", "/v1/jobs/2")]
    shown.append(server.get("/jobs").body.decode())
    assert not [text for text in shown if "hush" in text or "sesame" in text]
    assert all(f"127.0.0.1:{port}/w.safetensors" in text for text in shown[1:])
    with closing(sqlite3.connect(tmp_path / "home" / "catalog.db")) as catalog:
        kept = str(catalog.execute("SELECT * FROM jobs").fetchall())
    assert "w.safetensors" in kept
    assert "hush" not in kept
    assert "sesame" not in kept


#: This machine, by names that nobody has to look up and by one that is looked up.
NEAR = ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "127.1", "0", "[::ffff:127.0.0.1]", "a.localhost"]


def test_nobody_is_led_to_what_is_near_by_a_plain_address(hub, civitai, tmp_path):
    hub.add("cats/whiskers", {"w.safetensors": a_lora(tmp_path)})
    names = [*NEAR, "10.0.0.1", "169.254.169.254", "192.168.1.1", "[fe80::1]", socket.gethostname()]
    with served(tmp_path / "home") as server, socket.create_server(("", 0)) as near:
        near.settimeout(0.2)
        for name in names:
            address = f"http://{name}:{near.getsockname()[1]}/w.safetensors"
            plan = server.get(f"/v1/pull/plan?reference={quote(address)}")
            assert (plan.status, "fetched for others" in plan.error["message"]) == (400, name != names[-1]) or (
                name == names[-1] and plan.status == 502
            ), (name, plan.body)
            assert pull(server, address).status in (400, 502), name
        with pytest.raises(TimeoutError):
            near.accept()
        assert pull(server, "hf://cats/whiskers").data["status"] == "done"  # whoever set up the server named that one


def test_sources_are_searched_and_it_is_seen_what_is_here(server, hub, civitai, tmp_path):
    for number in (1, 2):
        content = a_lora(tmp_path, number)
        hub.add(f"cats/whiskers-{number}", {"w.safetensors": content}, tags=("lora", "text-to-image"), downloads=number)
        civitai.add(number, number, ("w.safetensors", content), baseModel="SD 1.5", model_said={"name": "Whiskers"})
    pull(server, "hf://cats/whiskers-1")
    found = server.get("/v1/search?source=huggingface&q=whisk").data
    assert [(each["reference"], each["here"]) for each in found] == [
        ("hf://cats/whiskers-2", None),
        ("hf://cats/whiskers-1", "w"),
    ]
    found = server.get("/v1/search?source=civitai&q=whisk&kind=lora&family=sd1&limit=1").data
    assert [(each["reference"], each["family"], each["here"]) for each in found] == [("civitai:1@1", "sd1", "w")]
    assert server.get("/v1/search?source=civitai&q=nothing").data == []
    for wrong in ("source=path&q=x", "source=civitai", "source=civitai&q=x&limit=0", "source=civitai&q=x&hat=1"):
        assert server.get(f"/v1/search?{wrong}").status == 400
    civitai.broken = True
    assert server.get("/v1/search?source=civitai&q=whisk").status == 502


def test_what_is_asked_for_is_done_and_its_warnings_are_told(server, hub, civitai, tmp_path):
    content = a_lora(tmp_path)
    images = [{"url": f"{civitai.storage_url}/a", "nsfwLevel": 4}, {"url": f"{civitai.storage_url}/b", "nsfwLevel": 1}]
    civitai.files |= {"a": picture("red"), "b": picture("blue")}
    civitai.add(7, 42, ("whiskers.safetensors", content), images=images)
    job = pull(server, "civitai:7", name="mine", tags=["cats"], previews=True).data
    asset = server.get("/v1/assets/mine").data
    assert (job["assets"], asset["tags"]) == (["mine"], ["cats"])
    shown = Image.open(io.BytesIO(server.get("/page/thumbnails/assets/mine").body)).convert("RGB")
    assert near(shown.getpixel((1, 1)), (0, 0, 255))
    number = server.post("/v1/pull", {"reference": "civitai:7", "name": "other"}).data["id"]
    warned = [said["message"] for _, name, said in events(server, number) if name == "warned"]
    assert (len(warned), "as mine" in warned[0]) == (1, True)
    for wrong in ({"nsfw": True}, {"previews": "yes"}, {"name": 5}, {"tags": "x"}, {"hat": 1}):
        assert pull(server, "civitai:7", **wrong).status == 400


def test_it_is_told_how_far_it_is_until_it_is_here(server, hub, tmp_path):
    content = slow(hub, tmp_path, seconds=2)
    number = server.post("/v1/pull", {"reference": "hf://cats/slow"}).data["id"]
    heard = []
    listening = threading.Thread(target=lambda: heard.extend(events(server, number)))
    listening.start()
    job = await_bytes(lambda: server.get(f"/v1/jobs/{number}").data)
    assert job["total"] == len(content)
    assert job["progress"] == pytest.approx(job["fetched"] / job["total"])
    assert " of 3.0 MB" in server.get("/jobs").body.decode()
    listening.join(fair(30))
    done = [said["done"] for _, name, said in heard if name == "bytes"]
    assert (len(done) > 5, done, done[-1]) == (True, sorted(done), len(content))
    assert heard[0][1] == "job"
    assert (heard[-1][0], heard[-1][2]["status"], heard[-1][2]["assets"]) == ("end", "done", ["slow"])


def test_one_that_is_cancelled_is_gone_on_with(server, hub, tmp_path):
    content = slow(hub, tmp_path)
    number = server.post("/v1/pull", {"reference": "hf://cats/slow"}).data["id"]
    await_bytes(lambda: server.get(f"/v1/jobs/{number}").data)
    begun = time.monotonic()
    server.ask("DELETE", f"/v1/jobs/{number}")
    job = server.await_job(number)
    assert (job["status"], job["assets"], job["error"]) == ("cancelled", [], None)
    assert time.monotonic() - begun < fair(3)
    assert server.get("/v1/assets").data == []
    kept = server.get("/v1/pull/plan?reference=hf://cats/slow").data["fetched"]
    assert 0 < kept < len(content)
    hub.throttle = None
    assert pull(server, "hf://cats/slow").data["assets"] == ["slow"]
    assert [each.range for each in hub.downloads("/blobs/")] == [None, f"bytes={kept}-"]
    assert server.get("/v1/assets/slow").data["sha256"] == hashlib.sha256(content).hexdigest()


def test_one_thing_that_several_fetch_at_once_comes_once(server, hub, tmp_path):
    slow(hub, tmp_path, seconds=1)
    numbers = [server.post("/v1/pull", {"reference": "hf://cats/slow"}).data["id"] for _ in range(2)]
    with Registry.open(server.registry.settings.home) as registry:  # as `assetctl pull` does beside the server
        registry.pull("hf://cats/slow")
    assert [server.await_job(each)["assets"] for each in numbers] == [["slow"], ["slow"]]
    assert len(hub.downloads("/blobs/")) == 1
    assert len(server.get("/v1/assets").data) == 1


def refusals(hub, civitai, tmp_path):
    """References that fail, each with the code of its error and the status of who waits for it."""
    content = a_lora(tmp_path)
    hub.add("cats/gated", {"w.safetensors": content}, gated=True)
    hub.add("cats/private", {"w.safetensors": content}, private=True)
    hub.add("cats/wrong", {"wrong.safetensors": content + b"x"})
    hub.wrong.add("wrong.safetensors")
    hub.add("cats/pickle", {"w.ckpt": b"\x80\x02cos\nsystem\nX\x02\0\0\0ls\x85R."})
    hub.add("cats/other", {"w.h5": b"x"})
    hub.add("cats/several", {"a.safetensors": content, "b.safetensors": content})
    civitai.add(1, 10, ("w.safetensors", content))
    civitai.early.add(10)
    civitai.add(2, 20, ("w.safetensors", content + b"z"))
    civitai.private.add(20)
    civitai.add(3, 30, ("w.safetensors", content + b"large"))["files"][0]["sizeKB"] = 10**10
    return {
        "hf://cats/gated": ("unauthorized", 502), "hf://cats/private": ("unauthorized", 502),
        "hf://cats/wrong": ("hash_mismatch", 422), "hf://cats/pickle": ("file_refused", 422),
        "hf://cats/other": ("file_refused", 422), "hf://cats/several": ("ambiguous", 409),
        "hf://cats/nothing": ("unauthorized", 502),
        "civitai:1": ("unauthorized", 502), "civitai:2": ("unauthorized", 502), "civitai:3": ("storage", 507),
        "civitai:99": ("source_not_found", 404), "civitai:by-hash/0123456789": ("source_not_found", 404),
    }  # fmt: skip


def test_what_cannot_be_had_says_why_and_leaves_nothing(server, hub, civitai, tmp_path, monkeypatch):
    for reference, expected in refusals(hub, civitai, tmp_path).items():
        reply = pull(server, reference)
        assert (reply.error["code"], reply.status) == expected, (reference, reply.error)
        assert reply.error["hint"], reference
        job = server.get("/v1/jobs?limit=1").data[0]
        assert (job["status"], job["error"]["message"], job["assets"]) == ("failed", reply.error["message"], [])
    assert server.get("/v1/assets").data == []
    assert not any((tmp_path / "home/models").rglob("*.safetensors"))
    assert pull(server, "hf://cats/several/a.safetensors").data["assets"] == ["a"]  # the worker is still there


def test_a_source_that_dies_in_the_middle_is_gone_on_with(server, hub, tmp_path):
    content = a_lora(tmp_path, 1, 1_000_000)
    hub.add("cats/slow", {"slow.safetensors": content})
    hub.cut_after, hub.cuts = 300_000, 1000
    hub.after_cuts = {}
    reply = pull(server, "hf://cats/slow")
    if reply.status == 502:
        hub.cuts = 0
        reply = pull(server, "hf://cats/slow")
    assert reply.data["assets"] == ["slow"]
    assert sum(each.sent for each in hub.downloads("/blobs/")) == len(content)


def test_a_disk_without_room_is_told_before_anything_is_fetched(hub, tmp_path):
    content = a_lora(tmp_path, 1, 40_000_000)
    hub.add("cats/large", {"large.safetensors": content})
    with small_disk(tmp_path / "disk", 32 * 2**20) as disk, served(disk / "home") as server:
        reply = pull(server, "hf://cats/large")
        assert (reply.status, reply.error["code"]) == (507, "storage")
        assert hub.downloads("/blobs/") == []
        hub.add("cats/small", {"small.safetensors": a_lora(tmp_path, 2)})
        assert pull(server, "hf://cats/small").data["assets"] == ["small"]


def test_a_file_that_lies_by_now_where_a_reference_led_is_left_alone(server, hub, tmp_path):
    slow(hub, tmp_path, seconds=1)
    server.post("/v1/pull", {"reference": "hf://cats/slow"})
    number = server.post("/v1/pull", {"reference": "cats/late"}).data["id"]
    (tmp_path / "here/cats").mkdir()
    (tmp_path / "here/cats/late").write_bytes(a_lora(tmp_path, 2))
    job = server.await_job(number)
    assert (job["status"], job["error"]["code"]) == ("failed", "unauthorized")  # it is asked of the Hub
    assert [each["name"] for each in server.get("/v1/assets").data] == ["slow"]


@pytest.mark.slow
@pytest.mark.parametrize("who", ["server", "worker"])
def test_a_kill_in_the_middle_loses_and_doubles_nothing(hub, tmp_path, who):
    content, home = slow(hub, tmp_path), tmp_path / "home"
    server = Server(home)
    try:
        number = server.ask("POST", "/v1/pull", {"reference": "hf://cats/slow"})["data"]["id"]
        await_bytes(lambda: server.job(number))
        workers = server.workers()
        if who == "worker":
            os.kill(workers[0], signal.SIGKILL)
        else:
            server.kill()
            server = Server(home)
        hub.throttle = None
        job = server.await_job(number)
        assert (job["status"], job["assets"]) == ("done", ["slow"])
    finally:
        server.end()
    assert not any(map(is_alive, workers))
    first, *rest = hub.downloads("/blobs/")
    assert first.range is None
    assert all(each.range for each in rest), "what came was fetched again"
    with Registry.open(home) as registry:
        (asset,) = registry.list()
        assert asset.sha256 == hashlib.sha256(content).hexdigest()
        plan = registry.plan_pruning()
        assert (plan.leftovers, plan.strangers) == ((), ())
