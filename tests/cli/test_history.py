"""`history`: the pictures that were made."""

from __future__ import annotations

import hashlib
import shlex
import sqlite3
import time
from datetime import UTC, datetime, timedelta

import pytest
from material import write_lora
from patience import fair
from selections import lora_use, picture_entry

from assetctl.errors import CatalogError, UsageError
from assetctl.operations.make.history import command_line, parse_since
from assetctl.registry import Registry


@pytest.fixture
def made(assetctl, home, tmp_path):
    """Three recorded pictures of a checkpoint and a LoRA, the last of which lies where it was saved."""
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    (tmp_path / "3.png").write_bytes(b"here")
    here = hashlib.sha256(b"here").hexdigest()
    with Registry.open(home) as registry:
        lora = registry.get("whiskers")
        chosen = ((), (lora_use(lora, 0.7),), ())
        prompts = ("a dog", "a Cat <lora:whiskers:0.7> on a sofa", "it's a cat")
        for number, (uses, prompt) in enumerate(zip(chosen, prompts, strict=True), 1):
            registry._workspace.catalog.generations.record(
                picture_entry(
                    prompt, uses, "bad" if number == 2 else "", path=str(tmp_path / f"{number}.png"), sha256=here,
                    record={"environment": {"threads": "2"}}, cfg_scale=7.5, seed=number, width=512, height=768,
                )
            )  # fmt: skip
    return tmp_path


def numbers(ended) -> list[int]:
    return [each["number"] for each in ended.data]


def test_the_latest_come_first_and_say_whether_their_files_are_there(assetctl, made):
    ended = assetctl("history", "--json")
    assert numbers(ended) == [3, 2, 1]
    assert [each["is_there"] for each in ended.data] == [True, False, False]
    assert ended.data[1]["assets"][0] == {
        "role": "lora", "name": "whiskers", "sha256": ended.data[1]["assets"][0]["sha256"], "weight": 0.7,
        "asset": "whiskers",
    }  # fmt: skip
    assert "1.png (gone)" in assetctl("history").out
    assert assetctl("history", "--quiet").out.splitlines()[0] == str(made / "3.png")


def test_another_file_in_a_pictures_place_is_told(assetctl, made):
    """Also one that is as old as the picture, and one of the same length."""
    (made / "3.png").write_bytes(b"hers")
    (made / "2.png").mkdir()
    ended = assetctl("history", "--json")
    assert [(each["is_there"], each["replaced"]) for each in ended.data] == [
        (False, True),
        (False, True),
        (False, False),
    ]
    assert "3.png (replaced)" in assetctl("history").out
    assert "3.png  (another file is there now)" in assetctl("history", "3").out
    ended = assetctl("history", "3", "--open")
    assert (ended.code, "Another file lies where the picture was" in ended.err) == (3, True)
    (made / "3.png").unlink()
    assert "3.png (gone)" in assetctl("history").out


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE generations SET prompt = x'00ff' WHERE id = 2",
        "UPDATE generations SET settings = '[1]' WHERE id = 2",
        "UPDATE generations SET image_path = CAST(x'2f610062' AS TEXT) WHERE id = 2",
        "UPDATE generation_assets SET name = x'00ff' WHERE generation_id = 2",
    ],
)
def test_one_damaged_picture_does_not_hide_the_others(assetctl, home, made, statement):
    with sqlite3.connect(home / "catalog.db") as connection:
        connection.create_function("casefold", 1, str.casefold, deterministic=True)
        connection.execute(statement)
    ended = assetctl("history", "--json")
    assert (ended.code, numbers(ended)) == (1, [3, 1])
    ended = assetctl("history")
    assert "warning: 1 picture is not shown" in ended.err
    assert "3.png" in ended.out
    assert assetctl("history", "3").code == 0
    with Registry.open(home) as registry:
        told = []
        assert [each.number for each in registry.history(damaged=told.append)] == [3, 1]
        assert len(told) == 1
        with pytest.raises(CatalogError):
            registry.history()


def test_pictures_move_with_their_home(assetctl, home, monkeypatch):
    pictures = home / "outputs"
    pictures.mkdir(parents=True)
    for number, (there, said) in enumerate((("same", "same"), ("other", "same"), (None, "same")), 1):
        path = pictures / f"{number}.png"
        if there is not None:
            path.write_text(there)
        with Registry.open(home) as registry:
            registry._workspace.catalog.generations.record(
                picture_entry(path=str(path), sha256=hashlib.sha256(said.encode()).hexdigest(), seed=number)
            )  # fmt: skip
    place = home.rename(home.with_name("elsewhere"))
    monkeypatch.setenv("ASSETCTL_HOME", str(place))
    assert {each["number"]: each["is_there"] for each in assetctl("history", "--json").data} == {
        1: True, 2: False, 3: False,
    }  # fmt: skip
    assert assetctl("history", "1", "--json").data["path"] == str(place / "outputs" / "1.png")


@pytest.mark.parametrize(
    ("arguments", "found"),
    [(("--limit", "2"), [3, 2]), (("--with", "whiskers"), [2]), (("--prompt", "SOFA cat"), [2]), (("--seed", "1"), [1]),
     (("--since", "1h"), [3, 2, 1]), (("--since", "2999-01-01"), []), (("--prompt", "cat", "--seed", "3"), [3])],
)  # fmt: skip
def test_filters_add_up(assetctl, made, arguments, found):
    assert numbers(assetctl("history", *arguments, "--json")) == found


