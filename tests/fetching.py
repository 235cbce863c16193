"""Assets brought from a source into a folder, without a store or a catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.run import Bytes, Run, running
from assetctl.sources.transfer import transfer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from assetctl.sources.base import Resolution, Source


def fetch(
    source: Source, asked: str | Resolution, into: Path, report: Callable[[Bytes], None] = lambda _: None
) -> Path:
    """What a reference stands for, brought into a folder; `report` is told how far each file is."""
    run = Run(lambda event: report(event) if isinstance(event, Bytes) else None)
    with running(run):
        return transfer(source, source.resolve(asked) if isinstance(asked, str) else asked, into, run).path
