"""CLIP's vocabulary, which checkpoints in one file are read with: what of it a lockfile has."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError
from assetctl.files.paths import absolute
from assetctl.identify import identify
from assetctl.manifest import rebased
from assetctl.manifest.lockfile import LockedFile
from assetctl.operations.library.ingest import family_of
from assetctl.operations.library.tokenizer_files import is_driven
from assetctl.sources import support

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from assetctl.manifest import Locked, Lockfile, Manifest, Wanted

#: What the lockfile has besides assets, by the name that a person sees.
VOCABULARY = "CLIP's vocabulary"


def pinned_vocabulary() -> tuple[LockedFile, ...]:
    """The files of CLIP's vocabulary, which assetctl knows by their hashes."""
    return tuple(LockedFile(file.path, file.size, file.sha256) for file in support.TOKENIZER_FILES)


def vocabulary_for(assets: Sequence[Locked], wanted: Manifest, base: Path, known: Lockfile) -> tuple[LockedFile, ...]:
    """The vocabulary, if an asset takes it; one that is locked stays as long as an asset may."""
    takes = {_takes_vocabulary(locked, wanted.get(locked.name), base) for locked in assets}
    return pinned_vocabulary() if True in takes or (None in takes and known.vocabulary) else ()


def changed_vocabulary(known: Lockfile, vocabulary: Sequence[LockedFile]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Its name, where a lockfile is to have it and does not, and where it has it and is not to."""
    if _pairs(known.vocabulary) == _pairs(vocabulary):
        return (), ()
    return ((VOCABULARY,), ()) if vocabulary else ((), (VOCABULARY,))


def is_other_vocabulary(lock: Lockfile) -> bool:
    """Whether a lockfile has a vocabulary, and another than the one that assetctl knows."""
    return bool(lock.vocabulary) and _pairs(lock.vocabulary) != _pairs(pinned_vocabulary())


def _pairs(files: Sequence[LockedFile]) -> set[tuple[str, str | None]]:
    return {(file.path, file.sha256) for file in files}


def _takes_vocabulary(locked: Locked, item: Wanted | None, base: Path) -> bool | None:
    """Whether an asset is a checkpoint in one file that is generated with; `None` where only the file would tell."""
    if locked.format != "file" or not locked.files[0].path.lower().endswith((".safetensors", ".sft")):
        return False
    kind, family = (None, None) if item is None else (item.kind, item.family)
    if locked.facts is not None:
        kind, family = kind or locked.facts.kind, family or family_of(locked.facts.base_model)
    if locked.source == "path" and not (kind and family):
        path = absolute(rebased(locked.reference, base))
        with suppress(AssetctlError):
            found = identify(path)
            kind, family = kind or found.kind, family or found.family
            if path.with_suffix(".config").is_dir():
                return False
    if kind not in (None, "checkpoint"):
        return False
    return is_driven(family) if kind and family else None
