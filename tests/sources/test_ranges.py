"""Large files, fetched in chunks by several connections from a Hub on the loopback."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import fetching
import pytest
from patience import fair

from assetctl.errors import AssetctlError, HashMismatchError, RefusedFileError, SourceError, StorageError
from assetctl.sources import _partial, _ranges, transfer
from assetctl.sources.huggingface import HuggingFaceSource
from assetctl.sources.transfer import fetched_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from servers.hub import Hub

    from assetctl.run import Bytes

CHUNK = 24 * 4096
WEIGHTS = random.Random(9).randbytes(12 * CHUNK + 4567)
REPO = "org/repo"
REFERENCE = f"hf://{REPO}/large.safetensors"

FETCH = f"""
import sys
from pathlib import Path
from assetctl.run import Run
from assetctl.sources import _download, _partial, _ranges, transfer
from assetctl.sources.huggingface import HuggingFaceSource
transfer.LARGE = _ranges.CHUNK = {CHUNK}
_ranges.LOOK, _partial.PIECE = 0.01, 4096
source = HuggingFaceSource()
transfer.transfer(source, source.resolve("{REFERENCE}"), Path(sys.argv[1]), Run())
"""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "LARGE", CHUNK)
    monkeypatch.setattr(_ranges, "CHUNK", CHUNK)
    monkeypatch.setattr(_ranges, "LOOK", 0.01)
    monkeypatch.setattr(_partial, "PIECE", 4096)
    monkeypatch.setattr("assetctl.sources._download.PAUSES", (0.01, 0.01))


@pytest.fixture
def large(hub: Hub) -> Hub:
    hub.add(REPO, {"large.safetensors": WEIGHTS})
    return hub


def fetch(into: Path, progress: list[Bytes] | None = None) -> Path:
    return fetching.fetch(HuggingFaceSource(), REFERENCE, into, ([] if progress is None else progress).append)


def sent(hub: Hub) -> int:
    return sum(request.sent for request in hub.downloads("/blobs/"))


def test_chunks_come_by_several_connections_and_make_the_file(large: Hub, tmp_path: Path):
    progress: list[Bytes] = []
    path = fetch(tmp_path, progress)
    assert path.read_bytes() == WEIGHTS
    assert sent(large) == len(WEIGHTS)
    assert len(large.downloads("/blobs/")) == 13
    assert all(first.done <= second.done for first, second in pairwise(progress))
    assert progress[-1].done == progress[-1].total == len(WEIGHTS)
    assert list((tmp_path / "partial").iterdir()) == []


def test_the_redirect_is_followed_once_and_the_token_stays(large: Hub, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", large.token)
    fetch(tmp_path)
    assert not any("authorization" in request.headers for request in large.requests if request.server == "cdn")
    asked = [request for request in large.requests if "/resolve/" in request.path]
    assert 1 <= len(asked) <= _ranges.CONNECTIONS


def test_a_redirect_that_runs_out_is_asked_for_again(large: Hub, tmp_path: Path, monkeypatch):
    attempt = _ranges.Ranges._attempt

    def spoilt(self, number, writing):
        if self._direct is not None:
            self._direct = f"{large.cdn_url}/blobs/{'0' * 64}"
        attempt(self, number, writing)

    monkeypatch.setattr(_ranges.Ranges, "_attempt", spoilt)
    assert fetch(tmp_path).read_bytes() == WEIGHTS


def test_connections_that_break_are_taken_up(large: Hub, tmp_path: Path):
    large.cut_after, large.cuts = CHUNK // 3, 9
    assert fetch(tmp_path).read_bytes() == WEIGHTS
    assert sent(large) <= len(WEIGHTS)


def test_a_server_without_ranges_is_read_from_the_beginning(large: Hub, tmp_path: Path):
    large.ranges = False
    assert fetch(tmp_path).read_bytes() == WEIGHTS
    assert list((tmp_path / "partial").iterdir()) == []


def test_a_killed_download_goes_on_in_every_chunk(large: Hub, tmp_path: Path):
    large.throttle = 400_000
    for _ in range(2):
        had = fetched_bytes(tmp_path)
        process = subprocess.Popen([sys.executable, "-c", FETCH, tmp_path])
        deadline = time.monotonic() + fair(20)
        while fetched_bytes(tmp_path) <= had + CHUNK // 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.1)  # the server has noticed
    had, before = fetched_bytes(tmp_path), sent(large)
    assert had > 0
    large.throttle = None
    assert fetch(tmp_path).read_bytes() == WEIGHTS
    assert sent(large) - before == len(WEIGHTS) - had


def test_a_server_that_stays_busy_is_an_error_and_what_came_is_kept(large: Hub, tmp_path: Path):
    large.cut_after, large.cuts, large.after_cuts = CHUNK // 2, 4, {"/blobs/": 503}
    with pytest.raises(SourceError, match="503"):
        fetch(tmp_path)
    assert fetched_bytes(tmp_path) > CHUNK
    large.statuses.clear()
    before, had = sent(large), fetched_bytes(tmp_path)
    assert fetch(tmp_path).read_bytes() == WEIGHTS
    on_its_way = _ranges.CONNECTIONS * CHUNK // 2  # when the server turned one of them away
    assert sent(large) - before <= len(WEIGHTS) - had + on_its_way


def test_a_page_in_the_middle_costs_nothing_that_came(large: Hub, tmp_path: Path):
    large.cut_after, large.cuts, large.after_cuts = CHUNK // 2, 4, {"/blobs/": 503}
    with pytest.raises(SourceError, match="503"):
        fetch(tmp_path)
    large.statuses.clear()
    had = fetched_bytes(tmp_path)
    large.instead["large.safetensors"] = b"<!DOCTYPE html>" + b" " * 999
    for large.ranges, error in ((False, RefusedFileError), (True, SourceError)):
        with pytest.raises(error):
            fetch(tmp_path)
        assert fetched_bytes(tmp_path) == had > CHUNK
    large.instead.clear()
    assert fetch(tmp_path).read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda hub: hub.wrong.add("large.safetensors"), HashMismatchError),
        (lambda hub: hub.instead.update({"large.safetensors": b"<!DOCTYPE html>" + b" " * 999}), RefusedFileError),
        (lambda hub: hub.instead.update({"large.safetensors": WEIGHTS + b"more"}), HashMismatchError),
        (lambda hub: hub.instead.update({"large.safetensors": WEIGHTS[:-9]}), HashMismatchError),
    ],
)
def test_other_bytes_are_refused_and_do_not_stay(large: Hub, tmp_path: Path, fault, error: type[AssetctlError]):
    fault(large)
    with pytest.raises(error):
        fetch(tmp_path)
    assert fetched_bytes(tmp_path) == 0
    large.wrong.clear()
    large.instead.clear()
    assert fetch(tmp_path).read_bytes() == WEIGHTS


def test_a_full_disk_is_said(large: Hub, tmp_path: Path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_ranges.DirectFile, "write", full)
    with pytest.raises(StorageError, match="disk is full"):
        fetch(tmp_path)


@pytest.mark.parametrize("text", [b"", b"nonsense", b"99 7\n0 99\n", b"1184215 98304\n0 500\n7 9999999\n1 x\n2 12"])
def test_a_journal_of_nonsense_is_not_believed(large: Hub, tmp_path: Path, text: bytes):
    key = hashlib.sha256(WEIGHTS).hexdigest()
    (tmp_path / "partial").mkdir()
    (tmp_path / f"partial/{key}.part").write_bytes(WEIGHTS[:500])
    (tmp_path / f"partial/{key}.chunks").write_bytes(text)
    assert fetch(tmp_path).read_bytes() == WEIGHTS


def test_a_journal_that_claims_more_than_is_there_is_not_believed(large: Hub, tmp_path: Path):
    key = hashlib.sha256(WEIGHTS).hexdigest()
    (tmp_path / "partial").mkdir()
    (tmp_path / f"partial/{key}.part").write_bytes(WEIGHTS[: CHUNK + 10])
    claims = "".join(f"{number} {CHUNK}\n" for number in range(4))
    (tmp_path / f"partial/{key}.chunks").write_text(f"{len(WEIGHTS)} {CHUNK}\n{claims}")
    assert fetch(tmp_path).read_bytes() == WEIGHTS
    assert sent(large) == len(WEIGHTS) - CHUNK - 10
