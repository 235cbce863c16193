"""The lockfile, `registry.lock`: the exact bytes of each asset of the manifest, for other machines and days."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from assetctl.files.disk import storage_errors, write_text
from assetctl.files.names import safe_path
from assetctl.manifest.tables import Document
from assetctl.types import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VERSION = 1

_HEX = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}", re.ASCII)
_HEAD = "# Written by `assetctl lock` from registry.toml. Keep it with that file; do not edit it.\n\n"


@dataclass(frozen=True, slots=True)
class LockedFile:
    """One file: where it is to be had, and what it must be."""

    path: str
    size: int | None = None
    sha256: str | None = None
    git_oid: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """One asset, resolved.

    Attributes:
        name: In the manifest.
        wanted: The reference that the manifest had.
        source: Name of the source that resolved it.
        reference: As it is asked for, without secrets.
        revision: The exact one.
        url: For people.
        format: `file` or `diffusers`.
        sha256: Of its file, or of the diffusers folder as a whole.
        files: All of them.
        facts: What the source says of it: who fetches by the lockfile learns what who locked it was told.
    """

    name: str
    wanted: str
    source: str
    reference: str
    revision: str | None
    url: str | None
    format: str
    sha256: str | None
    files: tuple[LockedFile, ...]
    facts: Facts | None = None


@dataclass(frozen=True, slots=True)
class Lockfile:
    """All assets of a manifest, resolved, in its order."""

    assets: tuple[Locked, ...] = ()

    def get(self, name: str) -> Locked | None:
        """The asset of this name."""
        return next((locked for locked in self.assets if locked.name == name), None)


def read_lock(path: Path) -> Lockfile:
    """Read a lockfile.

    Raises:
        NotFoundError: There is none.
        UsageError: It makes no sense, or a newer assetctl wrote it.
        RefusedFileError: A file's name in it is unsafe.
    """
    document = Document(path, "Make it with `assetctl lock`.", "`assetctl lock` makes it anew.")
    if document.tables.get("version") != VERSION:
        document.fail(("version",), f"is not {VERSION}", "A newer assetctl wrote it: upgrade, or `assetctl lock` anew.")
    listed: list[Any] = document.get(("assets",), document.tables, list, [])
    return Lockfile(tuple(_locked(document, of) for of in listed))


def write_lock(path: Path, lock: Lockfile) -> None:
    """Write a lockfile, whole or not at all.

    Raises:
        StorageError: The disk refused.
    """
    import tomli_w  # noqa: PLC0415 - reading needs it not

    text = _HEAD + tomli_w.dumps({"version": VERSION, "assets": [_table(locked) for locked in lock.assets]})
    with storage_errors(f"write {path}"):
        write_text(path, text)


def _table(locked: Locked) -> dict[str, Any]:
    files = [_filled({field.name: getattr(file, field.name) for field in fields(file)}) for file in locked.files]
    values = {field.name: getattr(locked, field.name) for field in fields(locked)}
    facts = None if locked.facts is None else _filled(asdict(locked.facts))
    return _filled(values | {"files": files, "facts": facts})


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value != ()}


def _locked(document: Document, of: Any) -> Locked:  # noqa: ANN401 - from outside
    if not isinstance(of, dict):
        document.fail(("assets",), "is not a list of tables", "`assetctl lock` makes it anew.")
    where = ("assets", str(of.get("name", "?")))
    text = {
        key: document.get((*where, key), of, str, "") for key in ("name", "wanted", "source", "reference", "format")
    }
    if not all(text.values()) or text["format"] not in ("file", "diffusers"):
        document.fail(where, "lacks a key", "`assetctl lock` makes it anew.")
    files = tuple(_file(document, where, file) for file in document.get((*where, "files"), of, list, []))
    if not files:
        document.fail(where, "has no files", "`assetctl lock` makes it anew.")
    revision = document.get((*where, "revision"), of, str, "") or None
    url = document.get((*where, "url"), of, str, "") or None
    sha256 = _hash(document, where, of)
    facts = _facts(document, where, of)
    return Locked(**text, revision=revision, url=url, sha256=sha256, files=files, facts=facts)


def _file(document: Document, where: tuple[str, ...], of: Any) -> LockedFile:  # noqa: ANN401 - from outside
    if not isinstance(of, dict) or not isinstance(of.get("path"), str):
        document.fail((*where, "files"), "is not a list of files", "`assetctl lock` makes it anew.")
    path = safe_path(of["path"], str(document.path))
    size = document.get((*where, "size"), of, int, -1)
    git_oid = document.get((*where, "git_oid"), of, str, "") or None
    url = document.get((*where, "url"), of, str, "") or None
    return LockedFile(path, size if size >= 0 else None, _hash(document, where, of), git_oid, url)


def _facts(document: Document, where: tuple[str, ...], of: Mapping[str, Any]) -> Facts | None:
    """What was said of the asset; lockfiles of before assetctl kept it have none."""
    said: dict[str, Any] = document.get((*where, "facts"), of, dict, {})
    if not said:
        return None
    place = (*where, "facts")
    texts = {
        key: document.get((*place, key), said, str, "") or None
        for key in ("base_model", "kind", "licence", "page", "air", "creator")
    }
    return Facts(
        **texts,
        trigger_words=document.words((*place, "trigger_words"), said),
        commercial=document.get((*place, "commercial"), said, bool, False) if "commercial" in said else None,
        source=document.get((*place, "source"), said, str, "civitai"),
    )


def _hash(document: Document, where: tuple[str, ...], of: Mapping[str, Any]) -> str | None:
    sha256 = document.get((*where, "sha256"), of, str, "") or None
    if sha256 is not None and not (_HEX.fullmatch(sha256) and len(sha256) == 64):
        document.fail((*where, "sha256"), "is no SHA256", "`assetctl lock` makes it anew.")
    return sha256
