"""Dynamic prompts: what is drawn, and what is refused."""

from __future__ import annotations

import os
import socket
import time

import pytest
from patience import fair

from assetctl.errors import AssetctlError, UsageError

pytest.importorskip("dynamicprompts")

from assetctl.prompt import dynamic
from assetctl.prompt.dynamic import draw


@pytest.fixture
def folder(tmp_path):
    """Wildcards of all formats, some of which are broken or without end."""
    files = {
        "animal.txt": "cat\n# a comment\n\na {big|small} dog\n__wild/fox__\n",
        "wild/fox.txt": "fox\n",
        "colours.yaml": "colours:\n  warm: [red, orange]\n  cold: [blue]\n",
        "metals.json": '{"metals": ["gold"]}',
        "loop.txt": "__loop__\n",
        "bomb.yaml": "a: &a [x]\nb: *a\n",
        "broken.json": "{",
        **{f"deep{n}.txt": f"__deep{n + 1}__ __deep{n + 1}__ __deep{n + 1}__\n" for n in range(9)},
        "deep9.txt": "end\n",
    }
    for name, text in files.items():
        path = tmp_path / "wildcards" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "wildcards"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_passed_over_and_told(folder):
    for name in ("wild/pipe.txt", "pipe.yaml"):
        os.mkfifo(folder / name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "wild" / "talk.txt"))
    passed = set()
    assert {draw("__wild/*__", seed, folder, passed) for seed in range(9)} == {"fox"}
    assert {path.name for path in passed} == {"pipe.txt", "pipe.yaml", "talk.txt"}
    assert draw("a cat", 1, folder, passed=(nothing := set())) == "a cat"
    assert nothing == set()
    with pytest.raises(UsageError, match="no wildcard 'wild/pipe'") as told:
        draw("__wild/pipe__", 1, folder)
    assert "is no file" in told.value.hint


def drawn(template, folder=None, seeds=40):
    return {draw(template, seed, folder) for seed in range(seeds)}


@pytest.mark.parametrize(
    ("template", "prompts"),
    [
        ("a cat", {"a cat"}),
        ("", {""}),
        ("a {red|blue} cat", {"a red cat", "a blue cat"}),
        ("{2$$ and $$a|b}", {"a and b", "b and a"}),
        ("a __animal__", {"a cat", "a a big dog", "a a small dog", "a fox"}),
        ("__wild/*__", {"fox"}),
        ("__colours/warm__ and __colours/cold__", {"red and blue", "orange and blue"}),
        ("__metals__", {"gold"}),
        ("(cat:1.2) [x] <lora:a_b:0.8>, embedding:bad", {"(cat:1.2) [x] <lora:a_b:0.8>, embedding:bad"}),
        ("${c={red|blue}}${c}, a cat", {"red, a cat", "blue, a cat"}),
    ],
)
def test_a_template_comes_to_these(folder, template, prompts):
    assert drawn(template, folder) == prompts


def test_a_seed_draws_the_same_again(folder):
    assert [draw("__animal__ {1|2|3|4}", seed, folder) for seed in range(9)] == [
        draw("__animal__ {1|2|3|4}", seed, folder) for seed in range(9)
    ]


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("__nobody__", "There is no wildcard 'nobody'"),
        ("__../../secret__", "There is no wildcard"),
        ("__b__", "has anchors and aliases"),
        ("__loop__", "never ends"),
        ("__deep0__", "more than 1000 wildcards"),
        ("a {b", "cannot be read from '{b'"),
        ("50% of {a|b}", "cannot be read"),
        ("{" * 60 + "}" * 60, "too deep"),
        ("x" * 30_000, "too long"),
    ],
)
def test_what_makes_no_sense_is_told(folder, template, words):
    begun = time.perf_counter()
    with pytest.raises(UsageError) as error:
        draw(template, 1, folder)
    assert words in f"{error.value} {error.value.hint}"
    assert time.perf_counter() - begun < fair(20)


def test_lists_are_parsed_once_and_only_for_templates_that_name_any(folder, monkeypatch):
    opened, text = [], dynamic._text
    monkeypatch.setattr(dynamic, "_text", lambda path: opened.append(path.name) or text(path))
    drawn("a {red|blue} cat", folder)
    assert opened == []
    assert drawn("__metals__", folder) == {"gold"}
    assert sorted(opened) == ["bomb.yaml", "broken.json", "colours.yaml", "metals.json"]  # each once
    (folder / "metals.json").write_text('{"metals": ["silver"]}')
    assert drawn("__metals__", folder) == {"silver"}
    assert len(opened) == 5


def test_many_lists_are_not_all_remembered(folder, monkeypatch):
    monkeypatch.setattr(dynamic, "_MOST_SEEN", 8)
    for number in range(20):
        (folder / f"more{number}.json").write_text(f'{{"more{number}": ["x"]}}')
    assert drawn("__more19__", folder, 2) == {"x"}
    assert len(dynamic._seen) <= 8


def test_nothing_outside_the_folder_is_read(folder, tmp_path):
    (tmp_path / "secret.txt").write_text("secret\n")
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    (folder / "near.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "lists.yaml").write_text("far: [secret]\n")
    (folder / "lists.yaml").symlink_to(tmp_path / "lists.yaml")
    for template in ("__secret__", "__link/secret__", "__/secret__", "__near__", "__far__"):
        with pytest.raises(AssetctlError):
            draw(template, 1, folder)
