"""The page without a browser: what its HTML says, that it is escaped, and what can be pasted elsewhere."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import quote

import headers
import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from patience import fair
from written_pictures import HOSTILES, infotext, near, picture, write_png

from assetctl import Registry
from assetctl.operations.library.edit import Changes

pytest.importorskip("starlette")
pytest.importorskip("jinja2")
Image = pytest.importorskip("PIL.Image")

from served import served  # noqa: E402 - which needs starlette

LORA = headers.lora({"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k": (768, 8)})
HOSTILE = "<img src=x onerror=alert(1)> & 'quotes' \" 50% #1?"
WORDS = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A home with a checkpoint and LoRAs, one of a hostile name, served."""
    folder = tmp_path_factory.mktemp("page")
    write_sparse(folder / "files" / "dawn.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "files" / "dawn.config" / "tokenizer")
    for number, name in enumerate(("whiskers", "plain", "other")):
        headers.write_safetensors(folder / "files" / f"{name}.safetensors", LORA, {"n": str(number), "said": WORDS})
    (folder / "files" / "whiskers.preview.png").write_bytes(picture("red"))
    (folder / "files" / "other.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with Registry.open(folder / "home") as registry:
        registry.import_files(folder / "files")
        # a name cannot hold brackets: words, tags and notes can
        registry.edit(
            "plain", Changes(name="50% & more #1", trigger_words=(WORDS,), add_tags=(HOSTILE,), notes=HOSTILE)
        )
    with served(folder / "home") as server:
        yield server


class Read(HTMLParser):
    """Tags and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def read(reply):
    assert reply.status == 200, reply.body
    assert "script-src" not in reply.headers["content-security-policy"]
    assert reply.headers["content-security-policy"].startswith("default-src 'self';")
    assert reply.headers["x-content-type-options"] == "nosniff"
    found = Read(reply.body.decode())
    for tag, attributes in found.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert "style" not in attributes
        if tag == "script":
            assert attributes.get("src", "").startswith("/page/files/") or attributes["type"] == "application/json"
        for name in ("src", "href", "action"):
            value = attributes.get(name, "")
            assert not value or (value.startswith(("/", "#")) and not value.startswith("//")), value
    return found


@pytest.mark.parametrize("path", ["/", "/combine", "/history", "/jobs", "/pull", "/assets/dawn", "/assets/whiskers"])
def test_a_page_holds_nothing_of_elsewhere(server, path):
    found = read(server.get(path))
    assert [tag for tag, _ in found.tags].count("h1") == 1


def test_hostile_words_are_text(server):
    name = quote("50% & more #1", safe="")
    for path in ("/", f"/assets/{name}", f"/?q={quote(HOSTILE)}", f"/?tag={quote(HOSTILE)}", "/page/choose?kind=lora",
                 f"/combine?lora={name}", f"/page/choose?kind=lora&q={quote(HOSTILE)}"):  # fmt: skip
        reply = server.get(path)
        assert reply.status == 200
        assert not [each for each in Read(reply.body.decode()).tags if each[0] == "img" and "onerror" in each[1]]
        assert b"<script>alert" not in reply.body
    assert WORDS in read(server.get(f"/assets/{name}")).text
    assert HOSTILE in read(server.get(f"/assets/{name}")).text


def test_what_a_form_begins_with_ends_no_script(server):
    reply = server.get("/combine?from=99999")
    assert reply.status == 404
    assert b"picture number 99999" in reply.body
    job = server.post("/v1/generate?wait=true", {"prompt": "</script><b>", "checkpoint": "dawn", "seed": 2**64 - 1})
    number = job.data["images"][0]["number"]
    page = server.get(f"/combine?from={number}").body.decode()
    start = page.split('id="start">')[1].split("</script>")[0]
    assert json.loads(start)["prompt"] == "</script><b>"
    assert json.loads(start)["seed"] == str(2**64 - 1)


def test_every_prompt_has_a_field_of_several_lines(server):
    fields = [each["data-option"] for tag, each in read(server.get("/combine")).tags if "data-option" in each
              and tag == "textarea"]  # fmt: skip
    assert fields == ["prompt_l", "negative_l"]


def test_a_picture_is_made_again_with_both_weights_of_a_lora(server):
    job = server.post(
        "/v1/generate?wait=true", {"prompt": "x <lora:whiskers:0.5:0.8>", "checkpoint": "dawn", "seed": 1}
    )
    first = server.registry.generation(job.data["images"][0]["number"])
    page = server.get(f"/combine?from={first.number}").body.decode()
    start = json.loads(page.split('id="start">')[1].split("</script>")[0])
    asked = {name: value for name, value in start.items() if name != "seed"} | {"seed": int(start["seed"])}
    again = server.post("/v1/generate?wait=true", asked).data["images"][0]
    second = server.registry.generation(again["number"])
    assert second.record["assets"] == first.record["assets"]
    assert (again["sha256"], second.assets) == (first.image_sha256, first.assets)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["50% & more #1", "dawn", "other", "whiskers"]),
        ("?kind=checkpoint", ["dawn"]),
        ("?q=whisk", ["whiskers"]),
        ("?q=alert", ["50% & more #1"]),
        ("?kind=lora&family=sd1", ["50% & more #1", "other", "whiskers"]),
        ("?family=flux1", []),
        ("?q=%21", []),
        ("?kind=nonsense", []),
        ("?after=dawn", ["other", "whiskers"]),
        ("?offset=-1&q=whiskers", ["whiskers"]),
    ],
)
def test_the_library_filters_and_searches(server, query, names):
    found = read(server.get(f"/{query}"))
    cards = [attributes["href"] for tag, attributes in found.tags if tag == "a" and "/assets/" in attributes["href"]]
    assert cards == [f"/assets/{quote(name, safe='')}" for name in names]


def test_pages_follow_each_other(server, monkeypatch):
    from assetctl.server import page

    monkeypatch.setattr(page, "_CARDS", 2)
    seen, path = [], "/?kind=lora"
    while path:
        found = read(server.get(path))
        seen += [each["href"] for tag, each in found.tags if tag == "a" and "/assets/" in each["href"]]
        path = next((each["href"] for tag, each in found.tags if tag == "a" and "after=" in each["href"]), None)
    assert seen == [f"/assets/{quote(name, safe='')}" for name in ("50% & more #1", "other", "whiskers")]


def test_a_search_within_a_tag_is_paged_and_counted(server, monkeypatch):
    from assetctl.server import page

    monkeypatch.setattr(page, "_CARDS", 1)
    for name in ("whiskers", "other"):
        server.registry.edit(name, Changes(add_tags=("paged",), notes="plainly"))
    server.registry.edit("50% & more #1", Changes(notes="plainly"))
    seen, path = [], "/?q=plainly&tag=paged"
    while path:
        found = read(server.get(path))
        seen += [each["href"] for tag, each in found.tags if tag == "a" and "/assets/" in each["href"]]
        assert "2 assets" in found.text
        assert ("input", "paged") in [(tag, each.get("value")) for tag, each in found.tags]
        path = next((each["href"] for tag, each in found.tags if tag == "a" and "offset=" in each["href"]), None)
    assert sorted(seen) == ["/assets/other", "/assets/whiskers"]
    assert {each["name"] for each in server.get("/v1/assets?q=plainly&tag=paged").data} == {"whiskers", "other"}


def test_unknown_pages_and_assets_are_said_so(server):
    reply = server.get("/assets/%3Cb%3E%60nobody%60")
    assert (reply.status, b'<a href="/">Your library</a>' in reply.body, b"<b>" in reply.body) == (404, True, False)
    assert server.get("/page/files/..%2f__init__.py").status == 404
    assert server.get("/page/files/nothing").status == 404
    assert server.get("/page/choose?kind=nonsense").status == 400


def test_files_of_the_page_are_kept(server):
    page = read(server.get("/"))
    for tag, attributes in page.tags:
        path = attributes.get("src") or attributes.get("href") or ""
        if path.startswith("/page/files/"):
            reply = server.get(path)
            assert (reply.status, tag) == (200, tag)
            assert "immutable" in reply.headers["cache-control"]


def test_what_does_not_fit_comes_last_with_the_reason(server):
    with Registry.open(server.registry.settings.home) as registry:
        registry.edit("other", Changes(family="sdxl"))
    try:
        for query in ("", "&q=other"):
            page = Read(server.get(f"/page/choose?kind=lora&checkpoint=dawn{query}").body.decode())
            offers = [each for tag, each in page.tags if tag == "button"]
            assert offers[-1]["data-name"] == "other"
            assert offers[-1]["aria-disabled"] == "true"
            assert "sdxl" in page.text.split("other")[-1] or "is of family sdxl" in page.text
            assert all("aria-disabled" not in each for each in offers[:-1])
    finally:
        with Registry.open(server.registry.settings.home) as registry:
            registry.edit("other", Changes(reset=("family",)))


ASKED = {
    "prompt": 'it\'s "a" $(cat) `x` \\ !\n-- <lora:x> ünï 猫',
    "negative_prompt": "-blurry $HOME",
    "checkpoint": "dawn",
    "loras": {"50% & more #1": -0.25, "whiskers": 1},
    "seed": 2**63 + 1,
    "steps": 3,
    "cfg_scale": 6.5,
    "width": 64,
    "height": 72,
    "num_images": 2,
    "auto_embeddings": False,
    "sgm_noise": True,
}


def pasted(server, asked, of="generate"):
    reply = server.post(f"/page/said/{of}", asked)
    assert reply.status == 200, reply.body
    texts = reply.body.decode().split("<code id=")[1:]
    return [Read(each.partition(">")[2].partition("</code>")[0]).text for each in texts]


def test_what_is_said_elsewhere_asks_for_the_same(server, tmp_path):
    from assetctl.server.requests import job_of, request_of
    from assetctl.wire import document

    asked = ASKED | {"prompt": ASKED["prompt"].replace("<lora:x>", "")}
    curl, python, command = pasted(server, asked)
    ended = subprocess.run(["bash", "-c", curl], capture_output=True, check=True, timeout=fair(60))
    assert b'"data"' in ended.stdout, ended.stdout
    first = json.loads(ended.stdout)["data"]
    script = subprocess.run(
        [sys.executable, "-c", python], cwd=tmp_path, capture_output=True, check=True, timeout=fair(60)
    )
    second = server.get("/v1/jobs?limit=1").data[0]
    assert {**first["request"]} == {**second["request"]}
    for image in second["images"]:
        assert f"{image['number']}.png {image['sha256']}" in script.stdout.decode()
        assert (tmp_path / f"{image['number']}.png").is_file()
    dry = command.replace(" generate ", " generate --dry-run --json ", 1)
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    ended = subprocess.run(["bash", "-c", dry], capture_output=True, check=True, timeout=fair(60), env=path)
    plan = json.loads(ended.stdout)["data"]["plan"]
    same, _ = server.registry.plan(request_of(job_of(asked)))
    planned = document(same)
    assert plan["seeds"] == first["request"]["seeds"]
    assert {**plan, "seed": 0, "seeds": 0} == {**planned, "seed": 0, "seeds": 0}


def test_a_width_alone_is_said_with_the_height_that_it_gets(server):
    asked = {"checkpoint": "dawn", "prompt": "x", "width": 64}
    (planned, _) = server.registry.plan(request(asked))
    assert f"--size=64x{planned.settings['height']}" in shlex.split(pasted(server, asked)[2])
    assert "--size" not in pasted(server, {"checkpoint": "dawn", "prompt": "x"})[2]
    reply = server.post("/page/said/check", {"checkpoint": "nobody", "width": 64})
    assert b"name both" in reply.body
    assert b"said-command" not in reply.body


def request(asked):
    from assetctl.server.requests import job_of, request_of

    return request_of(job_of(asked))


def test_what_is_fetched_is_said_elsewhere(server):
    reference = "hf://it's/$(a)/`cat`"
    asked = {"reference": reference, "name": "-a b", "tags": ["x y", "--z"], "previews": True}
    curl, python, command = pasted(server, asked, "pull")
    assert json.loads(shlex.split(curl)[-1]) == asked
    words = shlex.split(command)
    assert words[words.index("pull") :] == [
        "pull", "--name=-a b", "--tag=x y", "--tag=--z", "--previews", "--", reference,
    ]  # fmt: skip
    assert repr(reference) in python
    compile(python, "said", "exec")


def shell(line, folder, code=0):
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    ended = subprocess.run(
        ["bash", "-c", line], capture_output=True, check=False, timeout=fair(60), env=path, cwd=folder
    )
    assert ended.returncode == code, ended.stderr
    return ended.stdout.decode()


def test_a_file_that_is_sent_is_said_elsewhere_whatever_it_is_called(server, tmp_path):
    name = "-it's {a,b}[1-3] $(x) & 50%?"
    content = headers.write_safetensors(tmp_path / f"{name}.safetensors", LORA, {"x": "y" * 3_000_000}).read_bytes()
    curl, python, command = pasted(server, {"filename": f"{name}.safetensors", "tags": ["a b"]}, "import")
    asset = json.loads(shell(curl, tmp_path))["data"]
    assert (asset["sha256"], asset["tags"]) == (hashlib.sha256(content).hexdigest(), ["a b"])
    (tmp_path / "said.py").write_text(python)
    assert shell("python said.py", tmp_path).strip() == asset["name"]
    assert asset["name"] in shell(command.replace(" import ", " import --quiet ", 1), tmp_path)
    server.ask("DELETE", f"/v1/assets/{quote(asset['name'], safe='')}")


def test_a_check_is_said_elsewhere(server, tmp_path):
    curl, python, command = pasted(
        server, {"checkpoint": "dawn", "loras": {"whiskers": 0}, "prompt": "-- it's"}, "check"
    )
    report = json.loads(shell(curl, tmp_path))["data"]
    (tmp_path / "said.py").write_text(python)
    told = shell("python said.py", tmp_path)
    same = json.loads(shell(command.replace(" check ", " check --json ", 1), tmp_path))["data"]
    assert report["findings"]
    assert [each["message"] for each in same["findings"]] == [each["message"] for each in report["findings"]]
    assert all(each["message"] in told for each in report["findings"])


def test_a_token_is_named_and_not_told(server):
    reply = server.post("/page/said/generate", {"prompt": "x"}, headers={"Authorization": "Bearer sesame"})
    assert b"sesame" not in reply.body
    assert reply.body.count(b"ASSETCTL_TOKEN") == 3


def test_a_request_that_makes_no_sense_is_said_so(server):
    assert server.post("/page/said/generate", {"nonsense": 1}).status == 400


@pytest.mark.parametrize("number", ["99999999999999999999", "9" * 300, "0"])
def test_a_picture_of_no_number_is_none(server, number):
    assert server.get(f"/page/thumbnails/pictures/{number}").headers["content-type"] == "image/svg+xml"


# what is found of a selection, in the words of who asks


def test_findings_are_in_the_words_of_who_asks(server):
    asked = {"checkpoint": "dawn", "loras": {"whiskers": 0}, "prompt": "x"}
    hints = {each["rule"]: each["hint"] for each in server.post("/v1/check", asked).data["findings"]}
    assert hints["zero_weight"].startswith('Give it another: `"loras": {"whiskers": 0.8}`')
    page = Read(server.post("/page/check", asked).body.decode())
    assert "Give it another: LoRA whiskers at 0.8" in page.text
    assert "This selection fits." in page.text
    wrong = asked | {"steps": 3, "start_step": 9, "flavour": "comfyui"}
    assert "start_step 9 is behind the last step" in server.post("/v1/generate", wrong).error["message"]
    assert "Start at step 9 is behind the last step" in server.post("/page/generate", wrong).error["message"]
    assert "Start at step 9 is behind the last step" in Read(server.post("/page/check", wrong).body.decode()).text
    assert "Choose a checkpoint." in Read(server.post("/page/check", {"prompt": "x"}).body.decode()).text


@pytest.mark.parametrize(
    ("said", "fields", "plain"),
    [
        ("Try `--steps 4 --cfg 1.5`.", 'Try `"steps": 4, "cfg_scale": 1.5`.', "Try Steps 4, CFG scale 1.5."),
        ("`--negative 'a, b'`", '`"negative_prompt": "a, b"`', "negative prompt: a, b"),
        ("Leave --scheduler out", "Leave scheduler out", "Leave Schedule type out"),
        ("`--size 64x72`", '`"width": 64, "height": 72`', "Width 64, Height 72"),
        ("`--embedding x --vae y`", '`"textual_inversions": {"x": null}, "vae": "y"`', "embedding x, VAE y"),
        ("`assetctl list --fits x`, or --nothing", *["`assetctl list --fits x`, or --nothing"] * 2),
        *[(each, each, each) for each in ("There is no asset 'style--vae'.", "a---cfg")],
        ("an odd ` and --cfg", "an odd ` and cfg_scale", "an odd ` and CFG scale"),
    ],
)
def test_flags_are_fields_or_words(said, fields, plain):
    from assetctl.server.face import FIELDS
    from assetctl.server.page.rendering import PLAIN

    assert (FIELDS(said), PLAIN(said)) == (fields, plain)
    record = {"parameters": {"message": "--cfg"}, "findings": [{"message": "--cfg", "assets": ["--cfg"]}]}
    assert FIELDS.within(record) == record | {"findings": [{"message": "cfg_scale", "assets": ["--cfg"]}]}


# pictures of other programs

THEIRS = infotext(
    "a red circle <lora:nolora:0.7> <lora:whiskers:0.5>", "bad", Steps="3", Sampler="Euler", Seed=str(2**64 - 1),
    Size="96x96", Model="dawn", **{"Model hash": "ffffffffff", "Hires upscale": "2", "Version": "f2.0.1v1.10.1"},
)  # fmt: skip


def test_a_picture_is_told_alike_everywhere(server, tmp_path, capsys):
    from assetctl.cli.main import run

    path = write_png(tmp_path / "theirs.png", parameters=THEIRS)
    found = server.post("/v1/pictures/inspect?filename=theirs.png", path.read_bytes()).data
    told = found["outlook"]
    assert told["likeness"] is None
    assert told["error"]["message"] == "An asset is missing: the lora 'nolora'."
    assert [each.split()[0] for each in told["remarks"]] == ["It", "Version", "Not", "The"]
    assert told["request"] == {
        "prompt": "a red circle <lora:nolora:0.7>", "negative_prompt": "bad", "checkpoint": "dawn",
        "loras": {"whiskers": 0.5}, "steps": 3, "cfg_scale": 7.0, "sampler": "Euler", "seed": 2**64 - 1, "width": 96,
        "height": 96, "flavour": "a1111", "scheduler": "Uniform",
    }  # fmt: skip
    assert [each["verdict"] for each in found["assets"] if each["name"] == "nolora"] == ["missing"]
    assert run(["--home", str(server.registry.settings.home), "inspect", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["outlook"] == told
    read = server.post("/v1/pictures/read", {"text": THEIRS}).data
    assert (read["outlook"], read["parameters"]) == (told, found["parameters"])
    for reply in (
        server.post("/page/inspect?filename=theirs.png", path.read_bytes()),
        server.post("/page/read", {"text": THEIRS}),
    ):
        page = Read(reply.body.decode())
        assert all(each in page.text for each in (told["verdict"], *told["remarks"]))
        start = next(json.loads(each["data-start"]) for _, each in page.tags if "data-start" in each)
        assert start == told["request"] | {"seed": str(2**64 - 1)}


def test_what_says_nothing_is_said_so(server, tmp_path):
    path = write_png(tmp_path / "plain.png")
    found = server.post("/v1/pictures/inspect", path.read_bytes()).data
    assert (found["silence"], found["outlook"]) == ("It does not say how it was made.", None)
    assert (
        "It does not say how it was made." in Read(server.post("/page/inspect", path.read_bytes()).body.decode()).text
    )
    assert server.post("/page/inspect", b"x" * 100).error["code"] == "file_error"


def test_a_pasted_text_is_offered_to_be_read(server):
    pasted, typed = (
        server.post("/page/check", {"prompt": prompt, "checkpoint": "dawn"}).body for prompt in (THEIRS, "a cat")
    )
    assert b'data-read="prompt"' in pasted
    assert b"data-read" not in typed


def test_a_picture_has_a_page(server):
    job = server.post("/v1/generate?wait=true", {"prompt": WORDS, "checkpoint": "dawn", "loras": {"whiskers": 0.5}})
    number = job.data["images"][0]["number"]
    found = read(server.get(f"/pictures/{number}"))
    links = [each.get("href") for tag, each in found.tags if tag == "a"]
    assert {f"/combine?from={number}", f"/v1/pictures/{number}/file", "/assets/dawn", "/assets/whiskers"} <= {*links}
    remade, told = (server.get(f"/v1/pictures/{number}{more}").data for more in ("", "/outlook"))
    assert told["request"] == remade["request"]
    assert told["verdict"] in found.text
    assert shlex.join(remade["command"]) in found.text
    assert WORDS in found.text
    for path in ("/history", "/jobs", "/assets/whiskers"):
        assert f'href="/pictures/{number}"'.encode() in server.get(path).body, path
    assert server.get("/pictures/99999").status == 404


def test_no_page_of_the_history_is_empty(server, monkeypatch):
    from assetctl.server import page

    monkeypatch.setattr(page, "_PICTURES", 2)
    asked = {"prompt": "paged", "checkpoint": "dawn", "num_images": 4}
    numbers = [each["number"] for each in server.post("/v1/generate?wait=true", asked).data["images"]]
    seen, path = [], "/history?prompt=paged"
    while path:
        found = read(server.get(path))
        seen.append([each["id"] for _, each in found.tags if each.get("id", "").startswith("picture-")])
        path = next((each["href"] for tag, each in found.tags if tag == "a" and "before=" in each["href"]), None)
    assert seen == [[f"picture-{each}" for each in pair] for pair in (numbers[:1:-1], numbers[1::-1])]


def test_a_name_that_is_half_typed_finds_no_pictures(server):
    server.post("/v1/generate?wait=true", {"prompt": "x", "checkpoint": "dawn"})
    found = read(server.get("/history?with=daw"))
    assert "daw" in found.text
    assert not [each for _, each in found.tags if each.get("id", "").startswith("picture-")]
    assert [each["value"] for _, each in found.tags if each.get("name") == "with"] == ["daw"]


# previews


def thumbnail(server, name):
    return server.get(f"/page/thumbnails/assets/{quote(name, safe='')}")


def color_of(reply):
    assert reply.headers["content-type"] == "image/webp"
    image = Image.open(io.BytesIO(reply.body))
    assert max(image.size) <= 512
    return image.convert("RGB").getpixel((1, 1))


def test_a_picture_beside_the_file_shows_it(server):
    assert near(color_of(thumbnail(server, "whiskers")), (255, 0, 0))
    again = server.get(
        "/page/thumbnails/assets/whiskers", headers={"If-None-Match": thumbnail(server, "whiskers").headers["etag"]}
    )
    assert again.status == 304


def test_what_is_no_picture_is_passed_over(server):
    assert thumbnail(server, "other").headers["content-type"] == "image/svg+xml"


def test_the_latest_picture_shows_what_has_none(server):
    server.post("/v1/generate?wait=true", {"prompt": "x", "checkpoint": "dawn", "seed": 200})
    assert near(color_of(thumbnail(server, "dawn")), (200, 0, 0))


def test_a_chosen_picture_comes_first_and_can_be_given_up(server, tmp_path):
    chosen = tmp_path / "chosen.webp"
    chosen.write_bytes(picture("blue", (2000, 1000), "WEBP"))
    registry = server.registry
    registry.edit("whiskers", Changes(preview=str(chosen)))
    chosen.unlink()
    assert near(color_of(thumbnail(server, "whiskers")), (0, 0, 255))
    made = server.post("/v1/generate?wait=true", {"prompt": "x", "checkpoint": "dawn", "seed": 100}).data["images"][0]
    registry.edit("whiskers", Changes(preview=str(made["number"])))
    assert near(color_of(thumbnail(server, "whiskers")), (100, 0, 0))
    registry.edit("whiskers", Changes(preview=""))
    assert near(color_of(thumbnail(server, "whiskers")), (255, 0, 0))


@pytest.mark.parametrize("wrong", ["nothing.png", "99999999", "/dev/zero"])
def test_what_cannot_show_an_asset_is_refused(server, wrong):
    from assetctl.errors import AssetctlError

    with pytest.raises(AssetctlError):
        server.registry.edit("whiskers", Changes(preview=wrong))


@pytest.mark.parametrize("name", HOSTILES)
def test_hostile_pictures_give_none_and_no_error(tmp_path, name):
    (tmp_path / "cat.png").write_bytes(HOSTILES[name])
    headers.write_safetensors(tmp_path / "cat.safetensors", LORA)
    with Registry.open(tmp_path / "home") as registry:
        registry.import_files(tmp_path / "cat.safetensors")
        for _ in range(2):
            assert registry.preview("cat") is None
    assert (tmp_path / "cat.png").read_bytes() == HOSTILES[name]


def test_small_copies_are_known_to_du_and_prune(tmp_path, capsys):
    from assetctl.cli.main import run

    (tmp_path / "cat.png").write_bytes(picture("red"))
    headers.write_safetensors(tmp_path / "cat.safetensors", LORA)
    home = tmp_path / "home"
    with Registry.open(home) as registry:
        registry.import_files(tmp_path / "cat.safetensors")
        assert registry.preview("cat")
    (kept,) = (home / "cache" / "thumbnails").iterdir()
    assert kept.stat().st_mode & 0o077 == 0
    (kept.parent / "mine.webp").write_bytes(b"mine")
    assert run(["--home", str(home), "du", "--json"]) == 0
    usage = json.loads(capsys.readouterr().out)["data"]
    assert [each["count"] for each in usage if each["kind"] == "thumbnails"] == [1]
    assert run(["--home", str(home), "prune", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["thumbnails"] > 0
    assert list((home / "cache" / "thumbnails").iterdir()) == [kept.parent / "mine.webp"]
    assert (tmp_path / "cat.png").is_file()


def test_small_copies_are_bounded(tmp_path, monkeypatch):
    from assetctl.operations.library import previews

    monkeypatch.setattr(previews, "_LOOK_EVERY", 1)
    monkeypatch.setattr(previews, "_MOST_KEPT", 2000)
    with Registry.open(tmp_path / "home") as registry:
        for number in range(60):
            path = tmp_path / f"{number}.png"
            path.write_bytes(picture((number * 4, 0, 0)))
            assert previews.thumbnail(registry._workspace, path)
    kept = previews.size_of(previews.thumbnails(tmp_path / "home"))
    assert 0 < kept <= 2000


def test_the_command_line_names_flags_that_there_are():
    from assetctl.server.page.said import command

    words = shlex.split(command("generate", ASKED, Path("/x")))
    assert words[:4] == ["assetctl", "--home", "/x", "generate"]
    assert words[-2:] == ["--", ASKED["prompt"]]
    assert f"--negative={ASKED['negative_prompt']}" in words


def test_the_command_line_of_a_dash_and_of_several_seeds_asks_for_just_that():
    from assetctl.server.page.said import command

    for name in ("prompt", "negative_prompt"):
        assert command("generate", {"prompt": "x", name: "-"}, Path("/x")).startswith("echo - | assetctl")
    both = command("generate", {"prompt": "-", "negative_prompt": "-", "num_images": 2}, Path("/x"))
    words = shlex.split(both)
    assert words[3:] == ["|", "assetctl", "--home", "/x", "generate", "--batch", "-"]
    assert json.loads(words[2]) == {"prompt": "-", "negative_prompt": "-", "count": 2}
    several = command("generate", {"prompt": "x", "seed": [5, 9], "num_images": 2}, Path("/x")).split(" && ")
    assert ["--seed=5" in several[0], "--seed=9" in several[1], len(several)] == [True, True, 2]
    assert "--count" not in several[0]
