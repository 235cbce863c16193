"""How much work one file may make: a small one can ask for more than any machine can do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.errors import CorruptFileError, RefusedFileError

if TYPE_CHECKING:
    from pathlib import Path

#: Limits on a file: bytes of one pickle in it, and steps to read all of them, twice each. The largest real checkpoints
#: have a hundred thousand opcodes; a step takes a microsecond, and what it leaves behind some hundred bytes.
MAX_BYTES = 16 * 2**20
MAX_STEPS = 1_000_000

DO_NOT_LOAD = "Do not load it with any program. Get a safetensors version from a source that you trust."
_FETCH_AGAIN = "Fetch it again from its source."


class Budget:
    """The steps that are left for one file; and what is said of it where it is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left = MAX_STEPS

    def spend(self, steps: int = 1) -> None:
        """Take steps.

        Raises:
            CorruptFileError: There are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise self.exhausting()

    def exhausting(self) -> CorruptFileError:
        """The error for a file that asks for too much."""
        return CorruptFileError(f"{self.path} holds a pickle that is made to exhaust memory or time.", DO_NOT_LOAD)

    def corrupt(self, why: str) -> CorruptFileError:
        """The error for a file that is damaged: it `why`, for example "is cut short"."""
        return CorruptFileError(f"{self.path} {why}.", _FETCH_AGAIN)

    def refused(self, why: str, hint: str = DO_NOT_LOAD) -> RefusedFileError:
        """The error for a file that is never loaded."""
        return RefusedFileError(f"{self.path} {why}.", hint)
