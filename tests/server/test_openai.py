"""OpenAI's face, as OpenAI's own client sees it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from pathlib import Path

import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from patience import fair
from tables import table

from assetctl import Registry

pytest.importorskip("starlette")
Image = pytest.importorskip("PIL.Image")
openai = pytest.importorskip("openai")

from served import served  # noqa: E402 - which needs starlette

MANIFEST = """
[assets.dawn]
source = "files/dawn.safetensors"

[recipes.morning]
checkpoint = "dawn"
negative_prompt = "night"
steps = 3
cfg = 4
"""


def serving(home, **variables):
    from assetctl.server.openai import OpenAI
    from assetctl.server.own import OWN

    return served(home, faces=[OWN, OpenAI(home.parent / "registry.toml")], **variables)


def fill(folder):
    """A home with two checkpoints, and a manifest with a recipe."""
    for number, name in enumerate(("dawn", "dusk")):
        write_sparse(folder / "files" / f"{name}.safetensors", whole_checkpoint(), {"x": str(number)})
        tiny.write_vocabulary(folder / "files" / f"{name}.config" / "tokenizer")
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    (folder / "registry.toml").write_text(MANIFEST)
    return folder / "home"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    home = fill(tmp_path_factory.mktemp("made"))
    with serving(home, PAINTER_DIES="a deadly cat") as server:
        yield server


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A server that takes its time."""
    with serving(fill(tmp_path_factory.mktemp("slow")), PAINTER_SECONDS="0.05", PAINTER_STEPS="100") as server:
        yield server


def client(server, kind=openai.OpenAI, **options):
    return kind(base_url=f"{server.url}/v1", api_key="none", timeout=fair(30), **options)


def pictures(server):
    job = server.registry.jobs.latest(1)[0]
    return server.registry.pictures(*job.pictures)


def test_models_are_checkpoints_and_recipes(server):
    api = client(server)
    found = {each.id: each for each in api.models.list()}
    assert set(found) == {"dawn", "dusk", "morning"}
    assert found["dawn"].object == "model"
    assert found["dawn"].created > 10**9
    assert api.models.retrieve("dusk").id == "dusk"
    assert api.models.retrieve("morning").owned_by == "assetctl"
    with pytest.raises(openai.NotFoundError) as error:
        api.models.retrieve("dall-e-3")
    assert (error.value.code, error.value.param, error.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )


def test_a_manifest_with_a_slip_hides_no_checkpoint(server):
    manifest = server.registry.settings.home.parent / "registry.toml"
    manifest.write_text("[recipes.morning]\nsteps = many")
    try:
        assert {each.id for each in client(server).models.list()} == {"dawn", "dusk"}
        with pytest.raises(openai.BadRequestError, match="TOML"):
            client(server).models.retrieve("morning")
    finally:
        manifest.write_text(MANIFEST)


def test_pictures_come_as_bytes_or_by_their_address(server):
    api = client(server)
    found = api.images.generate(prompt="a cat", model="dawn", n=2, size="640x384", response_format="b64_json",
                                extra_body={"seed": 7, "steps": 3, "negative_prompt": "dogs"})  # fmt: skip
    assert [each.seed for each in found.data] == [7, 8]
    assert [each.url for each in found.data] == [None, None]
    made = pictures(server)
    assert [base64.b64decode(each.b64_json) for each in found.data] == [Path(p.image_path).read_bytes() for p in made]
    wanted = {"width": 640, "height": 384, "steps": 3}
    assert {name: made[0].settings[name] for name in wanted} == wanted
    assert (made[0].prompt, made[0].negative_prompt) == ("a cat", "dogs")
    found = api.images.generate(prompt="a cat", model="dawn", response_format="url")
    assert found.data[0].b64_json is None
    with urllib.request.urlopen(found.data[0].url) as answer:
        data = answer.read()
        assert answer.headers["content-type"] == "image/png"
    assert data == Path(pictures(server)[0].image_path).read_bytes()
    both = api.images.generate(prompt="a cat", model="dawn").data[0]
    assert base64.b64decode(both.b64_json)
    assert both.url


