"""One file's trouble stays that file's own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, CorruptFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def contained(path: Path) -> Iterator[None]:
    """Make whatever goes wrong while `path` is read an error of that file's.

    Readers tell what is wrong with a file as well as they can. What none of them has thought of is as good as damage:
    it must end neither the work on other files, nor with words that are about us.

    Raises:
        CorruptFileError: Something that is none of our errors, nor the system's, was raised.
    """
    try:
        yield
    except (AssetctlError, OSError):
        raise
    except (MemoryError, RecursionError) as error:
        hint = "It may be made to exhaust memory: get it from a source that you trust."
        raise CorruptFileError(f"{path} takes more memory to read than there is.", hint) from error
    except Exception as error:
        met = type(error).__name__
        hint = f"Fetch it again from its source. If other programs read it well, report that assetctl met a {met}."
        raise CorruptFileError(f"{path} can not be read: it is damaged, or made to mislead.", hint) from error
