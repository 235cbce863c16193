"""Lists of jobs: each is made once, in the order that loads least, whatever ends the process that makes them."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from compat.sparse import low_rank, whole_checkpoint, write_sparse
from disks import fill, small_disk, unwritable
from filelock import FileLock
from generation import tiny
from patience import fair

from assetctl import Cancelled, Output, Registry, Request, Run
from assetctl.catalog import Catalog
from assetctl.cli.main import run
from assetctl.errors import GenerationError, StorageError, UsageError
from assetctl.operations.make.jobs import Job, jobs_of, of_shard
from assetctl.request import Picture
from assetctl.run import Finished, Saved, Started

Image = pytest.importorskip("PIL.Image")

MODELS = ("dawn", "dusk", "noon")


class Painter:
    """A backend that paints plain squares, and notes in a file what it loads and makes."""

    name = "painter"
    log: Path | None = None
    before = staticmethod(lambda *_: None)

    def __init__(self, *_):
        self.loaded = None
        self.note("begin")

    def note(self, text):
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(text + "\n")

    def environment(self, device, dtype, threads):
        return {"device": device, "dtype": dtype, "threads": str(threads)}

    def generate(self, plan, run):
        run.tell(Started(stage="load"))
        if plan.checkpoint.name != self.loaded:
            self.loaded = plan.checkpoint.name
            self.note(f"load {self.loaded}")
        for seed in plan.seeds:
            self.before(plan, seed)
            yield Picture(Image.new("RGB", (8, 8), (seed % 256, 0, 0)), seed, self.environment("cpu", "fp32", 1))


@pytest.fixture
def world(tmp_path, home, monkeypatch):
    """A home with three checkpoints and two LoRAs, and a painter in place of diffusers."""
    for number, name in enumerate(MODELS):
        write_sparse(tmp_path / "files" / f"{name}.safetensors", whole_checkpoint(), {"x": str(number)})
        tiny.write_vocabulary(tmp_path / "files" / f"{name}.config" / "tokenizer")
    for number in range(2):
        changes = low_rank("lora_unet_input_blocks_1_1_transformer_blocks_0_attn2_to_k", 8, [768])
        write_sparse(tmp_path / "files" / f"lora-{number}.safetensors", changes, {"x": str(number)})
    with Registry.open(home) as registry:
        registry.import_files(tmp_path / "files")
    log = tmp_path / "log"
    monkeypatch.setattr(Painter, "log", log)
    monkeypatch.setattr(Painter, "before", staticmethod(lambda *_: None))
    monkeypatch.setattr("assetctl.generation.diffusers.DiffusersBackend", Painter)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def jobs(number, *, models=MODELS, **more):
    """So many jobs, whose checkpoints take turns: the worst order there is."""
    return [{"prompt": f"cat {n}", "checkpoint": models[n % len(models)], "steps": 2, **more} for n in range(number)]


def write(folder, listed, name="jobs.jsonl"):
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" if isinstance(each, dict) else each for each in listed))
    return path


def made(home):
    with Registry.open(home) as registry:
        return registry.history(None)


def pictures(folder):
    return sorted(str(path) for path in folder.rglob("*.png"))


def runs(world):
    """What each process loaded."""
    return [part.split() for part in (world / "log").read_text().replace("load ", "").split("begin\n")[1:]]


def statuses(ended):
    data = ended.data if ended.code == 0 else ended.error["done"]
    return [job["status"] for job in data]


def see_each_once(home, wanted):
    """Each of these prompts was made once, and every picture that lies there is one of them."""
    history = made(home)
    assert Counter(each.prompt for each in history) == Counter(wanted)
    assert sorted(each.image_path for each in history) == pictures(home / "outputs")


def test_each_checkpoint_is_loaded_once_and_a_second_run_loads_none(world, home, assetctl):
    path = write(world, ["# of three\n", "\n", *jobs(9), {"prompt": "last", "checkpoint": "dusk", "count": 3}])
    ended = assetctl("generate", "--batch", path, "--json")
    assert (ended.code, statuses(ended), sorted(runs(world)[0])) == (0, ["made"] * 10, sorted(MODELS))
    assert [(job["line"], len(job["images"])) for job in ended.data] == [*((n, 1) for n in range(3, 12)), (12, 3)]
    see_each_once(home, [f"cat {n}" for n in range(9)] + ["last"] * 3)
    again = assetctl("generate", "--batch", path, "--json")
    assert (statuses(again), runs(world)[1]) == (["here"] * 10, [])
    assert [job["images"] for job in again.data] == [job["images"] for job in ended.data]
    assert assetctl("generate", "--batch", path).out == ""
    assert len(made(home)) == 12


def test_pictures_are_told_of_as_they_are_made_and_jobs_counted(world, home, assetctl):
    ended = assetctl("generate", "--batch", write(world, jobs(2)))
    assert sorted(ended.out.split()) == pictures(home / "outputs")
    assert "2 jobs: 2 made" in ended.err


def test_what_is_typed_is_what_jobs_lie_over(world, home, assetctl):
    path = write(world, [{}, {"prompt": "dog", "cfg_scale": 3, "loras": {"lora-0": 0.5}}, {"loras": ["lora-1:0.25"]}])
    typed = ["--checkpoint", "noon", "--steps", "3", "--seed", "7", "--lora", "lora-1", "--out", world / "cats"]
    assert assetctl("generate", "cat", "--batch", path, *typed).code == 0
    cats = [each for each in made(home) if each.prompt == "cat"]
    (dog,) = (each for each in made(home) if each.prompt == "dog")
    assert (len(cats), dog.settings["cfg_scale"], dog.settings["steps"], dog.settings["seed"]) == (2, 3, 3, 7)
    assert [(use.name, use.weight) for use in dog.assets] == [("noon", None), ("lora-1", 1), ("lora-0", 0.5)]
    assert {Path(each.image_path).parent for each in (*cats, dog)} == {world / "cats"}


def test_options_of_a_job_go_by_the_names_that_recipes_have_for_them_too(world, home, assetctl):
    long = {"prompt": "x", "checkpoint": "dawn", "cfg_scale": 3, "width": 64, "height": 128}
    short = {"prompt": "x", "checkpoint": "dawn", "cfg": 3, "size": "64x128"}
    assert statuses(assetctl("generate", "--batch", write(world, [long]), "--json")) == ["made"]
    assert statuses(assetctl("generate", "--batch", write(world, [short]), "--json")) == ["here"]
    (made_of,) = made(home)
    assert [made_of.settings[name] for name in ("cfg_scale", "width", "height")] == [3, 64, 128]


def test_every_failing_job_is_told_of_with_what_to_do(world, assetctl):
    told = assetctl("generate", "--batch", write(world, [{"prompt": "x", "stepz": 2}, {"prompt": "x", "sede": 2}]))
    assert ("Did you mean steps?" in told.err, "Did you mean seed?" in told.err) == (True, True)


def test_seeds_by_chance_are_the_same_on_every_machine_and_differ_between_equal_jobs(world, home, assetctl):
    path = write(world, [*jobs(3), *jobs(3)])
    assetctl("generate", "--batch", path)
    seeds = sorted((each.prompt, each.settings["seed"]) for each in made(home))
    assert len(set(seeds)) == 6
    with Registry.open(home) as registry:
        elsewhere = registry.generate_batch(path, base=Request.of(output=world / "elsewhere"))
    assert sorted(image.seed for job in elsewhere for image in job.images) == sorted(seed for _, seed in seeds)


def test_a_list_that_was_edited_makes_what_is_new_alone(world, home, assetctl):
    listed = jobs(4)
    assetctl("generate", "--batch", write(world, listed))
    listed = [{"prompt": "new", "checkpoint": "dawn"}, listed[2], {**listed[0], "id": "again"}, listed[1], listed[1]]
    ended = assetctl("generate", "--batch", write(world, listed), "--json")
    assert statuses(ended) == ["made", "here", "made", "here", "made"]
    assert Counter(each.prompt for each in made(home))["cat 1"] == 2
    spelled = dict(reversed(listed[1].items())) | {"loras": []}
    assert statuses(assetctl("generate", "--batch", write(world, [spelled]), "--json")) == ["here"]


def test_lines_that_make_no_sense_are_named_and_all_others_are_made(world, home, assetctl):
    wrong = {
        '{"prompt": "x", "prompt": "y"}': "says 'prompt' twice",
        '{"prompt": "x", "cfg_scale": NaN}': "no JSON",
        '{"prompt": "x"': "no JSON",
        '{"prompt" "x"}': "expected ':' after key.",
        '["x"]': "a JSON object",
        '"x"': "a JSON object",
        '{"prompt": "x", "stepz": 2}': "no 'stepz'",
        '{"prompt": "x", "noise_seed": 2}': "no 'noise_seed'",
        '{"prompt": "x", "cfg": 3, "cfg_scale": 4}': "cfg and a cfg_scale",
        '{"prompt": "x", "size": "64x64", "width": 64}': "size and a width",
        '{"prompt": "x", "size": 64}': "is no size",
        '{"prompt": "x", "steps": 0}': "must be 1 to 200",
        '{"prompt": "x", "steps": "2"}': "whole number",
        '{"prompt": "x", "count": 1000}': "count",
        '{"prompt": "x", "count": true}': "count",
        '{"prompt": 7}': "must be a text",
        '{"prompt": "\\ud800"}': "no JSON",
        '{"prompt": "x", "loras": {"lora-0": "1"}}': "The weight",
        '{"prompt": "x", "loras": {"lora-0": 1e9}}': "The weight",
        '{"prompt": "x", "loras": "lora-0"}': "a list of names",
        '{"prompt": "x", "embeddings": [7]}': "a list of names",
        '{"prompt": "x", "checkpoint": ["dawn"]}': "must be a text",
        '{"prompt": "x", "checkpoint": "nowhere"}': "'nowhere'",
        '{"prompt": "x", "checkpoint": "lora-0"}': "lora-0",
        '{"prompt": "x", "out": "../x.png"}': "out of the batch",
        '{"prompt": "x", "out": "/tmp/x"}': "out of the batch",
        '{"prompt": "x", "out": "x.safetensors"}': "not a name for a picture",
        '{"prompt": "x", "format": "tiff"}': "not a format",
        '{"prompt": "x", "recipe": "none"}': "registry.toml",
        '{"prompt": "x", "id": ""}': "id must be a text",
        "[" * 100_000: "no JSON",
        '{"prompt": "x", "seed": 1' + "0" * 5000 + "}": "no JSON",
            '{"prompt": "x", "seed": 1' + "0" * 30 + "}": "--seed",
        '{"checkpoint": "dawn"}': "no prompt",
        '{"prompt": "x", "loras": ' + '{"x": ' * 900 + "1" + "}" * 900 + "}": "The weight",  # or too deep for Python
        '{"prompt": "x", "out": "' + "q" * 300 + '.png"}': "too long for a file",
    }  # fmt: skip
    path = write(world, [*jobs(3), *(line + "\n" for line in wrong), *jobs(1)])
    ended = assetctl("generate", "--batch", path, "--json", *("--checkpoint", "dawn"))
    assert statuses(ended) == ["made"] * 3 + ["failed"] * len(wrong) + ["made"]
    assert ended.code == 2
    for number, (job, (line, why)) in enumerate(zip(ended.error["done"][3:], wrong.items(), strict=False), 4):
        assert job["line"] == number
        assert why in job["error"]["message"], (line, job)
        assert job["error"]["message"].startswith(f"line {number}: "), job
    assert len(ended.error["errors"]) == len(wrong)
    assert "36 of 40 jobs cannot be made" in ended.err
    assert "steps?" in next(job for job in ended.error["done"] if "stepz" in str(job))["error"]["hint"]
    assert "seed?" in next(job for job in ended.error["done"] if "noise_seed" in str(job))["error"]["hint"]


def test_a_folder_that_is_no_folder_fails_its_job_alone(world, home, assetctl, monkeypatch):
    listed = [{"prompt": name, "out": f"{name}/x.png", "checkpoint": "dawn"} for name in ("cat", "dog", "fox")]
    path = write(world, listed)

    def get_in_the_way(plan, _seed):
        if plan.prompt.text == "cat":
            (home / "outputs" / "dog").write_bytes(b"mine")

    monkeypatch.setattr(Painter, "before", staticmethod(get_in_the_way))
    ended = assetctl("generate", "--batch", path, "--json")
    assert statuses(ended) == ["made", "failed", "made"]
    assert (home / "outputs" / "dog").read_bytes() == b"mine"


def test_one_picture_of_a_list_never_takes_anothers_name(world, home, assetctl):
    cat, dog = ({"prompt": name, "out": "a.png", "checkpoint": "dawn"} for name in ("cat", "dog"))
    assert statuses(assetctl("generate", "--batch", write(world, [cat]), "--json")) == ["made"]
    before = (home / "outputs" / "a.png").read_bytes()
    both = write(world, [cat, dog, dog | {"out": "a.png/z.png"}])
    ended = assetctl("generate", "--batch", both, "--force", "--json")
    assert statuses(ended) == ["here", "failed", "failed"]
    for part in ("1/2", "2/2"):
        assetctl("generate", "--batch", both, "--force", "--shard", part)
    assert (home / "outputs" / "a.png").read_bytes() == before


def test_a_weight_that_is_no_number_by_far_is_told(world, home):
    with Registry.open(home) as registry:
        (result,) = registry.generate_batch([{"prompt": "x", "checkpoint": "dawn", "loras": {"lora-0": 10**400}}])
    assert "so large a number" in result.error.message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no jobs"),
        (b"# none\n\n", "no jobs"),
        (b"\xff\xfe{}", "no JSON"),
        (b"{}\n" * 100_001, "more than 100,000"),
    ],
)
def test_what_is_no_list_is_refused(world, assetctl, content, why):
    path = world / "jobs.jsonl"
    path.write_bytes(content)
    ended = assetctl("generate", "--batch", path)
    assert (ended.code, why in ended.err) == (2, True), ended.err


def test_options_that_make_no_sense_are_refused(world, assetctl, capsys):
    path = write(world, jobs(1))
    assert assetctl("generate", "--batch", world / "none.jsonl").code == 3
    assert assetctl("generate", "--batch", world).code == 1
    for words in (
        ["x", "--shard", "1/2"], ["-", "--batch", "-"], ["--batch", path, "--out", "cat.png"],
        *(["--batch", path, "--shard", shard] for shard in ("0/2", "3/2", "x", "1/0", "-1/2", "1")),
    ):  # fmt: skip
        assert assetctl("generate", *words).code == 2, words


def test_a_list_comes_by_standard_input(world, home, assetctl, monkeypatch):
    import io

    path = write(world, jobs(3))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + path.read_bytes())))
    assert statuses(assetctl("generate", "--batch", "-", "--json")) == ["made"] * 3
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["here"] * 3


def test_a_dry_run_makes_nothing(world, home, assetctl):
    path = write(world, [*jobs(2), {"prompt": "x", "checkpoint": "nowhere", "id": "bad"}])
    ended = assetctl("generate", "--batch", path, "--dry-run")
    assert (ended.code, runs(world), made(home)) == (3, [[]], [])
    assert ended.out.split("\n")[3].split() == ["3", "bad", "failed"]
    assert not (home / "outputs").exists()


def test_every_job_is_in_one_part_and_checkpoints_stay_together(world, assetctl):
    path = write(world, [*jobs(60), *jobs(3), "not json\n"])
    for parts in (1, 3, 4):
        shards = [
            assetctl("generate", "--batch", path, "--shard", f"{part}/{parts}", "--dry-run", "--json")
            for part in range(1, parts + 1)
        ]
        lines = [[job["line"] for job in (s.data if s.code == 0 else s.error["done"])] for s in shards]
        assert sorted(line for shard in lines for line in shard) == list(range(1, 65))
        assert max(map(len, lines)) - min(map(len, lines)) <= 1
        if parts == 3:  # as many as there are checkpoints
            assert sum(len({line % 3 for line in shard if line <= 60}) for shard in lines) <= 5


def parts_of(jobs, parts):
    """The numbers of pictures of each job, part by part, as every machine finds them for itself."""
    found = []
    for part in range(1, parts + 1):
        listed = [Job(n, request=Request(count=count), digest=b"%05d" % n) for n, count in enumerate(jobs)]
        found.append(of_shard(listed, part, parts))
    assert sorted(job.line for each in found for job in each) == list(range(len(jobs)))
    return [sorted(job.count for job in each) for each in found]


@pytest.mark.parametrize(
    ("counts", "parts", "wanted"),
    [
        ([1, 6, 1], 3, [1, 1, 6]),
        ([8, 1, 1], 3, [1, 1, 8]),
        ([1, 1, 8], 3, [1, 1, 8]),
        ([3, 2, 3, 2, 2], 2, [6, 6]),
        ([64, *[1] * 64], 2, [64, 64]),
        ([*[1] * 10, 10, 10], 3, [10, 10, 10]),
        ([2, 5], 4, [0, 0, 2, 5]),
        ([1] * 10, 4, [2, 2, 3, 3]),
    ],
)
def test_parts_of_a_list_make_as_many_pictures_as_whole_jobs_allow(counts, parts, wanted):
    assert sorted(map(sum, parts_of(counts, parts))) == wanted


def test_no_part_has_less_than_another_could_spare():
    chance = random.Random(7)
    for _ in range(60):
        counts = [chance.choice((1, 1, 2, 4, 16, 64)) for _ in range(chance.randint(1, 60))]
        found = parts_of(counts, parts := chance.randint(1, 12))
        assert all(found) or len(counts) < parts
        fullest, emptiest = max(found, key=sum), min(found, key=sum)
        assert not any(count < sum(fullest) - sum(emptiest) for count in fullest), (counts, parts)


def test_a_part_without_jobs_says_so(world, assetctl):
    ended = assetctl("generate", "--batch", write(world, jobs(2)), "--shard", "3/3", "--dry-run")
    assert (ended.code, "0 of 2 jobs are this part's" in ended.err) == (0, True)


def test_a_failed_job_keeps_no_other_and_is_tried_again(world, home, assetctl, monkeypatch):
    def fail(plan, seed):
        if plan.prompt.text == "cat 1":
            raise GenerationError("The picture is black.")
        if plan.prompt.text == "cat 2":
            raise RuntimeError("CUDA is out of sorts")

    monkeypatch.setattr(Painter, "before", staticmethod(fail))
    path = write(world, jobs(6))
    ended = assetctl("generate", "--batch", path, "--json")
    assert (ended.code, statuses(ended)) == (1, ["made", "failed", "failed", "made", "made", "made"])
    assert [job["error"]["code"] for job in ended.error["done"][1:3]] == ["generation_failed", "internal"]
    monkeypatch.setattr(Painter, "before", staticmethod(lambda *_: None))
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["here", "made", "made", "here", "here", "here"]
    see_each_once(home, [f"cat {n}" for n in range(6)])


def test_a_job_that_fails_midway_keeps_its_pictures_and_makes_the_rest(world, home, assetctl, monkeypatch):
    seen = []

    def fail(plan, seed):
        seen.append(seed)
        if len(seen) == 3:
            raise GenerationError("The third is black.")

    monkeypatch.setattr(Painter, "before", staticmethod(fail))
    path = write(world, [{"prompt": "cat", "checkpoint": "dawn", "count": 4, "out": "in/cat.png", "seed": 5}])
    ended = assetctl("generate", "--batch", path, "--json")
    assert (statuses(ended), len(ended.error["done"][0]["images"])) == (["failed"], 2)
    ended = assetctl("generate", "--batch", path, "--json")
    assert [(Path(each["path"]).name, each["seed"]) for each in ended.data[0]["images"]] == [
        ("cat.png", 5), ("cat-2.png", 6), ("cat-3.png", 7), ("cat-4.png", 8),
    ]  # fmt: skip
    assert seen == [5, 6, 7, 7, 8]


def test_files_that_go_while_others_are_made_fail_their_jobs_alone(world, home, assetctl, monkeypatch):
    monkeypatch.setattr(
        Painter,
        "before",
        staticmethod(lambda *_: (world / "files" / "dusk.safetensors").unlink(missing_ok=True)),
    )
    ended = assetctl("generate", "--batch", write(world, jobs(9)), "--json")
    assert Counter(statuses(ended)) == {"made": 6, "failed": 3}
    assert ended.code == 5
    assert all("dusk" in job["error"]["message"] for job in ended.error["done"] if job["error"])


def test_names_of_pictures_that_are_taken_fail_their_jobs_before_anything_is_made(world, home, assetctl):
    (home / "outputs").mkdir()
    (home / "outputs" / "mine.png").write_bytes(b"mine")
    listed = [{"prompt": "cat", "out": out, "checkpoint": "dawn"} for out in ("cat.png", "cat.png", "mine.png")]
    listed[1]["seed"] = 7
    path = write(world, listed)
    ended = assetctl("generate", "--batch", path, "--json")
    assert statuses(ended) == ["made", "failed", "failed"]
    assert (home / "outputs" / "mine.png").read_bytes() == b"mine"
    assert "line 1 has" in ended.error["done"][1]["error"]["message"]
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["here", "failed", "failed"]


def test_a_full_disk_ends_the_batch_and_it_goes_on_when_there_is_room(world, home, monkeypatch, assetctl):
    with small_disk(world / "disk", 2**20) as disk:
        out = disk / "pictures"
        taken = []

        def fill_up(plan, seed):
            if len(pictures(disk)) == 4 and not taken:
                taken.append(fill(disk))

        monkeypatch.setattr(Painter, "before", staticmethod(fill_up))
        path = write(world, jobs(9))
        ended = assetctl("generate", "--batch", path, "--out", out, "--json")
        assert (ended.code, ended.error["code"]) == (1, "storage")
        assert Counter(statuses(ended)) == {"made": 4, "waiting": 5}
        assert len(runs(world)[0]) == 2  # it does not try what cannot be saved
        taken[0].unlink()
        assert Counter(statuses(assetctl("generate", "--batch", path, "--out", out, "--json"))) == {
            "here": 4,
            "made": 5,
        }
        assert sorted(each.image_path for each in made(home)) == pictures(disk)


def test_a_full_disk_of_the_home_ends_the_batch_and_what_was_saved_is_taken_up(world, home, monkeypatch, assetctl):
    with small_disk(world / "disk", 2**23) as disk:
        shutil.copytree(home, disk / "home")
        monkeypatch.setenv("ASSETCTL_HOME", str(disk / "home"))
        taken, seeds = [], []

        def fill_up(plan, seed):
            seeds.append(seed)
            if len(seeds) == 4:
                taken.append(fill(disk))

        monkeypatch.setattr(Painter, "before", staticmethod(fill_up))
        path = write(world, jobs(9))
        ended = assetctl("generate", "--batch", path, "--out", world / "cats", "--json")
        assert (ended.code, ended.error["code"]) == (1, "storage")
        assert Counter(statuses(ended))["waiting"] >= 5
        taken[0].unlink()
        assert assetctl("generate", "--batch", path, "--out", world / "cats", "--json").code == 0
        history = made(disk / "home")
        assert sorted(each.image_path for each in history) == pictures(world / "cats")
        assert Counter(each.prompt for each in history) == Counter(f"cat {n}" for n in range(9))
        assert len(seeds) == len(set(seeds)) == 9  # none was made again


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_loaded(world, assetctl):
    (world / "closed").mkdir()
    with unwritable(world / "closed", world / "seen") as closed:
        ended = assetctl("generate", "--batch", write(world, jobs(3)), "--out", closed, "--json")
    assert (ended.code, statuses(ended), runs(world)) == (1, ["failed"] * 3, [[]])


def test_an_interrupt_says_what_is_done_and_how_to_go_on(world, home, assetctl, monkeypatch):
    def stop(plan, seed):
        if len(pictures(home)) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Painter, "before", staticmethod(stop))
    path = write(world, jobs(9))
    ended = assetctl("generate", "--batch", path, "--steps", "2")
    assert (ended.code, len(ended.out.split())) == (130, 4)
    assert "4 of 9 jobs done" in ended.err
    assert f"assetctl generate --steps 2 --batch {path}" in ended.err
    ended = assetctl("generate", "--batch", path, "--steps", "2", "--json")
    assert (ended.code, ended.error["rest"]) == (130, {"--batch": str(path)})
    assert Counter(statuses(ended)) == {"here": 4, "waiting": 5}
    monkeypatch.setattr(Painter, "before", staticmethod(lambda *_: None))
    assert Counter(statuses(assetctl("generate", "--batch", path, "--steps", "2", "--json"))) == {"here": 4, "made": 5}
    see_each_once(home, [f"cat {n}" for n in range(9)])


def test_a_picture_that_nobody_recorded_is_taken_up_and_others_are_left_alone(world, home, assetctl, monkeypatch):
    path = write(world, [*jobs(2, id="x"), {"prompt": "named", "checkpoint": "dawn", "out": "named.png", "seed": 3}])
    assetctl("generate", "--batch", path)
    before = made(home)
    with Catalog(home / "catalog.db") as catalog, catalog.write() as tx:  # as if killed between saving and recording
        tx.connection.execute("DELETE FROM generations")
    taken = Path(before[0].image_path)
    other = next(Path(each.image_path) for each in before if each.prompt == "cat 1")
    content = other.read_bytes()
    other.write_bytes(Path(next(each.image_path for each in before if each.prompt == "cat 0")).read_bytes())
    ended = assetctl("generate", "--batch", path, "--json")
    assert statuses(ended) == ["made"] * 3
    assert sorted(runs(world)[1]) == ["dusk"]  # whose picture was another's
    now = {each.prompt: each for each in made(home)}
    assert now["named"].image_path == str(home / "outputs" / "named.png")
    assert Path(now["cat 1"].image_path) != other
    assert (taken.exists(), Path(now["cat 1"].image_path).read_bytes() == content) == (True, True)


def test_a_picture_that_nobody_recorded_is_taken_up_where_another_has_its_bytes(world, home, assetctl, monkeypatch):
    listed = [{"prompt": "cat", "seed": 7, "id": name, "checkpoint": "dawn"} for name in ("one", "two")]
    listed += [each | {"out": f"{each['id']}.png"} for each in listed]
    path = write(world, listed)
    kept = assetctl("generate", "--batch", path, "--json").data
    paths = [job["images"][0]["path"] for job in kept]
    with contextlib.closing(sqlite3.connect(home / "catalog.db")) as connection, connection:
        connection.execute("DELETE FROM generations WHERE id NOT IN (SELECT min(id) FROM generations)")
    again = assetctl("generate", "--batch", path, "--json").data
    assert [job["images"][0]["path"] for job in again] == paths
    assert len(pictures(home / "outputs")) == len(listed)
    assert len(runs(world)[-1]) <= 1  # nothing was painted


def begun(world, path, *, kill_at=None):
    """A process that runs the batch, and is killed at the nth file that it opens, links or removes, once it makes."""
    child = os.fork()
    if child:
        return child
    try:
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        left = [0]

        def count(event, _):
            if left[0] and event in ("open", "os.link", "os.remove", "fcntl.flock", "sqlite3.connect", "os.rename"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        def begin(plan, seed):
            left[0] = left[0] or kill_at

        if kill_at is not None:
            Painter.before = staticmethod(begin)
            sys.addaudithook(count)
        code = run(["generate", "--batch", str(path)])
    finally:
        os._exit(code)


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


#: Jobs, and kills; the short form first. The most that a process does before it is killed fits the whole list.
FORMS = [(40, 8), pytest.param(200, 20, marks=pytest.mark.slow)]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and killed, on Linux")
@pytest.mark.parametrize(("number", "kills"), FORMS)
def test_whenever_it_is_killed_each_job_is_made_once_and_each_checkpoint_loaded_once_a_run(world, home, number, kills):
    path, chance = write(world, jobs(number)), random.Random(number)
    for _ in range(kills):
        assert ended(begun(world, path, kill_at=chance.randint(1, 12 * number // kills))) == -signal.SIGKILL
    left = number - len(made(home))
    assert 0 < left < number
    assert ended(begun(world, path)) == 0
    see_each_once(home, [f"cat {n}" for n in range(number)])
    loads = runs(world)
    assert len(loads) == kills + 1
    assert all(len(set(each)) == len(each) for each in loads)
    assert not list((home / "jobs").iterdir())
    # a run goes on with the checkpoint that was at work
    assert sum(map(len, loads)) <= len(MODELS) + kills


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and killed, on Linux")
@pytest.mark.parametrize("number", [8, pytest.param(16, marks=pytest.mark.slow)])
def test_killed_at_any_file_that_it_touches_it_loses_and_doubles_nothing(world, home, number):
    listed = [{"prompt": f"cat {n}", "checkpoint": "dawn", "count": 2, "seed": n * 2} for n in range(number)]
    path = write(world, listed)
    at = 0
    while True:
        at = at % 24 + 1  # further than what two pictures take
        code = ended(begun(world, path, kill_at=at))
        if code == 0:
            break
        assert code == -signal.SIGKILL
    see_each_once(home, [f"cat {n}" for n in range(number) for _ in range(2)])
    assert Counter(each.settings["seed"] for each in made(home)) == Counter(range(2 * number))
    assert ended(begun(world, path)) == 0
    assert not list((home / "jobs").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and killed, on Linux")
def test_a_job_that_ends_its_process_comes_last_once_it_has_done_so_thrice(world, home, assetctl, monkeypatch):
    def die(plan, seed):
        if plan.prompt.text == "cat 0":
            os.kill(os.getpid(), signal.SIGKILL)

    path = write(world, jobs(9))
    monkeypatch.setattr(Painter, "before", staticmethod(die))
    for _ in range(3):
        assert (ended(begun(world, path)), made(home)) == (-signal.SIGKILL, [])
    assert ended(begun(world, path)) == -signal.SIGKILL
    see_each_once(home, [f"cat {n}" for n in range(1, 9)])
    monkeypatch.setattr(Painter, "before", staticmethod(lambda *_: None))
    done = assetctl("generate", "--batch", path)
    assert (done.code, "line 1 comes last" in done.err) == (0, True)
    see_each_once(home, [f"cat {n}" for n in range(9)])
    assert not list((home / "jobs").iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked, and killed, on Linux")
def test_two_processes_at_one_list_make_each_job_once(world, home, assetctl):
    path = write(world, jobs(30))
    children = [begun(world, path) for _ in range(3)]
    assert [ended(child) for child in children] == [0, 0, 0]
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["here"] * 30
    see_each_once(home, [f"cat {n}" for n in range(30)])


def test_a_job_that_another_process_stays_at_is_told_of_and_fails_the_run(world, home, assetctl, monkeypatch):
    path = write(world, jobs(3))
    answers = []
    monkeypatch.setattr("assetctl.operations.make.batch._PATIENCE", 0.1)
    monkeypatch.setattr("assetctl.operations.make.batch._LOOK", 0.02)

    def look(plan, seed):
        if not answers:
            answers.append(None)
            child = begun(world, path)
            answers[0] = ended(child)

    monkeypatch.setattr(Painter, "before", staticmethod(look))
    result = assetctl("generate", "--batch", path, "--json")
    assert (answers, Counter(statuses(result))) == ([1], {"made": 1, "here": 2})
    see_each_once(home, [f"cat {n}" for n in range(3)])


@contextmanager
def held(world, home, path):
    """While the first job of the list is another process's: a lock is what tells."""
    base = Request(output=Output())
    first = jobs_of(path.read_bytes(), base, world / "registry.toml", home / "outputs", home)[0]
    (home / "jobs").mkdir(exist_ok=True)
    with FileLock(home / "jobs" / f"{first.key}.lock", thread_local=False) as lock:
        yield lock