def test_no_model_is_the_checkpoint_that_was_used_last(server):
    for name in ("dusk", "", None):
        client(server).images.generate(prompt="a cat", model=name)
        assert [use.name for use in server.registry.history(1)[0].assets] == ["dusk"]


def test_a_recipe_is_a_model(server):
    client(server).images.generate(prompt="a cat", model="morning", extra_body={"cfg_scale": 5})
    (made,) = pictures(server)
    assert made.negative_prompt == "night"
    assert (made.settings["steps"], made.settings["cfg_scale"]) == (3, 5)
    assert [each.name for each in made.assets] == ["dawn"]


@pytest.mark.parametrize("case", table("server/openai_clients"))
def test_what_clients_send_is_answered(server, case):
    reply = server.post(case.get("path", "/v1/images/generations"), case["body"])
    assert reply.status == case.get("status", 200), reply.body
    if reply.status == 200:
        assert len(reply.document["data"]) == case["body"].get("n", 1)
    else:
        assert set(reply.document["error"]) == {"message", "type", "param", "code"}
        assert reply.document["error"]["param"] == case["param"], reply.body
        assert reply.document["error"]["type"] == "invalid_request_error"


def test_errors_are_openais(server):
    api = client(server)
    with pytest.raises(openai.BadRequestError) as error:
        api.images.generate(prompt="a cat", model="dawn", extra_body={"mystery": 1})
    assert error.value.param == "mystery"
    assert "mystery" in error.value.message
    for ask in (api.images.edit, api.images.create_variation):
        image = ("cat.png", io.BytesIO(b"\x89PNG" + bytes(6_000_000)), "image/png")
        with pytest.raises(openai.InternalServerError) as error, warnings.catch_warnings(action="ignore"):
            ask(image=image, **({"prompt": "a dog"} if ask == api.images.edit else {}))
        assert error.value.status_code == 501
        assert "picture" in error.value.message
    for body in ("{", "[]", '{"prompt": "a", "prompt": "b"}'):
        assert server.post("/v1/images/generations", body).document["error"]["type"] == "invalid_request_error"


def test_a_failed_job_is_no_reason_to_try_again(server):
    with pytest.raises(openai.InternalServerError, match="killed"):
        client(server).images.generate(prompt="a deadly cat", model="dawn")
    assert len([each for each in server.registry.jobs.latest(9) if each.request["prompt"] == "a deadly cat"]) == 1


def test_several_at_a_time_get_their_own(server):
    async def ask():
        async with client(server, openai.AsyncOpenAI) as api:
            return await asyncio.gather(
                *(api.images.generate(prompt="a cat", model="dawn", extra_body={"seed": seed}) for seed in range(8))
            )

    assert [each.data[0].seed for each in asyncio.run(ask())] == list(range(8))


def test_nobody_waits_for_pictures_of_who_has_hung_up(slow):
    with pytest.raises(openai.APITimeoutError):
        client(slow, max_retries=0).with_options(timeout=0.5).images.generate(prompt="a cat", model="dawn")
    end = time.monotonic() + fair(10)
    while not (job := slow.registry.jobs.latest(1)[0]).has_ended:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert job.status == "cancelled"


def test_a_job_that_somebody_cancels_is_an_error(slow):
    failed = []

    def ask():
        with pytest.raises(openai.APIStatusError, match="cancelled") as error:
            client(slow).images.generate(prompt="a cat", model="dawn")
        failed.append(error.value.status_code)

    asking = threading.Thread(target=ask)
    asking.start()
    while (number := slow.queue.painting) is None:
        time.sleep(0.01)
    slow.queue.cancel(number)
    asking.join(fair(20))
    assert failed == [422]


def test_a_server_is_given_its_manifest(tmp_path):
    home = fill(tmp_path)
    words = ["--home", str(home), "serve", "--port", "0", "--file", str(tmp_path / "registry.toml")]
    with subprocess.Popen([sys.executable, "-m", "assetctl", *words], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = process.stdout.readline().strip()
            with urllib.request.urlopen(f"{url}/v1/models") as answer:
                assert {each["id"] for each in json.load(answer)["data"]} == {"dawn", "dusk", "morning"}
        finally:
            process.terminate()
