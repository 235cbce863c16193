"""A1111's face: what its clients send at their start and for a picture, and what they read of the answers."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import socket
import threading
import time
from pathlib import Path

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from patience import fair
from tables import cases, table

from assetctl import Registry
from assetctl.cli.main import run

pytest.importorskip("starlette")
Image = pytest.importorskip("PIL.Image")
webuiapi = pytest.importorskip("webuiapi")

import painting  # noqa: E402
from served import served  # noqa: E402 - which needs starlette

TENSORS = whole_checkpoint(layers=2)
LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})


def fill(folder):
    """A home with two checkpoints and a LoRA."""
    for number, name in enumerate(("dawn", "dusk")):
        write_sparse(folder / "files" / f"{name}.safetensors", TENSORS, {"x": str(number)})
        tiny.write_vocabulary(folder / "files" / f"{name}.config" / "tokenizer")
    headers.write_safetensors(folder / "files" / "whiskers.safetensors", LORA, {"n": "1"})
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    return folder / "home"


def serving(home, **variables):
    from assetctl.server.a1111 import A1111
    from assetctl.server.own import OWN

    return served(home, faces=[OWN, A1111()], **variables)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def server(home):
    with serving(home, PAINTER_DIES="a deadly cat") as server:
        server.post("/sdapi/v1/options", {"sd_model_checkpoint": "dawn"})
        yield server


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A server that takes its time."""
    with serving(fill(tmp_path_factory.mktemp("slow")), PAINTER_SECONDS="0.03", PAINTER_STEPS="40") as server:
        yield server


def client(server, **options):
    return webuiapi.WebUIApi(host="127.0.0.1", port=server.port, **options)


def made(server, **body):
    reply = server.post("/sdapi/v1/txt2img", {"prompt": "a cat", "steps": 2, **body})
    assert reply.status == 200, reply.body
    return reply.document, json.loads(reply.document["info"])


def recorded(server, number=1):
    """The pictures of the last job, as it asked for them."""
    job = server.registry.jobs.latest(1)[0]
    assert len(job.pictures) == number
    return server.registry.pictures(*job.pictures)


