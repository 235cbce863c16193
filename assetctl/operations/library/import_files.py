"""Import: register files and whole folders where they lie, and leave them as they are."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

from assetctl.catalog import FileHashes, NewAsset
from assetctl.errors import AssetctlError, UsageError
from assetctl.files.hashing import HashRun
from assetctl.operations.library.identify_files import Scan, identified
from assetctl.operations.library.ingest import asset_name, checked_words, is_as_it_was
from assetctl.operations.library.previews import kept_pictures, move_pictures
from assetctl.operations.library.verify import folder_hash
from assetctl.run import Saved, leaving
from assetctl.types import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from assetctl.catalog import KnownFile
    from assetctl.catalog.reading import Reader
    from assetctl.catalog.writing import Writer
    from assetctl.operations.library.identify_files import Candidate
    from assetctl.operations.workspace import Workspace
    from assetctl.run import Run
    from assetctl.types import Asset, Identification


#: New assets that are registered at a time, while others are still identified.
BATCH = 500


@dataclass(slots=True)
class ImportResult:
    """What an import came to.

    Attributes:
        assets: Every asset that was named or found, new or known, once; none where nobody wanted them listed.
        found: How many those are.
        added: How many are new.
        unchanged: How many files and folders were known, and lie there as they did.
        changed: Paths that were known and hold other bytes now.
        moved: Assets whose file was gone and lies at another path now, as pairs of name and path.
        duplicates: Paths that hold the bytes of an asset already there, with that asset's name.
        refused: Files inside folders that are no assets, each with its reason.
        others: Pickles inside folders that hold no model that is known: optimizers, lists, training state.
    """

    assets: list[Asset] = field(default_factory=list)
    found: int = 0
    added: int = 0
    unchanged: int = 0
    changed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str]] = field(default_factory=list)
    duplicates: list[tuple[str, str]] = field(default_factory=list)
    refused: list[tuple[str, AssetctlError]] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)


def import_files(
    workspace: Workspace,
    paths: Sequence[Path],
    *,
    hashes: bool = True,
    tags: Iterable[str] = (),
    listed: bool = True,
    run: Run,
) -> ImportResult:
    """Register what lies at `paths`: files, diffusers folders, and folders full of either.

    A named file that is refused stops the import before anything is registered; one that is found
    inside a folder is reported and passed over.

    Args:
        workspace: The home.
        paths: What a person named.
        hashes: Compute SHA256 as well.
        tags: Labels for new assets.
        listed: Read the assets back for the result, which takes a while where they are thousands.
        run: Told how far it is. Of one that is cancelled, what was registered stays; its hashes as far as they are.

    Raises:
        NotFoundError: A path does not exist.
        FileError: A named file is refused or corrupt.
    """
    found = Scan(paths, named_first=True)
    taken = _Import(workspace, checked_words(tags), run)
    failures: list[tuple[str, AssetctlError]] = []
    with leaving(lambda: taken.told([*failures, *found.unreadable], listed=listed)), HashRun(run) as hashing:
        failures = hashing.failures
        taken.register(found, hashing if hashes else None)
        if hashes:
            taken.keep_hashes(hashing)
    return taken.told([*failures, *found.unreadable], listed=listed)


class _Import:
    """One run: parts what is new from what changed and what is known, registers it, keeps its hashes."""

    def __init__(self, workspace: Workspace, tags: tuple[str, ...], run: Run) -> None:
        self.result = ImportResult()
        self._run = run
        self.numbers: dict[int, None] = {}  # of all assets met, in order
        self.twins: list[tuple[str, int]] = []
        self.moved: dict[str, int] = {}
        self._workspace, self._catalog = workspace, workspace.catalog
        self._known = self._catalog.read.known_files()
        self._owners = {path: file.asset_path for path, file in self._known.items() if file.role != "copy"}
        self._parts = Counter(file.asset_id for file in self._known.values() if file.role == "part")
        self._tags = tags
        self._unchanged: list[Candidate] = []
        self._added: dict[int, str] = {}
        self._there: dict[int, str] = {}  # assets of single files that were known, and are as they were

    def register(self, candidates: Iterable[Candidate], hashing: HashRun | None) -> None:
        """Bring the catalog in line with the disk; files without hashes go to `hashing` meanwhile.

        `candidates` that were named come first, so that a bad one stops all before anything is registered.
        """
        new: list[NewAsset] = []
        changed: list[tuple[int, Candidate, Identification]] = []
        for candidate, found in self._identified(candidates, hashing):
            known = self._known_as(candidate)
            if known is None or known.role == "copy":
                new.append(self._entry(candidate, found))
            else:
                changed.append((known.asset_id, candidate, found))
            if len(new) >= BATCH and not candidate.named:
                self._add(new)
                new = []
        self._add(new)
        self._replace(changed)

    def keep_hashes(self, hashing: HashRun) -> None:
        """Store hashes as they come; then, interrupted or not, let assets with the same bytes become one."""
        try:
            for batch in hashing.batches():
                with self._catalog.write() as writer:
                    writer.set_hashes([FileHashes(path, sha256) for path, sha256 in batch])
        finally:
            self._merge()

    def told(self, unreadable: Sequence[tuple[str, AssetctlError]], *, listed: bool) -> ImportResult:
        """What it came to, with what could not be read; `listed` asks for the assets themselves."""
        result, read = self.result, self._catalog.read
        result.refused += unreadable
        result.found = len(self.numbers)
        result.assets = read.by_ids(self.numbers) if listed else []
        names = {asset.id: asset.name for asset in read.by_ids({number for _, number in self.twins})}
        # another command may have removed an asset meanwhile
        there = [(path, number) for path, number in self.twins if number in names]
        result.duplicates = [(path, names[number]) for path, number in there if path not in self.moved]
        result.moved = [(names[number], path) for path, number in self.moved.items() if number in names]
        return result

    def _merge(self) -> None:
        if not any(self._mergeable(self._catalog.read)):
            return
        paths = self._added | self._there
        with self._catalog.write() as writer:
            hashed, twins = self._mergeable(writer)
            new_folders = hashed.keys() & self._added.keys()
            newcomers = writer.untouched(twins | new_folders)  # not what a person has edited meanwhile
            for number, sha256 in hashed.items():
                writer.set_folder_hash(number, sha256)
            merged = writer.merge_duplicates(newcomers)
            for new, old in merged.items():
                del self.numbers[new]
                self.numbers[old] = None
                self.twins.append((paths[new], old))
                self.result.added -= new in self._added
            self._follow_moves(writer)
        home = self._workspace.settings.home
        for new, old in merged.items():
            move_pictures(kept_pictures(home, new), kept_pictures(home, old))

    def _mergeable(self, read: Reader) -> tuple[dict[int, str | None], set[int]]:
        """Folders with the hash of each as a whole, and files that another asset may have too."""
        folders = [asset for asset in read.assets(format="diffusers") if asset.id in self.numbers]
        hashed = {asset.id: folder_hash(asset.path, read.files(asset)) for asset in folders}
        twins = {new for new, oldest in read.twins().items() if new in self._added or new != oldest}
        return hashed, twins & (self._added | self._there).keys()

    def _follow_moves(self, writer: Writer) -> None:
        """An asset whose file is gone, and whose bytes have turned up elsewhere, lies there now, if they still do."""
        keepers = {asset.id: asset for asset in writer.by_ids({number for _, number in self.twins})}
        for path, number in self.twins:
            asset = keepers[number]
            moved = not Path(asset.path).exists() and Path(path).exists()
            if moved and asset.format != "diffusers" and number not in self.moved.values():
                self.moved[path] = number
        for path, number in self.moved.items():
            writer.relocate(number, path, in_store=self._stays_in_store(keepers[number], Path(path)))

    def _stays_in_store(self, asset: Asset, path: Path) -> bool:
        """Whether a file of the store was moved within it: it has its time of writing then, which no copy has."""
        known = self._known.get(asset.path)
        try:
            moved = known is not None and path.stat().st_mtime_ns == known.mtime_ns
        except OSError:  # it is gone meanwhile
            return False
        return moved and asset.in_store and self._workspace.store.owns(path)

    def _identified(
        self, candidates: Iterable[Candidate], hashing: HashRun | None
    ) -> Iterator[tuple[Candidate, Identification]]:
        """What is new or changed, identified, in the order of `candidates`."""
        fresh: list[Candidate] = []

        def sorted_out() -> Iterator[str]:
            for candidate in candidates:
                if self._is_disjoint(candidate) and not self._is_unchanged(candidate):
                    fresh.append(candidate)
                    yield candidate.path

        with identified(sorted_out()) as results:
            self._hash(self._unchanged, hashing)
            for candidate, found in zip(fresh, results, strict=True):
                self._run.check()
                if self._is_accepted(found, candidate):
                    self._hash([candidate], hashing)
                    yield candidate, found

    def _is_accepted(self, found: Identification | AssetctlError, candidate: Candidate) -> TypeGuard[Identification]:
        """Whether a candidate is an asset; why it is none is noted, or raised of one that was named."""
        if isinstance(found, AssetctlError):
            if candidate.named:
                raise found
            self.result.refused.append((candidate.path, found))
            return False
        if found.format == "pickle" and found.kind == "unknown" and not candidate.named:
            self.result.others.append(Path(candidate.path))
            return False
        return True

    def _is_unchanged(self, candidate: Candidate) -> bool:
        known = self._known_as(candidate)
        if known is None or not self._is_same(candidate):
            return False
        self.result.unchanged += 1
        self.numbers[known.asset_id] = None
        self._unchanged.append(candidate)
        if known.role == "main":
            self._there[known.asset_id] = candidate.path
        return True

    def _known_as(self, candidate: Candidate) -> KnownFile | None:
        """How the catalog knows a candidate; a copy of bytes that are no longer its asset's counts as new."""
        known = next((self._known[file.path] for file in candidate.files if file.path in self._known), None)
        if known is not None and known.role == "copy" and self._has_changed(known.asset_path):
            return None
        return known

    def _is_disjoint(self, candidate: Candidate) -> bool:
        """Whether no other asset claims files of a candidate: a part of a folder is no asset of its own as well."""
        own = candidate.path
        for file in candidate.files:
            if self._owners.get(file.path, own) != own:
                self._refuse(candidate, self._owners[file.path], known=file.path in self._known)
                return False
        for file in candidate.files:
            self._owners[file.path] = own
        return True

    def _refuse(self, candidate: Candidate, other: str, *, known: bool) -> None:
        message = f"{candidate.path} overlaps with {other}, which is {'an asset already' if known else 'imported too'}."
        hint = "`assetctl rm` the one that you do not want; your files stay." if known else "Import one of the two."
        refusal = UsageError(message, hint)
        if candidate.named:
            raise refusal
        self.result.refused.append((candidate.path, refusal))

    def _has_changed(self, path: str) -> bool:
        known = self._known.get(path)
        try:
            status = Path(path).stat()
        except OSError:
            return False
        return known is not None and (known.size, known.mtime_ns) != (status.st_size, status.st_mtime_ns)

    def _is_same(self, candidate: Candidate) -> bool:
        """Whether a candidate has the files that it had, as they were."""
        known = [self._known.get(file.path) for file in candidate.files]
        there = [None if file is None else (file.size, file.mtime_ns) for file in known]
        if there != [(file.size, file.mtime_ns) for file in candidate.files]:
            return False
        first = known[0]
        return first is None or first.role != "part" or self._parts[first.asset_id] == len(candidate.files)

    def _hash(self, candidates: Iterable[Candidate], hashing: HashRun | None) -> None:
        """Start to hash what has no hash yet; what is refused never comes here, however large it is."""
        if hashing is None:
            return
        for candidate, file in ((one, file) for one in candidates for file in one.files):
            known = None if self._known_as(candidate) is None else self._known.get(file.path)
            current = known is not None and (known.size, known.mtime_ns) == (file.size, file.mtime_ns)
            if not current or (known is not None and known.sha256 is None):
                hashing.submit(candidate.path, file.path, file.size)

    def _entry(self, candidate: Candidate, found: Identification) -> NewAsset:
        path = candidate.path
        origin, name = Origin("path", path), asset_name(path)
        return NewAsset(name, path, candidate.files, found, in_store=False, origin=origin, tags=self._tags)

    def _add(self, new: list[NewAsset]) -> None:
        numbers = self._catalog.add(new) if new else []
        before = len(self._added)
        self._added |= {number: entry.path for number, entry in zip(numbers, new, strict=True)}
        self.numbers |= dict.fromkeys(numbers)
        self.result.added += len(self._added) - before
        for entry in new:
            self._run.tell(Saved(task=entry.name, path=entry.path))

    def _overwritten(self, changed: dict[int, Candidate]) -> set[int]:
        """Assets of the store where somebody wrote other bytes, or more of them: these are not assetctl's to delete."""
        read, others = self._catalog.read, set()
        for asset in read.by_ids(changed):
            own = [file for file in read.files(asset) if file.role != "copy"]
            added = {file.path for file in changed[asset.id].files} - {file.path for file in own}
            if asset.in_store and (added or not all(map(is_as_it_was, own))):
                others.add(asset.id)
        return others

    def _replace(self, changed: list[tuple[int, Candidate, Identification]]) -> None:
        if not changed:
            return
        others = self._overwritten({number: candidate for number, candidate, _ in changed})
        with self._catalog.write() as writer:
            for number, candidate, found in changed:
                writer.replace_files(number, candidate.files)
                writer.set_identification(number, found)
                if number in others:
                    writer.set_location(number, candidate.path, sha256=None, in_store=False)
        self.numbers |= dict.fromkeys(number for number, _, _ in changed)
        self.result.changed = [candidate.path for _, candidate, _ in changed]
