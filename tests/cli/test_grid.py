"""A grid: every combination is a picture by itself, and all are on one sheet; what fails loses nothing."""

from __future__ import annotations

import shlex
from itertools import pairwise
from pathlib import Path

import pytest
from compat.sparse import low_rank, whole_checkpoint, write_sparse
from generation import tiny
from material import write_lora, write_safetensors

from assetctl import Cancelled, Output, Registry, Request, Run
from assetctl.cli.failures import again
from assetctl.errors import GenerationError, IncompatibleError, NotFoundError, StorageError, UnusableError, UsageError
from assetctl.operations.make.grid_making import InterruptedGridError
from assetctl.pictures import read_parameters
from assetctl.request import Picture
from assetctl.run import Saved, Step, Warned

Image = pytest.importorskip("PIL.Image")

ODD = "猫, 9 lives; é"
ATTENTION = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"


class Painter:
    """A backend that paints a square, as red as its steps say, of each plan, and may end early."""

    name = "painter"

    def __init__(self, before=lambda _plan: None):
        self.before, self.plans = before, []

    device = "cpu"

    def environment(self, _device, dtype, threads):
        return {"device": self.device, "dtype": dtype, "threads": str(threads)}

    def generate(self, plan, run):
        self.plans.append(plan)
        steps = plan.settings["steps"]
        run.tell(Step(picture=1, pictures=1, step=steps, steps=steps))
        self.before(plan)
        size = plan.settings["width"], plan.settings["height"]
        dtype = "fp32" if plan.settings["flavour"] in ("a1111", "comfyui") else plan.dtype
        environment = self.environment(plan.device, dtype, plan.threads)
        yield Picture(Image.new("RGB", size, (200 + plan.settings["steps"], 0, 0)), plan.seeds[0], environment)