@pytest.mark.parametrize("quick", [True, False])
def test_what_another_process_leaves_of_a_list_is_waited_for_and_made(world, home, assetctl, monkeypatch, quick):
    monkeypatch.setattr("assetctl.operations.make.batch._LOOK", 0.02)
    monkeypatch.setattr("assetctl.operations.make.batch._PATIENCE", 20 if quick else 0.1)
    path = write(world, jobs(3))
    with held(world, home, path) as lock:
        let_go = threading.Timer(0.3, lock.release)
        if quick:
            let_go.start()
        done = assetctl("generate", "--batch", path)
    assert "Another process is at 1 job: line 1." in done.err
    if quick:
        assert (done.code, "3 jobs: 3 made" in done.err) == (0, True)
        see_each_once(home, [f"cat {n}" for n in range(3)])
    else:
        assert (done.code, "line 1: another process is at it" in done.err) == (1, True)
        assert "3 jobs: 2 made, 1 another process's" in done.err


def test_a_long_list_is_planned_quickly_and_reads_each_header_once(world, home, assetctl, monkeypatch):
    from assetctl.files import headers

    read, reading = [], headers.read_any_header
    monkeypatch.setattr("assetctl.compat.check.read_any_header", lambda path: read.append(path) or reading(path))
    path = write(world, [{**each, "loras": {"lora-0": 0.5}} for each in jobs(300)])
    started = time.process_time()
    assert statuses(assetctl("generate", "--batch", path, "--dry-run", "--json")) == ["waiting"] * 300
    assert time.process_time() - started < fair(6)
    assert Counter(read).most_common(1)[0][1] <= 3


