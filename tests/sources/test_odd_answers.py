"""Answers of the Hub and of Civitai of which any one field is something else than it should be."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from material import write_lora
from servers.scripted import answer, scripted

from assetctl import Registry
from assetctl.cli.main import run
from assetctl.errors import AmbiguousNameError, AssetctlError
from assetctl.types import Facts, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Path_ = tuple[str | int, ...]

SHA256, SHA1 = "a" * 64, "b" * 40

INFO = {
    "id": "org/repo", "sha": SHA1, "author": "org", "gated": False, "tags": ["lora"], "downloads": 3,
    "lastModified": "2024-01-01T00:00:00.000Z", "createdAt": "2024-01-01T00:00:00.000Z", "private": False,
    "cardData": {"license": "mit", "license_name": "m", "instance_prompt": "a cat", "base_model": ["org/base"]},
    "safetensors": {"parameters": {"F16": 3}, "total": 3}, "config": {}, "transformersInfo": {"auto_model": "x"},
    "siblings": [
        {"rfilename": "a.safetensors", "size": 99, "blobId": SHA1, "lfs": {"size": 99, "sha256": SHA256,
                                                                           "pointerSize": 134}},
        {"rfilename": "README.md", "size": 5, "blobId": SHA1},
    ],
}  # fmt: skip
FILE = {
    "id": 420, "name": "whiskers.safetensors", "type": "Model", "sizeKB": 9.5, "primary": True,
    "metadata": {"format": "SafeTensor", "fp": "fp16", "size": "full"}, "pickleScanResult": "Success",
    "virusScanResult": "Success", "hashes": {"SHA256": SHA256.upper()}, "downloadUrl": "http://127.0.0.1:1/x",
}  # fmt: skip
VERSION = {
    "id": 42, "modelId": 7, "name": "v1", "baseModel": "Pony", "trainedWords": ["calico"], "availability": "Public",
    "earlyAccessEndsAt": None, "air": "urn:air:sdxl:lora:civitai:7@42", "model": {"name": "Model", "type": "LORA"},
    "files": [FILE],
}  # fmt: skip
MODEL = {
    "id": 7, "name": "Model", "type": "LORA", "allowCommercialUse": ["Image"], "allowNoCredit": True, "nsfw": False,
    "creator": {"username": "ann"}, "stats": {"downloadCount": 5}, "modelVersions": [VERSION],
}  # fmt: skip

#: The parts of an address, and what is answered there.
ANSWERS: dict[str, Any] = {
    "/api/models/org/repo": INFO,
    "/api/models?": [INFO],
    "/org/repo/resolve/": {},
    "/api/whoami-v2": {"name": "ann"},
    "/api/v1/model-versions/": VERSION,
    "/api/v1/models/": MODEL,
    "/api/v1/models?": {"items": [MODEL], "metadata": {"nextPage": "x"}},
    "/api/v1/me": {"username": "ann"},
}

#: What is in a field's place.
ODD = {
    "null": "null", "five": "5", "minus one": "-1", "huge": "1e308", "word": '"x"', "list": "[]", "object": "{}",
    "true": "true", "text": '"' + "y" * 20_000 + '"', "deep": '[{"a":' * 450 + "1" + "}]" * 450,
    "list of odd": '[null, 5, {}, [[[]]], "x", 1e308, "a\\u0000\\u001b[31m\\u202e", ' + "9" * 40 + "]",
}  # fmt: skip


def _fields(of: object, at: Path_ = ()) -> Iterator[Path_]:
    """The places of all fields, and of the whole."""
    yield at
    inside = of.items() if isinstance(of, dict) else enumerate(of) if isinstance(of, list) else ()
    for key, value in inside:
        yield from _fields(value, (*at, key))


def _replaced(of: Any, at: Path_) -> Any:
    if not at:
        return "@@"
    copy = dict(of) if isinstance(of, dict) else list(of)
    copy[at[0]] = _replaced(of[at[0]], at[1:])
    return copy


class _Server:
    """What it answers: one field of one answer is another one."""

    def __init__(self) -> None:
        self.answers = {address: json.dumps(said) for address, said in ANSWERS.items()}

    def spoil(self, address: str, at: Path_, odd: str) -> None:
        self.answers = {each: json.dumps(said) for each, said in ANSWERS.items()}
        self.answers[address] = json.dumps(_replaced(ANSWERS[address], at)).replace('"@@"', odd)

    def respond(self, head: bytes) -> list[bytes]:
        path = head.split(b" ")[1].decode()
        fitting = [address for address in self.answers if path.startswith(address)]
        if not fitting:
            return [answer(status="404 Gone")]
        return [answer(self.answers[max(fitting, key=len)].encode(), content_type="application/json")]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
    spoilt = _Server()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "CIVITAI_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    with scripted(spoilt.respond) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", running.url)
        yield spoilt


@pytest.fixture
def registry(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A home with an asset that came from each source, as far as its origin tells."""
    monkeypatch.setenv("ASSETCTL_HOME", str(tmp_path / "home"))
    write_lora(tmp_path / "mine.safetensors", "sdxl")
    page = "https://civitai.com/models/7?modelVersionId=41"
    origins = {
        "hub": Origin("huggingface", "hf://org/repo/a.safetensors", "c" * 40),
        "civit": Origin("civitai", "civitai:7@41", "41", facts=Facts(base_model="Pony", page=page)),
    }
    with Registry.open() as opened:
        for number, (name, origin) in enumerate(origins.items()):
            path = write_lora(tmp_path / f"{name}.safetensors", "sdxl", seed=number)
            opened.import_files(path)
            asset = opened.get(name)
            with opened._workspace.catalog.write() as writer:
                writer.set_origin(asset.id, origin)
        yield opened


