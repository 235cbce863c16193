"""Ingesting: something fetched and verified enters the store and the catalog, named and described by its source."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import unicodedata
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from assetctl.catalog import FileHashes, NewAsset, several
from assetctl.errors import CorruptFileError, HashMismatchError, UsageError
from assetctl.files.disk import storage_errors
from assetctl.files.hashing import hash_file, tree_sha256
from assetctl.files.paths import absolute
from assetctl.identify.identification import identify_path
from assetctl.identify.plugins import families
from assetctl.store import safe_name
from assetctl.text import hidden_in
from assetctl.types import SPECIAL, AssetFile, Evidence, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from assetctl.operations.workspace import Workspace
    from assetctl.sources.base import Resolution
    from assetctl.types import Asset, Facts, Identification


#: What belongs to a diffusers folder; pickles and everything else stay out.
_FOLDER_SUFFIXES = (".safetensors", ".json", ".txt", ".model")

#: Levels of folders below a diffusers folder; real ones have one, or two.
_DEEPEST = 16

#: Kinds whose trigger words a source may tell; an embedding's token is in its file, or is its name.
_WORDED = ("lora", "checkpoint", "diffusion-model")


def with_source_facts(found: Identification, origin: Origin | None) -> Identification:
    """An identification with what the source adds: lineage, trigger words, and a kind or family that the file hides."""
    facts = None if origin is None else origin.facts
    if facts is None:
        return found
    found = _with_base_model(_with_kind(found, facts, facts.source), facts, facts.source)
    if facts.trigger_words and found.kind in _WORDED:
        claim = f"trigger_words={', '.join(facts.trigger_words)}"
        evidence = Evidence(facts.source, claim, "its page names them")
        found = replace(found, trigger_words=facts.trigger_words, evidence=(*found.evidence, evidence))
    return found


def is_news(workspace: Workspace, asset: Asset, facts: Facts | None) -> bool:
    """Whether a source says something of an asset of which nobody has said anything yet."""
    if facts is None:
        return False
    origin = workspace.catalog.read.origin(asset)
    return origin is None or origin.facts is None


def learn(workspace: Workspace, asset: Asset, came: Resolution) -> None:
    """Keep what a source says of an asset that is here already, unless something is known of it."""
    if not is_news(workspace, asset, came.facts):
        return
    with workspace.catalog.write() as writer:
        details = writer.details(writer.by_id(asset.id))
        known = details.origin or Origin(came.source, came.reference, came.revision, came.url)
        if known.facts is None:  # nobody was faster
            told = replace(known, facts=came.facts)
            writer.set_origin(asset.id, told)
            writer.set_identification(asset.id, with_source_facts(details.identification, told))


def _with_kind(found: Identification, facts: Facts, source: str) -> Identification:
    if facts.kind is None or found.kind == facts.kind:
        return found
    if found.kind != "unknown":
        evidence = Evidence(source, f"kind={facts.kind}", "its page says so, which the tensors contradict")
        return replace(found, evidence=(*found.evidence, evidence))
    evidence = Evidence(source, f"kind={facts.kind}", "its page says so, and the file says nothing")
    return replace(found, kind=facts.kind, confidence="likely", evidence=(*found.evidence, evidence))


def _families_of(base_model: str) -> list[str]:
    return [family.name for family in families() if base_model in {name for _, name in family.lineages}]


def family_of(base_model: str | None) -> str | None:
    """The one family that a base model is of, where just one has it."""
    own = [] if base_model is None else _families_of(base_model)
    return own[0] if len(own) == 1 else None


def _with_base_model(found: Identification, facts: Facts, source: str) -> Identification:
    if facts.base_model is None:
        return found
    claim = f"base_model={facts.base_model}"
    own = _families_of(facts.base_model)
    if found.family is None and len(own) == 1:
        evidence = Evidence(source, claim, f"its page says so, which makes it {own[0]}")
        more = (*found.evidence, evidence)
        return replace(found, family=own[0], base_model=facts.base_model, confidence="likely", evidence=more)
    if found.family in own:
        evidence = Evidence(source, claim, "its page says so, which fits")
        return replace(found, base_model=facts.base_model, evidence=(*found.evidence, evidence))
    why = "which the tensors contradict" if own else "which is no base model that is known here"
    return replace(found, evidence=(*found.evidence, Evidence(source, claim, f"its page says so, {why}")))


_SPECIAL = re.compile(f"[{SPECIAL}]")


def asset_name(path: str) -> str:
    """The name that an asset at `path` gets, made safe: its stem, and the suffix too of what is no safetensors file.

    So a pickle leaves the good name to the safetensors file that is made of it.
    """
    name = os.path.basename(path)  # noqa: PTH119 - thousands may be named in a row
    stem, _, suffix = name.rpartition(".")
    return safe_name(_SPECIAL.sub("-", stem if stem and suffix.lower() in ("safetensors", "sft") else name))


def checked_name(name: str) -> str:
    """`name` in Unicode's composed form, if an asset can be called so.

    Raises:
        UsageError: It is empty, or has characters that a prompt or a path would trip over.
    """
    safe = safe_name(_SPECIAL.sub("-", name))
    if unicodedata.normalize("NFC", name) != safe:
        hint = f"{safe!r} can: slashes, colons, angle brackets, control characters and names of devices are left out."
        raise UsageError(f"{name!r} cannot be an asset's name.", hint)
    return safe


def checked_words(words: Iterable[str]) -> tuple[str, ...]:
    """Tags or trigger words without repetition, whatever their case.

    Raises:
        UsageError: One is empty, or holds control characters.
    """
    unique: dict[str, str] = {}
    for word in several("tags", words):
        if not word.strip() or not word.isprintable() or hidden_in(word):
            raise UsageError(f"{word!r} cannot be a trigger word or a tag.", "Use words without control characters.")
        unique.setdefault(word.lower(), word)
    return tuple(unique.values())


@dataclass(frozen=True, slots=True)
class Staged:
    """Something that lies in the staging folder, hashed and identified.

    Attributes:
        path: The file or folder.
        name: What the asset is to be called.
        files: Its files, with their SHA256.
        sha256: Of the file, or of the folder as a whole.
    """

    resolution: Resolution
    path: Path
    name: str
    tags: tuple[str, ...]
    found: Identification
    files: tuple[AssetFile, ...]
    sha256: str

    @property
    def stem(self) -> str:
        """What its file is to be called, without suffix."""
        return self.name.removesuffix(self.path.suffix) or self.name

    @classmethod
    def of(
        cls,
        resolution: Resolution,
        path: Path,
        name: str | None,
        tags: tuple[str, ...],
        hashes: Mapping[str, str] | None = None,
    ) -> Staged:
        """Identify what came, and hash what was not hashed on its way; `hashes` are SHA256 by path in the asset.

        Raises:
            FileError: It is nothing that assetctl keeps.
        """
        origin = Origin(resolution.source, resolution.reference, facts=resolution.facts)
        beside = Path(resolution.reference) if resolution.source == "path" else None
        found = with_source_facts(identify_path(path, beside=beside), origin)
        files = _hashed_files(path, hashes or {})
        wanted = name or asset_name(resolution.name)
        return cls(resolution, path, wanted, tags, found, files, _whole_hash(path, files))

    def entry(self, placed: Path) -> NewAsset:
        """How it enters the catalog, once it lies at `placed`."""
        came = self.resolution
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        origin = Origin(came.source, came.reference, came.revision, came.url, now, came.facts)
        files = tuple(self._moved(file, placed) for file in self.files)
        return NewAsset(
            self.name, str(placed), files, self.found, in_store=True, sha256=self.sha256, origin=origin, tags=self.tags
        )

    def _moved(self, file: AssetFile, placed: Path) -> AssetFile:
        path = placed / Path(file.path).relative_to(self.path) if file.role == "part" else placed
        return replace(file, path=str(path), mtime_ns=path.stat().st_mtime_ns)


class Ingested(NamedTuple):
    """What became of an staged.

    Attributes:
        asset: The asset that has its bytes.
        known: Whether the catalog had them already, and they lie where they should.
        aside: Where the other bytes are now that lay in the asset's place, if any did.
    """

    asset: Asset
    known: bool = False
    aside: Path | None = None

    @property
    def warnings(self) -> list[str]:
        """What the person should know."""
        if self.aside is None:
            return []
        advice = f"`assetctl import {shlex.quote(str(self.aside))}` makes an asset of them."
        return [f"{self.asset.path} held other bytes than it did. These are kept as {self.aside}: {advice}"]


def ingest(workspace: Workspace, staged: Staged, *, owned: bool = False, given: bool = False) -> Ingested:
    """Place what is staged and register it, unless the catalog has its bytes.

    Args:
        workspace: The home.
        staged: What came.
        owned: Whether the store is to have these bytes, even where a person's own file is registered that holds them.
        given: Whether the file that was named is assetctl's from now on, if it lies in the store already.

    Raises:
        StorageError: The disk is full or may not be written; store and catalog are as they were.
    """
    read, store = workspace.catalog.read, workspace.store
    key = f"bytes {staged.sha256}"
    with store.lock(key):
        if owned:
            _learn_hash(workspace, staged)
        known = read.by_sha256(staged.sha256)
        if known is not None and is_intact(workspace, known):
            takes_over = owned and not known.in_store
            return _take_over(workspace, staged, known, key, given) if takes_over else Ingested(known, known=True)
        if known is not None and known.in_store and store.owns(Path(known.path)):
            return _mend(workspace, staged, known)
        kind, form = staged.found.kind, staged.found.format
        with _placed(workspace, staged, kind, form, key, given=given) as placed:
            number = _register(workspace, staged.entry(placed), known)
    return Ingested(read.by_id(number))


@contextlib.contextmanager
def _placed(
    workspace: Workspace, staged: Staged, kind: str, form: str | None, key: str, *, given: bool
) -> Iterator[Path]:
    """Place an staged, to be registered in the block; taken back if that fails."""
    read, store = workspace.catalog.read, workspace.store
    placed = _lies_already(workspace, staged, key, given=given)
    if placed is None:
        store.take_back(key)  # a killed process may have placed a part
        claimed = frozenset(read.known_files(str(store.folder(kind, form or ""))))
        placed = store.place(staged.path, kind, form or "", staged.stem, claimed, key=key)
    try:
        yield placed
    except BaseException:
        if read.has_path(str(placed)):  # it was registered just before whatever went wrong
            store.registered(key)
        else:
            store.take_back(key, staged.path)
        raise
    store.registered(key)


def named_in_store(workspace: Workspace, resolution: Resolution) -> Path | None:
    """The place in the store that a person named to be taken in; `None` if they named another."""
    if resolution.source != "path":
        return None
    named = absolute(resolution.reference)
    return named if workspace.store.owns(named) and not named.is_symlink() else None


def see_hash(path: Path, wanted: str | None) -> None:
    """See that what lies at a path, where there is something, has the hash that is wanted, if one is.

    Raises:
        HashMismatchError: It has another.
        StorageError: It cannot be read.
    """
    if wanted is None or not path.exists():
        return
    with storage_errors(f"read {path}"):
        files = folder_files(path) if path.is_dir() else (as_file(path, path.stat()),)
        found = _whole_hash(path, tuple(_hashed(file) for file in files))
    if found != wanted:
        hint = "Find the file that it was, or take its sha256 out of the manifest."
        raise HashMismatchError(f"{path} has the SHA256 {found}, and {wanted} is wanted.", hint)


def _lies_already(workspace: Workspace, staged: Staged, key: str, *, given: bool) -> Path | None:
    """Where the same bytes lie in the store, if a killed process placed them, or if a person gave that very place."""
    store = workspace.store
    path = store.placed_before(key)
    path = path or (named_in_store(workspace, staged.resolution) if given else None)
    if path is None:
        return None
    files = folder_files(path) if path.is_dir() else (as_file(path, path.stat()),)
    return path if _whole_hash(path, tuple(_hashed(file) for file in files)) == staged.sha256 else None


def _mend(workspace: Workspace, staged: Staged, known: Asset) -> Ingested:
    """Put the bytes that an asset of the store had where it lies or lay; what it has instead steps aside."""
    place = Path(known.path)
    with workspace.store.replaced(staged.path, place) as aside:
        number = _register(workspace, staged.entry(place), known)
    return Ingested(workspace.catalog.read.by_id(number), aside=aside)


def _take_over(workspace: Workspace, staged: Staged, known: Asset, key: str, given: bool) -> Ingested:  # noqa: FBT001
    """Have the store own an asset that was registered in place; a person's own files count as copies of it."""
    read = workspace.catalog.read
    place = Path(known.path)
    if given and place == named_in_store(workspace, staged.resolution):
        with workspace.catalog.write() as writer:
            writer.set_location(known.id, known.path, sha256=known.sha256, in_store=True)
        return Ingested(read.by_id(known.id))
    with _placed(workspace, staged, known.kind, known.format, key, given=given) as placed:
        hashed = {file.sha256: file for file in read.files(known)}
        files = [_with_hashes(file, hashed.get(file.sha256)) for file in staged.entry(placed).files]
        with workspace.catalog.write() as writer:
            writer.take_over(known.id, str(placed), files)
    return Ingested(read.by_id(known.id))