def until(happens, seconds=20):
    end = time.monotonic() + fair(seconds)
    while not (found := happens()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("case", table("server/a1111_clients"))
def test_what_clients_send_is_answered(server, case):
    for asked in case["requests"]:
        body = asked.get("body")
        if isinstance(body, str):  # what was read is sent back
            body = server.get(body.removeprefix("GET ")).document
        reply = server.ask(asked["method"], asked["path"], body)
        assert reply.status == asked.get("status", 200), (asked["path"], reply.body)
        if reply.status == 200 and "pictures" in asked:
            assert len(reply.document["images"]) == asked["pictures"]
            info = json.loads(reply.document["info"])
            assert len(info["all_seeds"]) == len(info["infotexts"]) == asked["pictures"]
            assert info["seed"] == info["all_seeds"][0]
            assert (info["width"], info["height"]) == (
                asked["body"].get("width", 512),
                asked["body"].get("height", 512),
            )
        if reply.status != 200:
            assert {"error", "detail", "body", "errors"} <= reply.document.keys()
            assert reply.document.get("field") == asked.get("field")


@pytest.mark.parametrize("case", table("server/a1111_refused"))
def test_what_cannot_be_done_is_refused_by_name(server, case):
    before = len(server.registry.history(None))
    reply = server.post("/sdapi/v1/txt2img", {"prompt": "a cat", **case["body"]})
    assert reply.status == case.get("status", 422), reply.body
    assert reply.document["field"] == case["field"]
    assert str(next(iter(case["body"])))[:3].lower() in reply.document["detail"].lower() or case["field"] in str(
        case["body"]
    )
    assert len(server.registry.history(None)) == before


@pytest.mark.parametrize("case", table("server/a1111_obeyed"))
def test_fields_and_settings_are_obeyed(server, case):
    made(server, **{"steps": None, **case["body"]})
    (picture,) = recorded(server)
    assert {name: picture.settings.get(name) for name in case["settings"]} == case["settings"]


def test_what_is_passed_over_or_cannot_be_done_may_be_long(server):
    made(server, enable_hr=False, hr_prompt="a cat, " * 200, script_args=["x" * 1200])
    for name, value in (("init_images", ["A" * 1200]), ("firstpass_image", "A" * 1200)):
        reply = server.post("/sdapi/v1/txt2img", {"prompt": "a cat", name: value})
        assert (reply.status, reply.document["field"]) == (422, name)
        assert f"cannot do {name} yet" in reply.document["detail"]


def test_a_field_that_nobody_knows_is_passed_over_as_a1111_does(server):
    answer, _ = made(server, mystery={"deep": [1, 10**40]}, auth="x:y", hr_scale=10**40)
    assert answer["parameters"]["mystery"]["deep"][0] == 1


def test_pictures_hold_their_infotext_and_are_those_of_the_history(server):
    answer, info = made(server, prompt="a cat", negative_prompt="dogs", seed=7, n_iter=2, batch_size=2)
    assert info["all_seeds"] == [7, 8, 9, 10]
    assert info["batch_size"] == 2
    assert answer["parameters"]["seed"] == 7
    for image, picture, text in zip(answer["images"], recorded(server, 4), info["infotexts"], strict=True):
        data = base64.b64decode(image)
        assert data == Path(picture.image_path).read_bytes()
        assert Image.open(io.BytesIO(data)).info["parameters"] == text
        assert text.startswith("a cat\nNegative prompt: dogs\nSteps: 2, Sampler: Euler")


def test_pictures_of_one_seed_vary_as_a1111s_do(server):
    _, info = made(server, seed=7, subseed=100, subseed_strength=0.5, batch_size=3)
    assert (info["all_seeds"], info["all_subseeds"]) == ([7, 7, 7], [100, 101, 102])
    assert [each.settings["variation_seed"] for each in recorded(server, 3)] == [100, 101, 102]
    _, info = made(server, seed=7, subseed=-1, subseed_strength=0.5)
    assert info["subseed"] > 0


def test_no_pictures_are_sent_where_none_are_wanted(server):
    answer, info = made(server, send_images=False, seed=5)
    assert answer["images"] == []
    assert info["all_seeds"] == [5]


def test_loras_are_named_in_prompts(server):
    made(server, prompt="a cat <lora:whiskers:0.5>")
    (picture,) = recorded(server)
    assert [(each.name, each.weight) for each in picture.assets if each.role == "lora"] == [("whiskers", 0.5)]
    reply = server.post("/sdapi/v1/txt2img", {"prompt": "a cat <lora:nobody:0.5>"})
    assert reply.status in (404, 422)
    assert "nobody" in reply.document["detail"]


def test_a_checkpoint_is_chosen_by_any_of_its_names_and_stays_so(server):
    models = server.get("/sdapi/v1/sd-models").document
    assert {each["model_name"] for each in models} == {"dawn", "dusk"}
    for model in models:
        names = [model["title"], model["model_name"], f"{model['model_name']}.safetensors"]
        for name in [*names, model["hash"], model["sha256"], model["filename"]]:
            if name is None:
                continue
            server.post("/sdapi/v1/options", {"sd_model_checkpoint": "dawn"})
            assert server.post("/sdapi/v1/options", {"sd_model_checkpoint": name}).status == 200, name
            assert server.get("/sdapi/v1/options").document["sd_model_checkpoint"] == model["title"]
    server.post("/sdapi/v1/options", {"sd_model_checkpoint": "dusk"})
    made(server)
    assert recorded(server)[0].assets[0].name == "dusk"
    made(server, override_settings={"sd_model_checkpoint": "dawn"})
    assert recorded(server)[0].assets[0].name == "dawn"
    assert server.get("/sdapi/v1/options").document["sd_model_checkpoint"].startswith("dusk")
    made(server, override_settings={"sd_model_checkpoint": "dawn"}, override_settings_restore_afterwards=False)
    assert server.get("/sdapi/v1/options").document["sd_model_checkpoint"].startswith("dawn")


def test_every_setting_is_obeyed_passed_over_or_refused_by_name(server):
    """As A1111 has them: what would change pictures is never passed over."""
    settings = cases("server/a1111_settings")
    usual = {each["name"]: each["usual"] for each in settings}
    assert server.post("/sdapi/v1/options", usual).status == 200  # some clients send all that there is
    for each in settings:
        reply = server.post("/sdapi/v1/options", {each["name"]: each["other"]})
        if each["becomes"] == "refused":
            assert (reply.status, reply.document["field"]) == (422, each["name"]), reply.body
        else:
            assert reply.status == 200, reply.body
            now = server.get("/sdapi/v1/options").document.get(each["name"])
            assert each["becomes"] == "passed over" or now == each["other"], each
    assert server.post("/sdapi/v1/options", usual).status == 200


def test_a_setting_that_no_picture_could_be_made_with_is_not_kept(server):
    reply = server.post("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 12, "sd_model_checkpoint": "dawn"})
    assert (reply.status, reply.document["field"]) == (422, "CLIP_stop_at_last_layers")
    assert "--" not in reply.document["detail"]
    assert server.get("/sdapi/v1/options").document["CLIP_stop_at_last_layers"] == 1


def test_what_options_tells_can_be_sent_back(server):
    told = server.get("/sdapi/v1/options").document
    assert server.post("/sdapi/v1/options", told).status == 200
    assert server.get("/sdapi/v1/options").document == told


def test_settings_hold_until_others_are_chosen(server):
    assert server.post("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 2}).body == b"null"
    try:
        assert server.get("/sdapi/v1/options").document["CLIP_stop_at_last_layers"] == 2
        made(server)
        assert recorded(server)[0].settings["clip_skip"] == 2
    finally:
        server.post("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 1})
    for wrong in ({"sd_model_checkpoint": "nobody"}, {"tiling": True}, {"nobody_knows": 1}, {"randn_source": 5}):
        assert server.post("/sdapi/v1/options", {"CLIP_stop_at_last_layers": 3, **wrong}).status in (404, 422)
    assert server.get("/sdapi/v1/options").document["CLIP_stop_at_last_layers"] == 1


def test_every_sampler_and_schedule_that_is_listed_can_be_asked_for(server):
    from assetctl.options import option

    for each in server.get("/sdapi/v1/samplers").document:
        assert option("sampler").checked(each["name"]) == each["name"]
    for each in server.get("/sdapi/v1/schedulers").document:
        assert option("scheduler").checked(each["name"]) == option("scheduler").checked(each["label"]) == each["label"]


def test_a_picture_is_read_wherever_its_bytes_come_from(server):
    answer, info = made(server, prompt="a cat", seed=7, width=640)
    assert info["batch_size"] == 1
    lines = base64.encodebytes(base64.b64decode(answer["images"][0])).decode()
    for sent in (answer["images"][0], "data:image/png;base64," + answer["images"][0], lines):
        read = server.post("/sdapi/v1/png-info", {"image": sent}).document
        assert read["info"] == info["infotexts"][0]
        assert read["parameters"]["Prompt"] == "a cat"
        assert read["parameters"]["Seed"] == "7"
        assert (read["parameters"]["Size-1"], read["parameters"]["Size-2"]) == ("640", "512")
    plain = io.BytesIO()
    Image.new("RGB", (8, 8)).save(plain, "PNG")
    read = server.post("/sdapi/v1/png-info", {"image": base64.b64encode(plain.getvalue()).decode()})
    assert read.document == {"info": "", "items": {}, "parameters": {}}
    for wrong in ("", "http://127.0.0.1/x.png", "/etc/passwd", "AAAA", "%%%"):
        reply = server.post("/sdapi/v1/png-info", {"image": wrong})
        assert reply.status == 422, reply.body
        assert reply.document["field"] == "image"
        assert "assetctl-" not in reply.document["detail"]


def test_errors_are_said_as_a1111_says_them(server):
    for reply in (
        server.post("/sdapi/v1/txt2img", "{"),
        server.post("/sdapi/v1/txt2img", "[]"),
        server.post("/sdapi/v1/txt2img", {"prompt": ["a"]}),
        server.get("/sdapi/v1/progress?skip_current_image=perhaps"),
    ):
        assert reply.status == 422
        assert reply.document["error"]
        assert isinstance(reply.document["detail"], str)
    for name in ("img2img", "extra-single-image", "interrogate"):
        reply = server.post(f"/sdapi/v1/{name}", {"image": "A" * 3_000_000})
        assert reply.status == 501
        assert "picture" in reply.document["detail"]
    for name in ("server-kill", "server-stop", "server-restart"):
        assert server.post(f"/sdapi/v1/{name}", {}).status == 404


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Write `--sampler LCM`.", 'Write `"sampler_name": "LCM"`.'),
        ("`--checkpoint x --steps 4`", '`"steps": 4, "override_settings": {"sd_model_checkpoint": "x"}`'),
        ("`--lora y --lora 'a cat:0.8'`", "`<lora:y:1>, <lora:a cat:0.8>`"),
        ("`--noise nv --variation-seed 3`", '`"subseed": 3, "override_settings": {"randn_source": "nv"}`'),
        *[(each, each) for each in ("`--embedding x`", "`--flavour comfyui`", "`assetctl list`")],
        ("--sampler and --variation-seed", "sampler_name and subseed"),
    ],
)
def test_what_is_to_be_written_are_fields_that_are_obeyed(said, meant):
    from assetctl.server.a1111 import A1111

    assert A1111.words(said) == meant


def test_a_job_that_fails_says_why(server):
    reply = server.post("/sdapi/v1/txt2img", {"prompt": "a deadly cat"})
    assert reply.status == 500
    assert "killed" in reply.document["detail"]
    made(server)


def test_webuiapi_makes_pictures(server):
    api = client(server, steps=2)
    assert {each["model_name"] for each in api.get_sd_models()} == {"dawn", "dusk"}
    api.util_set_model("dusk")
    assert api.util_get_current_model().startswith("dusk.safetensors")
    assert "Euler a" in api.util_get_sampler_names()
    assert "karras" in api.util_get_scheduler_names()
    found = api.txt2img(prompt="a cat", seed=7, batch_size=2)
    assert found.info["all_seeds"] == [7, 8]
    assert api.png_info(found.image).info.startswith("a cat")
    api.util_wait_for_ready(0.01)
    assert api.interrupt() == {}
    api.refresh_checkpoints()
    with pytest.raises(RuntimeError, match="422"):
        api.txt2img(prompt="a cat", enable_hr=True)
    with pytest.raises(RuntimeError, match="501"):
        api.img2img(images=[Image.new("RGB", (8, 8))], prompt="a cat")


def test_webuiapi_makes_several_at_a_time(server):
    pytest.importorskip("aiohttp")
    api = client(server, steps=2)

    async def both():
        return await asyncio.gather(*(api.txt2img(prompt="a cat", seed=seed, use_async=True) for seed in (1, 2)))

    assert [each.info["seed"] for each in asyncio.run(both())] == [1, 2]


def test_who_asks_once_how_far_it_is_sees_it_unless_previews_are_off(slow):
    def seen_once():
        asking = threading.Thread(target=made, args=(slow,), kwargs={"seed": 7})
        asking.start()
        unseen = "/sdapi/v1/progress?skip_current_image=true"
        until(lambda: slow.get(unseen).document["state"]["sampling_step"] > 3)
        told = slow.get("/sdapi/v1/progress").document["current_image"]
        slow.post("/sdapi/v1/interrupt", None)
        asking.join()
        return told

    assert base64.b64decode(seen_once()) == b"a preview"
    slow.post("/sdapi/v1/options", {"live_previews_enable": False})
    assert slow.get("/sdapi/v1/options").document["live_previews_enable"] is False
    assert seen_once() is None
    slow.post("/sdapi/v1/options", {"live_previews_enable": True})


def test_progress_is_told_and_interrupt_keeps_what_there_is(slow):
    answers = []
    asking = threading.Thread(target=lambda: answers.append(made(slow, seed=7, batch_size=3)))
    asking.start()
    progress = until(lambda: (p := slow.get("/sdapi/v1/progress").document)["current_image"] and p)
    assert 0 < progress["progress"] < 1
    assert progress["eta_relative"] > 0
    assert base64.b64decode(progress["current_image"]) == b"a preview"
    assert progress["state"]["job_count"] == 3
    assert progress["state"]["sampling_steps"] == 40
    assert slow.get("/sdapi/v1/progress?skip_current_image=true").document["current_image"] is None
    assert slow.post("/sdapi/v1/skip", {}).status == 422
    until(lambda: slow.get("/sdapi/v1/progress").document["state"]["job_no"] == 1)
    assert slow.post("/sdapi/v1/interrupt", None).document == {}
    asking.join(fair(20))
    ((answer, info),) = answers
    assert len(info["all_seeds"]) == len(answer["images"]) == 1
    idle = slow.get("/sdapi/v1/progress").document
    assert (idle["progress"], idle["state"]["job_count"]) == (0, 0)


def test_nobody_waits_for_pictures_of_who_has_hung_up(slow):
    body = json.dumps({"prompt": "a cat", "seed": 1})
    head = "POST /sdapi/v1/txt2img HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", slow.port)) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode())
        until(lambda: slow.queue.painting)
        number = slow.queue.painting
    assert until(lambda: slow.registry.jobs.get(number).has_ended)
    assert slow.registry.jobs.get(number).status == "cancelled"