def test_pictures_outlive_their_assets(assetctl, made):
    assetctl("edit", "whiskers", "--name", "tom")
    assert assetctl("history", "2", "--json").data["assets"][0]["asset"] == "tom"
    assetctl("rm", "tom", "--yes")
    assert assetctl("history", "2", "--json").data["assets"][0]["asset"] is None
    assert numbers(assetctl("history", "--with", "Whiskers", "--json")) == [2]
    assert assetctl("history", "--with", "nobody").code == 3


def test_one_picture_comes_with_the_command_line_that_makes_it_again(assetctl, made, home):
    data = assetctl("history", "2", "--json").data
    assert data["command"] == [
        "assetctl", "--home", str(home), "generate", "--lora", "whiskers:0.7", "--negative", "bad", "--steps", "20",
        "--cfg", "7.5", "--sampler", "Euler a", "--seed", "2", "--size", "512x768",
            "--flavour", "legacy", "--", "a Cat on a sofa",
    ]  # fmt: skip
    assert data["request"] == {
        "prompt": "a Cat on a sofa", "negative_prompt": "bad", "loras": {"whiskers": 0.7}, "steps": 20,
        "cfg_scale": 7.5, "sampler": "Euler a", "seed": 2, "width": 512, "height": 768, "flavour": "legacy",
    }  # fmt: skip
    assert data["record"]["environment"] == {"threads": "2"}
    assert shlex.join(data["command"]) in assetctl("history", "2").out


def test_an_empty_history_says_how_to_fill_it(assetctl):
    ended = assetctl("history")
    assert (ended.code, ended.out) == (0, "")
    assert "assetctl generate" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("99",), 3), (("99999999999999999999",), 3), (("0",), 2), (("x",), 2), (("--since", "soon"), 2),
     (("--since", "99999y"), 2), (("--seed", "-1"), 2), (("--limit", "-1"), 2), (("--open",), 2),
     (("--limit", "9" * 20), 2),
     (("--seed", "9" * 20), 2), (("1", "--seed", "99"), 2), (("1", "--open"), 3)],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(assetctl, made, arguments, code):
    assert assetctl("history", *arguments).code == code


def test_since_takes_dates_times_and_spans():
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    assert parse_since("7d", now) == "2026-03-03T12:00:00Z"
    assert parse_since("12h", now) == "2026-03-10T00:00:00Z"
    assert parse_since("2026-01-31T10:00:00+02:00") == "2026-01-31T08:00:00Z"
    local = datetime.fromisoformat("2026-01-31").astimezone(UTC)
    assert parse_since("2026-01-31") == local.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert timedelta(0) <= now - datetime.fromisoformat(parse_since("1y", now)) <= timedelta(days=366)
    with pytest.raises(UsageError):
        parse_since("0000-00-00")
    assert parse_since("0300-01-01T00:00:00+00:00") == "0300-01-01T00:00:00Z"
    assert parse_since("1500y", now).startswith("05")


def change(home, **columns):
    """Write into the first picture's row what assetctl would not."""
    connection = sqlite3.connect(home / "catalog.db")
    for name, value in columns.items():
        connection.execute(f"UPDATE generations SET {name} = ? WHERE id = 1", [value])  # noqa: S608 - names of ours
    connection.commit()
    connection.close()


def command(assetctl) -> list[str]:
    return assetctl("history", "1", "--json").data["command"]


def test_a_prompt_may_begin_with_a_hyphen_and_hold_what_is_almost_a_tag(assetctl, made, home):
    change(home, prompt="--no cat<lora::1> <lora:a:1>, x", negative_prompt="-dog")
    assert command(assetctl)[-2:] == ["--", "--no cat<lora::1>, x"]
    assert "--negative=-dog" in command(assetctl)


def test_a_prompt_of_spaces_takes_no_time(home, assetctl, made):
    change(home, prompt="a" + " " * 50_000 + "b")
    with Registry.open(home) as registry:
        generation = registry.generation(1)
    start = time.perf_counter()
    command_line(generation, home)
    assert time.perf_counter() - start < fair(1)


def test_prompts_are_sought_in_any_case_of_any_script(assetctl, made, home):
    change(home, prompt="ЯБЛОКО Éclair")
    assert numbers(assetctl("history", "--prompt", "яблоко éCLAIR", "--json")) == [1]


def test_words_of_strangers_do_nothing_to_the_terminal(assetctl, made, home):
    change(home, prompt="a \x1b[31mred \x07\u202e [bold]x")
    for ended in (assetctl("history"), assetctl("history", "1")):
        assert "[bold]x" in ended.out
        assert not set("\x1b\x07\u202e") & set(ended.out)


@pytest.mark.parametrize("record", ["{bad", "null", "[]"])
def test_a_damaged_row_is_shown_as_far_as_it_goes(assetctl, made, home, record):
    change(home, record=record, created_at="x")
    assert assetctl("history").code == 0
    assert "a dog" in assetctl("history", "1").out


def test_options_of_one_flag_are_written_together(assetctl, home, tmp_path):
    assetctl("list")
    settings = {"cfg_scale": 7.0, "seed": 1, "width": 64, "height": 64, "flavour": "a1111"}
    settings |= {"resize_seed_width": 96, "resize_seed_height": 64}
    with Registry.open(home) as registry:
        entry = picture_entry("a cat", (), path=str(tmp_path / "1.png"), sha256="0" * 64, **settings)
        registry._workspace.catalog.generations.record(entry)
    command = assetctl("history", "1", "--json").data["command"]
    assert command[command.index("--resize-seed-from") + 1] == "96x64"