def test_python_is_told_of_each_job(world, home):
    told = []
    with Registry.open(home) as registry:
        done = registry.generate_batch(
            [*jobs(2), {"prompt": 7}],
            run=Run(lambda event: told.append(event) if isinstance(event, Finished) else None),
        )
        assert [job.status for job in done] == ["made", "made", "failed"]
        assert isinstance(done[2].error, UsageError)
        assert [(event.task, event.error) for event in told] == [
            ("line 3", "usage"), ("line 1", None), ("line 2", None),
        ]  # fmt: skip
        with pytest.raises(UsageError, match="no part"):
            registry.generate_batch(jobs(1), shard=(3, 2))


def test_a_cancelled_batch_says_what_became_of_each_job(world, home):
    stopped = Run(lambda event: stopped.cancel() if isinstance(event, Saved) else None)
    with Registry.open(home) as registry, pytest.raises(Cancelled) as caught:
        registry.generate_batch([*jobs(2, count=2)], run=stopped)
    assert [(job.status, len(job.images)) for job in caught.value.done] == [("waiting", 1), ("waiting", 0)]
    with Registry.open(home) as registry:
        assert [job.status for job in registry.generate_batch([*jobs(2, count=2)])] == ["made", "made"]
    see_each_once(home, [f"cat {n}" for n in range(2) for _ in range(2)])