def test_others_jobs_are_not_interrupted(slow):
    number = slow.post("/v1/generate", {"prompt": "a cat", "checkpoint": "dawn", "seed": 1}).data["id"]
    until(lambda: slow.queue.painting == number)
    slow.post("/sdapi/v1/interrupt", {})
    assert slow.get("/sdapi/v1/progress").document["progress"] > 0
    assert slow.registry.jobs.get(number).status == "running"
    slow.queue.cancel(number)
    assert slow.await_job(number)["status"] == "cancelled"


def test_two_at_once_get_their_own_pictures(server):
    found = {}

    def ask(seed):
        found[seed] = made(server, seed=seed, prompt=f"cat {seed}")

    threads = [threading.Thread(target=ask, args=(seed,)) for seed in range(20, 32)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(fair(30))
    assert all(info["all_seeds"] == [seed] and info["prompt"] == f"cat {seed}" for seed, (_, info) in found.items())
    assert len(found) == 12


def test_the_most_pictures_at_a_time(server):
    answer, info = made(server, batch_size=8, n_iter=8, seed=0)
    assert info["all_seeds"] == list(range(64))
    assert len(set(answer["images"])) == 64


def test_one_seed_is_one_picture_here_and_on_the_command_line(server, home, tmp_path, monkeypatch):
    monkeypatch.setenv("ASSETCTL_HOME", str(home))
    painting.paint_here(monkeypatch)
    out = tmp_path / "picture.png"
    body = {"prompt": "(a cat:1.2)", "negative_prompt": "dogs", "seed": 11, "steps": 3, "cfg_scale": 5, "width": 640,
            "sampler_name": "DPM++ 2M", "scheduler": "karras", "eta": 1.0, "subseed": -1,
            "subseed_strength": 0.0}  # fmt: skip
    said = ["generate", "(a cat:1.2)", "--checkpoint", "dawn", "--negative", "dogs", "--seed", "11", "--steps", "3",
            "--cfg", "5", "--size", "640x512", "--sampler", "DPM++ 2M", "--scheduler", "Karras", "--flavour", "a1111",
            "--out", str(out)]  # fmt: skip
    assert run(said) == 0
    answer, _ = made(server, **body, override_settings={"sd_model_checkpoint": "dawn"})
    data = base64.b64decode(answer["images"][0])
    said, wanted = (json.loads(Image.open(each).info["assetctl"]) for each in (io.BytesIO(data), out))
    assert said == wanted
    assert data == out.read_bytes()
