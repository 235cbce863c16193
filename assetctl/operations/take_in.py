"""Taking in: files on this machine go into the store, as copies or for good."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import StorageError
from assetctl.operations.pull import pull
from assetctl.operations.scanning import scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetctl.operations.pull import PullResult
    from assetctl.operations.scanning import Candidate
    from assetctl.operations.workspace import Workspace
    from assetctl.sources.base import FetchProgress


def take_in(
    workspace: Workspace,
    paths: Sequence[Path],
    *,
    move: bool = False,
    tags: Iterable[str] = (),
    report: Callable[[FetchProgress], None] = lambda _: None,
) -> list[PullResult]:
    """Pull every asset found at `paths`; when moving, delete an original once its bytes are safe in the store.

    Raises:
        NotFoundError: A path does not exist.
        FileError: A file is refused; those before it are in the store.
        StorageError: The disk is full, or an original can not be deleted.
    """
    labels = tuple(tags)
    results = []
    for candidate in scan(paths).candidates:
        result = pull(workspace, str(candidate.path), tags=labels, report=report)
        results.append(result)
        if move and result.asset.in_store and not workspace.store.contains(candidate.path):
            _delete(candidate)
    return results


def _delete(candidate: Candidate) -> None:
    """Delete what was taken in, and folders that are empty then; whatever else lies there stays."""
    try:
        for file in candidate.files:
            Path(file.path).unlink()
        if candidate.path.is_dir():
            for folder in sorted((path for path in candidate.path.rglob("*") if path.is_dir()), reverse=True):
                _remove_if_empty(folder)
            _remove_if_empty(candidate.path)
    except OSError as error:
        hint = "Its bytes are in the store; delete it yourself."
        raise StorageError(f"{candidate.path} can not be deleted: {error.strerror}.", hint) from error


def _remove_if_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