def test_a_job_may_name_a_recipe_and_draw_its_prompts(world, home, assetctl):
    (world / "registry.toml").write_text('[recipes.cat]\nprompt = "a cat"\nsteps = 3\n')
    listed = [{"recipe": "cat", "checkpoint": "noon"}, {"recipe": "cat", "checkpoint": "dusk", "steps": 4}]
    assert assetctl("generate", "--batch", write(world, listed)).code == 0
    assert sorted((each.prompt, each.settings["steps"]) for each in made(home)) == [("a cat", 3), ("a cat", 4)]
    pytest.importorskip("dynamicprompts")
    path = write(world, [{"prompt": "{a|b|c|d} {1|2|3|4}", "dynamic": True, "count": 4, "checkpoint": "dawn"}])
    first = assetctl("generate", "--batch", path, "--json").data
    assert (len(first[0]["images"]), len(made(home))) == (4, 6)
    assert len({each.prompt for each in made(home)}) > 2
    assert [job["images"] for job in assetctl("generate", "--batch", path, "--json").data] == [first[0]["images"]]


def test_a_home_that_was_moved_knows_what_was_made(world, home, assetctl, monkeypatch):
    path = write(world, jobs(3))
    assetctl("generate", "--batch", path)
    home.rename(world / "elsewhere")
    monkeypatch.setenv("ASSETCTL_HOME", str(world / "elsewhere"))
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["here"] * 3
    assert statuses(assetctl("generate", "--batch", path, "--out", world / "cats", "--json")) == ["made"] * 3