QUESTIONS: dict[str, tuple[str, Callable[[Registry], object]]] = {
    "hub pull": ("/api/models/org/repo", lambda registry: registry.plan_pull("hf://org/repo")),
    "hub enrich": ("/api/models/org/repo", lambda registry: registry.enrich("hub", again=True)),
    "hub outdated": ("/api/models/org/repo", lambda registry: registry.outdated("hub")),
    "hub search": ("/api/models?", lambda registry: registry.search_source("hf", "repo")),
    "civitai pull of a version": ("/api/v1/model-versions/", lambda registry: registry.plan_pull("civitai:7@42")),
    "civitai pull of a model": ("/api/v1/models/", lambda registry: registry.plan_pull("civitai:7")),
    "civitai enrich": ("/api/v1/model-versions/", lambda registry: registry.enrich("civit", again=True)),
    "civitai enrich of a model": ("/api/v1/models/", lambda registry: registry.enrich("civit", again=True)),
    "civitai outdated": ("/api/v1/models/", lambda registry: registry.outdated("civit")),
    "civitai search": ("/api/v1/models?", lambda registry: registry.search_source("civitai", "cat")),
}

#: Questions that read answers as another does are tried with these alone.
FEW = ("huge", "deep", "list of odd")

THOROUGH = ("hub pull", "hub search", "civitai pull of a version", "civitai search")

#: Without these, nobody can tell what is to be fetched.
NEEDED = {
    "/api/models/org/repo": [(), ("sha",), ("siblings",), ("siblings", 0), ("siblings", 0, "rfilename"),
                             ("siblings", 1, "rfilename")],
    "/api/models?": [(), (0,)],
    "/api/v1/model-versions/": [(), ("id",), ("modelId",), ("files",), ("files", 0), ("files", 0, "downloadUrl"),
                                ("files", 0, "pickleScanResult"), ("files", 0, "virusScanResult")],
    "/api/v1/models/": [(), ("id",), ("modelVersions",), ("modelVersions", 0), ("modelVersions", 0, "id"),
                        ("modelVersions", 0, "files"), ("modelVersions", 0, "files", 0),
                        ("modelVersions", 0, "files", 0, "downloadUrl")],
    "/api/v1/models?": [()],
}  # fmt: skip


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_field_of_an_answer_is_a_surprise(server: _Server, registry: Registry, question: str):
    address, ask = QUESTIONS[question]
    ask(registry)  # what is as it should be
    failed: dict[Path_, AssetctlError] = {}
    since = time.monotonic()
    for at in _fields(ANSWERS[address]):
        for name in ODD if question in THOROUGH else FEW:
            server.spoil(address, at, ODD[name])
            try:
                ask(registry)
            except AssetctlError as error:
                failed[at] = error
    assert set(failed) <= set(NEEDED[address])
    assert {error.exit_code for error in failed.values()} <= {3, 5, 6}
    assert max((len(error.message) for error in failed.values()), default=0) < 1000
    assert time.monotonic() - since < 60


def test_one_odd_page_does_not_keep_the_others_from_being_asked(server: _Server, registry: Registry, tmp_path: Path):
    unsafe = '{"rfilename": "../../.bashrc", "size": 3}'
    for odd in (f"[{unsafe}]", "5"):
        server.spoil("/api/models/org/repo", ("siblings",), odd)
        newer = {each.asset.name: each for each in registry.outdated()}
        assert newer["hub"].problem
        assert newer["civit"].there == "42"
    server.spoil("/api/models/org/repo", ("siblings",), f"[{unsafe}]")
    assert {each.asset.name for each in registry.enrich(again=True)} == {"hub", "civit"}
    with registry._workspace.catalog.write() as writer:
        asset = registry.get("hub")
        writer.set_origin(asset.id, Origin("huggingface", "http://gone.example/org/repo", "c" * 40))
    assert [(each.asset.name, each.problem is None) for each in registry.outdated()] == [("hub", False)]
    registry.enrich(again=True)


def test_a_repository_of_very_many_files_is_told_in_few_words(server: _Server, registry: Registry):
    many = [{"rfilename": f"{number:06}.safetensors", "size": 1} for number in range(50_000)]
    server.spoil("/api/models/org/repo", ("siblings",), json.dumps(many))
    with pytest.raises(AmbiguousNameError, match="has 50000 model files") as caught:
        registry.plan_pull("hf://org/repo")
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("service", ["hf", "civitai"])
def test_an_odd_name_of_a_person_is_none(server: _Server, service: str):
    from assetctl.sources.civitai import CivitaiSource
    from assetctl.sources.huggingface import HuggingFaceSource

    address, field = ("/api/whoami-v2", "name") if service == "hf" else ("/api/v1/me", "username")
    for odd in ODD.values():
        server.spoil(address, (field,), odd)
        user = (HuggingFaceSource if service == "hf" else CivitaiSource)().user("token")
        assert user == "you" or set(user) <= set("xy")


def test_the_command_line_tells_of_no_defect(server: _Server, registry: Registry, capsys: pytest.CaptureFixture[str]):
    for address, command in (
        ("/api/models/org/repo", ("pull", "--dry-run", "org/repo")),
        ("/api/models?", ("search", "hf", "repo")),
        ("/api/v1/model-versions/", ("pull", "--dry-run", "civitai:7@42")),
        ("/api/v1/models?", ("search", "civitai", "cat")),
    ):
        for at in _fields(ANSWERS[address]):
            server.spoil(address, at, ODD["list of odd"])
            run(command)
        said = capsys.readouterr()
        assert "defect" not in said.out + said.err
        assert "Traceback" not in said.err
