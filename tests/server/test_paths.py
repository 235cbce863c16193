"""Whatever somebody elsewhere names, no answer tells what lies on the server's disk."""

from __future__ import annotations

import json
import os
from contextlib import chdir
from urllib.parse import quote

import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from tables import table

from assetctl import Registry

pytest.importorskip("starlette")
pytest.importorskip("PIL.Image")

from served import served

#: Names of what is there and of what is not, of the same length and equally far from any asset's.
THERE, GONE = "zqxla", "zqxlb"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server that stands among files, with an asset that lies outside of its store."""
    from assetctl.server.a1111 import A1111
    from assetctl.server.openai import OpenAI
    from assetctl.server.own import OWN

    folder = tmp_path_factory.mktemp("made")
    write_sparse(folder / "files" / "dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "files" / "dawn.config" / "tokenizer")
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
    disk = folder / "disk"
    for each in (disk, disk / "sub", folder / "person"):
        each.mkdir()
        (each / f"{THERE}.safetensors").write_bytes(b"not yours")
    (disk / THERE).mkdir()
    (disk / THERE / "x").write_bytes(b"x")
    (disk / f"{THERE}.link").symlink_to(folder / "files" / "dawn.safetensors")
    faces = [OWN, A1111(), OpenAI(folder / "registry.toml")]
    with pytest.MonkeyPatch.context() as patch, chdir(disk / "sub"):
        patch.setenv("HOME", str(folder / "person"))
        patch.setenv("ASSETCTL_OFFLINE", "1")
        with served(folder / "home", faces=faces) as server:
            server.folder = disk
            yield server


def json_doors(name):
    """All that is sent as JSON and has a name in it."""
    own = {"checkpoint": "dawn", "prompt": "x"}
    selections = (
        own | {"checkpoint": name}, own | {"loras": {name: 1}}, own | {"textual_inversions": {name: None}},
        own | {"vae": name}, own | {"prompt": f"<lora:{name}:1>"}, own | {"negative_prompt": f"<lora:{name}:1>"},
    )  # fmt: skip
    yield from (("POST", f"/v1/{door}", body) for door in ("check", "generate?wait=true") for body in selections)
    yield "POST", "/v1/check", own | {"prompt": f"embedding:{name}"}
    yield "POST", "/v1/prompt", {"prompt": f"<lora:{name}:1>"}
    yield "POST", "/v1/prompt", {"prompt": "x", "checkpoint": name}
    yield "POST", "/v1/prompt", {"prompt": "x", "embeddings": [name]}
    yield "POST", "/v1/pull", {"reference": name}
    for settings in ({"sd_model_checkpoint": name}, {"sd_vae": name}):
        yield "POST", "/sdapi/v1/options", settings
        yield "POST", "/sdapi/v1/txt2img", {"prompt": "x", "override_settings": settings}
    yield "POST", "/sdapi/v1/txt2img", {"prompt": f"<lora:{name}:1>"}
    yield "POST", "/sdapi/v1/png-info", {"image": name}
    yield "POST", "/v1/images/generations", {"prompt": "x", "model": name}
    yield "POST", "/v1/images/generations", {"prompt": f"<lora:{name}:1>", "model": "dawn"}
    yield "PATCH", "/v1/assets/dawn", {"preview": name}


def doors(name):
    """All that takes a name, of every face and of the page."""
    yield from json_doors(name)
    inpath, inquery = quote(name, safe=""), quote(name)
    for path in (inpath, quote(name)):  # with slashes that are written otherwise, and that are not
        yield from (("GET", f"{door}/{path}", None) for door in ("/v1/assets", "/v1/models", "/assets", "/page/fits"))
        yield "GET", f"/page/thumbnails/assets/{path}", None
        yield "PATCH", f"/v1/assets/{path}", {"notes": "x"}
        yield "DELETE", f"/v1/assets/{path}", None
    for asked in ("/v1/assets?fits=", "/v1/pictures?with=", "/history?with=", "/combine?checkpoint=", "/combine?lora=",
                  "/combine?embedding=", "/page/choose?kind=lora&checkpoint=", "/v1/pull/plan?reference="):  # fmt: skip
        yield "GET", f"{asked}{inquery}", None
    yield "POST", f"/v1/identify?filename={inquery}", b"x" * 100
    yield "POST", f"/v1/pictures/inspect?filename={inquery}", b"x" * 100


def told(server, name, which):
    """What every door says of a name, without that name."""
    found = []
    for method, path, body in doors(name):
        reply = server.ask(method, path, body)
        door = f"{method} {path.replace(which, '…')} {json.dumps(body, default=str).replace(which, '…')}"
        job = reply.headers.get("location", "").rpartition("/")[2]
        said = server.await_job(job)["error"] if job else reply.body.decode()
        found.append((door, reply.status, json.dumps(said).replace(which, "…")))
    return found


@pytest.mark.parametrize("case", table("server/paths"))
def test_no_answer_tells_what_lies_on_the_disk(server, case):
    there, gone = (
        told(server, case["path"].format(folder=server.folder, which=which), which) for which in (THERE, GONE)
    )
    assert len(there) > 40
    for one, other in zip(there, gone, strict=True):
        assert one == other
        assert one[1] < 500 or one[1] in (501, 503), one
        assert "is a file" not in one[2]


def test_an_asset_outside_of_the_store_goes_by_what_the_catalog_says_of_it(server):
    (asset,) = server.get("/v1/assets").data
    for name in ("dawn", "dawn.safetensors", asset["path"], asset["sha256"][:10]):
        assert server.get(f"/v1/assets/{quote(name, safe='')}").data["name"] == "dawn"
    # the same file by a way that only the disk knows
    around = os.path.relpath(asset["path"], server.folder / "sub")
    for name in (around, server.folder / f"{THERE}.link"):
        assert server.get(f"/v1/assets/{quote(str(name), safe='')}").status == 404


def test_a_job_is_told_no_more_than_who_asked_for_it(server):
    """An asset may leave between the answer and the picture; the worker looks names up as the server does."""
    said = []
    for which in (THERE, GONE):
        path = f"{server.folder}/{which}.safetensors"
        job = server.queue.submit("generate", {"prompt": "x", "checkpoint": path, "seeds": [1]})
        said.append(server.await_job(job.id)["error"]["message"].replace(which, "…"))
        job = server.queue.submit("pull", {"reference": path})
        said.append(server.await_job(job.id)["error"]["message"].replace(which, "…"))
    assert said[:2] == said[2:]
