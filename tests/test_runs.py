"""Runs: whoever listens can end an operation at any event, and finds nothing half-done."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from painting import Painter

from assetctl import Cancelled, Output, Registry, Request, Run
from assetctl.errors import AssetctlError, GenerationError
from assetctl.operations.make.generate import InterruptedGenerationError
from assetctl.run import Bytes, Finished, Hashed, Saved, Started, Warned
from tests.material import write_lora

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetctl.run import Event

Image = pytest.importorskip("PIL.Image")


def generate(registry: Registry, folder: Path, run: Run | None, count: int = 3, backend: Any = None) -> Any:
    output = Output(folder / "pictures" / "cat.png", force=True)
    request = Request.of("a cat", seed=5, count=count, steps=2, width=64, height=64, output=output)
    return registry.generate(request, backend=backend or Painter(), run=run)


def has_checkpoint(registry: Registry, folder: Path) -> None:
    write_sparse(folder / "files" / "dream.safetensors", whole_checkpoint())
    tiny.write_vocabulary(folder / "files" / "dream.config" / "tokenizer")
    registry.import_files(folder / "files", hashes=False)


def has_picture(registry: Registry, folder: Path) -> None:
    has_checkpoint(registry, folder)
    generate(registry, folder, None, 1)


def has_loras(_: Registry | None, folder: Path) -> None:
    for number in range(3):
        write_lora(folder / "loras" / f"lora-{number}.safetensors", seed=number)
    shutil.copyfile(folder / "loras" / "lora-0.safetensors", folder / "loras" / "same.safetensors")


def has_unhashed(registry: Registry, folder: Path) -> None:
    has_loras(registry, folder)
    registry.import_files(folder / "loras", hashes=False)


def has_lost_one(registry: Registry, folder: Path) -> None:
    has_unhashed(registry, folder)
    (folder / "loras" / "lora-1.safetensors").unlink()


def has_pickle(_: Registry, folder: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"string_to_param": {"*": torch.ones(3, 768)}, "name": "calico"}, folder / "calico.pt")


@dataclass(frozen=True)
class Scene:
    """An operation, and what it needs to be there."""

    prepare: Callable[[Registry, Path], None]
    act: Callable[[Registry, Path, Run | None], Any]


SCENES = {
    "generate": Scene(has_checkpoint, generate),
    "reproduce": Scene(
        has_picture,
        lambda registry, folder, run: registry.reproduce(
            folder / "pictures" / "cat.png", out=folder / "again.png", force=True, backend=Painter(), run=run
        ),
    ),
    "import": Scene(has_loras, lambda registry, folder, run: registry.import_files(folder / "loras", run=run)),
    "verify": Scene(has_unhashed, lambda registry, _, run: registry.verify(run=run)),
    "identify": Scene(has_lost_one, lambda registry, _, run: registry.identify_again(run=run)),
    "convert": Scene(
        has_pickle, lambda registry, folder, run: registry.convert(str(folder / "calico.pt"), name="calico", run=run)
    ),
    "convert-out": Scene(
        has_pickle,
        lambda registry, folder, run: registry.convert(
            str(folder / "calico.pt"), out=folder / f"{len(list(folder.glob('*.safetensors')))}.safetensors", run=run
        ),
    ),
}


def files(folder: Path) -> set[str]:
    """All that lies there, but for the catalog's own files, and locks."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in found if not (name.startswith("home/catalog.db") or name.endswith(".lock"))}


