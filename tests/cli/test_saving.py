"""Where pictures go: what is there is never touched unless it was named, and what is done is always named."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from compat.sparse import whole_checkpoint, write_sparse
from generation import tiny
from painting import Painter
from patience import fair

from assetctl import Output, Registry, Request
from assetctl.cli.failures import again
from assetctl.errors import GenerationError, StorageError, UsageError
from assetctl.operations.make.generate import InterruptedGenerationError

Image = pytest.importorskip("PIL.Image")

SMALL = ("--steps", "1", "--size", "64x64")


@pytest.fixture
def registry(assetctl, tmp_path, home):
    write_sparse(tmp_path / "files" / "dream.safetensors", whole_checkpoint())
    tiny.write_vocabulary(tmp_path / "files" / "dream.config" / "tokenizer")
    assetctl("import", tmp_path / "files")
    with Registry.open(home) as opened:
        yield opened


def make(registry, out, count=1, seed=5, **options):
    output = Output(out, options.pop("format", None), options.pop("force", False))
    request = Request.of("a cat", seed=seed, count=count, steps=1, width=64, height=64, output=output)
    options.setdefault("backend", Painter())
    return registry.generate(request, **options)


def names(result):
    return [Path(image.path).name for image in result.images]


def test_a_name_that_is_taken_is_an_error_before_anything_is_made(registry, tmp_path):
    out = tmp_path / "hero.png"
    out.write_bytes(b"mine")
    reached = []
    with pytest.raises(UsageError, match=r"hero\.png exists already") as caught:
        make(registry, out, backend=Painter(reached.append))
    assert "--force" in caught.value.hint
    assert (reached, out.read_bytes(), list(tmp_path.glob("hero*"))) == ([], b"mine", [out])


@pytest.mark.parametrize("taken", ["hero.png", "hero-3.png"])
def test_so_is_any_of_the_names_that_several_pictures_would_have(registry, tmp_path, taken):
    (tmp_path / taken).write_bytes(b"mine")
    with pytest.raises(UsageError, match=taken):
        make(registry, tmp_path / "hero.png", count=3)
    assert len(list(tmp_path.glob("hero*"))) == 1
    if taken == "hero.png":
        wanted = ["hero.png", "hero-2.png", "hero-3.png"]
        assert names(make(registry, tmp_path / "hero.png", count=3, force=True)) == wanted
        with Image.open(tmp_path / taken) as image:
            assert image.format == "PNG"
        assert names(make(registry, tmp_path / "hero.png", count=3, force=True)) == wanted  # all are pictures of ours
        (tmp_path / "hero-2.png").write_bytes(b"edited")
    with pytest.raises(UsageError, match="exists already"):  # nobody named that one
        make(registry, tmp_path / "hero.png", count=3, force=True)
    assert (tmp_path / taken).read_bytes() == b"mine" or (tmp_path / "hero-2.png").read_bytes() == b"edited"


def test_a_dangling_link_is_there_too_and_force_replaces_it_alone(registry, tmp_path):
    out, elsewhere = tmp_path / "hero.png", tmp_path / "elsewhere.png"
    out.symlink_to(elsewhere)
    with pytest.raises(UsageError, match="exists already"):
        make(registry, out)
    make(registry, out, force=True)
    assert (out.is_symlink(), elsewhere.exists()) == (False, False)
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        make(registry, tmp_path / "folder.png", force=True)


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_meanwhile_is_left_alone(registry, tmp_path, monkeypatch, hard_links):
    out = tmp_path / "hero.png"

    def no_link(*_):
        raise PermissionError

    if not hard_links:
        monkeypatch.setattr("os.link", no_link)
    with pytest.raises(StorageError, match="exists already"):
        make(registry, out, backend=Painter(lambda _: out.write_bytes(b"mine")))
    assert (out.read_bytes(), [path.name for path in tmp_path.glob(".*")]) == (b"mine", [])
    make(registry, tmp_path / "other.png", force=False)
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_folder_gets_free_names_also_where_someone_is_faster(registry, tmp_path):
    folder = tmp_path / "cats"
    made = [Path(make(registry, folder).images[0].path) for _ in range(3)]
    assert len({path.read_bytes() and path for path in made}) == 3


def test_a_name_as_long_as_a_name_can_be_will_do(registry, tmp_path):
    assert names(make(registry, tmp_path / ("x" * 251 + ".png"))) == ["x" * 251 + ".png"]


def test_a_dry_run_says_so_too_and_makes_no_folder(assetctl, registry, tmp_path):
    (tmp_path / "hero.png").write_bytes(b"mine")
    asked = ("generate", "a cat", "--count", "2", *SMALL, "--dry-run", "--json")
    ended = assetctl(*asked, "--out", tmp_path / "hero.png")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert assetctl(*asked, "--out", tmp_path / "hero.png", "--force").code == 0
    (tmp_path / "hero-2.png").write_bytes(b"mine")
    assert assetctl(*asked, "--out", tmp_path / "hero.png", "--force").code == 2
    assert assetctl(*asked, "--out", tmp_path / "new" / "deep").code == 0
    assert not (tmp_path / "new").exists()


def test_a_failure_names_the_pictures_that_are_done(registry, tmp_path):
    def third(number):
        if number == 3:
            raise GenerationError("It went dark.", "Light a candle.")

    with pytest.raises(GenerationError, match="dark") as caught:
        make(registry, tmp_path / "cat.png", count=4, backend=Painter(third))
    assert [(Path(each.path).name, each.seed) for each in caught.value.done] == [("cat.png", 5), ("cat-2.png", 6)]


def test_an_interrupt_names_the_pictures_that_are_done_and_those_that_are_not(registry, tmp_path):
    def third(number):
        if number == 3:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedGenerationError) as caught:
        make(registry, tmp_path / "cat.png", count=4, seed=2**32 - 3, backend=Painter(third))
    stopped = caught.value
    assert [image.seed for image in stopped.done] == [2**32 - 3, 2**32 - 2]
    assert (stopped.rest, stopped.name) == ((2**32 - 1, 0), tmp_path / "cat-3.png")


@pytest.mark.parametrize(
    ("arguments", "options", "command"),
    [
        ("generate 'a cat' --count 4", {"--seed": "9", "--count": "2"}, "generate 'a cat' --seed 9 --count 2"),
        ("--home h generate x --seed=7 --count=4 -o a.png -q", {"--seed": "8", "--count": "1", "--out": "a-2.png"},
         "--home h generate x -q --seed 8 --count 1 --out a-2.png"),
        ("generate --count 3 -- --seed", {"--seed": "1", "--count": "2"}, "generate --seed 1 --count 2 -- --seed"),
    ],
)  # fmt: skip
def test_the_rest_is_the_same_command_with_other_numbers(arguments, options, command):
    assert again(shlex.split(arguments), options) == f"assetctl {command}"


# The command itself, with real pictures.


@pytest.fixture
def painting(assetctl, tmp_path, monkeypatch):
    pytest.importorskip("diffusers")
    monkeypatch.setenv("ASSETCTL_DTYPE", "fp32")
    tiny.write_vocabulary(tmp_path / "vocabulary")
    tiny.write_family("sd1", tmp_path / "model", tmp_path / "vocabulary")
    tiny.write_vocabulary(tmp_path / "model" / "model.config" / "tokenizer")
    assetctl("import", tmp_path / "model" / "model.safetensors", "--quiet")
    assetctl("edit", "model", "--kind", "checkpoint", "--family", "sd1")
    return ("generate", "a cat", *SMALL, "--checkpoint", "model")


def interrupt_after_the_first(folder):
    def watch():
        end = time.monotonic() + fair(30)
        while time.monotonic() < end and not list(folder.glob("*.png")):
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


@pytest.mark.skipif(sys.platform == "win32", reason="Windows interrupts a whole console")
@pytest.mark.generation
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("named", [True, False])
def test_ctrl_c_names_what_is_done_and_the_command_for_the_rest_makes_the_rest(assetctl, painting, tmp_path, named):
    folder = tmp_path / "cats"
    folder.mkdir()
    out = folder / "cat.png" if named else folder
    watcher = interrupt_after_the_first(folder)
    ended = assetctl(*painting, "--count", "12", "--out", out, *(() if named else ("--json",)))
    watcher.join()
    assert ended.code == 130
    if named:
        done = ended.out.split()
        command = ended.err.partition("For the rest: `")[2].partition("`")[0]
    else:
        error = json.loads(ended.out)["error"]
        assert error["code"] == "interrupted"
        done = [each["path"] for each in error["done"]]
        command = error["hint"].partition("`")[2].rpartition("`")[0]
    assert sorted(done) == sorted(str(path) for path in folder.iterdir())
    assert 0 < len(done) < 12
    rest = assetctl(*shlex.split(command)[1:], *("--json",) * named)
    seeds = [each["seed"] for each in assetctl("history", "--limit", "100", "--json").data]
    assert rest.code == 0
    assert len(seeds) == 12
    assert sorted(seeds) == list(range(min(seeds), min(seeds) + 12))
    assert len(list(folder.iterdir())) == 12