def _with_hashes(file: AssetFile, same: AssetFile | None) -> AssetFile:
    return file if same is None else replace(file, autov3=same.autov3, blake3=same.blake3)


def _learn_hash(workspace: Workspace, staged: Staged) -> None:
    """A person's file that was registered without a hash has that of the bytes that were just copied from it."""
    original = absolute(staged.resolution.reference)
    if not workspace.catalog.read.has_path(str(original)):
        return
    with workspace.catalog.write() as writer:
        known = writer.known_files(str(original.parent)).get(str(original))
        if known is not None and known.sha256 is None and known.size == staged.files[0].size:
            writer.set_hashes([FileHashes(str(original), staged.sha256)])


def is_intact(workspace: Workspace, asset: Asset) -> bool:
    """Whether all files of an asset are as they were: in their sizes and, where a time differs, by their hashes."""
    return all(is_as_it_was(file) for file in workspace.catalog.read.files(asset) if file.role != "copy")


def is_as_it_was(file: AssetFile) -> bool:
    """Whether a file has its size and, where it was written at another time, its hash."""
    try:
        status = Path(file.path).stat()
    except OSError:
        return False
    if status.st_size != file.size:
        return False
    if status.st_mtime_ns == file.mtime_ns or file.sha256 is None:
        return True
    return hash_file(Path(file.path), frozenset({"sha256"})).sha256 == file.sha256


