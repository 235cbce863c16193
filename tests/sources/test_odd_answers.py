"""Answers of the Hub and of Civitai of which any one field is something else than it should be."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from material import write_lora
from patience import fair
from servers.scripted import answer, scripted
from tables import cases

from assetctl import Registry
from assetctl.cli.main import run
from assetctl.errors import AmbiguousNameError, AssetctlError
from assetctl.types import Facts, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Path_ = tuple[str | int, ...]

SERVICES = cases("answers/services")

#: The parts of an address, and what is answered there.
ANSWERS: dict[str, Any] = {case["address"]: case["answer"] for case in SERVICES}

#: Without these, nobody can tell what is to be fetched.
NEEDED: dict[str, list[Path_]] = {case["address"]: [tuple(at) for at in case["needed"]] for case in SERVICES}

#: What is in a field's place, as JSON.
ODD: dict[str, str] = {case["id"]: case["json"] for case in cases("answers/odd_values")}


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
    assert time.monotonic() - since < fair(60)


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
        assert user == "you" or set(user) <= set("xy42")


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
