from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import fetching
import pytest
from patience import fair

from assetctl.errors import (
    AmbiguousNameError,
    AssetctlError,
    HashMismatchError,
    OfflineError,
    RefusedFileError,
    SourceError,
    SourceNotFoundError,
    UnauthorizedError,
)
from assetctl.run import Bytes
from assetctl.sources.base import Digest, RemoteFile
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.hub import Hub

WEIGHTS = random.Random(7).randbytes(400_000)
REPO = "org/repo"
FILE = f"hf://{REPO}/ink.safetensors"
SD = {
    "model_index.json": json.dumps({"unet": ["diffusers", "UNet2DConditionModel"], "x": [None, None]}).encode(),
    "README.md": b"read me",
    "v1.safetensors": b"single file",
    "unet/config.json": b"{}",
    "unet/diffusion_pytorch_model.safetensors": WEIGHTS,
    "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
    "unet/diffusion_pytorch_model.bin": b"pickle",
}

KILLED = """
import sys
from pathlib import Path
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.run import Bytes, Run
from assetctl.sources.transfer import transfer
source = HuggingFaceSource()
def listen(event):
    if isinstance(event, Bytes):
        print(event.done, flush=True)
print(transfer(source, source.resolve(sys.argv[1]), Path(sys.argv[2]), Run(listen)).path)
"""


def fetch(reference: str, into: Path, progress: list[Bytes] | None = None) -> Path:
    return fetching.fetch(HuggingFaceSource(), reference, into, ([] if progress is None else progress).append)


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def partials(into: Path) -> list[Path]:
    return [path for path in (into / "partial").glob("*") if path.stat().st_size]


# What a reference comes to


def test_a_file_is_pinned_to_its_commit_and_hash(hub: Hub):
    repository = hub.add(REPO, {"ink.safetensors": WEIGHTS, "other.safetensors": b"x"}, revisions=("main", "v2"))
    resolution = HuggingFaceSource().resolve(f"hf://{REPO}@v2/ink.safetensors")
    assert (resolution.revision, resolution.name, resolution.format) == (repository.commit, "ink", "file")
    assert resolution.size == len(WEIGHTS)
    (file,) = resolution.files
    assert (file.path, file.size) == ("ink.safetensors", len(WEIGHTS))
    assert file.sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert file.url == f"{hub.url}/{REPO}/resolve/{repository.commit}/ink.safetensors"
    assert resolution.url == f"{hub.url}/{REPO}/blob/{repository.commit}/ink.safetensors"


def test_the_address_of_a_page_means_what_it_shows(hub: Hub):
    hub.add(REPO, {"a b.safetensors": WEIGHTS})
    assert (
        HuggingFaceSource().resolve(f"{hub.url}/{REPO}/blob/main/a%20b.safetensors").files[0].path == "a b.safetensors"
    )


def test_a_repository_with_one_model_file_is_that_file(hub: Hub):
    hub.add(REPO, {"ink.safetensors": WEIGHTS, "README.md": b""})
    assert HuggingFaceSource().resolve(REPO).files[0].path == "ink.safetensors"


def test_several_model_files_are_ambiguous(hub: Hub):
    hub.add(REPO, {"a.safetensors": b"a", "b.safetensors": b"b"})
    with pytest.raises(AmbiguousNameError) as caught:
        HuggingFaceSource().resolve(REPO)
    assert caught.value.candidates == (f"hf://{REPO}/a.safetensors", f"hf://{REPO}/b.safetensors")


def test_another_frameworks_file_is_refused_before_it_is_fetched(hub: Hub):
    hub.add(REPO, {"model.onnx": b"x"})
    with pytest.raises(RefusedFileError):
        HuggingFaceSource().resolve(f"hf://{REPO}/model.onnx")
    assert hub.downloads("model.onnx") == []


