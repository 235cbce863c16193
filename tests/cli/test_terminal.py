"""What a person sees at a terminal of some width."""

from __future__ import annotations

import hashlib

import pytest
from material import write_lora
from PIL import Image
from selections import picture_entry
from terminal import at_a_terminal, needs_terminal
from written_pictures import infotext, write_png

from assetctl.cli.main import run
from assetctl.registry import Registry

pytestmark = needs_terminal


def test_a_table_is_as_wide_as_the_terminal(assetctl, home, tmp_path):
    name = "a-name-of-some-hundred-characters-" * 3
    assetctl("import", write_lora(tmp_path / f"{name}.safetensors"))
    assert name in at_a_terminal(home, "list", width=240)[0]
    assert name not in at_a_terminal(home, "list", width=60)[0]


def test_no_color_is_asked_for(home):
    assert "\x1b[" in at_a_terminal(home, "inspect", "nobody")[0]
    assert "\x1b[" not in at_a_terminal(home, "inspect", "nobody", NO_COLOR="1")[0]


FORGED = "hint: run this to mend it"


def test_a_name_with_lines_in_it_forges_none(assetctl, home, tmp_path):
    folder = tmp_path / f"mine\n{FORGED}"
    write_lora(folder / f"whiskers\n{FORGED}\n.safetensors")
    (folder / f"junk\n{FORGED}.safetensors").write_bytes(b"no model")
    picture = write_png(folder / f"picture\n{FORGED}.png", parameters=infotext(f"a cat\n{FORGED}"))
    name = assetctl("import", folder, "--quiet").out.rstrip("\n")
    assetctl("edit", name, "--notes", f"soft\n{FORGED}")
    commands = [
        ("import", folder), ("list",), ("inspect", name), ("identify", folder), ("inspect", picture), ("verify",),
        ("rm", name, "--dry-run"), ("check", name), ("identify", folder / f"nothing\n{FORGED}"),
        ("search", f"a\n{FORGED}"), ("inspect", f"a\n{FORGED}"), (f"a\n{FORGED}",), ("pull", f"./a\n{FORGED}"),
    ]  # fmt: skip
    for command in commands:
        ended = assetctl(*command)
        assert f"\n{FORGED}" not in ended.out + ended.err, command
    page = assetctl("inspect", name).out
    assert f"         notes  soft\n                {FORGED}\n" in page
    seen, _ = at_a_terminal(home, "list", "--quiet")
    assert seen.count("\n") == 1


def test_a_trace_steers_no_terminal(assetctl, tmp_path, capsys):
    path = tmp_path / f"bad\x1b[31m\x1b]0;x\x07\n{FORGED}.safetensors"
    path.write_bytes(b"no model")
    capsys.readouterr()
    assert run(["identify", str(path), "--debug"]) == 5
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "\x1b" not in said
    assert f"\n{FORGED}" not in said


@pytest.fixture
def made(assetctl, home, tmp_path):
    """A picture of the history, half red and half blue."""
    assetctl("list")
    picture = Image.new("RGB", (64, 64), "red")
    picture.paste("blue", (0, 32, 64, 64))
    path = tmp_path / "made.png"
    picture.save(path)
    with Registry.open(home) as registry:
        entry = picture_entry(
            "a cat",
            (),
            path=str(path),
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            seed=1,
            width=64,
            height=64,
        )
        registry._workspace.catalog.generations.record(entry)
    return path


def test_a_picture_is_shown_as_well_as_the_terminal_can(made, home):
    pytest.importorskip("textual_image")
    seen, code = at_a_terminal(home, "history", "1", "--show", COLORTERM="truecolor")
    assert code == 0, seen
    red, blue = seen.find("\x1b[38;2;254;0;0"), seen.find("\x1b[38;2;0;0;254")
    assert -1 < max(red, seen.find("38;2;255;0;0")) < max(blue, seen.find("38;2;0;0;255")), seen[-400:]
    seen, code = at_a_terminal(home, "history", "1", "--show", draws_sixels=True)
    assert code == 0
    assert "\x1bP" in seen  # where sixels begin


def test_no_picture_is_shown_where_nobody_looks(made, assetctl):
    ended = assetctl("history", "1", "--show")
    assert (ended.code, "\x1bP" in ended.out, "at a terminal alone" in ended.err) == (0, False, True)
    ended = assetctl("history", "1", "--show", "--json")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.slow
@pytest.mark.generation
def test_a_picture_is_seen_to_come_about(home):
    with Registry.open(home) as registry:
        registry.pull_demo()
    typed = ("generate", "a red star", "--checkpoint", "demo-checkpoint", "--steps", "30", "--seed", "7")
    seen, code = at_a_terminal(home, *typed, "--preview", COLORTERM="truecolor")
    assert code == 0, seen[-400:]
    assert seen.count("▀") + seen.count("▄") > 30  # a row or more of one preview
    plain, code = at_a_terminal(home, *typed, COLORTERM="truecolor")
    assert (code, "▀" in plain, "▄" in plain) == (0, False, False)
    with Registry.open(home) as registry:
        first, second = registry.history(2)
    assert first.image_sha256 == second.image_sha256
