"""The lockfile, `registry.lock`: the exact bytes of each asset of the manifest, for other machines and days."""

from __future__ import annotations

import os
import re
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.errors import RefusedFileError
from assetctl.files.disk import LARGEST_FILE, storage_errors, write_text
from assetctl.files.paths import clashing, safe_path
from assetctl.manifest.tables import Document, shown_key
from assetctl.types import KINDS, Facts, can_be_name

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1

_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_GIT_OID = re.compile(r"[0-9a-f]{40}", re.ASCII)

#: What to do about one that makes no sense; `assetctl lock` would not know what of it to keep.
_ANEW = "Remove it: `assetctl lock` then makes it again."
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
        mark: What tells the reference from others that are shown like it; see `mark_of_hidden`.
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
    mark: str | None = None


@dataclass(frozen=True)
class Lockfile:
    """All assets of a manifest, resolved, in its order.

    Attributes:
        assets: These.
        vocabulary: The files of CLIP's vocabulary, where a checkpoint among them is generated with that.
    """

    assets: tuple[Locked, ...] = ()
    vocabulary: tuple[LockedFile, ...] = ()

    def get(self, name: str) -> Locked | None:
        """The asset of this name."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> dict[str, Locked]:
        return {locked.name: locked for locked in self.assets}


def read_lock(path: Path) -> Lockfile:
    """Read a lockfile.

    Raises:
        NotFoundError: There is none.
        UsageError: It makes no sense, or a newer assetctl wrote it.
        RefusedFileError: A file's name in it is unsafe.
    """
    document = Document(path, "Make it with `assetctl lock`.", _ANEW)
    for key in sorted(document.tables.keys() - {"version", "assets", "vocabulary"}):
        hint = "If another program wrote it, give the manifest another name; if a newer assetctl did, upgrade."
        document.fail((key,), "is no key of a lockfile of assetctl", hint)
    version = document.tables.get("version")
    if type(version) is not int or version != VERSION:
        document.fail(("version",), f"is not {VERSION}", f"If a newer assetctl wrote it, upgrade. {_ANEW}")
    listed: list[Any] = document.get(("assets",), document.tables, list, [])
    where = ("vocabulary",)
    said: dict[str, Any] = document.get(where, document.tables, dict, {})
    vocabulary = tuple(_file(document, where, file) for file in document.get((*where, "files"), said, list, []))
    lock = Lockfile(tuple(_locked(document, of) for of in listed), vocabulary)
    seen: set[str] = set()
    for locked in lock.assets:
        if locked.name.lower() in seen:
            document.fail(("assets", locked.name), "is there twice", _ANEW)
        seen.add(locked.name.lower())
    return lock


def write_lock(path: Path, lock: Lockfile) -> None:
    """Write a lockfile, whole or not at all.

    Raises:
        RefusedFileError: It is a link that leads out of its folder.
        StorageError: The disk refused.
    """
    import tomli_w  # noqa: PLC0415 - reading needs it not

    path = writing_place(path)

    said: dict[str, Any] = {"version": VERSION, "assets": [_table(locked) for locked in lock.assets]}
    if lock.vocabulary:
        said["vocabulary"] = {"files": [_filled(asdict(file)) for file in lock.vocabulary]}
    text = _HEAD + tomli_w.dumps(said)
    with storage_errors(f"write {path}"):
        write_text(path, text)


def writing_place(path: Path) -> Path:
    """Where a lockfile is to be written: where a link leads, for else it would be no link any more.

    Raises:
        RefusedFileError: It leads out of its folder.
    """
    if not path.is_symlink():
        return path
    place = Path(os.path.realpath(path))
    if not place.is_relative_to(os.path.realpath(path.parent)):
        hint = "Remove the link, or name the manifest where it lies with --file."
        raise RefusedFileError(f"{path} is a link that leads out of its folder, to {place}.", hint)
    return place


def _table(locked: Locked) -> dict[str, Any]:
    files = [_filled(asdict(file)) for file in locked.files]
    values = {field.name: getattr(locked, field.name) for field in fields(locked)}
    facts = None if locked.facts is None else _filled(asdict(locked.facts))
    return _filled(values | {"files": files, "facts": facts})


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None and value != ()}


def _locked(document: Document, of: Any) -> Locked:  # noqa: ANN401 - from outside
    if not isinstance(of, dict):
        document.fail(("assets",), "is not a list of tables", _ANEW)
    name = of.get("name")
    where = ("assets", name if isinstance(name, str) else "?")
    text = {key: document.text((*where, key), of) for key in ("name", "wanted", "source", "reference", "format")}
    if not can_be_name(text["name"]):
        document.fail((*where, "name"), "cannot be a name", _ANEW)
    if not all(text.values()) or text["format"] not in ("file", "diffusers"):
        document.fail(where, "lacks a key", _ANEW)
    files = tuple(_file(document, where, file) for file in document.get((*where, "files"), of, list, []))
    if not files:
        document.fail(where, "has no files", _ANEW)
    if twin := clashing(file.path for file in files):
        document.fail((*where, "files"), f"has {shown_key(twin)}, which cannot lie beside the others", _ANEW)
    revision = document.text((*where, "revision"), of) or None
    url = document.text((*where, "url"), of) or None
    sha256 = _hash(document, where, of)
    facts = _facts(document, where, of)
    mark = document.text((*where, "mark"), of) or None
    return Locked(**text, revision=revision, url=url, sha256=sha256, files=files, facts=facts, mark=mark)


def _file(document: Document, where: tuple[str, ...], of: Any) -> LockedFile:  # noqa: ANN401 - from outside
    if not isinstance(of, dict) or not isinstance(of.get("path"), str):
        document.fail((*where, "files"), "is not a list of files", _ANEW)
    path = safe_path(of["path"], str(document.path))
    size = document.get((*where, "size"), of, int, 0) if "size" in of else None
    if size is not None and not 0 <= size <= LARGEST_FILE:
        document.fail((*where, "size"), "is no size of a file", _ANEW)
    git_oid = document.text((*where, "git_oid"), of) or None
    if git_oid is not None and not _GIT_OID.fullmatch(git_oid):
        document.fail((*where, "git_oid"), "is no hash of git's", _ANEW)
    url = document.text((*where, "url"), of) or None
    return LockedFile(path, size, _hash(document, where, of), git_oid, url)


def _facts(document: Document, where: tuple[str, ...], of: Mapping[str, Any]) -> Facts | None:
    """What was said of the asset; lockfiles of before assetctl kept it have none."""
    said: dict[str, Any] = document.get((*where, "facts"), of, dict, {})
    if not said:
        return None
    place = (*where, "facts")
    texts = {
        key: document.text((*place, key), said) or None
        for key in ("base_model", "kind", "licence", "page", "air", "creator")
    }
    if texts["kind"] not in (None, *KINDS):
        document.fail((*place, "kind"), "is no kind", _ANEW)
    return Facts(
        **texts,
        trigger_words=document.words((*place, "trigger_words"), said),
        commercial=document.get((*place, "commercial"), said, bool, False) if "commercial" in said else None,
        source=document.text((*place, "source"), said) or "civitai",
    )


def _hash(document: Document, where: tuple[str, ...], of: Mapping[str, Any]) -> str | None:
    sha256 = document.text((*where, "sha256"), of) or None
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        document.fail((*where, "sha256"), "is no SHA256", _ANEW)
    return sha256
