"""Print which of our files four commands lead through: those that somebody opens who follows one by hand.

`python benchmarks/walks.py` runs `pull`, `import`, `check` and `generate`, each in a process of its own, and counts
the files with a function that ran. Those of a plug-in place (a family, a kind, a rule, a dialect) are counted apart:
whoever has read one knows how all are. docs/architecture.md has the counts; `--names` prints the files.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import assetctl
from assetctl.cli.main import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

PACKAGE = Path(assetctl.__file__).parent
PLUGINS = ("families", "kinds", "rules", "dialects")
#: What the compiler sets on functions, and neither on modules nor on bodies of classes.
FUNCTION = 1


def files(arguments: Sequence[str]) -> list[str]:
    """Files of the package with a function that runs while one command line does."""
    seen: set[str] = set()

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_flags & FUNCTION:
            seen.add(frame.f_code.co_filename)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = run(arguments)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    assert code == 0, f"{arguments} ended with {code}"
    ours = (Path(name) for name in seen if name.endswith(".py"))
    return sorted(file.relative_to(PACKAGE).as_posix() for file in ours if file.is_relative_to(PACKAGE))


def main() -> None:
    """Run the four in homes of their own, and print a line for each."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    servers = import_module("servers.hub")

    with tempfile.TemporaryDirectory() as scratch, servers.serve_hub() as hub:
        folder = Path(scratch)
        reached = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hf"), "NO_PROXY": "127.0.0.1"}
        homes = {
            name: os.environ | reached | {"ASSETCTL_HOME": str(folder / name)} for name in ("demo", "new", "newer")
        }
        run_for(homes["demo"], "demo", "--pull", "--quiet")
        (folder / "mine").mkdir()
        lora = shutil.copy(folder / "demo/models/loras/demo-cat.safetensors", folder / "mine")
        hub.repositories["ann/cats"] = servers.Repository({"cat.safetensors": Path(lora).read_bytes()})
        picture = ("generate", "a cat", "--lora", "demo-cat", "--steps", "2", "--out", str(folder / "cat.png"))
        for home, *arguments in (
            ("new", "pull", "hf://ann/cats/cat.safetensors"),
            ("newer", "import", str(folder / "mine")),
            ("demo", "check", "demo-checkpoint", "demo-cat"),
            ("demo", *picture),
        ):
            names = run_for(homes[home], *arguments)
            plugins = {name for name in names if set(PLUGINS) & set(Path(name).parts)}
            print(f"{arguments[0]:<10} {len(names) - len(plugins):4} files, and {len(plugins)} of plug-in places")
            if "--names" in sys.argv:
                print(*(f"    {name}" for name in names if name not in plugins), sep="\n")


def run_for(environment: dict[str, str], *arguments: str) -> list[str]:
    """`files`, in a process of its own."""
    command = [sys.executable, __file__, "--one", *arguments]
    ended = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: list[str] = json.loads(ended.stdout)
    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(files(sys.argv[2:])))
    else:
        main()
