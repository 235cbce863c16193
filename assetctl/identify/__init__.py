"""What a file is, from its header alone.

A *kind* (`kinds/`, one file each) reduces a header to features; a *family* (`families/`, one file each) matches
features. Tensors outrank metadata, metadata outrank the file's name; what loses is kept as evidence, and
`unknown` or `ambiguous` is an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.files.safetensors import Header
    from assetctl.types import Identification


def identify(path: Path, *, beside: Path | None = None) -> Identification:
    """What the file or diffusers folder at `path` is; a configuration that stands `beside` where it came from counts.

    Raises:
        RefusedFileError: It is something else: a web page, a folder of files, a pickle that would run code.
        CorruptFileError: It is damaged or cut short.
        StorageError: It cannot be opened.
    """
    from assetctl.identify.identification import identify_path  # noqa: PLC0415 - `import assetctl` stays cheap

    return identify_path(path, beside=beside)


def identify_header(header: Header) -> Identification:
    """What the file with this header is."""
    from assetctl.identify.identification import identify_tensors  # noqa: PLC0415 - as above

    return identify_tensors(header)