@pytest.mark.parametrize(
    "name", ["../evil.safetensors", "/etc/evil.safetensors", "a/../../evil.safetensors", "..\\evil.safetensors",
             "C:evil.safetensors", "a\x00.safetensors", "a\nb.safetensors", "a//b.safetensors"]
)  # fmt: skip
def test_a_name_that_leaves_the_folder_is_refused(hub: Hub, tmp_path: Path, name: str):
    hub.add(REPO, {name: WEIGHTS})
    with pytest.raises(RefusedFileError, match="unsafe name"):
        fetch(REPO, tmp_path / "into")
    assert not list(tmp_path.rglob("*evil*"))


def test_a_mirror_that_lists_no_hashes_is_asked_for_each(hub: Hub, tmp_path: Path):
    hub.hashes = False
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    assert HuggingFaceSource().resolve(REPO).files[0].sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert fetch(REPO, tmp_path / "into").read_bytes() == WEIGHTS


# What arrives


def test_a_file_arrives_verified_and_alone(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    progress: list[Bytes] = []
    path = fetch(FILE, tmp_path / "into", progress)
    assert path.read_bytes() == WEIGHTS
    assert tree(tmp_path / "into") == {"asset/ink.safetensors"}
    assert progress[-1] == Bytes(file="ink.safetensors", done=len(WEIGHTS), total=len(WEIGHTS))
    assert [step.done for step in progress] == sorted(step.done for step in progress)


def test_no_second_copy_is_kept_in_the_hubs_cache(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    fetch(FILE, tmp_path / "into")
    assert not (tmp_path / "hf-cache").exists()
    assert [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()] == [len(WEIGHTS)]


def test_a_diffusers_repository_arrives_as_a_folder_of_what_belongs(hub: Hub, tmp_path: Path):
    hub.add(REPO, SD)
    path = fetch(REPO, tmp_path / "into")
    assert path.name == "repo"
    assert tree(path) == {"model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"}
    assert (path / "unet/diffusion_pytorch_model.safetensors").read_bytes() == WEIGHTS
    assert hub.downloads("README") == hub.downloads(".bin") == []


def test_what_an_earlier_revision_left_is_removed(hub: Hub, tmp_path: Path):
    hub.add(REPO, {**SD, "unet/old.json": b"{}"})
    fetch(REPO, tmp_path / "into")
    hub.add(REPO, SD)
    assert "unet/old.json" not in tree(fetch(REPO, tmp_path / "into"))


def test_what_is_complete_is_not_fetched_again(hub: Hub, tmp_path: Path):
    hub.add(REPO, SD)
    fetch(REPO, tmp_path / "into")
    before = len(hub.downloads("unet"))
    assert before == 2
    fetch(REPO, tmp_path / "into")
    assert len(hub.downloads("unet")) == before


def test_what_was_tampered_with_is_fetched_again(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    path = fetch(FILE, tmp_path / "into")
    path.write_bytes(b"y" * len(WEIGHTS))
    assert fetch(FILE, tmp_path / "into").read_bytes() == WEIGHTS


def test_an_empty_file_is_fetched_as_any_other(hub: Hub, tmp_path: Path):
    hub.add(REPO, {**SD, "unet/empty.txt": b""})
    assert (fetch(REPO, tmp_path / "into") / "unet/empty.txt").read_bytes() == b""


@pytest.mark.parametrize("is_right", [True, False])
def test_the_hubs_own_cache_is_used_if_it_is_right(hub: Hub, tmp_path: Path, *, is_right: bool):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    blob = tmp_path / "hf-cache/models--org--repo/blobs" / hashlib.sha256(WEIGHTS).hexdigest()
    blob.parent.mkdir(parents=True)
    blob.write_bytes(WEIGHTS if is_right else b"z" * len(WEIGHTS))
    path = fetch(FILE, tmp_path / "into")
    assert path.read_bytes() == WEIGHTS
    assert path.samefile(blob) == is_right
    assert len(hub.downloads("/blobs/")) == (0 if is_right else 1)


# Interruptions


def test_a_killed_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    hub.throttle = 400_000
    into = tmp_path / "into"
    arguments = [sys.executable, "-c", KILLED, FILE, str(into)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        while int(process.stdout.readline()) < 100_000:
            pass
        os.kill(process.pid, signal.SIGKILL)
    (partial,) = partials(into)
    kept = partial.stat().st_size
    assert 50_000 <= kept < len(WEIGHTS)  # what was told of last may not be written yet
    hub.throttle = None
    finished = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert Path(finished.stdout.splitlines()[-1]).read_bytes() == WEIGHTS
    (last,) = [request for request in hub.downloads("/blobs/") if request.status == 206]
    assert last.range == f"bytes={kept}-"
    assert last.sent == len(WEIGHTS) - kept
    assert tree(into) == {"asset/ink.safetensors"}


def test_a_connection_that_breaks_is_taken_up_in_the_same_run(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    hub.cut_after, hub.cuts = 150_000, 1
    assert fetch(FILE, tmp_path / "into").read_bytes() == WEIGHTS
    assert [request.range for request in hub.downloads("/blobs/")] == [None, "bytes=150000-"]


def test_a_source_that_stays_away_is_an_error_and_what_came_is_kept(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("assetctl.sources._download.PAUSES", (0.01, 0.01))
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    source = HuggingFaceSource()
    resolution = source.resolve(FILE)
    hub.cut_after, hub.cuts = 150_000, 1

    def break_off(_progress: Bytes) -> None:
        hub.statuses["/blobs/"] = 503

    with pytest.raises(SourceError, match="503") as caught:
        fetching.fetch(source, resolution, tmp_path / "into", break_off)
    assert "goes on from there" in caught.value.hint
    assert partials(tmp_path / "into")[0].stat().st_size == 150_000
    hub.statuses.clear()
    assert fetching.fetch(source, resolution, tmp_path / "into").read_bytes() == WEIGHTS
    assert hub.downloads("/blobs/")[-1].range == "bytes=150000-"


def test_a_server_without_ranges_starts_over(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    hub.ranges, hub.cut_after, hub.cuts = False, 150_000, 1
    assert fetch(FILE, tmp_path / "into").read_bytes() == WEIGHTS


def test_a_partial_file_of_another_revision_is_not_gone_on_with(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS[::-1]})
    hub.cut_after, hub.cuts = 150_000, 1

    def stop(_progress: Bytes) -> None:
        raise KeyboardInterrupt

    source = HuggingFaceSource()
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(source, FILE, tmp_path / "into", stop)
    hub.cuts = 0
    assert partials(tmp_path / "into")
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    assert fetch(FILE, tmp_path / "into").read_bytes() == WEIGHTS
    assert hub.downloads("/blobs/")[-1].range is None


def test_a_partial_file_that_is_too_long_starts_over(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    partial = tmp_path / "into/partial" / f"{hashlib.sha256(WEIGHTS).hexdigest()}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WEIGHTS + b"more")
    assert fetch(FILE, tmp_path / "into").read_bytes() == WEIGHTS


def test_a_partial_file_that_is_whole_needs_no_download(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    partial = tmp_path / "into/partial" / f"{hashlib.sha256(WEIGHTS).hexdigest()}.part"
    partial.parent.mkdir(parents=True)
    partial.write_bytes(WEIGHTS)
    assert fetch(FILE, tmp_path / "into").read_bytes() == WEIGHTS
    assert hub.downloads("/blobs/") == []


# Hostile or broken servers


@pytest.mark.parametrize("path", ["unet/diffusion_pytorch_model.safetensors", "unet/config.json"])
def test_wrong_bytes_are_found_and_removed_and_fetched_anew(hub: Hub, tmp_path: Path, path: str):
    hub.add(REPO, SD)
    hub.wrong.add(path)
    with pytest.raises(HashMismatchError, match="has the hash"):
        fetch(REPO, tmp_path / "into")
    assert partials(tmp_path / "into") == []
    hub.wrong.clear()
    assert (fetch(REPO, tmp_path / "into") / path).read_bytes() == SD[path]


def test_a_page_instead_of_a_model_is_told_from_one(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    hub.instead["ink.safetensors"] = b"<html>log in</html>"
    with pytest.raises(RefusedFileError, match="web page"):
        fetch(FILE, tmp_path / "into")
    assert tree(tmp_path / "into") == set()


@pytest.mark.parametrize("body", [WEIGHTS + b"more", b""])
def test_another_length_than_promised_is_found_and_removed(hub: Hub, tmp_path: Path, body: bytes):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    hub.instead["ink.safetensors"] = body
    with pytest.raises(HashMismatchError, match=f"{len(WEIGHTS)} were promised"):
        fetch(FILE, tmp_path / "into")
    assert tree(tmp_path / "into") == set()


def test_the_token_goes_to_the_hub_and_never_to_where_it_redirects(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HF_TOKEN", hub.token)
    hub.add(REPO, {"ink.safetensors": WEIGHTS}, private=True)
    fetch(FILE, tmp_path / "into")
    tokens = {(request.server, request.headers.get("authorization")) for request in hub.requests}
    assert tokens == {("hub", f"Bearer {hub.token}"), ("cdn", None)}


def test_the_hub_is_not_told_what_else_is_installed(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    fetch(FILE, tmp_path / "into")
    agents = {request.headers["user-agent"] for request in hub.requests}
    assert all(agent.startswith("assetctl/") for agent in agents)
    assert not any("torch" in agent for agent in agents)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"private": True}, UnauthorizedError, "HF_TOKEN"),
        ({"gated": True}, UnauthorizedError, "licence"),
    ],
)
def test_what_is_not_for_everyone_says_how_to_get_in(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool],
    error: type[AssetctlError], words: str,
):  # fmt: skip
    monkeypatch.setenv("HF_TOKEN", "hf_wrongtoken")
    hub.add(REPO, {"ink.safetensors": WEIGHTS}, **options)
    with pytest.raises(error) as caught:
        fetch(FILE, tmp_path / "into")
    assert words in caught.value.hint
    assert "assetctl login hf" in caught.value.hint
    assert "hf_wrongtoken" not in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("reference", "status", "error", "words"),
    [
        ("hf://org/none", None, UnauthorizedError, "does not exist"),  # the Hub tells strangers 401 for both
        ("hf://org/repo@none", None, SourceNotFoundError, "no such revision"),
        ("hf://org/repo/none.safetensors", None, SourceNotFoundError, "no file none.safetensors"),
        ("hf://org/repo", 401, UnauthorizedError, "token"),
        ("hf://org/repo", 403, UnauthorizedError, "token"),
        ("hf://org/repo", 404, SourceNotFoundError, "There is no org/repo"),
        ("hf://org/repo", 500, SourceError, "status 500"),
        ("hf://org/repo", 429, SourceError, "status 429"),
    ],
)
def test_what_the_hub_refuses_is_said_plainly(
    hub: Hub, reference: str, status: int | None, error: type[AssetctlError], words: str
):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    if status:
        hub.statuses["/api/"] = status
    with pytest.raises(error, match=words) as caught:
        HuggingFaceSource().resolve(reference)
    assert type(caught.value) is error
    assert caught.value.exit_code == 6


def test_a_file_that_vanishes_between_listing_and_fetching_is_not_found(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    source = HuggingFaceSource()
    resolution = source.resolve(FILE)
    hub.statuses["/blobs/"] = 404
    with pytest.raises(SourceNotFoundError, match=r"org/repo/ink\.safetensors"):
        fetching.fetch(source, resolution, tmp_path / "into")


def test_something_else_that_answers_is_not_the_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/{REPO}/resolve/main/ink.safetensors?")
    with pytest.raises(SourceError, match="does not answer as the Hub does") as caught:
        HuggingFaceSource().resolve(REPO)
    assert "HF_ENDPOINT" in caught.value.hint


def test_a_hub_that_is_not_there_is_a_source_error(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(SourceError, match="connection to") as caught:
        HuggingFaceSource().resolve(REPO)
    assert "again" in caught.value.hint
    assert hub.requests == []


def test_a_hub_that_never_answers_is_given_up_on(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 0.2)
    hub.silent = True
    start = time.monotonic()
    with pytest.raises(SourceError, match="did not answer in time"):
        HuggingFaceSource().resolve(REPO)
    assert time.monotonic() - start < fair(5)


def test_offline_says_so_and_asks_nobody(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    with pytest.raises(OfflineError):
        HuggingFaceSource(offline=True).resolve(FILE)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = subprocess.run(
        [sys.executable, "-c", KILLED, FILE, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "OfflineError" in done.stderr
    assert hub.requests == []


def test_offline_still_gives_what_is_there(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    resolution = HuggingFaceSource().resolve(FILE)
    fetch(FILE, tmp_path / "into")
    offline = HuggingFaceSource(offline=True)
    assert fetching.fetch(offline, resolution, tmp_path / "into").read_bytes() == WEIGHTS
    with pytest.raises(OfflineError):
        fetching.fetch(offline, resolution, tmp_path / "elsewhere")


@pytest.mark.skipif(sys.platform == "win32", reason="needs resource limits")
def test_a_disk_that_takes_no_more_is_said_and_what_came_is_kept(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))\n" + KILLED
    into = tmp_path / "into"
    done = subprocess.run([sys.executable, "-c", limited, FILE, str(into)], capture_output=True, text=True, check=False)
    assert "StorageError: Cannot write" in done.stderr
    assert "too large for this disk" in done.stderr
    assert partials(into)[0].stat().st_size == 150_000
    assert fetch(FILE, into).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    "promise",
    [lambda: RemoteFile("../evil"), lambda: Digest("sha256", "../evil"), lambda: Digest("git", "0"),
     lambda: Digest("sha256", "A" * 64)],
)  # fmt: skip
def test_a_promise_from_elsewhere_can_not_lead_out_of_the_folder(promise: Callable[[], object]):
    with pytest.raises(RefusedFileError):
        promise()


def test_a_fetched_file_is_placed_and_nothing_is_left_over(hub: Hub, tmp_path: Path):
    hub.add(REPO, {"ink.safetensors": WEIGHTS})
    store = Store(tmp_path / "models")
    with store.lock(FILE):
        final = store.place(fetch(FILE, store.staging(FILE)), "lora", "safetensors", "ink", key=FILE)
        store.registered(FILE)
        store.clear_staging(FILE)
    assert {path for path in tree(store.root) if not path.endswith(".lock")} == {"loras/ink.safetensors"}
    assert final.read_bytes() == WEIGHTS


def test_files_of_the_same_content_do_not_get_in_each_others_way(hub: Hub, tmp_path: Path):
    hub.throttle = 300_000
    twins = {f"unet/twin{number}.json": b'{"same": "content"}' * 2000 for number in range(6)}
    hub.add(REPO, {**SD, **twins})
    folder = fetch(REPO, tmp_path / "into")
    assert {(folder / name).read_bytes() for name in twins} == {b'{"same": "content"}' * 2000}


def test_what_interrupts_a_report_ends_the_fetching(hub: Hub, tmp_path: Path):
    def interrupt(_progress: Bytes) -> None:
        raise KeyboardInterrupt

    hub.add(REPO, SD)
    source = HuggingFaceSource()
    with pytest.raises(KeyboardInterrupt):
        fetching.fetch(source, REPO, tmp_path, interrupt)
