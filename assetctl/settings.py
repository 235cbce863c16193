"""Configuration: flags over `ASSETCTL_*` variables over `config.toml` over defaults.

TOML that anybody may have written, this or a manifest, is read in bounded time and memory.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import RefusedFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

CONFIG_NAME = "config.toml"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a person can set. Every field is a key of `config.toml` and a variable `ASSETCTL_FIELD`.

    Attributes:
        home: Folder of the catalog, the store and the outputs.
        models: The store; `models/` in the home unless set.
        outputs: Where pictures go; `outputs/` in the home unless set.
        wildcards: What dynamic prompts draw from; `wildcards/` in the home unless set.
        dtype: `auto`, `bf16`, `fp32` or `fp16`: the precision of generation.
        device: `auto`, `cpu`, `cuda`, `mps`: where to generate.
        offline: Never touch the network.
        pull_private: Whether a server fetches from plain addresses on its own machine and in private networks.
        downloads: How many assets to fetch at a time.
        trash_days: How long what was deleted is kept.
        trash_gigabytes: How much of it is kept, the latest first.
        keep_gigabytes: How much memory loaded models may take that wait for another picture, beside those that one is
            being made with; half of what is free unless set.
    """

    home: Path
    models: Path
    outputs: Path
    wildcards: Path
    dtype: str = "auto"
    device: str = "auto"
    offline: bool = False
    pull_private: bool = False
    downloads: int = 4
    trash_days: int = 30
    trash_gigabytes: int = 100
    keep_gigabytes: int | None = None

    @property
    def catalog(self) -> Path:
        """The SQLite file."""
        return self.home / "catalog.db"

    @classmethod
    def load(cls, home: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings that apply to `home` (a flag) and `environ`.

        Raises:
            UsageError: `config.toml` or a variable does not make sense.
        """
        root = _path(home or environ.get("ASSETCTL_HOME") or default_home(), Path.cwd())
        settings = cls(home=root, models=root / "models", outputs=root / "outputs", wildcards=root / "wildcards")
        given = _read_config(root / CONFIG_NAME)
        given |= {
            field.name: environ[variable]
            for field in fields(cls)
            if environ.get(variable := f"ASSETCTL_{field.name.upper()}") and field.name != "home"
        }
        if environ.get("HF_HUB_OFFLINE", "").lower() in _TRUE and "ASSETCTL_OFFLINE" not in environ:
            given["offline"] = True
        return replace(settings, **{name: _parse(name, value, root) for name, value in given.items()})  # type: ignore[arg-type]


def default_home() -> Path:
    """The platform's folder for user data."""
    import platformdirs  # noqa: PLC0415 - costs 5 ms and is needed only when no home is named

    return Path(platformdirs.user_data_dir("assetctl", appauthor=False))


def program(home: Path) -> list[str]:
    """What a command line about a home begins with, wherever it is pasted."""
    return ["assetctl", *([] if home == default_home() else ["--home", str(home)])]


_TRUE, _FALSE = frozenset({"1", "on", "yes", "true"}), frozenset({"0", "off", "no", "false"})
_CHOICES = {"dtype": ("auto", "bf16", "fp32", "fp16"), "device": ("auto", "cpu", "cuda", "mps")}


#: The least and the most of each number; sources turn away who downloads more at a time.
_NUMBERS = {
    "downloads": (1, 16),
    "trash_days": (0, 36_500),
    "trash_gigabytes": (0, 1_000_000),
    "keep_gigabytes": (0, 1_000_000),
}

#: How much of a value a complaint repeats, in characters.
_LONGEST_SHOWN = 100


def _read_config(path: Path) -> dict[str, object]:
    if not os.path.lexists(path):
        return {}
    try:
        config, _ = read_toml(path, "Fix or remove the file.")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Fix or remove the file.") from error
    known = {field.name for field in fields(Settings)} - {"home"}
    for key in config:
        if key not in known:
            raise UsageError(
                f"{path} sets {_shown(key)}, which is not a setting.", f"Settings are: {', '.join(sorted(known))}."
            )
    return config


def _parse(name: str, value: object, root: Path) -> object:
    if name in ("models", "outputs", "wildcards"):
        if not isinstance(value, str):
            raise UsageError(f"The setting {name} is {_shown(value)}.", "It must be the path of a folder.")
        return _path(value, root)
    word = str(value).lower() if isinstance(value, (str, bool)) or _is_whole(value) else ""
    if name in ("offline", "pull_private"):
        if word in _TRUE | _FALSE:
            return word in _TRUE
        raise UsageError(f"The setting {name} is {_shown(value)}.", "Write true or false.")
    if name in _NUMBERS:
        least, most = _NUMBERS[name]
        if word.isascii() and word.isdecimal() and len(word) <= len(str(most)) and least <= int(word) <= most:
            return int(word)
        raise UsageError(f"The setting {name} is {_shown(value)}.", f"Write a number from {least} to {most}.")
    choices = _CHOICES[name]
    if not isinstance(value, str) or value not in choices:
        raise UsageError(f"The setting {name} is {_shown(value)}.", f"Choose one of: {', '.join(choices)}.")
    return value


def _is_whole(value: object) -> bool:
    """Whether it is a whole number such as TOML has; Python writes down none of thousands of digits."""
    return isinstance(value, int) and abs(value) < 2**63


def _shown(value: object) -> str:
    """As much of a value as a complaint should repeat."""
    if not (isinstance(value, str) or _is_whole(value)):
        return f"a {type(value).__name__}"
    whole = repr(value)
    return whole if len(whole) <= _LONGEST_SHOWN else f"{whole[:_LONGEST_SHOWN]}…"


def _path(text: str | Path, root: Path) -> Path:
    try:
        path = (root / Path(text).expanduser()).absolute()
        str(path).encode()
        path.exists()
    except UnicodeEncodeError as error:  # the catalog keeps paths as text
        raise UsageError(f"{str(text)!a} is no valid text.", "Name another folder, or rename it.") from error
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{_shown(str(text))} cannot be used as a path: {error}.", "Name another folder.") from error
    except OSError:  # it may not be looked at, which whoever uses it will say
        return (root / Path(text).expanduser()).absolute()
    return path


def civitai_endpoint() -> str:
    """Civitai's address: `ASSETCTL_CIVITAI_ENDPOINT`, else its usual one."""
    return (os.environ.get("ASSETCTL_CIVITAI_ENDPOINT") or "https://civitai.com").rstrip("/")


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
