"""The command line in this process, with a home of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from documents import hold

from assetctl.cli.main import run


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        document = orjson.loads(self.out)
        assert document["version"] == 1
        return document["data"]

    @property
    def error(self) -> dict[str, Any]:
        return orjson.loads(self.out)["error"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    monkeypatch.setenv("ASSETCTL_HOME", str(folder))
    return folder


@pytest.fixture
def assetctl(home, capsys):
    """Run `assetctl ARGUMENTS…` in a fresh home."""

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        if "--json" in arguments and said.out:
            hold([str(argument) for argument in arguments], said.out)
        return Ended(code, said.out, said.err)

    return call