def _register(workspace: Workspace, entry: NewAsset, known: Asset | None) -> int:
    """Have the catalog know what was placed; `known` is the asset whose files turned out to be gone or damaged."""
    with workspace.catalog.write() as writer:
        there = writer.by_sha256(str(entry.sha256))
        if there is None:
            (number,) = writer.add([entry])
            return number
        if known is None or there.id != known.id:  # registered in place, or hashed, meanwhile
            writer.take_over(there.id, entry.path, entry.files)
        else:  # the same asset, with all that a person set, gets good files
            writer.replace_files(there.id, entry.files, same_bytes=True)
            writer.set_location(there.id, entry.path, sha256=entry.sha256, in_store=True)
        return there.id


def folder_files(folder: Path) -> tuple[AssetFile, ...]:
    """The files of a diffusers folder.

    Raises:
        CorruptFileError: Folders nest in it deeper than in any model.
        OSError: It cannot be read.
    """
    return tuple(as_file(path, path.stat(), "part") for path in sorted(_parts(folder)))


def _parts(folder: Path) -> Iterator[Path]:
    """Paths of a diffusers folder's files; links to other folders are not followed."""
    left = [(folder, 0)]
    while left:
        place, depth = left.pop()
        if depth > _DEEPEST:
            hint = "Take out of it what is no part of the model."
            raise CorruptFileError(f"{folder} has folders nested too deeply for a model.", hint)
        with contextlib.suppress(PermissionError), os.scandir(place) as entries:
            for entry in entries:
                path = place / entry.name
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    left.append((path, depth + 1))
                elif path.suffix in _FOLDER_SUFFIXES and path.is_file():
                    yield path


def as_file(path: str | Path, status: os.stat_result, role: str = "main") -> AssetFile:
    """One file of an asset, as it lies on disk."""
    return AssetFile(str(path), status.st_size, status.st_mtime_ns, role)  # type: ignore[arg-type]


def _hashed_files(path: Path, hashes: Mapping[str, str]) -> tuple[AssetFile, ...]:
    if not path.is_dir():
        return (_hashed(as_file(path, path.stat()), hashes.get(path.name)),)
    files = folder_files(path)
    return tuple(_hashed(file, hashes.get(Path(file.path).relative_to(path).as_posix())) for file in files)


def _hashed(file: AssetFile, sha256: str | None = None) -> AssetFile:
    return replace(file, sha256=sha256 or hash_file(Path(file.path), frozenset({"sha256"})).sha256)


def _whole_hash(path: Path, files: tuple[AssetFile, ...]) -> str:
    if path.is_dir():
        return tree_sha256((Path(file.path).relative_to(path).as_posix(), str(file.sha256)) for file in files)
    return str(files[0].sha256)
