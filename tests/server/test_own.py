"""Our own face: every answer is a document of `--json`, and what the description of the API says."""

from __future__ import annotations

import hashlib
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from material import write_embedding
from patience import fair

from assetctl import Registry

pytest.importorskip("starlette")
Image = pytest.importorskip("PIL.Image")
pytest.importorskip("jsonschema")

from served import events, see_described, served  # noqa: E402 - which needs starlette

LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})
NAMES = ("whiskers", "Ünïcode 猫", "50% & more #1")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A home with two checkpoints and three LoRAs, served."""
    folder = tmp_path_factory.mktemp("made")
    for number, name in enumerate(("dawn", "dusk")):
        write_sparse(folder / "files" / f"{name}.safetensors", whole_checkpoint(), {"x": str(number)})
        tiny.write_vocabulary(folder / "files" / f"{name}.config" / "tokenizer")
    for number, name in enumerate(NAMES):
        headers.write_safetensors(folder / "files" / f"{name}.safetensors", LORA, {"n": str(number)})
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    with served(folder / "home") as server:
        yield server
        see_described(server)


def upload(server, path, data, **options):
    return server.ask("POST", path, data, **options)


def a_lora(number, tmp_path):
    return headers.write_safetensors(tmp_path / f"made-{number}.safetensors", LORA, {"n": f"new {number}"}).read_bytes()


def generated(server, **said):
    reply = server.post("/v1/generate?wait=true", {"prompt": "a cat", "checkpoint": "dawn", "seed": 7, **said})
    assert reply.status == 200, reply.body
    return reply.data


# assets


@pytest.mark.parametrize("sort", ["name", "size", "added", "used"])
def test_assets_are_listed_in_pages_each_of_which_links_to_the_next(server, sort):
    generated(server)
    names, path, pages = [], f"/v1/assets?limit=2&sort={sort}", 0
    while path is not None:
        reply = server.get(path)
        assert reply.status == 200
        names += [each["name"] for each in reply.data]
        link = reply.headers.get("link")
        path = link and link.partition(server.url)[2].partition(">")[0]
        pages += 1
    there = [each.name for each in server.registry.list(sort=sort)]
    assert pages >= 3
    assert names == there


def test_lists_are_filtered_searched_and_told_what_fits(server):
    assert {each["kind"] for each in server.get("/v1/assets?kind=lora").data} == {"lora"}
    assert [each["name"] for each in server.get("/v1/assets?q=whisk").data] == ["whiskers"]
    fitting = server.get("/v1/assets?fits=dawn&limit=2")
    assert [each["fit"] for each in fitting.data] == ["same family"] * 2
    assert "offset=2" in fitting.headers["link"]
    more = server.get("/v1/assets?fits=dawn&limit=2&offset=2").data
    assert not {each["name"] for each in more} & {each["name"] for each in fitting.data}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=1001", "limit=x", "limit=1&limit=2", "sort=colour", "kind=cat", "family=nope", "nope=1",
        "q=a&fits=dawn", "q=a&sort=size", "fits=dawn&after=x", "offset=5", "q=%2F", "in_store=perhaps",
        "sort=size&after=nobody", "limit=99999999999999999999", "tag=%20",
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_one_sentence(server, query):
    reply = server.get(f"/v1/assets?{query}")
    assert (reply.status, reply.error["code"]) == (400, "usage")


@pytest.mark.parametrize("name", ["dawn", *NAMES])
def test_an_asset_is_had_by_its_name_whatever_is_in_it(server, name):
    reply = server.get(f"/v1/assets/{quote(name)}")
    assert (reply.status, reply.data["name"]) == (200, name)


@pytest.mark.parametrize(
    "path", ["..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/etc/passwd", "nobody", "a/b/c", "..%5c..%5cx", "%FF",
             "%E2%80%AE", "+", "x" * 3000],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "DELETE", "PATCH"])
def test_what_is_no_name_is_not_found(server, method, path):
    reply = server.ask(method, f"/v1/assets/{path}", {"notes": "x"} if method == "PATCH" else None)
    assert reply.status == 404, reply.body


def test_an_asset_is_edited_and_a_wrong_word_refused_by_name(server):
    reply = server.ask("PATCH", "/v1/assets/whiskers", {"add_tags": ["cats"], "notes": "soft", "default_weight": 0.5})
    assert (reply.status, reply.data["tags"], reply.data["default_weight"]) == (200, ["cats"], 0.5)
    reply = server.ask("PATCH", "/v1/assets/whiskers", {"colour": "red"})
    assert (reply.status, "colour" in reply.error["message"]) == (400, True)
    assert server.ask("PATCH", "/v1/assets/whiskers", {"kind": "cat"}).status == 400
    assert server.ask("PATCH", "/v1/assets/whiskers", {"name": "../x"}).status == 400
    assert [each["name"] for each in server.get("/v1/assets?tag=cats").data] == ["whiskers"]


def test_an_upload_is_taken_in_once_and_goes_to_the_trash(server, tmp_path):
    data = a_lora(1, tmp_path)
    reply = upload(server, "/v1/assets?filename=new%20one.safetensors&tag=mine&tag=new", data)
    assert (reply.status, reply.data["name"], reply.data["kind"]) == (201, "new one", "lora")
    assert (reply.data["tags"], reply.data["sha256"]) == (["mine", "new"], hashlib.sha256(data).hexdigest())
    assert reply.data["in_store"]
    tagged = upload(server, "/v1/assets?filename=new%20one.safetensors&tag=late&tag=mine", data)
    assert tagged.document["warnings"][0]["message"] == "It was here already, as new one, which is tagged now: late."
    again = upload(server, "/v1/assets?filename=other.safetensors", data)
    assert (again.status, again.data["name"]) == (200, "new one")
    assert "new one" in again.document["warnings"][0]["message"]
    gone = server.ask("DELETE", "/v1/assets/new%20one")
    assert (gone.status, gone.data["removed"]) == (200, True)
    assert server.get("/v1/assets/new%20one").status == 404
    assert [each.name for each in server.registry.trash(gone.data["trash"])] == ["new one"]
    assert nothing_staged(server)


def test_an_upload_came_from_nowhere_that_could_be_asked_again(server, tmp_path):
    upload(server, "/v1/assets?filename=sent.safetensors", a_lora(1, tmp_path))
    assert server.registry.plan_removal("sent").is_final
    assert server.registry.export("sent").local == ("sent",)


def test_an_embedding_is_called_by_its_own_token_and_no_other(server, tmp_path):
    data = write_embedding(tmp_path / "bad-hand.safetensors").read_bytes()
    upload(server, "/v1/assets?filename=bad-hand.safetensors", data)
    body = {"prompt": "a cat, foo, bad-hand", "checkpoint": "dawn"}
    for path in ("/v1/check", "/v1/generate"):
        refused = server.post(path, {**body, "textual_inversions": {"bad-hand": "foo"}})
        assert (refused.status, "goes by 'bad-hand', and not by 'foo'" in refused.body.decode()) == (400, True)
    for token in ("Bad-Hand", None):
        assert server.post("/v1/check", {**body, "textual_inversions": {"bad-hand": token}}).status == 200
    assert server.ask("DELETE", "/v1/assets/bad-hand").status == 200


def nothing_staged(server):
    staging = server.registry.settings.models / ".staging"
    return not [path for path in staging.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("page.safetensors", b"<!DOCTYPE html><html>", 422), ("empty.safetensors", b"", 422),
        ("cut.safetensors", (1000).to_bytes(8, "little") + b"{}", 422), ("..", b"x", 400),
        ("a/b.safetensors", b"x", 400),
        ("evil.ckpt", b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.", 422), ("%00", b"x", 400), ("", b"x", 400),
        ("huge.safetensors", (2**62).to_bytes(8, "little") + b"{}", 422), ("..%5cx.safetensors", b"x", 400),
    ],
)  # fmt: skip
def test_an_upload_that_is_no_model_is_refused_and_leaves_nothing(server, name, data, status):
    before = len(server.registry.list())
    reply = upload(server, f"/v1/assets?filename={name}", data)
    assert reply.status == status, reply.body
    assert (len(server.registry.list()), nothing_staged(server)) == (before, True)
    assert str(server.registry.settings.home) not in reply.body.decode()


@pytest.mark.parametrize("filename", [".hidden", "bare", "odd.", "two words"])
def test_an_upload_without_a_suffix_is_kept_with_one(server, tmp_path, filename):
    data = a_lora(f"bare {filename}", tmp_path)
    asset = upload(server, f"/v1/assets?filename={quote(filename)}", data).data
    assert Path(asset["path"]).suffix == ".safetensors"
    assert (Path(asset["path"]).read_bytes(), nothing_staged(server)) == (data, True)
    assert upload(server, f"/v1/assets?filename={quote(filename)}", data).status == 200
    assert nothing_staged(server)
    assert server.ask("DELETE", f"/v1/assets/{quote(asset['name'])}").status == 200


def test_an_upload_that_breaks_off_leaves_nothing(server, tmp_path):
    data = a_lora(2, tmp_path)
    head = f"POST /v1/assets?filename=half.safetensors HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(data)}\r\n"
    head += "Content-Type: application/octet-stream\r\n\r\n"
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.connect()
    connection.sock.sendall(head.encode() + data[:3000])
    end = time.monotonic() + fair(10)
    while nothing_staged(server) and time.monotonic() < end:
        time.sleep(0.01)
    connection.close()
    while not nothing_staged(server) and time.monotonic() < end:
        time.sleep(0.05)
    assert nothing_staged(server)
    assert server.get("/v1/assets/half").status == 404


def test_a_file_is_identified_and_not_kept(server, tmp_path):
    reply = upload(server, "/v1/identify?filename=what.safetensors", a_lora(3, tmp_path))
    assert (reply.status, reply.data["path"], reply.data["kind"]) == (200, "what.safetensors", "lora")
    wrong = upload(server, "/v1/identify?filename=page.safetensors", b"<!DOCTYPE html><html>")
    assert (wrong.status, wrong.data["error"]["code"]) == (200, "file_refused")
    assert nothing_staged(server)
    assert server.get("/v1/assets/what").status == 404


# what is asked about them


def test_a_selection_is_checked_and_a_prompt_read(server):
    reply = server.post("/v1/check", {"checkpoint": "dawn", "loras": {"whiskers": 0.5}, "prompt": "a cat", "steps": 5})
    assert (reply.status, reply.data["can_generate"]) == (200, True)
    assert server.post("/v1/check", {"checkpoint": "nobody"}).status == 404
    assert server.post("/v1/check", {"checkpoint": "dawn", "hat": 1}).status == 400
    reply = server.post("/v1/prompt", {"prompt": "a (cat:1.2)", "checkpoint": "dawn"})
    assert reply.data["segments"] == [["a ", 1.0], ["cat", 1.2]]
    assert server.post("/v1/prompt", {}).status == 400


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", "file:///etc/passwd", "~/x", "./x.safetensors"])
def test_no_path_of_this_machine_is_looked_at(server, path, tmp_path):
    for reply in (
        server.post("/v1/pull", {"reference": path}),
        server.get(f"/v1/pull/plan?reference={quote(path)}"),
    ):
        assert (reply.status, reply.error["code"]) == (400, "usage")
    for role in ("checkpoint", "vae"):
        assert server.post("/v1/check", {"checkpoint": "dawn", role: path}).status in (400, 404)
    assert server.post("/v1/generate", {"prompt": "x", "checkpoint": path}).status in (400, 404)
    assert server.post("/v1/generate", {"prompt": "x", "checkpoint": "dawn", "loras": {path: 1}}).status in (400, 404)


@pytest.mark.parametrize("path", ["samplers", "families", "options", "health", "jobs", "pictures"])
def test_what_there_is_can_be_asked(server, path):
    reply = server.get(f"/v1/{path}")
    assert reply.status == 200
    assert reply.data or path in ("jobs", "pictures")


# jobs and pictures


def test_a_picture_is_made_while_one_waits(server):
    job = generated(server, num_images=2, negative_prompt="a dog", loras={"whiskers": None}, steps=3)
    assert (job["status"], job["progress"], [each["seed"] for each in job["images"]]) == ("done", 1.0, [7, 8])
    for each in job["images"]:
        file = server.get(each["url"].removeprefix(server.url))
        assert (file.status, file.headers["content-type"]) == (200, "image/png")
        assert hashlib.sha256(file.body).hexdigest() == each["sha256"]
        assert file.headers["x-content-type-options"] == "nosniff"
        same = server.get(f"/v1/pictures/{each['number']}/file", headers={"If-None-Match": file.headers["etag"]})
        assert (same.status, same.body) == (304, b"")


def test_a_job_is_told_of_by_its_number(server):
    reply = server.post("/v1/generate", {"prompt": "a cat", "checkpoint": "dawn", "priority": 2})
    assert (reply.status, reply.data["status"], reply.headers["location"]) == (202, "queued", reply.data["url"])
    job = server.await_job(reply.data["id"])
    assert (job["status"], job["priority"], len(job["images"])) == ("done", 2, 1)
    assert job["id"] in [each["id"] for each in server.get("/v1/jobs").data]


@pytest.mark.parametrize(
    ("name", "value"),
    [("cfg", 1000), ("cfg", -1), ("steps", 0), ("width", 10**9), ("width", 65), ("num_images", 0), ("num_images", 65),
     ("seed", -2), ("seed", [2**64]), ("clip_skip", 99), ("sampler", "nope")],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_named_as_it_was_sent(server, name, value):
    for path in ("/v1/generate", "/v1/check"):
        reply = server.post(path, {"prompt": "x", "checkpoint": "dawn", name: value})
        assert reply.status == 400
        assert name in reply.error["message"]
        assert "--" not in reply.error["message"] + str(reply.error["hint"])


def test_every_whole_number_is_bounded(server):
    said = server.get("/openapi.json").document

    def unbounded(schema):
        kinds = schema.get("type", ()) if isinstance(schema.get("type", ()), (list, tuple)) else [schema["type"]]
        inside = [each for each in schema.values() if isinstance(each, dict)]
        return ("integer" in kinds and "maximum" not in schema) or any(map(unbounded, inside))

    taken = 0
    for path, methods in said["paths"].items():
        for operation in methods.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            for schema in [body, *(each["schema"] for each in operation.get("parameters", ()))]:
                assert not unbounded(schema), (path, schema)
                taken += 1
    assert taken > 30
    assert server.post("/v1/generate", {"prompt": "x", "checkpoint": "dawn", "priority": 2**70}).status == 400
    assert server.post("/v1/pull", {"reference": "hf://a/b", "priority": -(2**70)}).status == 400
    assert server.ask("PATCH", "/v1/assets/whiskers", {"preview": 2**70}).status == 400


def test_who_waits_for_a_job_that_is_cancelled_is_told_so(server):
    with ThreadPoolExecutor(1) as pool:
        before = {each["id"] for each in server.get("/v1/jobs").data}
        body = {"prompt": "x", "checkpoint": "dawn", "steps": 150, "num_images": 64}
        waiting = pool.submit(server.post, "/v1/generate?wait=true", body)
        while not (new := [each["id"] for each in server.get("/v1/jobs").data if each["id"] not in before]):
            time.sleep(0.01)
        job = server.ask("DELETE", f"/v1/jobs/{new[0]}").data
        reply = waiting.result(fair(30))
    assert (server.await_job(job["id"])["status"], reply.status, reply.error["code"]) == (
        "cancelled",
        409,
        "interrupted",
    )


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ('{"prompt": NaN}', "char 11"), ('{"prompt": 1e999}', "infinity"), ('{"prompt": "\\ud800"}', "surrogate"),
        ('{"prompt": "a\\u0000b"}', "prompt has a zero character"),
    ],
)  # fmt: skip
def test_a_body_that_is_no_json_says_why(server, said, wanted):
    reply = server.post("/v1/prompt", said)
    assert (reply.status, wanted in reply.error["message"]) == (400, True), reply.error


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"prompt": "x"}, {"prompt": "x", "checkpoint": "dawn", "hat": 1}, {"prompt": 5, "checkpoint": "dawn"},
        {"prompt": "x", "checkpoint": "dawn", "seed": [1, 1]}, {"prompt": "x", "checkpoint": "dawn", "steps": -1},
        {"prompt": "x", "checkpoint": "dawn", "num_images": 10**9}, {"prompt": "x", "checkpoint": "whiskers"},
        {"prompt": "x", "checkpoint": "dawn", "loras": ["whiskers"]},
        {"prompt": "x", "checkpoint": "dawn", "width": 10**9},
        {"prompt": "x", "checkpoint": "dawn", "seed": 2**70}, {"prompt": "x", "checkpoint": "dawn", "steps": True},
        {"prompt": "x", "checkpoint": "dawn", "sampler": "nope"}, {"prompt": "x", "checkpoint": "dawn", "steps": None},
    ],
)  # fmt: skip
def test_what_cannot_be_made_is_said_at_once(server, wrong):
    before = len(server.get("/v1/jobs").data)
    reply = server.post("/v1/generate", wrong)
    assert reply.status in (400, 404, 422), reply.body
    assert len(server.get("/v1/jobs").data) == before


def test_a_job_that_fails_says_why_to_who_waits_and_to_who_asks_later(server):
    reply = server.post("/v1/generate?wait=true", {"prompt": "a failure", "checkpoint": "dawn"})
    assert (reply.status, reply.error["code"]) == (500, "generation_failed")
    assert reply.error["message"] == "It cannot be painted."
    job = server.get("/v1/jobs?limit=1").data[0]
    assert (job["status"], job["error"]["code"], job["images"]) == ("failed", "generation_failed", [])
    assert events(server, job["id"])[-1][2]["status"] == "failed"


def test_a_picture_is_shown_by_one_of_the_history_and_by_no_path(server, tmp_path):
    number = generated(server)["images"][0]["number"]
    assert server.ask("PATCH", "/v1/assets/dawn", {"preview": number}).status == 200
    assert server.ask("PATCH", "/v1/assets/dawn", {"preview": None}).status == 200
    for wrong in ("/etc/passwd", "1", "", 0, -1, 10**9, True):
        assert server.ask("PATCH", "/v1/assets/dawn", {"preview": wrong}).status in (400, 404)


def test_jobs_are_listed_in_pages(server):
    for _ in range(3):
        generated(server)
    numbers, path = [], "/v1/jobs?limit=2"
    while path is not None:
        reply = server.get(path)
        numbers += [each["id"] for each in reply.data]
        link = reply.headers.get("link")
        path = link and link.partition(server.url)[2].partition(">")[0]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 1


def test_pictures_are_listed_in_pages_and_told_how_to_make_again(server):
    job = generated(server, prompt="a striped cat", loras={"whiskers": 0.8})
    number = job["images"][0]["number"]
    assert server.get("/v1/pictures?with=whiskers&limit=1").data[0]["number"] == number
    assert server.get("/v1/pictures?prompt=striped").data[0]["number"] == number
    reply = server.get(f"/v1/pictures/{number}")
    assert reply.data["command"][:4] == ["assetctl", "--home", str(server.registry.settings.home), "generate"]
    again = server.post("/v1/generate?wait=true", reply.data["request"]).data["images"][0]
    assert again["sha256"] == job["images"][0]["sha256"]
    numbers, path = [], "/v1/pictures?limit=2"
    while path is not None:
        reply = server.get(path)
        numbers += [each["number"] for each in reply.data]
        link = reply.headers.get("link")
        path = link and link.partition(server.url)[2].partition(">")[0]
    assert numbers == [each.number for each in server.registry.history(None)]


def test_a_picture_that_was_replaced_is_not_given_away(server, tmp_path):
    number = generated(server)["images"][0]["number"]
    path = Path(server.registry.generation(number).image_path)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path.unlink()
    path.symlink_to(secret)
    reply = server.get(f"/v1/pictures/{number}/file")
    assert (reply.status, b"secret" in reply.body) == (404, False)
    path.unlink()
    assert server.get(f"/v1/pictures/{number}/file").status == 404


@pytest.mark.parametrize("number", ["0", "-1", "x", "99999999999999999999", "1.5", "%2e%2e", "1%00"])
def test_a_number_of_nothing_is_not_found(server, number):
    for path in (f"/v1/jobs/{number}", f"/v1/pictures/{number}", f"/v1/pictures/{number}/file",
                 f"/v1/jobs/{number}/events"):  # fmt: skip
        assert server.get(path).status in (400, 404, 414), path


def test_a_picture_tells_what_it_was_made_of(server):
    image = generated(server, prompt="a known cat")["images"][0]
    data = server.get(image["url"].removeprefix(server.url)).body
    reply = upload(server, "/v1/pictures/inspect?filename=cat.png", data)
    assert (reply.status, reply.data["path"], reply.data["parameters"]["prompt"]) == (200, "cat.png", "a known cat")
    assert server.ask("POST", "/v1/pictures/inspect", data, headers={"Content-Type": "image/png"}).status == 200
    assert upload(server, "/v1/pictures/inspect", b"no picture").status == 422
    assert nothing_staged(server)


def test_a_picture_of_a_huge_declared_size_costs_nothing(server):
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bomb = zlib.compress(b"\0" * 50_000_000)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0))
    data += chunk(b"zTXt", b"parameters\0\0" + bomb) + chunk(b"IDAT", bomb) + chunk(b"IEND", b"")
    begun = time.monotonic()
    reply = upload(server, "/v1/pictures/inspect", data)
    assert reply.status in (200, 422)
    assert time.monotonic() - begun < fair(2)


def test_a_running_job_is_cancelled(server, monkeypatch):
    number = server.post("/v1/generate", {"prompt": "x", "checkpoint": "dawn", "steps": 150, "num_images": 8}).data[
        "id"
    ]
    reply = server.ask("DELETE", f"/v1/jobs/{number}")
    assert (reply.status, reply.data["id"]) == (200, number)
    assert server.await_job(number)["status"] in ("cancelled", "done")
    assert server.ask("DELETE", "/v1/jobs/123456").status == 404


def test_the_events_of_a_job_end_with_it(server):
    number = server.post("/v1/generate", {"prompt": "x", "checkpoint": "dusk", "num_images": 3}).data["id"]
    found = events(server, number)
    assert [found[0][1], found[-1][:2]] == ["job", ("end", "job")]
    assert (found[-1][2]["status"], len(found[-1][2]["images"])) == ("done", 3)
    assert {each[1] for each in found} >= {"job"}
    again = events(server, number)
    assert [each[1] for each in again] == ["job", "job"]
    assert events(server, number, last="end") == 204


def test_a_listener_that_goes_away_leaves_nothing_behind(server):
    number = server.post("/v1/generate", {"prompt": "x", "checkpoint": "dawn", "num_images": 2}).data["id"]
    waiting = server.post  # a job that is at work, or waits
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=fair(30))
        connection.request("GET", f"/v1/jobs/{number}/events")
        connection.getresponse().fp.readline()
        connection.close()
    server.await_job(number)
    end = time.monotonic() + fair(5)
    while server.queue._listeners and time.monotonic() < end:
        time.sleep(0.02)
    assert server.queue._listeners == {}
    assert waiting is not None


def test_all_faces_are_described(tmp_path):
    from assetctl.server.a1111 import A1111
    from assetctl.server.openai import OpenAI
    from assetctl.server.own import OWN

    with served(tmp_path, faces=[OWN, A1111(), OpenAI()]) as server:
        said = server.get("/openapi.json").document
        assert {"/v1/assets/{name}", "/sdapi/v1/txt2img", "/v1/images/generations"} <= said["paths"].keys()
        names = [each["operationId"] for path in said["paths"].values() for each in path.values()]
        assert len(names) == len(set(names))
        assert server.get("/docs").body.count(b"<details") > len(names)
        picture = {"image": "A" * (10 * 2**20)}
        assert server.post("/sdapi/v1/png-info", picture).status != 413
        assert server.post("/v1/check", {"prompt": "A" * (2 * 2**20)}).status == 413


def test_the_page_of_the_api_asks_for_nothing_elsewhere(server):
    reply = server.get("/docs")
    assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, "text/html")
    text = reply.body.decode()
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "http://" not in text
    assert "https://" not in text.replace("https://json-schema.org", "")
    for path in server.get("/openapi.json").document["paths"]:
        assert path in text
