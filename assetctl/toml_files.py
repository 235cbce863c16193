"""Reading TOML that anybody may have written: in bounded time and memory, and refused in one sentence."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from typing import TYPE_CHECKING, Any

from assetctl.errors import RefusedFileError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

#: Limit on a file's bytes: a lockfile of thousands of diffusers folders is smaller.
LARGEST = 16 * 2**20

#: Limit on the dots of a line outside of texts, which nothing that is read here needs: the parser's time for a key
#: grows with the square of its parts.
_MOST_DOTS = 16

#: A pipe is opened without waiting for who writes to it.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

#: Texts and remarks, of which a text may be cut short: then the parser ends there too.
_TEXTS = re.compile(
    r"\"\"\"(?:[^\"\\]++|\\.|\"(?!\"\"))*+(?:\"\"\"|\Z)|'''(?:[^']++|'(?!''))*+(?:'''|\Z)"
    r"|\"(?:[^\"\\\n]++|\\[^\n])*+\"?|'[^'\n]*+'?|#[^\n]*+",
    re.DOTALL,
)


def read_toml(path: Path, mend: str) -> tuple[dict[str, Any], str]:
    """What a TOML file says, and its text.

    Args:
        path: The file; a link is followed.
        mend: What a person should do about one that makes no sense.

    Raises:
        OSError: It is not there, or cannot be read.
        RefusedFileError: It is not a regular file, or is larger than any should be.
        UsageError: It is no UTF-8, or no TOML.
    """
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8.", "Save it as UTF-8.") from error
    _refuse_depth(path, text)
    try:
        return tomllib.loads(text), text
    except RecursionError as error:
        raise UsageError(f"{path} is nested too deeply.", mend) from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not valid TOML: {str(error)[:200]}.", mend) from error
    except ValueError as error:
        raise UsageError(f"{path} has a number that is too long.", mend) from error


def _read(path: Path) -> bytes:
    descriptor = os.open(path, _READ)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise RefusedFileError(
            f"{path} is not a regular file.", "It must be a text file, not a folder, pipe or device."
        )
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise RefusedFileError(f"{path} is too large: {status.st_size:,} bytes.", "Check that it is the right file.")
    return content


def _refuse_depth(path: Path, text: str) -> None:
    if not any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
        return
    for number, line in enumerate(_TEXTS.sub(_lines_alone, text).split("\n"), 1):
        if line.count(".") > _MOST_DOTS:
            raise UsageError(f"{path}, line {number} is nested too deeply.", "Mend that line.")


def _lines_alone(text: re.Match[str]) -> str:
    return "\n" * text[0].count("\n")
