"""Cancelled at any event, an operation leaves nothing half-done, ends soon, and the next run finishes it."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import shutil
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from material import write_embedding, write_lora
from patience import fair
from servers.scripted import answer, scripted

from assetctl import Registry
from assetctl.run import Bytes, Cancelled, Event, Finished, Run, Saved, Started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

#: Seconds within which a cancelled run has ended.
SOON = 1.0

#: Every so many events are the last.
STRIDES = (11, pytest.param(6, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.long))

INDEX = b'{"unet": ["diffusers", "UNet2DConditionModel"]}'


@dataclass
class World:
    """Servers with things to pull, a manifest that names them, and a home for each try."""

    folder: Path
    references: list[str]
    manifest: Path
    mine: list[Path]
    homes: Iterator[int] = field(default_factory=itertools.count)

    def home(self) -> Path:
        """A fresh home; its catalog is a copy of one that was made before."""
        made = self.folder / "homes" / str(next(self.homes))
        if not (self.folder / "template").exists():
            with Registry.open(self.folder / "template") as registry:
                registry.import_files(*self.mine)
        shutil.copytree(self.folder / "template", made)
        self.manifest.with_suffix(".lock").unlink(missing_ok=True)
        return made


@pytest.fixture
def world(tmp_path: Path, hub, civitai, monkeypatch: pytest.MonkeyPatch) -> World:
    source, project = tmp_path / "source", tmp_path / "project"
    one = write_lora(source / "one.safetensors", rank=300).read_bytes()
    two = write_lora(source / "two.safetensors", "sdxl", seed=1).read_bytes()
    weights = write_lora(source / "weights.safetensors", seed=2).read_bytes()
    hub.add("ann/one", {"one.safetensors": one})
    hub.add("ann/whole", {"model_index.json": INDEX, "unet/config.json": b"{}", "unet/w.safetensors": weights})
    civitai.add(7, 42, ("two.safetensors", two), baseModel="Pony")
    mine = [write_lora(tmp_path / "mine" / f"mine{number}.safetensors", seed=5 + number) for number in range(3)]
    for number, path in enumerate(mine):
        civitai.add(10 + number, 100 + number, (path.name, path.read_bytes()), trainedWords=[f"word{number}"])
    civitai.files["9-0"] = write_embedding(source / "plain.safetensors", seed=3).read_bytes()
    address = f"{civitai.storage_url}/9-0"
    write_embedding(project / "own.safetensors", seed=4)
    manifest = project / "registry.toml"
    manifest.write_text(
        '[assets.one]\nsource = "hf://ann/one/one.safetensors"\ntags = ["cats"]\n'
        '[assets.whole]\nsource = "hf://ann/whole"\n'
        '[assets.two]\nsource = "civitai:7"\ntrigger_words = ["patches"]\n'
        f'[assets.plain]\nsource = "{address}"\n'
        '[assets.own]\nsource = "./own.safetensors"\ntags = ["mine"]\n'
    )
    references = ["hf://ann/one/one.safetensors", "hf://ann/whole", "civitai:7", str(project / "own.safetensors")]
    monkeypatch.delenv("ASSETCTL_HOME", raising=False)
    return World(tmp_path, references, manifest, mine)


OPERATIONS: dict[str, Callable[[World, Registry, Run], object]] = {
    "pull": lambda world, registry, run: registry.pull(world.references[0], run=run),
    "pull a folder": lambda world, registry, run: registry.pull(world.references[1], run=run),
    "pull several": lambda world, registry, run: registry.pull_all(world.references, run=run),
    "lock": lambda world, registry, run: registry.lock(world.manifest, run=run),
    "sync": lambda world, registry, run: registry.sync(world.manifest, run=run),
    "enrich": lambda _world, registry, run: registry.enrich(run=run),
    "add to store": lambda world, registry, run: registry.add_to_store(*world.mine, run=run),
}


class Stopper:
    """Cancels its run at the event of one number."""

    def __init__(self, at: int | None = None) -> None:
        self.run, self.at, self.seen = Run(self.listen), at, 0

    def listen(self, _event: Event) -> None:
        if self.seen == self.at:
            self.run.cancel()
        self.seen += 1


def state(world: World, home: Path, registry: Registry) -> dict[str, object]:
    """What there is, as far as it is the same after every run that ends well."""
    facts = {asset.name: registry.inspect(asset.name) for asset in registry.list()}
    lockfile = world.manifest.with_suffix(".lock")
    return {
        "assets": {
            name: (
                *(getattr(about.asset, field) for field in ("kind", "family", "sha256", "tags", "trigger_words")),
                about.asset.path.replace(str(home), ""),
                about.origin and about.origin.reference,
            )
            for name, about in facts.items()
        },
        "files": sorted(path.relative_to(home).as_posix() for path in stored(home)),
        "lock": lockfile.read_text() if lockfile.exists() else None,
    }


def stored(home: Path) -> list[Path]:
    """Files of the store that are not staged."""
    models = home / "models"
    return [path for path in models.rglob("*") if path.is_file() and ".staging" not in path.relative_to(models).parts]


def see_whole(world: World, home: Path, registry: Registry, clean: dict[str, object]) -> None:
    """See that nothing is half-done: each file of the store is an asset's, with the bytes that it should have."""
    known = {}
    for asset in registry.list():
        known |= {file.path: file.sha256 for file in registry.inspect(asset.name).files}
    for path in stored(home):
        assert known[str(path)] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {each.status for each in registry.verify()} <= {"ok"}
    lockfile = world.manifest.with_suffix(".lock")
    assert not lockfile.exists() or lockfile.read_text() == clean["lock"]
    assert sorted(path.name for path in world.manifest.parent.iterdir() if path != lockfile) == [
        "own.safetensors", "registry.toml",
    ]  # fmt: skip


