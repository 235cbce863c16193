"""The wheel, installed away from the checkout: it must find its migrations and stay light."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


QUIET = ["--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", *QUIET, "--no-deps", "--wheel-dir", str(folder), str(CHECKOUT)]
    subprocess.run(build, check=True, cwd=folder)
    (built,) = folder.glob("assetctl-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A `python` of an empty environment with the wheel in it."""
    folder = tmp_path_factory.mktemp("install")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"
    pip = [str(python), "-m", "pip", "install", *QUIET, "-c", str(CHECKOUT / "constraints.txt"), str(wheel)]
    subprocess.run(pip, check=True, cwd=folder)
    return python


def test_the_wheel_alone_lists_from_an_empty_catalog(wheel, tmp_path):
    """The short form of what follows: unpacked beside the dependencies that are here, away from the checkout."""
    with zipfile.ZipFile(wheel) as files:
        files.extractall(tmp_path / "unpacked")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'unpacked')!r}); from assetctl.__main__ import main; main()"
    listing = subprocess.run(
        [sys.executable, "-c", code, "list", "--json"],
        cwd=tmp_path,
        env={**os.environ, "ASSETCTL_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (listing.returncode, listing.stdout) == (0, '{"version":1,"data":[]}\n'), listing.stderr
    assert (tmp_path / "unpacked" / "assetctl" / "_migrations").is_dir()


@pytest.mark.slow
def test_an_installed_wheel_lists_from_an_empty_catalog(installed, tmp_path):
    environment = {**os.environ, "ASSETCTL_HOME": str(tmp_path / "home")}
    script = installed.with_name("assetctl")
    listing = subprocess.run(
        [script, "list", "--json"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (listing.returncode, listing.stdout) == (0, '{"version":1,"data":[]}\n'), listing.stderr


@pytest.mark.slow
def test_the_base_install_has_no_torch(installed, tmp_path):
    code = "import importlib.util as u; print([n for n in ('torch', 'diffusers', 'transformers') if u.find_spec(n)])"
    found = subprocess.run([installed, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
