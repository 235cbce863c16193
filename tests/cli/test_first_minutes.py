"""What somebody meets who has just installed assetctl."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from material import write_lora
from terminal import at_a_terminal, needs_terminal

import assetctl as package
from assetctl import Output, Registry, Request
from assetctl.cli.failures import ELSEWHERE
from assetctl.cli.main import COMMANDS, PANELS
from assetctl.cli.pictures import open_pictures
from assetctl.cli.session import Session
from assetctl.errors import UsageError

LONG = "a-name-of-forty-letters-that-tells-all-x"


@pytest.fixture
def three(assetctl, tmp_path):
    """Three LoRAs: of several names and ranks, so of several sizes."""
    for name, rank in ((LONG, 4), ("big", 16), ("small", 2)):
        write_lora(tmp_path / "mine" / f"{name}.safetensors", rank=rank, seed=rank)
        assetctl("import", tmp_path / "mine" / f"{name}.safetensors")
    return assetctl


def test_help_comes_in_panels_and_demo_first_of_all(assetctl):
    shown = assetctl("--help").out
    places = [shown.index(f" {panel} ─") for panel in PANELS]
    assert places == sorted(places)
    assert next(iter(COMMANDS)) == "demo"
    names = re.findall(r"^│ ([a-z]+) ", shown, re.MULTILINE)
    assert names == list(COMMANDS)


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_the_version_is_told(assetctl, option):
    assert assetctl(option).out == f"assetctl {package.__version__}\n"


@pytest.mark.parametrize(("word", "meant"), ELSEWHERE.items())
def test_what_other_programs_call_a_command_leads_to_ours(assetctl, word, meant):
    ended = assetctl(word, "x")
    assert ended.code == 2
    assert f"`assetctl {meant}`" in ended.err
    assert meant in COMMANDS
    assert word not in COMMANDS


def test_a_prompt_without_quotes_is_told_how(assetctl):
    ended = assetctl("generate", "a", "red", "cat")
    assert ended.code == 2
    assert "assetctl generate 'a red cat'" in ended.err


@pytest.mark.parametrize("arguments", [("list", "--family", "sdx"), ("search", "cat", "--family", "sdx")])
def test_a_family_that_nobody_knows_is_an_error_with_near_ones(assetctl, arguments):
    ended = assetctl(*arguments, "--json")
    assert (ended.code, ended.error["code"]) == (2, "usage")
    assert "sdxl" in ended.error["hint"].split(" or ")[0] + ended.error["hint"]


def test_a_family_that_only_the_catalog_knows_is_listed(three):
    with Registry.open() as registry, registry._workspace.catalog.write() as writer:
        writer.override(writer.find("big").id, "family", "novel")
    assert [asset["name"] for asset in three("list", "--family", "novel", "--json").data] == ["big"]


def test_lists_come_in_the_order_that_is_asked_for(three):
    def names(*more):
        return three("list", "--quiet", *more).out.split()

    assert names() == [LONG, "big", "small"]
    assert names("--sort", "size") == ["big", LONG, "small"]
    assert names("--sort", "size", "--limit", "1") == ["big"]
    assert names("--sort", "added") == ["small", "big", LONG]
    assert three("list", "--sort", "colour").code == 2
    assert three("list", "--fits", "big", "--sort", "size").code == 2


def test_python_sorts_and_refuses_an_unknown_order(three, tmp_path):
    with Registry.open(tmp_path / "home") as registry:
        assert [asset.name for asset in registry.list(sort="size")] == ["big", LONG, "small"]
        with pytest.raises(UsageError):
            registry.list(sort="colour")
        assert repr(registry) == f"Registry({str(tmp_path / 'home')!r})"


@needs_terminal
@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_a_name_stays_whole_in_a_table_down_to_40_columns(three, tmp_path, width):
    if width == 40:
        three("edit", LONG, "--name", LONG[:30])
    name = LONG[:30] if width == 40 else LONG
    shown, code = at_a_terminal(tmp_path / "home", "list", width=width)
    assert code == 0
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert any(line.strip().startswith(name) for line in lines)
    assert all(len(line.rstrip()) <= width for line in lines)
    assert len([line for line in lines if line.strip()]) == 5  # a heading, a rule, and a line for each
    assert ("TRIGGER WORDS" in shown) is (width == 120)


def test_what_is_piped_has_every_column(three):
    assert "TRIGGER WORDS" in three("list").out


@pytest.mark.parametrize("several", ["loras", "embeddings", "names", "controlnets"])
def test_one_text_in_place_of_several_names_is_refused(several):
    with pytest.raises(UsageError, match="several names"):
        Request.of(**{several: "demo-cat"})


def completed(home, *words: str, by: str = "bash") -> tuple[list[str], str]:
    """What a shell offers for the last of these words, and what else is printed."""
    line = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
    if by == "zsh":
        line = {"_TYPER_COMPLETE_ARGS": " ".join(words)}
    ended = subprocess.run(
        [sys.executable, "-c", "from assetctl.__main__ import main; main()"],
        env={**os.environ, **line, "_ASSETCTL_COMPLETE": f"complete_{by}", "ASSETCTL_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    return [line for line in ended.stdout.splitlines() if line], ended.stderr


def test_the_shell_completes_names_and_words(three, tmp_path):
    home = tmp_path / "home"
    assert completed(home, "assetctl", "inspect", "b") == (["big"], "")
    assert completed(home, "assetctl", "check", "--lora", "s") == (["small"], "")
    assert completed(home, "assetctl", "check", "--checkpoint", "s") == ([], "")
    assert completed(home, "assetctl", "list", "--family", "sdxl-")[0] == ["sdxl-refiner"]
    assert completed(home, "assetctl", "list", "--kind", "lo")[0] == ["lora"]
    assert "DPM++ 2M Karras" in completed(home, "assetctl", "generate", "x", "--sampler", "DPM")[0]
    offered, _ = completed(home, "assetctl", "inspect", "big", by="zsh")
    assert "lora, sd1" in "".join(offered)


def test_the_shell_completes_recipes(tmp_path, monkeypatch):
    (tmp_path / "registry.toml").write_text('[recipes.portrait]\nprompt = "a cat"\n')
    monkeypatch.chdir(tmp_path)
    assert completed(tmp_path / "home", "assetctl", "generate", "--recipe", "p")[0] == ["portrait"]


def test_completion_makes_no_home_and_says_nothing_of_a_broken_one(tmp_path):
    home = tmp_path / "home"
    assert completed(home, "assetctl", "inspect", "b") == ([], "")
    assert not home.exists()
    home.mkdir()
    (home / "catalog.db").write_bytes(b"no catalog" * 100)
    assert completed(home, "assetctl", "inspect", "b") == ([], "")


def test_a_place_for_pictures_is_no_model(assetctl, tmp_path):
    ended = assetctl("generate", "a cat", "--out", tmp_path / "x.safetensors", "--dry-run")
    assert ended.code != 0
    with Registry.open(tmp_path / "home") as registry:
        registry.pull_demo()
        with pytest.raises(UsageError, match="not a name for a picture"):
            registry.plan(Request.of("a cat", output=Output(tmp_path / "x.safetensors")))


def test_numbers_out_of_bounds_are_told_with_the_bounds():
    with pytest.raises(UsageError, match="--steps must be 1 to 200, not 0"):
        Request.of("a cat", steps=0)
    with pytest.raises(UsageError, match="width must be a multiple of 8, not 100"):
        Request.of("a cat", width=100, height=96)


def test_all_pictures_are_listed_with_a_limit_of_nought(assetctl):
    assert assetctl("history", "--limit", "0", "--json").data == []


@needs_terminal
def test_long_trigger_words_are_cut_short_before_a_name_is(three, tmp_path):
    words = [part for word in ("ohwx cat", "long whiskers", "orange fur of a cat") for part in ("--trigger-word", word)]
    assert three("edit", "big", *words).code == 0
    shown, _ = at_a_terminal(tmp_path / "home", "list", width=120)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    (line,) = [line for line in lines if line.strip().startswith("big ")]
    assert "ohwx cat" in line
    assert any(line.strip().startswith(f"{LONG} ") for line in lines)


def test_completion_says_nothing_of_a_configuration_that_cannot_be_read(three, tmp_path):
    (tmp_path / "home" / "config.toml").write_text("nonsense = [")
    assert completed(tmp_path / "home", "assetctl", "inspect", "b") == ([], "")


def test_the_hint_for_a_prompt_loses_no_option(assetctl):
    err = assetctl("generate", "a cat", "--sampler", "DPM++", "2M", "Karras").err
    assert "generate 'a cat'`" not in err
    assert "values of several words" in err


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="viewers are started otherwise there")
@pytest.mark.parametrize("says", ["exit 4", None])
def test_a_viewer_that_is_not_there_is_told_of_once_in_our_words(monkeypatch, tmp_path, capfd, says):
    if says is not None:
        (tmp_path / "xdg-open").write_text(f"#!/bin/sh\necho no browser >&2\n{says}\n")
        (tmp_path / "xdg-open").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if says else str(tmp_path))
    open_pictures(Session(tmp_path, json=False, quiet=False), ["a.png", "b.png"])
    assert capfd.readouterr().err == "warning: No viewer could be started: the picture is a.png and 1 more.\n"
