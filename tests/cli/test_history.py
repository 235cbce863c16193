"""`history`: the pictures that were made."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime, timedelta

import pytest
from material import write_lora

from assetctl.catalog import GenerationEntry
from assetctl.errors import UsageError
from assetctl.operations.history import parse_since
from assetctl.registry import Registry
from assetctl.types import Selection, WeightedAsset


@pytest.fixture
def made(assetctl, home, tmp_path):
    """Three recorded pictures of a checkpoint and a LoRA, the last of which lies where it was saved."""
    assetctl("import", write_lora(tmp_path / "whiskers.safetensors"))
    (tmp_path / "3.png").write_bytes(b"here")
    with Registry.open(home) as registry:
        lora = registry.get("whiskers")
        chosen = (Selection(), Selection(loras=(WeightedAsset(lora, 0.7),)), Selection())
        prompts = ("a dog", "a Cat <lora:whiskers:0.7> on a sofa", "it's a cat")
        for number, (selection, prompt) in enumerate(zip(chosen, prompts, strict=True), 1):
            registry._workspace.catalog.generations.record(
                GenerationEntry(
                    selection, prompt, "bad" if number == 2 else "", 20, 7.5, "Euler a", number, 512, 768,
                    str(tmp_path / f"{number}.png"), "ab" * 32, {"environment": {"threads": "2"}},
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


def test_one_picture_comes_with_the_command_line_that_makes_it_again(assetctl, made):
    data = assetctl("history", "2", "--json").data
    assert data["command"] == [
        "assetctl", "generate", "a Cat on a sofa", "--lora", "whiskers:0.7", "--negative", "bad", "--steps", "20",
        "--cfg", "7.5", "--sampler", "Euler a", "--seed", "2", "--size", "512x768",
    ]  # fmt: skip
    assert data["record"]["environment"] == {"threads": "2"}
    assert shlex.join(data["command"]) in assetctl("history", "2").out


def test_an_empty_history_says_how_to_fill_it(assetctl):
    ended = assetctl("history")
    assert (ended.code, ended.out) == (0, "")
    assert "assetctl generate" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("99",), 3), (("99999999999999999999",), 3), (("0",), 2), (("x",), 2), (("--since", "soon"), 2),
     (("--since", "99999y"), 2), (("--seed", "-1"), 2), (("--limit", "0"), 2), (("--open",), 2), (("1", "--open"), 3)],
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