def pictures(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*.png")}


class World:
    """A fresh home beside fresh files."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self.scene, self.folder = scene, folder
        folder.mkdir()
        self.registry = Registry.open(folder / "home")
        scene.prepare(self.registry, folder)
        self.before = files(folder)

    def ended(self, run: Run, error: type[BaseException]) -> Any:
        with pytest.raises(error) as caught:
            self.scene.act(self.registry, self.folder, run)
        return caught.value

    def see_that_all_is_whole(self, complete: set[str]) -> None:
        """Nothing is there that a whole run would not leave, and what is there is known."""
        left = files(self.folder)
        assert self.before <= left <= complete
        with Registry.open(self.folder / "home") as another:
            assert {each.image_path for each in another.history(None)} == pictures(self.folder)
            states = {each.path: each.status for each in another.verify()}
        known = {asset.path for asset in self.registry.list()}
        assert known <= states.keys()
        assert {path for path, status in states.items() if status not in ("ok", "unsupported")} == {
            path for path in known if not Path(path).exists()
        }
        in_store = {str(path) for path in (self.folder / "home" / "models").rglob("*.safetensors")}
        assert in_store <= known

    def see_that_it_goes_on(self, complete: set[str]) -> None:
        self.scene.act(self.registry, self.folder, None)
        assert files(self.folder) >= complete
        self.registry.close()


def heard(scene: Scene, folder: Path) -> tuple[list[Event], set[str]]:
    """What a whole run tells, and what lies there then."""
    events: list[Event] = []
    world = World(scene, folder)
    scene.act(world.registry, folder, Run(events.append))
    world.see_that_all_is_whole(files(folder))
    world.registry.close()
    return events, files(folder)


def places(count: int, most: int | None) -> list[int]:
    """Numbers of events: all, or a few from the first to the last."""
    return (
        list(range(1, count + 1)) if most is None else sorted({1 + (count - 1) * i // (most - 1) for i in range(most)})
    )


HOW_MANY = (2, pytest.param(4, marks=pytest.mark.slow), pytest.param(None, marks=pytest.mark.long))


@pytest.mark.parametrize("most", HOW_MANY)
@pytest.mark.parametrize("name", SCENES)
def test_cancelled_at_any_event_nothing_is_half_done_and_it_goes_on(tmp_path: Path, name: str, most: int | None):
    scene = SCENES[name]
    events, complete = heard(scene, tmp_path / "whole")
    assert events
    for place in places(len(events), most):
        world = World(scene, tmp_path / str(place))
        told: list[Event] = []

        def hear(event: Event) -> None:
            told.append(event)  # noqa: B023 - used within this turn
            if len(told) == place:  # noqa: B023
                run.cancel()  # noqa: B023

        run = Run(hear)
        stopped = world.ended(run, Cancelled)
        ended = [event for event in told[place:] if event != Finished(task=event.task, error="interrupted")]
        assert (len(told[:place]), ended) == (place, [])
        if name in ("generate", "reproduce"):
            made = pictures(world.folder) - {str(world.folder / each) for each in world.before}
            assert {picture.path for picture in stopped.done or ()} == made
        world.see_that_all_is_whole(complete)
        world.see_that_it_goes_on(complete)


@pytest.mark.parametrize("most", HOW_MANY)
@pytest.mark.parametrize("name", SCENES)
def test_what_a_listener_raises_comes_out_as_itself(tmp_path: Path, name: str, most: int | None):
    scene = SCENES[name]
    events, complete = heard(scene, tmp_path / "whole")
    for place in places(len(events), most):
        world = World(scene, tmp_path / str(place))
        mine, told = RuntimeError("mine"), []

        def hear(event: Event) -> None:
            told.append(event)  # noqa: B023
            if len(told) == place:  # noqa: B023
                raise mine  # noqa: B023

        assert world.ended(Run(hear), RuntimeError) is mine
        world.see_that_all_is_whole(complete)
        world.registry.close()


def test_a_run_tells_what_belongs_to_what(tmp_path: Path):
    imported, _ = heard(SCENES["import"], tmp_path / "import")
    names = [f"{name}.safetensors" for name in ("lora-0", "lora-1", "lora-2", "same")]
    for kind in (Saved, Hashed):
        assert sorted(Path(event.path).name for event in imported if isinstance(event, kind)) == names
    assert {Path(event.task).name for event in imported if isinstance(event, Bytes)} == set(names)
    verified, _ = heard(SCENES["verify"], tmp_path / "verify")
    assert {event.task for event in verified if isinstance(event, Bytes)} == {"lora-0", "lora-1", "lora-2", "same"}
    (begun,) = [event for event in verified if isinstance(event, Started)]
    sizes = {event.file: event.total for event in verified if isinstance(event, Bytes)}
    assert (begun.total, verified[-1]) == (sum(size or 0 for size in sizes.values()), Finished())
    again, _ = heard(SCENES["identify"], tmp_path / "identify")
    (warned,) = [event for event in again if isinstance(event, Warned)]
    assert (warned.task, isinstance(warned.error, AssetctlError)) == ("lora-1", True)


@pytest.mark.parametrize("failure", [GenerationError("dark"), RuntimeError("dark"), OSError(5, "dark")])
def test_a_failure_at_the_third_picture_keeps_and_names_the_two_that_are_done(tmp_path: Path, failure: Exception):
    world = World(SCENES["generate"], tmp_path / "world")

    def third(number: int) -> None:
        if number == 3:
            raise failure

    with pytest.raises(type(failure)) as caught:
        generate(world.registry, world.folder, None, 4, Painter(third))
    done: Any = caught.value
    assert {each.path for each in done.done} == pictures(world.folder)
    assert len(done.done) == len(world.registry.history()) == 2


def test_what_was_finished_is_said_when_it_is_cancelled_at_its_last_word(tmp_path: Path):
    for number in range(3):
        write_sparse(tmp_path / "files" / f"lora-{number}.safetensors", {"x": [number + 1]})
    paths = [str(path) for path in sorted((tmp_path / "files").iterdir())]

    def cancelled(act: Callable[[Registry, Run], object], home: str) -> Any:
        def hear(event: Event) -> None:
            if isinstance(event, Saved):
                run.cancel()

        run = Run(hear)
        with Registry.open(tmp_path / home) as registry:
            with pytest.raises(Cancelled) as stopped:
                act(registry, run)
            there = {asset.name for asset in registry.list()}
        return stopped.value.done, there

    done, there = cancelled(lambda registry, run: registry.pull(paths[0], run=run), "one")
    assert {done.asset.name} == there
    done, there = cancelled(lambda registry, run: registry.pull_all(paths, run=run), "all")
    assert {result.asset.name for result in done} == there != set()
    done, there = cancelled(lambda registry, run: registry.add_to_store(*paths, run=run), "store")
    assert {result.asset.name for result in done.results} == there != set()
    done, there = cancelled(lambda registry, run: registry.pull_demo(run), "demo")
    assert {result.asset.name for result in done} == there != set()


def test_a_failed_listener_leaves_what_was_finished(tmp_path: Path):
    world = World(SCENES["generate"], tmp_path / "world")

    def hear(event: Event) -> None:
        if isinstance(event, Saved):
            raise StopIteration

    with pytest.raises(StopIteration) as caught:
        generate(world.registry, world.folder, Run(hear), 3)
    done: Any = caught.value
    assert {each.path for each in done.done} == pictures(world.folder) != set()


def test_hashes_that_were_computed_before_it_was_cancelled_are_kept(tmp_path: Path):
    world = World(SCENES["verify"], tmp_path / "world")

    def hear(event: Event) -> None:
        if isinstance(event, Hashed):
            run.cancel()

    run = Run(hear)
    stopped = world.ended(run, Cancelled)
    assert [each.status for each in stopped.done] == ["ok"]
    assert [asset.sha256 is not None for asset in world.registry.list()].count(True) == 1
    world.registry.close()


def test_what_was_imported_before_it_was_cancelled_is_said(tmp_path: Path):
    world = World(SCENES["import"], tmp_path / "world")

    def hear(event: Event) -> None:
        if isinstance(event, Hashed):
            run.cancel()

    run = Run(hear)
    stopped = world.ended(run, Cancelled)
    assert (stopped.done.added, len(stopped.done.assets)) == (4, 4)
    assert any(asset.sha256 for asset in world.registry.list())
    world.registry.close()


def test_one_registry_works_in_every_thread_at_once(tmp_path: Path):
    has_loras(None, tmp_path)
    paths = sorted((tmp_path / "loras").glob("lora-*"))
    found: dict[Path, Any] = {}
    with Registry.open(tmp_path / "home") as registry:
        together = threading.Barrier(len(paths))

        def work(path: Path) -> None:
            together.wait()  # the catalog is made by whoever comes first
            registry.import_files(path)
            found[path] = registry.inspect(path.stem).asset, registry.verify(path.stem)[0].status

        threads = [threading.Thread(target=work, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {path: (asset.path, status) for path, (asset, status) in found.items()} == {
            path: (str(path), "ok") for path in paths
        }
        assert [asset.path for asset in registry.list()] == list(map(str, paths))


def test_an_emptied_trash_and_shared_bytes_can_be_cancelled_and_say_what_is_done(tmp_path: Path):
    has_loras(None, tmp_path)
    with Registry.open(tmp_path / "home") as registry:
        registry.import_files(tmp_path / "loras")
        (duplicate,) = registry.find_duplicates()
        told: list[Event] = []

        def hear(event: Event) -> None:
            told.append(event)
            run.cancel()

        run = Run(hear)
        with pytest.raises(Cancelled):
            registry.share_duplicate(duplicate, hard_links=True, run=run)
        assert (isinstance(told[0], Bytes), told[0].task, len(registry.find_duplicates())) == (True, "lora-0", 1)
        for asset in registry.list():
            registry.remove(registry.plan_removal(asset.name, delete_files=True))
        with pytest.raises(Cancelled) as caught:
            registry.empty_trash(registry.trash(), run=run)
        assert (caught.value.done, len(registry.trash())) == ([], 3)
        registry.empty_trash(registry.trash(), run=Run())
        assert registry.trash() == []


def test_pictures_of_a_template_are_saved_and_interrupted_as_those_of_one_prompt(tmp_path):
    pytest.importorskip("dynamicprompts")
    with Registry.open(tmp_path / "home") as registry:
        has_checkpoint(registry, tmp_path)
        small = {"steps": 2, "width": 64, "height": 64}
        output = Output(tmp_path / "pictures" / "cat.png")
        request = Request.of("a {red|blue|grey} cat", seed=5, count=3, dynamic=True, output=output, **small)
        drawn = registry.draw(request)
        made = []

        def interrupt(_: int) -> None:
            made.append(1)
            if len(made) == 2:
                raise KeyboardInterrupt

        with pytest.raises(InterruptedGenerationError) as stop:
            registry.generate_each(drawn, backend=Painter(interrupt))
        assert [Path(each.path).name for each in stop.value.done] == ["cat.png"]
        assert (stop.value.rest, stop.value.name) == ((6, 7), tmp_path / "pictures" / "cat-2.png")
        left = replace(request, settings={**small, "seed": 6}, count=2, output=Output(stop.value.name))
        rest = registry.generate_each(registry.draw(left), backend=Painter())
        assert [Path(result.images[0].path).name for result in rest] == ["cat-2.png", "cat-2-2.png"]
        prompts = {each.settings["seed"]: each.prompt for each in registry.history(10)}
        assert prompts == {seed: request.prompt for seed, request in zip((5, 6, 7), drawn, strict=True)}
