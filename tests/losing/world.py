"""A person, a home and a random sequence of commands, kills and writes by others: no byte of the person's may be lost.

Every file that the person writes has content of its own. What must hold after each step:

- a file lies where the person put it, unchanged, but for what the step names: what `import --move` moves in, what
  `rm` deletes of an asset, what the person themselves overwrites;
- its content lies somewhere, be it in the store or in the trash, until the person deletes it for good:
  `rm --now`, `trash empty`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from patience import fair

from assetctl.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Seconds that a command may take.
PATIENCE = 60


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, `None` if it was killed, and its data."""

    code: int | None
    data: Any
    said: str


@dataclass
class World:
    """The state of one sequence, and what the person is owed.

    Attributes:
        here: Digests of files that lie where the person put them, by path.
        owed: Digests of contents that must lie somewhere.
        overwritten: Files that the person wrote over another.
        disguised: Likewise, with the size and time of the other: by these alone they cannot be told from it.
        given: The person's files in the store that they gave to assetctl by name.
        log: The steps so far.
    """

    root: Path
    chance: random.Random
    here: dict[Path, str] = field(default_factory=dict)
    owed: set[str] = field(default_factory=set)
    given: set[Path] = field(default_factory=set)
    overwritten: set[Path] = field(default_factory=set)
    disguised: set[Path] = field(default_factory=set)
    log: list[str] = field(default_factory=list)
    catalogs: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.home, self.user, self.project = (self.root / name for name in ("home", "user", "project"))
        self.store, self.trash = self.home / "models", self.home / "trash"
        for folder in (self.home, self.user / "a", self.user / "b", self.project):
            folder.mkdir(parents=True)

    # --- what the person does ---------------------------------------------------------------------------------------

    def write(self, path: Path, content: bytes, *, keep_time: bool = False) -> None:
        """The person writes a file; what lay there is their own loss."""
        path.parent.mkdir(parents=True, exist_ok=True)
        was = path.stat() if path.is_file() else None
        if was is not None and path.read_bytes() == content:
            return
        self._lose(path)
        path.write_bytes(content)
        if was is not None:
            (self.disguised if keep_time else self.overwritten).add(path)
        if keep_time and was is not None:
            os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        self.here[path] = digest(content)
        self.owed.add(self.here[path])

    def delete(self, path: Path) -> None:
        """The person deletes a file."""
        self._lose(path)
        path.unlink()

    def _lose(self, path: Path) -> None:
        was = digest(path.read_bytes()) if path.is_file() else None
        self.here.pop(path, None)
        self.disguised.discard(path)
        self.overwritten.discard(path)
        if was is not None and sum(found == was for at, found in self.lying().items() if not was_staged(at)) == 1:
            self.owed.discard(was)

    def lying(self) -> dict[Path, str]:
        """Digests of all files there are, but for assetctl's own books, and what it is only getting ready."""
        files = (Path(folder) / name for folder, _, names in os.walk(self.root) for name in names)
        return {path: digest(path.read_bytes()) for path in files if self._counts(path)}

    def _counts(self, path: Path) -> bool:
        return not path.name.startswith("catalog.db") and ".staging" not in path.parts and path.is_file()

    # --- what assetctl does -----------------------------------------------------------------------------------------

    def assetctl(self, *arguments: object, kill: bool = False, here: bool = False) -> Ended:
        """Run a command in a process of its own, which may be killed in its midst, or in this one."""
        words = [str(argument) for argument in arguments]
        output = self.root / "output"
        if here:
            os.environ["ASSETCTL_HOME"] = str(self.home)
            with contextlib.redirect_stdout(io.StringIO()) as out:
                return Ended(run(words), None, out.getvalue())
        output.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            _become(words, self.home, output)
        moment = self.chance.choice([0.0, 0.005, 0.02, 0.05]) + self.chance.random() * 0.03
        code = _wait(child, moment if kill else PATIENCE)
        said = output.read_text("utf-8", "replace") if output.exists() else ""
        self.log.append(f"{' '.join(words)} -> {'killed' if code is None else code}")
        out, _, err = said.partition("\0")
        assert "Traceback" not in err, err
        assert "defect" not in said, said
        document = json.loads(out) if code == 0 and out.strip() else {}
        return Ended(code, document.get("data"), said)

    def check(self, before: dict[Path, str], may_go: set[Path], lifted: set[str] = frozenset()) -> None:
        """See that nothing is lost but what the step named.

        Args:
            before: What lay there before the step.
            may_go: Files that the step may take away.
            lifted: Contents that it may delete for good.
        """
        lying = self.lying()
        for path, owed in list(self.here.items()):
            if lying.get(path) != owed:
                assert path in may_go, f"{path} is gone or changed"
                del self.here[path]
        contents = set(lying.values())
        self.owed -= {each for each in lifted if each not in contents}
        missing = self.owed - contents
        assert not missing, f"lost for good: {[path for path, each in before.items() if each in missing]}"


def was_staged(path: Path) -> bool:
    """Whether it lies in what a killed command was only getting ready, and `prune` put into the trash."""
    return any(re.fullmatch(r"[0-9a-f]{32}", part) for part in path.parts)


def digest(content: bytes) -> str:
    """What tells contents apart."""
    return hashlib.sha256(content).hexdigest()


def embedding(chance: random.Random) -> bytes:
    """A textual inversion unlike any other."""
    table = {"emb_params": {"dtype": "F16", "shape": [1, 768], "data_offsets": [0, 1536]}}
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + chance.randbytes(1536)


def model_folder(chance: random.Random) -> dict[str, bytes]:
    """A diffusers folder, by relative path."""
    table = {"conv_in.weight": {"dtype": "F16", "shape": [4, 4, 3, 3], "data_offsets": [0, 288]}}
    header = json.dumps(table).encode()
    weights = len(header).to_bytes(8, "little") + header + chance.randbytes(288)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
        "x": chance.random(),
    }
    config = {"cross_attention_dim": 768, "in_channels": 4, "x": chance.random()}
    return {
        "model_index.json": json.dumps(index).encode(),
        "unet/config.json": json.dumps(config).encode(),
        "unet/diffusion_pytorch_model.safetensors": weights,
    }


def _become(words: list[str], home: Path, output: Path) -> None:
    """Be the command; never returns."""
    code = 70
    try:
        os.environ["ASSETCTL_HOME"] = str(home)
        out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
        sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
        code = run(words)
        out.flush()
        output.write_bytes(out.buffer.getvalue() + b"\0" + err.getvalue().encode("utf-8", "replace"))  # type: ignore[attr-defined]
    finally:
        os._exit(code)


def _wait(child: int, seconds: float) -> int | None:
    """The exit code of a child; `None` if its time was up and it was killed."""
    end = time.monotonic() + fair(seconds)
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return None if code == -signal.SIGKILL else code


@contextlib.contextmanager
def fresh_world(folder: Path, seed: int) -> Iterator[World]:
    """A world in `folder`, gone afterwards."""
    root = folder / f"world-{seed}"
    try:
        yield World(root, random.Random(seed))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def back_up(world: World) -> None:
    """The person keeps a copy of the catalog."""
    target = world.root / f"backup-{len(world.catalogs)}.db"
    with (
        contextlib.closing(sqlite3.connect(world.home / "catalog.db")) as source,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        source.backup(copy)
    world.catalogs.append(target)
