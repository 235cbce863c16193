"""`kill -9` at random moments of `pull`, `import` and `sync`, and what is left: `python benchmarks/killing.py [N]`.

After each kill the catalog opens, no asset names a missing or wrong file, and nothing partial has a final name; then
the command is run to its end, and fetches no byte again but what its parts had not written yet. Ends with 1 if any of
it fails.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from servers.hub import serve_hub  # type: ignore[import-not-found]

from assetctl.sources.transfer import fetched_bytes

if TYPE_CHECKING:
    from servers.hub import Hub

#: Chunks small enough that each file has several.
PIECE = 65_536
CHUNK = 6 * PIECE
CLI = f"""
import sys
from assetctl.sources import _download, _partial, _ranges, transfer
transfer.LARGE = _ranges.CHUNK = {CHUNK}
_ranges.LOOK, _partial.PIECE = 0.01, {PIECE}
from assetctl.__main__ import main
sys.exit(main())
"""
FILES, VECTORS, SPEED = 4, 700, 12_000_000

#: Bytes that a kill may lose: a piece that was not written, and what was on its way, of each part of each file.
LOST = FILES * 4 * 4 * PIECE


class Trial:
    """One command in a fresh home, killed once and run again."""

    def __init__(self, folder: Path, hub: Hub, contents: dict[str, bytes], what: str) -> None:
        self._home, self._hub, self._contents = folder / "home", hub, contents
        self._right = {hashlib.sha256(content).hexdigest() for content in contents.values()}
        source = folder / "source"
        source.mkdir()
        references = [f"hf://ann/cats/{name}" for name in contents]
        if what == "pull":
            self._command = ["pull", *references]
        elif what == "import":
            for name, content in contents.items():
                (source / name).write_bytes(content)
            self._command = ["import", str(source)]
        else:
            manifest = source / "registry.toml"
            items = enumerate(references)
            manifest.write_text("".join(f'[assets.cat{n}]\nsource = "{each}"\ntags = ["x"]\n' for n, each in items))
            self._command = ["sync", "--file", str(manifest)]

    def kill_at(self, moment: float) -> bool:
        """Whether it was still running then."""
        process = self._start()
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        while self._hub.sending:
            time.sleep(0.01)
        return process.returncode == -signal.SIGKILL

    def finish(self) -> int:
        """Run it to its end; bytes that were fetched beyond those that were missing."""
        models = self._home / "models"
        staged = fetched_bytes(models / ".staging") if (models / ".staging").exists() else 0
        placed = sum(path.stat().st_size for path in self._final())
        before = sum(request.sent for request in self._hub.downloads("/blobs/"))
        process = self._start()
        assert process.wait(120) == 0, process.returncode
        fetched = sum(request.sent for request in self._hub.downloads("/blobs/")) - before
        wanted = sum(map(len, self._contents.values())) - staged - placed
        return fetched - wanted if "import" not in self._command else 0

    def problems(self, *, complete: bool) -> list[str]:
        """What is not as it should be."""
        found = [f"{path} has a final name and is not whole" for path in self._final() if self._is_wrong(path)]
        catalog = self._home / "catalog.db"
        if not catalog.exists():
            return found
        with sqlite3.connect(catalog) as connection:
            if connection.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                found.append("the catalog is damaged")
        verify = self._words("verify", "--json")
        listed = subprocess.run(verify, check=False, env=self._environment(), capture_output=True)
        if listed.returncode != 0:
            found.append(f"verify: {listed.stdout.decode()[:300]}{listed.stderr.decode()[:300]}")
        if complete and listed.stdout.count(b'"status":"ok"') != len(self._contents):
            found.append(f"not all are there: {listed.stdout.decode()[:300]}")
        return found

    def _final(self) -> list[Path]:
        models = self._home / "models"
        return [path for path in models.rglob("*") if path.is_file() and ".staging" not in path.parts]

    def _is_wrong(self, path: Path) -> bool:
        return not path.name.startswith(".") and hashlib.sha256(path.read_bytes()).hexdigest() not in self._right

    def _start(self) -> subprocess.Popen[bytes]:
        silent = subprocess.DEVNULL
        return subprocess.Popen(self._words(*self._command), env=self._environment(), stdout=silent, stderr=silent)

    def _words(self, *command: str) -> list[str]:
        return [sys.executable, "-c", CLI, *command]

    def _environment(self) -> dict[str, str]:
        own = {"ASSETCTL_HOME": str(self._home), "HF_ENDPOINT": self._hub.url, "NO_PROXY": "127.0.0.1"}
        return {**os.environ, **own, "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"}


def _embedding(chance: random.Random) -> bytes:
    """A textual inversion of random numbers: a hole in it would show."""
    size = VECTORS * 768 * 4
    table = {"emb_params": {"dtype": "F32", "shape": [VECTORS, 768], "data_offsets": [0, size]}}
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + chance.randbytes(size)


def main(kills: int) -> int:
    """Kill so many times; 1 if anything was damaged, or fetched more than once."""
    chance, failures, landed = random.Random(7), 0, dict.fromkeys(("pull", "import", "sync"), 0)
    with tempfile.TemporaryDirectory() as temporary, serve_hub() as hub:
        root = Path(temporary)
        contents = {f"cat{number}.safetensors": _embedding(chance) for number in range(FILES)}
        hub.add("ann/cats", contents)
        hub.throttle = SPEED
        for what in cycle(landed):
            if sum(landed.values()) >= kills:
                break
            folder = root / "trial"
            folder.mkdir()
            trial = Trial(folder, hub, contents, what)
            landed[what] += trial.kill_at(chance.uniform(0.15, 1.6))
            problems = trial.problems(complete=False)
            again = trial.finish()
            problems += trial.problems(complete=True)
            if again > LOST:
                problems.append(f"{again} bytes were fetched again")
            for problem in problems:
                print(f"{what}: {problem}", flush=True)
            failures += bool(problems)
            shutil.rmtree(folder)
            hub.requests.clear()
    print(f"killed {', '.join(f'{what} {count} times' for what, count in landed.items())}: {failures} failures")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else 200))