def cancel_at(world: World, what: str, stride: int) -> None:
    clean_home, counter = world.home(), Stopper()
    with Registry.open(clean_home) as registry:
        OPERATIONS[what](world, registry, counter.run)
        clean = state(world, clean_home, registry)
    assert counter.seen > 3
    stopped = 0
    for moment in range(0, counter.seen, stride):
        home, stopper = world.home(), Stopper(moment)
        with Registry.open(home) as registry:
            try:
                OPERATIONS[what](world, registry, stopper.run)
            except Cancelled:
                stopped += 1
            else:
                assert stopper.seen <= moment, "it went on"  # fewer pieces came this time
            see_whole(world, home, registry, clean)
            OPERATIONS[what](world, registry, Run())
            assert state(world, home, registry) == clean
        shutil.rmtree(home)
    assert stopped


@pytest.mark.parametrize("what", OPERATIONS)
@pytest.mark.parametrize("stride", STRIDES)
def test_cancelled_at_any_event_it_leaves_nothing_half_done(world: World, what: str, stride: int):
    cancel_at(world, what, stride)


def test_what_a_pull_tells_names_the_reference_and_ends_each_task(world: World):
    events: list[Event] = []
    with Registry.open(world.home()) as registry:
        outcomes = registry.pull_all([*world.references, "hf://ann/none"], run=Run(events.append))
    assert {event.task for event in events} == {*world.references, "hf://ann/none"}
    for reference in world.references:
        own = [event for event in events if event.task == reference]
        assert isinstance(own[0], Started)
        assert own[-1] == Finished(task=reference)
        assert [event for event in own if isinstance(event, Saved)]
        sizes = {event.file: (event.done, event.total) for event in own if isinstance(event, Bytes)}
        assert sizes
        assert all(done == total for done, total in sizes.values())
    assert events[[event.task for event in events].index("hf://ann/none") :]
    assert Finished(task="hf://ann/none", error="unauthorized") in events
    assert [getattr(each, "code", "came") for each in outcomes] == ["came"] * 4 + ["unauthorized"]


def test_a_cancelled_pull_of_several_says_what_came(world: World):
    saved: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Finished) and event.error is None:
            saved.append(event.task)
            if len(saved) == 2:
                run.cancel()

    run = Run(listen)
    with Registry.open(world.home()) as registry, pytest.raises(Cancelled) as caught:
        registry.pull_all(world.references, run=run)
    assert {each.asset.name for each in caught.value.done} <= {"one", "whole", "two", "own"}
    assert caught.value.done


def test_what_sync_cannot_fetch_is_data_and_keeps_nothing_else(world: World, hub):
    with Registry.open(world.home()) as registry:
        registry.lock(world.manifest)
        hub.wrong.add("one.safetensors")
        result = registry.sync(world.manifest)
        assert {name: error.code for name, error in result.failed.items()} == {"one": "hash_mismatch"}
        assert set(result.fetched) == {"whole", "two", "own"}  # the lock has brought the other
        assert not {"whole", "two", "own", "plain"} - {asset.name for asset in registry.list()}
        hub.wrong.clear()
        assert registry.sync(world.manifest).failed == {}
        assert registry.sync(world.manifest).in_sync


