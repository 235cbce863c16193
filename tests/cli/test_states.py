"""docs/catalog.md, walked: each line of its table, with real files."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from material import write_lora

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "catalog.md").read_text("utf-8")
LINES = re.findall(r"^\| ([a-z0-9, ]+) \| (.+?) \| ([a-z0-9, ]+) \|$", PAGE, re.MULTILINE)[1:]


class Place:
    """A home, a file of a person's, and its asset, which keeps its number whatever it is called."""

    def __init__(self, assetctl, tmp_path, home, monkeypatch):
        self.run, self.tmp, self.home, self.monkeypatch = assetctl, tmp_path, home, monkeypatch
        self.file = write_lora(tmp_path / "mine" / "whiskers.safetensors")
        self.spare = shutil.copy2(self.file, tmp_path / "spare.safetensors")
        self.name = "whiskers"

    def do(self, *words):
        ended = self.run(*words)
        assert ended.code == 0, ended.err
        return ended

    def details(self):
        return self.do("inspect", self.name, "--no-hash", "--json").data

    def stored(self):
        return Path(self.details()["path"])

    def state(self):
        """The words of the page for how things are, asked of the commands."""
        if self.name not in [asset["name"] for asset in self.do("list", "--json").data]:
            entries = [entry["name"] for entry in self.do("trash", "--json").data]
            return "in the trash" if self.name in entries else "unknown"
        found = [each for each in self.run("verify", "--quick", self.name, "--json").data if each["name"] == self.name]
        details = self.details()
        how = next((each["status"] for each in found if each["status"] != "ok"), "here")
        assert how != "here" or details["problem"] is None
        words = ["in the store" if details["in_store"] else "in place", how]
        words += ["not hashed"] if any(file["sha256"] is None for file in details["files"]) else []
        words += [f"{len(found)} places"] if len(found) > 1 else []
        return ", ".join(words)


def write(path):
    write_lora(Path(path), words="others", seed=9)


BEFORE = {
    "unknown": lambda _: None,
    "in place, here": lambda place: place.do("import", place.file),
    "in place, here, not hashed": lambda place: place.do("import", "--no-hash", place.file),
    "in place, missing": lambda place: (place.do("import", place.file), place.file.unlink()),
    "in place, changed": lambda place: (place.do("import", place.file), write(place.file)),
    "in place, here, 2 places": lambda place: (place.do("import", place.file), place.do("import", place.spare)),
    "in place, here, not hashed, twice": lambda place: place.do("import", "--no-hash", place.file, place.spare),
    "in the store, here": lambda place: place.do("import", "--copy", place.file),
    "in the store, missing": lambda place: (place.do("import", "--copy", place.file), place.stored().unlink()),
    "in the store, changed": lambda place: (place.do("import", "--copy", place.file), write(place.stored())),
    "in the trash": lambda place: (place.do("import", "--copy", place.file), place.do("rm", place.name, "--yes")),
}


def move_home(place):
    moved = place.home.rename(place.tmp / "moved")
    place.monkeypatch.setenv("ASSETCTL_HOME", str(moved))


def rename(place):
    place.do("edit", place.name, "--name", "other")
    place.name = "other"


def copy_and_import(place):
    place.do("import", shutil.copy(place.file, place.tmp / "mine" / "again.safetensors"))


def move_and_import(place):
    place.do("import", shutil.copy(place.spare, place.tmp / "mine" / "elsewhere.safetensors"))


#: What happens that is no command line alone.
HAPPENS = {
    "you delete the file": lambda place: place.stored().unlink(),
    "you delete the copy": lambda place: Path(place.spare).unlink(),
    "you write other bytes to the file": lambda place: write(place.stored()),
    "the file comes back": lambda place: shutil.copy2(place.spare, place.file),
    "you copy the file, and `import` the copy": copy_and_import,
    "you move it elsewhere, and `import` it there": move_and_import,
    "you move the home": move_home,
    "`edit NAME --name other`": rename,
    "`import` both again": lambda place: place.do("import", place.file, place.spare),
    "`verify`": lambda place: place.run("verify"),
}


def happen(place, what):
    """Do what a line says: by itself, or as the command line that it is."""
    if what in HAPPENS:
        HAPPENS[what](place)
        return
    words = what.strip("`").replace("NAME", place.name).split()
    assert what.startswith("`")
    place.do(*(place.file if word == "FILE" else word for word in words))


#: Where the bytes must be after a line that deletes or moves them: at the person's own place, and in the store.
DISK = {
    "`import --move FILE`": (False, True),
    "`import --copy FILE`": (True, True),
    "`pull FILE`": (True, True),
    "`rm NAME --delete-files --yes`": (False, False),
    "`rm NAME --now --yes`": (True, False),
    "`rm NAME --yes`": (True, False),
    "`trash empty --yes`": (True, False),
    "`trash restore NAME`": (True, True),
}


def disk(place):
    """Whether the person's file is there, and whether the store has one."""
    return place.file.is_file(), any((place.home / "models").rglob("*.safetensors"))


def test_the_table_has_every_state_and_each_change_once():
    assert len(LINES) > 30
    assert len({(before, what) for before, what, _ in LINES}) == len(LINES)
    assert {before for before, _, _ in LINES} == set(BEFORE)


@pytest.mark.parametrize(("before", "what", "after"), LINES, ids=[f"{before} - {what}" for before, what, _ in LINES])
def test_each_line_of_the_page_holds(before, what, after, assetctl, tmp_path, home, monkeypatch):
    place = Place(assetctl, tmp_path, home, monkeypatch)
    BEFORE[before](place)
    if not before.endswith("twice"):
        assert place.state() == before
    happen(place, what)
    assert place.state() == after
    if what in DISK:
        assert disk(place) == DISK[what]
    if what == "`rm NAME`":
        assert place.file.is_file() is ("missing" not in before)
    if what in ("`trash empty --yes`", "`rm NAME --now --yes`"):
        assert not [*place.home.rglob("*.safetensors")]


def test_what_is_yours_survives_every_line(assetctl, tmp_path, home, monkeypatch):
    """Commands that forget an asset in place leave its file, unless they are told otherwise by name."""
    place = Place(assetctl, tmp_path, home, monkeypatch)
    bytes_before = place.file.read_bytes()
    place.do("import", place.file)
    place.do("rm", place.name)
    place.do("prune", "--yes", "--missing")
    assert place.file.read_bytes() == bytes_before
