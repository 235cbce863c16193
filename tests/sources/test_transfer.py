"""A source of one's own: it resolves and says the way to each file, and all else is done for it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from fetching import fetch
from servers.scripted import answer, scripted

from assetctl.errors import HashMismatchError, OfflineError, RefusedFileError
from assetctl.run import Bytes, Event, Hashed, Run
from assetctl.sources import _web
from assetctl.sources.base import Digest, RemoteFile, Resolution, Way
from assetctl.sources.transfer import transfer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INDEX = json.dumps({"unet": ["diffusers", "UNet2DConditionModel"]}).encode()
FILES = {"model_index.json": INDEX, "unet/config.json": b"{}", "unet/w.safetensors": b"weights" * 999}


def git(content: bytes) -> Digest:
    return Digest("git", hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest())


def sha256(content: bytes) -> Digest:
    return Digest("sha256", hashlib.sha256(content).hexdigest())


@dataclass
class Shelf:
    """A source of a few files, on a server or in a folder."""

    place: str | Path
    known: Mapping[str, tuple[Digest, ...]]
    files: Mapping[str, bytes]
    offline: bool = False
    name: str = "shelf"

    def accepts(self, reference: str) -> bool:
        return reference.startswith("shelf:")

    def resolve(self, reference: str) -> Resolution:
        files = tuple(RemoteFile(path, len(self.files[path]), known) for path, known in self.known.items())
        form = "diffusers" if "model_index.json" in self.known else "file"
        return Resolution(self.name, reference, None, None, "thing", form, files)

    def way(self, resolution: Resolution, file: RemoteFile) -> Way | Path:
        del resolution
        if not isinstance(self.place, str):
            return self.place / file.path
        return Way(
            file.path, f"{self.place}/{file.path}", lambda: _web.AS_IT_IS, _web.client, _web.check,
            lambda what: _web.errors(what, "Log in."), offline=self.offline,
        )  # fmt: skip


def serving(files: Mapping[str, bytes]):
    return scripted(lambda head: [answer(files[head.split()[1].decode().lstrip("/")])])


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("where", ["server", "folder"])
def test_its_files_come_verified_and_with_their_hashes(tmp_path: Path, where: str):
    weights = FILES["unet/w.safetensors"]
    known = {"model_index.json": (git(INDEX),), "unet/config.json": (), "unet/w.safetensors": (sha256(weights),)}
    for path, content in FILES.items():
        (tmp_path / "mine" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / path).write_bytes(content)
    events: list[Event] = []
    with serving(FILES) as server:
        shelf = Shelf(server.url if where == "server" else tmp_path / "mine", known, FILES)
        came = transfer(shelf, shelf.resolve("shelf:it"), tmp_path / "into", Run(events.append), "it")
        asked = len(server.requests)
        transfer(shelf, shelf.resolve("shelf:it"), tmp_path / "into", Run(), "it")
        assert len(server.requests) - asked <= 1  # what no digest is known of comes again
    assert {path: (came.path / path).read_bytes() for path in FILES} == FILES
    right = {path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()}
    assert came.hashes.items() <= right.items()
    assert {"unet/config.json", "unet/w.safetensors"} <= came.hashes.keys()
    assert {event.sha256 for event in events if isinstance(event, Hashed)} == set(came.hashes.values())
    assert {event.task for event in events} == {"it"}
    assert {event.file for event in events if isinstance(event, Bytes)} == set(FILES)


@pytest.mark.parametrize("digest", [sha256, git])
def test_each_kind_of_digest_is_held_against_what_comes(tmp_path: Path, digest):
    wrong = {"a.bin": b"other" * 9}
    with serving(wrong) as server:
        shelf = Shelf(server.url, {"a.bin": (digest(b"right" * 9),)}, wrong)
        with pytest.raises(HashMismatchError, match="has the hash"):
            fetch(shelf, "shelf:it", tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_has_no_file_that_its_index_does_not_ask_for(tmp_path: Path):
    files = {**FILES, "extra/evil.json": b"{}"}
    with serving(files) as server, pytest.raises(RefusedFileError, match=r"extra/evil\.json"):
        fetch(Shelf(server.url, dict.fromkeys(files, ()), files), "shelf:it", tmp_path)


def test_offline_only_what_lies_there_is_taken(tmp_path: Path):
    files = {"a.bin": b"right" * 9}
    with serving(files) as server:
        shelf = Shelf(server.url, {"a.bin": (sha256(files["a.bin"]),)}, files)
        fetch(shelf, "shelf:it", tmp_path)
        shelf.offline = True
        assert fetch(shelf, "shelf:it", tmp_path).read_bytes() == files["a.bin"]
        with pytest.raises(OfflineError):
            fetch(shelf, "shelf:it", tmp_path / "elsewhere")
