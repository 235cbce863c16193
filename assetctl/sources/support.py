"""Small files that many checkpoints need and few carry: CLIP's vocabulary."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from assetctl.files.disk import storage_errors
from assetctl.files.hashing import hash_file
from assetctl.run import Bytes
from assetctl.sources.base import RemoteFile, cancellable, digests

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from assetctl.run import Run

_REPOSITORY = "stable-diffusion-v1-5/stable-diffusion-v1-5"

#: Limit on the bytes of either file: both have about one million.
_MOST = 16 * 2**20
_KEY = "clip vocabulary"

#: The vocabulary of CLIP's tokenizer, which the single files of sd1, sd2 and sdxl lack; pinned by content.
_VOCABULARY = digests(sha256="e089ad92ba36837a0d31433e555c8f45fe601ab5c221d4f607ded32d9f7a4349")
_MERGES = digests(sha256="9fd691f7c8039210e0fced15865466c65820d09b63988b0174bfe25de299051a")
TOKENIZER_FILES = (
    RemoteFile("tokenizer/vocab.json", digests=_VOCABULARY),
    RemoteFile("tokenizer/merges.txt", digests=_MERGES),
)


class StoreFolder(Protocol):
    """What of a store is needed here."""

    root: Path

    def staging(self, key: str) -> Path:
        """A folder to get `key` ready in."""
        ...

    def clear_staging(self, key: str) -> None:
        """Remove that folder."""
        ...

    def lock(self, key: str, run: Run | None = None) -> AbstractContextManager[None]:
        """Hold `key` against others."""
        ...


def installed_tokenizer(store: StoreFolder) -> Path | None:
    """Folder with CLIP's `vocab.json` and `merges.txt`, if both are there and right."""
    folder = _folder(store)
    return folder if all(_is_right(folder, file) for file in TOKENIZER_FILES) else None


def fetch_tokenizer(store: StoreFolder, run: Run) -> Path:
    """Folder with CLIP's vocabulary; fetched once.

    Raises:
        HashMismatchError: The Hub has other files than these by now.
        SourceError: The Hub cannot be reached.
        StorageError: The disk refused.
    """
    with store.lock(_KEY, run), cancellable(run):
        if (found := installed_tokenizer(store)) is not None:
            return found
        from assetctl.sources._download import download  # noqa: PLC0415 - the Hub's client costs 200 ms
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        staging = store.staging(_KEY)
        ready = [staging / _name(file) for file in TOKENIZER_FILES]
        for file, path in zip(TOKENIZER_FILES, ready, strict=True):
            way = replace(client.way(_REPOSITORY, "main", file.path), most=_MOST)
            download(way, file, path, staging / "partial", run, partial(_tell, run, file))
        folder = _folder(store)
        with storage_errors(f"write to {folder}"):
            folder.mkdir(parents=True, exist_ok=True)
            for path in ready:
                path.replace(folder / path.name)
        store.clear_staging(_KEY)
    return folder


def _tell(run: Run, file: RemoteFile, done: int) -> None:
    run.tell(Bytes(task=_KEY, file=file.path, done=done, total=file.size))


def _folder(store: StoreFolder) -> Path:
    return store.root / "configs" / "clip"


def _name(file: RemoteFile) -> str:
    return file.path.rpartition("/")[2]


def _is_right(folder: Path, file: RemoteFile) -> bool:
    path = folder / _name(file)
    return path.is_file() and hash_file(path, frozenset({"sha256"})).sha256 == file.sha256
