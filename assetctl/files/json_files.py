"""The JSON files of a model folder, of which anyone may be the writer, with the `NaN` that diffusers writes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import orjson

from assetctl.errors import UnusableError
from assetctl.files.paths import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def loads(content: bytes) -> object:
    """What `content` says.

    Raises:
        ValueError: It is no JSON, or too deep.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        if not (b"Infinity" in content or b"NaN" in content):
            raise
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


#: No real configuration comes near this size in bytes.
MAX_CONFIG = 2**20

_HINT = "Fetch the folder again."


def read_object(path: Path, root: Path, most: int = MAX_CONFIG) -> dict[str, Any]:
    """Read one JSON object of a model folder.

    Args:
        path: The file.
        root: The model's folder: a link that leads out of it is not followed, unless into the Hub cache's own blobs.
        most: Its greatest size in bytes.

    Raises:
        UnusableError: There is none, it is too large, damaged, or a link to elsewhere.
    """
    try:
        found = loads(read_bytes(path, root, most))
    except ValueError as error:
        raise UnusableError(f"{path} cannot be read: {error}.", _HINT) from error
    if not isinstance(found, dict):
        raise UnusableError(f"{path} is not a JSON object.", _HINT)
    return found


def read_bytes(path: Path, root: Path, most: int) -> bytes:
    """Read a whole file of a model folder.

    Raises:
        UnusableError: There is none, it is too large, or a link to elsewhere.
    """
    try:
        if not _is_within(path, root):
            raise UnusableError(
                f"{path} is a link that leads out of its folder, and is not followed.", "Put the file itself there."
            )
        descriptor, status = open_regular(path)
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(most + 1) if status.st_size <= most else b""
    except (OSError, RuntimeError) as error:  # a loop of links is the latter
        why = getattr(error, "strerror", None) or str(error)
        raise UnusableError(f"{path} cannot be read: {why}.", _HINT) from error
    if len(content) > most or (status.st_size and not content):
        raise UnusableError(f"{path} is too large: more than {most} bytes.", _HINT)
    return content


def _is_within(path: Path, root: Path) -> bool:
    """Whether a file is where its folder is; the Hub's cache keeps a snapshot's files as links to its blobs."""
    found, top = path.resolve(), root.resolve()
    if found.is_relative_to(top):
        return True
    snapshots = next((parent for parent in (top, *top.parents) if parent.name == "snapshots"), None)
    return snapshots is not None and found.is_relative_to(snapshots.parent / "blobs")


def write_json(path: Path, config: Mapping[str, Any]) -> None:
    """Write a configuration, with the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config, indent=2), "utf-8")  # as Python writes it: some numbers are without end