@pytest.fixture
def registry(assetctl, tmp_path, home):
    """Two checkpoints, a LoRA that fits them, one that does not, and one with an odd name."""
    folder = tmp_path / "files"
    for name in ("dream", "other"):
        write_sparse(folder / f"{name}.safetensors", whole_checkpoint())
        tiny.write_vocabulary(folder / f"{name}.config" / "tokenizer")
    with (folder / "other.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    shapes = low_rank(f"{ATTENTION}_attn1_to_q", 8, [8]) | low_rank(f"{ATTENTION}_attn2_to_k", 8, [768])
    for name in ("ink", ODD):
        write_safetensors(folder / f"{name}.safetensors", shapes, {"note": name})
    write_lora(folder / "wide.safetensors", "sdxl")
    assetctl("import", folder)
    with Registry.open(home) as opened:
        yield opened


def asked(out=None, prompt="a cat", **more):
    more = {"checkpoint": "dream", "steps": 1, "width": 64, "height": 64, **more}
    return Request.of(prompt, output=out if out is None or isinstance(out, Output) else Output(out), **more)


def make(registry, grid, out=None, backend=None, run=None, **more):
    return registry.generate_grid(asked(out, **more), grid, backend=backend or Painter(), run=run)


def reds(path):
    """How many pixels of a sheet are of each number of steps."""
    with Image.open(path) as image:
        counted = {colour: number for number, colour in image.convert("RGB").getcolors(2**20)}
    return {red - 200: number for (red, green, _), number in counted.items() if red > 200 and green == 0}


def test_every_combination_is_a_picture_by_itself_and_all_are_on_one_sheet(registry, tmp_path):
    result = make(registry, "steps: 1, 2, 3; cfg: 4, 7", tmp_path / "sheet.png")
    assert result.sheet == str(tmp_path / "sheet.png")
    assert reds(result.sheet) == {1: 2 * 64 * 64, 2: 2 * 64 * 64, 3: 2 * 64 * 64}
    files = sorted(path.name for path in (tmp_path / "sheet").iterdir())
    assert files == ["x1-y1.png", "x1-y2.png", "x2-y1.png", "x2-y2.png", "x3-y1.png", "x3-y2.png"]
    assert [cell.values for cell in result.cells][:2] == [("steps: 1", "cfg: 4"), ("steps: 2", "cfg: 4")]
    for cell in result.cells:
        said = read_parameters(Path(cell.image.path))
        assert said.settings["steps"] == cell.column
        assert registry.generation(cell.image.number).image_sha256 == cell.image.sha256
    assert len(registry.history()) == 6


def test_all_cells_have_one_seed_unless_it_is_an_axis(registry):
    result = make(registry, "steps: 1-4")
    assert {cell.plan.seeds for cell in result.cells} == {(result.seed,)}
    by_chance = make(registry, "seed: -1, -1, 7; steps: 1, 2")
    seeds = [cell.plan.seeds[0] for cell in by_chance.cells]
    assert seeds[:3] == seeds[3:]
    assert len(set(seeds)) == 3
    assert by_chance.seed is None
    assert by_chance.cells[0].values[0] == f"seed: {seeds[0]}", "what it was by chance stands on the sheet"


def test_each_checkpoint_is_loaded_once_wherever_its_axis_is(registry):
    painter = Painter()
    make(registry, "flavour: diffusers, a1111; steps: 1-3", backend=painter)
    flavours = [plan.settings["flavour"] for plan in painter.plans]
    assert flavours == ["diffusers"] * 3 + ["a1111"] * 3, "which are computed in precisions of their own"
    for grid in (
        "steps: 1, 2; checkpoint: dream, other; lora ink: 0.5, none",
        "lora: ink, none; steps: 1-2; checkpoint: other, dream",
    ):
        painter = Painter()
        make(registry, grid, backend=painter)
        loaded = [(plan.checkpoint.name, plan.of("lora")) for plan in painter.plans]
        assert len(loaded) == 8
        assert sum(a[0] != b[0] for a, b in pairwise(loaded)) == 1
        assert sum(a != b for a, b in pairwise(loaded)) == 3


def test_a_cell_that_cannot_work_is_shown_as_such_and_ends_no_other(registry, tmp_path):
    told = []
    result = make(registry, "lora: ink, wide, none; steps: 1, 2", tmp_path / "sheet.png", run=Run(told.append))
    assert reds(result.sheet) == {1: 2 * 64 * 64, 2: 2 * 64 * 64}
    wide = [cell for cell in result.cells if "wide" in cell.values[0]]
    assert all("sdxl" in cell.reason and cell.image is None for cell in wide)
    (error,) = result.failed
    assert isinstance(error, IncompatibleError)
    assert "lora: wide, steps: 1 and 1 cell more" in error.message
    assert isinstance(told[0], Warned), "it is told before anything is made"
    assert told[0].message.startswith("2 of 6 cells cannot be made")


def test_so_is_one_that_fails_when_it_is_made(registry):
    def fail(plan):
        if plan.settings["steps"] == 2:
            raise GenerationError("The picture came out as NaN.", "Lower weights.")

    result = make(registry, "steps: 1-3", backend=Painter(fail))
    assert reds(result.sheet) == {1: 64 * 64, 3: 64 * 64}
    assert result.cells[1].reason == "The picture came out as NaN."


def test_what_cannot_be_loaded_is_not_loaded_again_for_each_cell(registry):
    def fail(plan):
        if plan.checkpoint.name == "other":
            raise UnusableError("other lacks a part.", "Fetch it again.")

    painter = Painter(fail)
    result = make(registry, "steps: 1-3; checkpoint: other, dream", backend=painter)
    assert [plan.checkpoint.name for plan in painter.plans] == ["other", "dream", "dream", "dream"]
    assert [cell.reason for cell in result.cells[:3]] == ["other lacks a part."] * 3


def test_a_sheet_that_cannot_be_saved_loses_no_cell(registry, tmp_path):
    folder = tmp_path / "out"

    def shut():
        (folder / "sheet.png").mkdir()

    with pytest.raises(StorageError) as failed:
        make(registry, "steps: 1-2", folder / "sheet.png", backend=Painter(stopping(2, shut)))
    assert all(cell.image is not None for cell in failed.value.done.cells)


def test_a_cell_whose_picture_is_taken_away_meanwhile_is_painted_again_or_marked(registry, tmp_path):
    class Thief(Painter):
        """Whose last picture is no sooner asked for than the first is gone, so many times."""

        def __init__(self, times):
            super().__init__()
            self.times = times

        def generate(self, plan, run):
            yield from super().generate(plan, run)
            first = self.folder / "x1.png"
            if self.times and (plan.settings["steps"] == 3 or len(self.plans) > 3) and first.exists():
                self.times -= 1
                first.unlink()

    for times, of_one in ((1, 64 * 64), (2, 0)):
        thief = Thief(times)
        thief.folder = tmp_path / str(times)
        result = make(registry, "steps: 1, 2, 3", tmp_path / f"{times}.png", thief)
        assert reds(result.sheet).get(1, 0) == of_one
        assert [reds(result.sheet)[steps] for steps in (2, 3)] == [64 * 64] * 2
        assert len(thief.plans) == 4


def test_a_grid_of_which_no_cell_can_be_made_is_refused(registry, tmp_path):
    painter = Painter()
    with pytest.raises(IncompatibleError):
        make(registry, "steps: 1, 2", tmp_path / "sheet.png", loras=["wide"], backend=painter)
    assert not painter.plans
    assert not list(tmp_path.glob("sheet*"))

    def fail(_plan):
        raise GenerationError("Never.", "No.")

    with pytest.raises(GenerationError, match="Never"):
        make(registry, "steps: 1, 2", tmp_path / "sheet.png", backend=Painter(fail))
    assert not (tmp_path / "sheet.png").exists()


def stopping(number, stop):
    """What ends the making of the picture of this number."""
    begun = []

    def before(plan):
        begun.append(plan)
        if len(begun) == number:
            stop()

    return before


def interrupt():
    raise KeyboardInterrupt


def test_a_grid_that_is_stopped_keeps_what_is_done_and_goes_on(registry, tmp_path):
    out = tmp_path / "sheet.png"
    with pytest.raises(InterruptedGridError) as stopped:
        make(registry, "steps: 1-4", out, backend=Painter(stopping(3, interrupt)))
    done, rest = stopped.value.done, stopped.value.rest
    assert reds(done.sheet) == {1: 64 * 64, 2: 64 * 64}
    assert [cell.image is not None for cell in done.cells] == [True, True, False, False]
    assert rest == {"--seed": str(done.seed), "--out": str(out), "--force": ""}
    painter = Painter()
    result = make(registry, "steps: 1-4", Output(out, force=True), backend=painter, seed=int(rest["--seed"]))
    assert [plan.settings["steps"] for plan in painter.plans] == [3, 4]
    assert [cell.was_there for cell in result.cells] == [True, True, False, False]
    assert reds(out) == dict.fromkeys(range(1, 5), 64 * 64)
    assert len(registry.history()) == 4


def test_seeds_that_were_drawn_by_chance_are_the_same_when_it_goes_on(registry, tmp_path):
    out = Output(tmp_path / "sheet.png", force=True)
    with pytest.raises(InterruptedGridError) as stopped:
        make(registry, "seed: -1, -1, 3", out, backend=Painter(stopping(3, interrupt)))
    painter = Painter()
    make(registry, stopped.value.rest["--grid"], out, backend=painter)
    assert [plan.seeds for plan in painter.plans] == [(3,)]


def test_one_that_is_stopped_before_its_first_picture_leaves_nothing(registry, tmp_path):
    with pytest.raises(InterruptedGridError) as stopped:
        make(registry, "steps: 1-4", tmp_path / "sheet.png", backend=Painter(stopping(1, interrupt)))
    assert stopped.value.done.sheet is None
    assert "--force" not in stopped.value.rest
    assert not (tmp_path / "sheet.png").exists()


def test_a_run_that_is_cancelled_says_what_is_done(registry):
    run = Run()
    with pytest.raises(Cancelled) as stopped:
        make(registry, "steps: 1-4", backend=Painter(stopping(2, run.cancel)), run=run)
    made = [cell for cell in stopped.value.done.cells if cell.image is not None]
    assert len(made) in (1, 2)
    assert Path(stopped.value.done.sheet).exists()


def test_a_full_disk_ends_it_with_what_is_done(registry):
    def full():
        raise StorageError("The disk is full.", "Free some.")

    with pytest.raises(StorageError) as stopped:
        make(registry, "steps: 1-4", backend=Painter(stopping(3, full)))
    assert sum(cell.image is not None for cell in stopped.value.done.cells) == 2


def test_only_pictures_of_ours_as_they_were_are_taken_for_cells(registry, tmp_path):
    out = tmp_path / "sheet.png"
    make(registry, "steps: 1-3", out, seed=5)
    edited, removed = tmp_path / "sheet" / "x1.png", tmp_path / "sheet" / "x2.png"
    with Image.open(edited) as image:
        image.info["more"] = "text"
        before = edited.read_bytes()
    edited.write_bytes(before[:-12] + b"\0\0\0\0tEXt\0\0\0\0" + before[-12:])
    removed.unlink()
    mine = tmp_path / "sheet" / "x4.png"
    mine.write_bytes(b"mine")
    painter = Painter()
    result = make(registry, "steps: 1-4", Output(out, force=True), backend=painter, seed=5)
    assert [plan.settings["steps"] for plan in painter.plans] == [1, 2, 4]
    assert mine.read_bytes() == b"mine"
    assert edited.read_bytes() != before
    assert [Path(cell.image.path).name for cell in result.cells] == ["x1-2.png", "x2.png", "x3.png", "x4-2.png"]


def test_another_seed_or_another_machine_is_another_picture(registry, tmp_path):
    out = Output(tmp_path / "sheet.png", force=True)
    make(registry, "steps: 1-2", out, seed=5)
    painter = Painter()
    make(registry, "steps: 1-2", out, backend=painter, seed=6)
    assert len(painter.plans) == 2
    painter = Painter()
    painter.device = "cuda"
    make(registry, "steps: 1-2", out, backend=painter, seed=5)
    assert len(painter.plans) == 2


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_sheet_is_not_made_again_as_if_it_were_one_picture(registry, assetctl, tmp_path, suffix):
    sheet = make(registry, "steps: 1, 2", tmp_path / f"sheet.{suffix}").sheet
    for more in ((), ("--dry-run",)):
        ended = assetctl("reproduce", sheet, *more)
        assert (ended.code, "is the sheet of a grid" in ended.err) == (2, True), ended.err
        assert f"assetctl reproduce {tmp_path / 'sheet' / 'x1'}.{suffix}" in ended.err


def test_a_sheet_that_is_there_is_an_error_before_anything_is_made(registry, tmp_path):
    out = tmp_path / "sheet.png"
    out.write_bytes(b"mine")
    painter = Painter()
    with pytest.raises(UsageError, match="exists already"):
        make(registry, "steps: 1, 2", out, backend=painter)
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(StorageError, match="file cannot be made"):
        make(registry, "steps: 1, 2", tmp_path / "file.png", backend=painter)
    assert (painter.plans, out.read_bytes()) == ([], b"mine")


def test_without_a_name_it_goes_into_the_outputs(registry, home):
    one, two = (make(registry, "steps: 1, 2", seed=5) for _ in range(2))
    assert one.sheet != two.sheet
    assert Path(one.sheet).parent == home / "outputs"
    assert one.folder == one.sheet.removesuffix(".png")
    jpeg = make(registry, "steps: 1", Output(None, "jpg"))
    assert {Path(jpeg.sheet).suffix, Path(jpeg.cells[0].image.path).suffix} == {".jpg"}


@pytest.mark.parametrize(
    ("prompt", "loras", "weights"),
    [("a cat", ["ink"], [("ink", 0.5)]), ("a cat <lora:ink:2> here", [], [("ink", 0.5)]),
     ("a cat <lora:INK:2>", ["ink:3", f"{ODD}:0.1"], [("ink", 0.5), (ODD, 0.1)]),
     ("a cat", [], [("ink", 0.5)])],
)  # fmt: skip
def test_a_loras_weight_takes_the_place_of_what_was_said_of_it(registry, prompt, loras, weights):
    planned = registry.plan_grid(asked(prompt=prompt, loras=loras), "lora ink: 0.5, none")
    half, none = (cell.plan for cell in planned.cells)
    assert [(use.name, use.weight) for use in half.of("lora")] == weights
    assert [use.name for use in none.of("lora")] == [name for name, _ in weights[1:]]
    assert " ".join(half.prompt.segments[0][0].split()) in ("a cat", "a cat here")


def test_findings_of_cells_are_told_once_and_a_weight_of_none_is_meant(registry, assetctl):
    line = ("generate", "a cat", "-c", "dream", "--dry-run", "--grid")
    ended = assetctl(*line, "lora ink: 0, 0.5; cfg: 1, 7", "--negative", "dog")
    assert "[zero_weight]" not in ended.err
    assert ended.err.count("[negative_prompt]") == 1
    assert "[zero_weight]" in assetctl(*line, "steps: 1, 2", "--lora", "ink:0").err


def test_names_of_any_letters_can_be_asked_for_and_are_drawn(registry):
    result = make(registry, f'lora: "{ODD}:0.3", none; prompt cat: "猫\u202e", "<b>&", ""')
    assert len(result.cells) == 8
    assert result.cells[0].values == (f"lora: {ODD}:0.3", "cat")
    assert reds(result.sheet) == {1: 8 * 64 * 64}


def test_a_word_is_replaced_in_both_prompts_and_must_stand_in_one(registry):
    request = asked(prompt="a cat, cats", negative_prompt="no cat")
    planned = registry.plan_grid(request, "prompt cat: dog; prompt no: many")
    texts = [(cell.plan.prompt.text, cell.plan.negative_prompt.text) for cell in planned.cells]
    assert texts == [
        ("a cat, cats", "no cat"), ("a dog, dogs", "no dog"), ("a cat, cats", "many cat"), ("a dog, dogs", "many dog"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="'bird'"):
        registry.plan_grid(request, "prompt bird: dog")


@pytest.mark.parametrize(
    ("grid", "error"),
    [("checkpoint: dream, drema", NotFoundError), ("lora inc: 1", NotFoundError),
     ("lora: ink, none, other2", NotFoundError),
     ("prompt cat: <lora:nothing:1>", NotFoundError), ("vae: none, nothing", NotFoundError), ("steps: 0", UsageError),
     ("steps: 1", None)],
)  # fmt: skip
def test_a_slip_of_the_keys_is_told_before_anything_is_made(registry, grid, error):
    if error is None:
        assert registry.plan_grid(asked(), grid).cells[0].plan is not None
        return
    with pytest.raises(error):
        registry.plan_grid(asked(), grid)


def test_an_axis_takes_the_place_of_a_recipes_or_an_options_asset(registry):
    planned = registry.plan_grid(
        Request.of("a cat", names=["dream", "ink"], steps=1), "checkpoint: other, dream; vae: none"
    )
    assert [cell.plan.checkpoint.name for cell in planned.cells] == ["other", "dream"]
    assert all([use.name for use in cell.plan.of("lora")] == ["ink"] for cell in planned.cells)


def test_rows_of_other_sizes_keep_their_pixels(registry):
    result = make(registry, "steps: 1, 2; size: 64x64, 128x64, 64x192")
    assert reds(result.sheet) == dict.fromkeys((1, 2), 64 * 64 + 128 * 64 + 64 * 192)


def test_further_axes_make_blocks(registry):
    result = make(registry, "steps: 1, 2; cfg: 4, 7; seed: 1, 2; prompt cat: dog")
    assert [(cell.column, cell.row, cell.block) for cell in result.cells[:5]] == [
        (1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 1), (1, 1, 2),
    ]  # fmt: skip
    assert result.cells[-1].values == ("steps: 2", "cfg: 7", "seed: 2", "dog")
    assert result.cells[-1].block == 4
    assert Path(result.cells[-1].image.path).name == "x2-y2-z4.png"
    assert reds(result.sheet) == {1: 8 * 64 * 64, 2: 8 * 64 * 64}


def test_one_cell_is_a_grid(registry):
    result = make(registry, "steps: 3")
    assert reds(result.sheet) == {3: 64 * 64}


def test_a_sheet_that_would_be_too_large_is_told_of_and_made_smaller(registry):
    planned = registry.plan_grid(asked(width=4096, height=4096), "steps: 1-20; seed: 1-20")
    assert planned.scale < 0.2
    assert planned.size[0] * planned.size[1] <= 80_000_000
    with pytest.raises(UsageError, match="one picture"):
        registry.plan_grid(asked(count=2), "steps: 1, 2")


def test_progress_is_that_of_all_cells(registry):
    told = []
    make(registry, "lora: ink, wide; steps: 1, 2", run=Run(told.append))
    assert [(event.picture, event.pictures) for event in told if isinstance(event, Step)] == [(1, 2), (2, 2)]
    assert len([event for event in told if isinstance(event, Saved)]) == 3


def test_a_sheet_says_what_it_is_of_to_other_programs(registry):
    result = make(registry, "steps: 1, 2; lora ink: 0.5, 1", prompt="a cat, sitting", seed=7)
    said = read_parameters(Path(result.sheet))
    assert said.prompt == "a cat, sitting <lora:ink:0.5>"
    assert said.settings["seed"] == 7
    wanted = {"Script": "X/Y/Z plot", "X Type": "steps", "X Values": "1, 2", "Y Type": "lora ink", "Y Values": "0.5, 1"}
    assert {key: said.fields[key] for key in wanted} == wanted
    assert "sheet of several pictures" in said.notes[0]


def test_long_values_keep_no_jpeg_from_being_saved(registry, assetctl, tmp_path):
    words = ", ".join(letter * 8000 for letter in "abcd")
    result = make(registry, f"prompt cat: {words}", tmp_path / "sheet.jpg", seed=7)
    assert read_parameters(Path(result.sheet)).settings["seed"] == 7
    assert all(cell.image is not None for cell in result.cells)
    ended = assetctl("reproduce", result.sheet)
    assert (ended.code, f"{tmp_path / 'sheet' / 'x1.jpg'}" in ended.err) == (2, True)


# At the command line.


def test_a_dry_run_lists_the_cells_in_the_order_of_loading(registry, assetctl, home):
    line = ("generate", "a cat", "-c", "dream", "--steps", "1", "--size", "64x64", "--dry-run", "--grid")
    grid = "lora: ink, wide, none; checkpoint: dream, other"
    ended = assetctl(*line, grid)
    assert ended.code == 0
    rows = [row.split() for row in ended.out.splitlines() if row.strip()[:1].isdigit() or row.strip().startswith("-")]
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "-", "-"]
    assert [row[2] for row in rows[:4]] == ["dream", "dream", "other", "other"]
    assert "4 of 6 can be made" in ended.out
    data = assetctl(*line, grid, "--json").data
    assert [cell["order"] for cell in data["cells"]] == [1, None, 2, 3, None, 4]
    assert data["cells"][1]["error"]["code"] == "incompatible"
    assert data["axes"][0] == {"name": "lora", "values": ["lora: ink", "lora: wide", "lora: none"]}
    assert (data["sheet"], data["folder"], data["out"]) == (None, None, [str(home / "outputs")])
    assert not (home / "outputs").exists()


@pytest.mark.parametrize(
    "grid", ["", "steps", "steps: 0", "seed: 1-500", "nothing: 1", 'prompt: "x', "prompt dog: cat"]
)
def test_what_makes_no_sense_is_wrong_usage(registry, assetctl, grid):
    ended = assetctl("generate", "a cat", "-c", "dream", "--grid", grid, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert ended.error["hint"]


def test_the_command_prints_its_sheet_and_ends_with_the_code_of_what_failed(registry, assetctl, tmp_path, monkeypatch):
    monkeypatch.setattr("assetctl.generation.diffusers.DiffusersBackend", lambda *_: Painter())
    out = tmp_path / "sheet.png"
    line = ["generate", "a cat", "-c", "dream", "--steps", "1", "--size", "64x64", "--out", out]
    ended = assetctl(*line, "--grid", "steps: 1, 2")
    assert (ended.code, ended.out) == (0, f"{out}\n"), ended.err
    ended = assetctl(*line, "--force", "--grid", "lora: ink, wide", "--json")
    assert (ended.code, ended.error["code"]) == (4, "incompatible")
    done = ended.error["done"]
    assert [cell["image"] is not None for cell in done["cells"]] == [True, False]
    assert done["sheet"] == str(out)


def test_the_hint_of_one_that_was_stopped_makes_the_rest(registry, assetctl, tmp_path, monkeypatch):
    painter = Painter(stopping(2, interrupt))
    monkeypatch.setattr("assetctl.generation.diffusers.DiffusersBackend", lambda *_: painter)
    out = tmp_path / "my sheets" / "a.png"
    ended = assetctl("generate", "--grid", "steps: 1-3", "-c", "dream", "-o", out, "--size", "64x64", "a cat")
    assert (ended.code, ended.out) == (130, f"{out}\n")
    assert "1 of 3 cells are done" in ended.err
    words = shlex.split(ended.err.split("For the rest: `")[1].split("`.")[0])
    painter.before, painter.plans = (lambda _plan: None), []
    ended = assetctl(*words[1:])
    assert (ended.code, len(painter.plans)) == (0, 2)
    assert reds(out) == {1: 64 * 64, 2: 64 * 64, 3: 64 * 64}


def test_a_switch_that_is_there_already_is_not_given_twice():
    rest = {"--out": "b.png", "--force": ""}
    assert again(["generate", "--force", "a", "--out", "c.png"], rest) == "assetctl generate a --out b.png --force"


def test_the_document_of_one_that_was_stopped_has_all_of_it(registry, assetctl, tmp_path, monkeypatch):
    monkeypatch.setattr("assetctl.generation.diffusers.DiffusersBackend", lambda *_: Painter(stopping(2, interrupt)))
    line = ("generate", "a cat", "-c", "dream", "--size", "64x64", "--grid", "steps: 1-3", "--json")
    ended = assetctl(*line, "--out", tmp_path / "sheet.png", "--seed", 7)
    assert (ended.code, ended.error["code"]) == (130, "interrupted")
    assert ended.error["rest"] == {"--seed": "7", "--out": str(tmp_path / "sheet.png"), "--force": ""}
    assert [cell["image"] is not None for cell in ended.error["done"]["cells"]] == [True, False, False]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_sheet_and_its_cells_are_of_the_format_that_was_named(registry, tmp_path, suffix):
    out = Output(tmp_path / f"sheet.{suffix}", force=True)
    result = make(registry, "steps: 1, 2", out, seed=5)
    for path in (result.sheet, *(cell.image.path for cell in result.cells)):
        with Image.open(path) as image:
            assert image.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[suffix]
    painter = Painter()
    make(registry, "steps: 1-3", out, seed=5, backend=painter)
    assert [plan.settings["steps"] for plan in painter.plans] == [3], "a further value is all that is made"


def test_what_else_lies_in_the_folder_of_the_cells_is_left_alone(registry, tmp_path):
    folder = tmp_path / "sheet"
    folder.mkdir()
    (folder / "x1.png").symlink_to(tmp_path / "nowhere")
    (folder / "x2.png").mkdir()
    (folder / "x3.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\xff" * 99)
    (folder / "notes.txt").write_text("mine")
    before = {path.name for path in folder.iterdir()}
    result = make(registry, "steps: 1-3", tmp_path / "sheet.png")
    assert [Path(cell.image.path).name for cell in result.cells] == ["x1-2.png", "x2-2.png", "x3-2.png"]
    assert {path.name for path in folder.iterdir()} >= before
    assert (folder / "x1.png").is_symlink()


def test_words_of_a_template_are_sought_in_what_was_drawn_which_is_shown(registry, assetctl):
    pytest.importorskip("dynamicprompts")
    typed = ("generate", "a {blue|blue} cat", "--dynamic", "--checkpoint", "dream", "--steps", "1", "--dry-run")
    shown = assetctl(*typed, "--grid", "prompt blue: green")
    assert (shown.code, "prompt  a blue cat" in shown.out) == (0, True)
    refused = assetctl(*typed, "--grid", "prompt red: green")
    assert (refused.code, "no 'red' in it: 'a blue cat'" in refused.err) == (2, True)
    assert "as it was drawn" in refused.err


def test_a_template_is_drawn_once_for_all_cells(registry):
    pytest.importorskip("dynamicprompts")
    planned = registry.plan_grid(asked(prompt="a {red|green|blue|white} cat", dynamic=True, seed=7), "steps: 1, 2")
    texts = {cell.plan.prompt.text for cell in planned.cells}
    assert len(texts) == 1
    assert "{" not in texts.pop()
