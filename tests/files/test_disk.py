"""Files that are replaced: whole, and for nobody's eyes but those that they were for."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

import pytest

from assetctl.files.disk import incoming

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no such permissions")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o644])
def test_what_replaces_a_file_is_never_read_by_more_than_may_read_that(tmp_path: Path, mode: int):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    path.chmod(mode)
    with incoming(path, lasting=False) as file:
        file.write(b"new")
        (meanwhile,) = (_mode(each) for each in tmp_path.iterdir() if each != path)
        assert not meanwhile & ~mode
    assert (path.read_bytes(), _mode(path)) == (b"new", mode)


def test_what_replaces_nothing_or_a_link_is_as_the_umask_wants(tmp_path: Path):
    theirs = tmp_path / "theirs"
    theirs.write_bytes(b"theirs")
    theirs.chmod(0o600)
    (tmp_path / "link").symlink_to(theirs)
    before = os.umask(0o027)
    try:
        for name in ("new", "link"):
            with incoming(tmp_path / name, lasting=False) as file:
                file.write(b"new")
            assert _mode(tmp_path / name) == 0o640
    finally:
        os.umask(before)
    assert theirs.read_bytes() == b"theirs"