def test_pictures_that_were_moved_away_are_told_of_and_not_made_again(world, home, assetctl):
    path = write(world, jobs(3))
    assetctl("generate", "--batch", path)
    Path(made(home)[0].image_path).unlink()
    ended = assetctl("generate", "--batch", path, "--json")
    assert (statuses(ended), len(made(home))) == (["here"] * 3, 3)
    assert "no longer where they were saved: line " in ended.err


def test_what_ends_a_batch_says_what_became_of_each_job(world, home, monkeypatch):
    def fail(plan, seed):
        raise StorageError("The disk is gone.")

    monkeypatch.setattr(Painter, "before", staticmethod(fail))
    with Registry.open(home) as registry, pytest.raises(StorageError) as caught:
        registry.generate_batch(jobs(2))
    assert [job.status for job in caught.value.done] == ["waiting", "waiting"]


def test_seeds_beyond_what_a_catalog_counts_are_told_apart(world, home, assetctl):
    path = write(world, [{"prompt": "cat", "seed": 2**63 + 1, "count": 2, "checkpoint": "dawn"}])
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["made"]
    assert {each.settings["seed"] for each in made(home)} == {2**63 + 1, 2**63 + 2}
    assert statuses(assetctl("generate", "--batch", path, "--json")) == ["here"]