@pytest.mark.parametrize("other", ["same", "another"])
def test_what_a_listener_raises_ends_the_run_and_comes_out(world: World, other: str):
    def fail(event: Event) -> None:
        if isinstance(event, Bytes):
            raise LookupError(other)  # noqa: TRY004 - any error will do

    with Registry.open(world.home()) as registry:
        with pytest.raises(LookupError, match=other):
            registry.pull_all(world.references[:1] if other == "same" else world.references, run=Run(fail))
        assert not isinstance(registry.pull(world.references[0]), Exception)


# Whatever it waits for


def seconds_to_end(home: Path, operation: Callable[[Registry, Run], object], after: float = 0.4) -> float:
    """How long an operation goes on once its run is cancelled."""
    run, ended = Run(), []

    def work() -> None:
        try:
            with Registry.open(home) as registry:
                operation(registry, run)
        except BaseException as error:  # noqa: BLE001 - what it is, is looked at
            ended.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(after)
    assert thread.is_alive(), ended
    run.cancel()
    since = time.monotonic()
    thread.join(fair(20))
    took = time.monotonic() - since
    assert [type(error) for error in ended] == [Cancelled]
    return took


def stalling(head: bytes) -> Callable[[bytes], Iterator[bytes]]:
    """A server that sends so much, and then nothing."""

    def respond(_asked: bytes) -> Iterator[bytes]:
        yield head
        time.sleep(15)

    return respond


WAITS = {
    "an answer": b"",
    "the rest of headers": b"HTTP/1.1 200 OK\r\n",
    "the rest of a file": answer(b"x" * 5000, content_length=10**6, etag='"a"'),
    "a busy server": answer(status="503 Busy", retry_after=30),
}


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("wait", WAITS)
def test_it_ends_soon_whatever_a_server_does(world: World, wait: str, *, several: bool):
    def operation(registry: Registry, run: Run) -> None:
        if several:
            registry.pull_all([f"{server.url}/{name}.bin" for name in "abcdefghijkl"], run=run)
        else:
            registry.pull(f"{server.url}/a.bin", run=run)

    first = threading.Event()

    def respond(head: bytes) -> Iterator[bytes]:
        if wait == "a busy server" and not first.is_set():  # it was resolved before
            first.set()
            yield answer(b"x" * 99, etag='"a"')
        elif wait == "a busy server" and several:
            yield answer(b"x" * 99, etag='"a"', content_length=10**6)
            time.sleep(15)
        else:
            yield from stalling(WAITS[wait])(head)

    with scripted(respond) as server:
        assert seconds_to_end(world.home(), operation) < fair(SOON)


def test_a_large_file_that_stalls_ends_soon(world: World, hub, monkeypatch: pytest.MonkeyPatch):
    from assetctl.sources import _ranges, transfer

    monkeypatch.setattr(transfer, "LARGE", 4096)
    monkeypatch.setattr(_ranges, "CHUNK", 98304)
    hub.add("ann/large", {"large.safetensors": random.Random(1).randbytes(10**6)})
    hub.throttle = 20_000
    assert seconds_to_end(world.home(), lambda registry, run: registry.pull("hf://ann/large", run=run)) < fair(SOON)


@pytest.mark.parametrize("what", ["lock", "sync", "enrich", "outdated"])
def test_questions_to_a_silent_source_end_soon(world: World, monkeypatch: pytest.MonkeyPatch, what: str):
    def ask(registry: Registry, run: Run) -> None:
        getattr(registry, what)(*([world.manifest] if what in ("lock", "sync") else []), run=run)

    home = world.home()
    with Registry.open(home) as registry:
        registry.pull("civitai:7")
    with scripted(stalling(b"")) as server:
        monkeypatch.setenv("ASSETCTL_CIVITAI_ENDPOINT", server.url)
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert seconds_to_end(home, ask) < fair(SOON)


def test_who_waits_for_another_that_pulls_the_same_ends_soon(world: World, hub):
    hub.throttle = 100_000
    home = world.home()
    pull = threading.Thread(target=lambda: Registry.open(home).pull(world.references[0]))
    pull.start()
    deadline = time.monotonic() + fair(5)
    while not list((home / "models").rglob("*.part")) and time.monotonic() < deadline:
        time.sleep(0.01)
    took = seconds_to_end(home, lambda registry, run: registry.pull(world.references[0], run=run), after=0.3)
    hub.throttle = None
    pull.join()
    assert took < fair(SOON)


def test_json_of_the_command_is_as_ever(world: World, capsys: pytest.CaptureFixture[str], monkeypatch):
    from assetctl.cli.main import run

    monkeypatch.setenv("ASSETCTL_HOME", str(world.home()))
    assert run(["pull", *world.references, "hf://ann/none", "--json"]) == 6
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "unauthorized"
