"""What a picture looks like on its way, for those who want to see it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from generation import tiny
from painting import Painter
from PIL import Image

from assetctl.demo import demo_assets
from assetctl.generation.diffusers import DiffusersBackend
from assetctl.generation.families import build_of
from assetctl.identify.plugins import driven_families, family_called
from assetctl.operations.make.generate import InterruptedGenerationError
from assetctl.registry import Registry
from assetctl.request import Output, Request
from assetctl.run import Cancelled, Event, Preview, Run, Saved, Step

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from generation.conftest import Models


pytestmark = [pytest.mark.generation, pytest.mark.filterwarnings("ignore")]


def test_who_asks_sees_small_pictures_on_their_way_and_nobody_else_does(tmp_path: Path):
    pytest.importorskip("diffusers")
    with Registry.open(tmp_path) as registry:
        registry.import_files(demo_assets().checkpoint)
        heard: dict[bool, list[Event]] = {True: [], False: []}
        made = []
        for previews, events in heard.items():
            request = Request.of("a red star", checkpoint="demo-checkpoint", steps=3, seed=1)
            made.append(registry.generate(request, run=Run(events.append, previews=previews)).images[0].sha256)
    assert made[0] == made[1]
    seen = [each for each in heard[True] if isinstance(each, Preview)]
    assert 1 <= len(seen) <= 3
    assert seen[0].step == 1
    before = heard[True][heard[True].index(seen[0]) - 1]
    assert isinstance(before, Step)
    assert size_of(seen[0].image) == (12, 12)
    assert not any(isinstance(each, Preview) for each in heard[False])


@pytest.mark.parametrize("flavour", ["a1111", "comfyui", "diffusers"])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_every_family_and_flavour_has_previews_and_not_too_many_of_them(
    models: Models, monkeypatch: pytest.MonkeyPatch, family: str, flavour: str
):
    from assetctl.generation.diffusers import session

    plan = tiny.plan(models.folder(family), steps=4, seeds=(1, 2))
    plan.settings["flavour"] = flavour  # type: ignore[index]
    for between, count in ((0.0, 8), (60.0, 2)):
        monkeypatch.setattr(session, "_BETWEEN", between)
        heard: list[Event] = []
        list(DiffusersBackend().generate(plan, Run(heard.append, previews=True)))
        seen = [each for each in heard if isinstance(each, Preview)]
        assert len(seen) == count
        assert {each.picture for each in seen} == {1, 2}
        assert {size_of(each.image) for each in seen} == {(8, 8)}


def test_a_part_of_a_run_wants_what_the_run_wants():
    assert Run(previews=True).part().wants_previews
    assert not Run().part().wants_previews


def test_every_family_that_is_driven_says_what_it_is_made_of():
    for name in driven_families():
        build, family = build_of(name), family_called(name)
        assert len(build.latents.colours) == build.latents.channels == family.latent_channels
        assert [part for part in build.parts if part.startswith("text_encoder")] == [
            encoder.part for encoder in family.driven.text_encoders
        ]


def size_of(png: bytes) -> tuple[int, int]:

    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        size: tuple[int, int] = image.size
        return size


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(tmp_path / "home") as registry:
        registry.import_files(demo_assets().checkpoint)
        yield registry


def asked(seed: int, path: Path | None = None) -> Request:
    output = None if path is None else Output(path)
    return Request.of("a red star", checkpoint="demo-checkpoint", steps=1, seed=seed, output=output)


def test_each_picture_of_several_plans_is_told_of_as_one_of_all(demo: Registry, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PAINTER_STEPS", "1")
    heard: list[Event] = []
    demo.generate_each([asked(seed) for seed in (5, 6, 7)], backend=Painter(), run=Run(heard.append, previews=True))
    demo.generate_grid(asked(5), "seed: 5, 6, 7", backend=Painter(), run=Run(heard.append, previews=True))
    assert [(each.picture, each.pictures) for each in heard if isinstance(each, Step)] == 2 * [(1, 3), (2, 3), (3, 3)]
    assert [each.picture for each in heard if isinstance(each, Preview)] == 2 * [1, 2, 3]


def test_what_is_done_is_named_also_where_the_stop_came_as_a_picture_was_saved(demo: Registry, tmp_path: Path):
    requests = [asked(seed, tmp_path / "a.png") for seed in (5, 6, 7)]

    def stop(event: Event) -> None:
        if isinstance(event, Saved) and event.path.endswith("-2.png"):
            raise KeyboardInterrupt

    with pytest.raises(InterruptedGenerationError) as stopped:
        demo.generate_each(requests, backend=Painter(), run=Run(stop))
    assert [each.seed for each in stopped.value.done] == [5, 6]
    assert (stopped.value.rest, stopped.value.name) == ((7,), tmp_path / "a-3.png")
    run = Run(lambda event: run.cancel() if isinstance(event, Saved) and event.path.endswith("-2.png") else None)
    with pytest.raises(Cancelled) as cancelled:
        demo.generate_each([asked(seed, tmp_path / "b.png") for seed in (5, 6, 7)], backend=Painter(), run=run)
    assert [each.seed for each in cancelled.value.done] == [5, 6]  # type: ignore[attr-defined]
