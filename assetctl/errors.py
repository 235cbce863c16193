"""The one tree of errors: each has a stable code, an exit code, a message and a hint.

A message names the thing that is wrong; a hint names what to do next, where possible the next
command to run. The command line prints both and exits with `exit_code`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from assetctl.text import redacted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from assetctl.types import Finding


class AssetctlError(Exception):
    """Anything that assetctl refuses or fails to do, told to a person.

    What lets in, such as a token in an address, is hidden in both texts.

    Attributes:
        code: Stable identifier for scripts, in snake_case.
        exit_code: What the process exits with.
        message: One sentence that names the thing.
        hint: What to do next, or `None`.
        done: What was finished before, each as the results of the command have it.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = redacted(message)
        self.hint = None if hint is None else redacted(hint)
        super().__init__(self.message)
        self.done: Sequence[Mapping[str, Any]] = ()


class UsageError(AssetctlError):
    """The words of the request do not make sense."""

    code = "usage"
    exit_code = 2


class NotFoundError(AssetctlError):
    """No asset, or no file, goes by that name."""

    code = "not_found"
    exit_code = 3


class AmbiguousNameError(AssetctlError):
    """Several assets go by that name; `candidates` lists them."""

    code = "ambiguous"
    exit_code = 3

    def __init__(self, message: str, hint: str | None = None, candidates: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.candidates = tuple(candidates)


class IncompatibleError(AssetctlError):
    """The selection can not work together; `findings` say why."""

    code = "incompatible"
    exit_code = 4

    def __init__(self, message: str, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, hint)
        self.findings = tuple(findings)


class FileError(AssetctlError):
    """A file is not what it should be."""

    code = "file_error"
    exit_code = 5


class RefusedFileError(FileError):
    """A file that is never loaded: a web page, an LFS pointer, a pickle that would run code."""

    code = "file_refused"


class ForeignFormatError(RefusedFileError):
    """A model file in another format than safetensors; `format` is `pickle`, `gguf` or `png`."""

    def __init__(self, message: str, hint: str | None = None, format: str = "pickle") -> None:  # noqa: A002 - the field
        super().__init__(message, hint)
        self.format = format


class CorruptFileError(FileError):
    """A file of the right kind that is damaged or cut short."""

    code = "file_corrupt"


class HashMismatchError(FileError):
    """The bytes are not those that were promised."""

    code = "hash_mismatch"


class SourceError(AssetctlError):
    """A source could not be reached, or refused to serve."""

    code = "source_failed"
    exit_code = 6


class UnauthorizedError(SourceError):
    """A source wants a token, or other rights than the token has."""

    code = "unauthorized"


class SourceNotFoundError(SourceError):
    """A source has no such repository, revision or file."""

    code = "source_not_found"


class OfflineError(SourceError):
    """The network was forbidden, or is not there."""

    code = "offline"


class OutOfDateError(AssetctlError):
    """What is here is not what a file says: a machine and its lockfile, or a lockfile and its manifest."""

    code = "out_of_date"


class CatalogError(AssetctlError):
    """The catalog can not be used."""

    code = "catalog_error"


class CatalogTooNewError(CatalogError):
    """The catalog was written by a newer assetctl."""

    code = "catalog_too_new"


class StorageError(AssetctlError):
    """The disk is full, or a folder may not be written."""

    code = "storage"


class NameTakenError(StorageError):
    """There is a file of that name already, and it is left as it is."""


class NoRoomError(StorageError):
    """One thing is larger than what is free on the disk."""


class MissingExtraError(AssetctlError):
    """An optional part of assetctl is not installed."""

    code = "extra_missing"


class GenerationError(AssetctlError):
    """A picture could not be made."""

    code = "generation_failed"


class UnusableError(GenerationError):
    """An asset can not be generated with: it lacks a part, does not fit, or asks for what is never given."""

    code = "unusable"
    exit_code = 4


class StoppedError(AssetctlError):
    """A person stopped the work before its end; `done` says what there is, and `rest` how to go on.

    Attributes:
        rest: Options that the same command needs to do what is left; none where the hint tells.
    """

    code = "interrupted"
    exit_code = 130

    def __init__(self, message: str, hint: str | None = None, rest: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint)
        self.rest = dict(rest or {})


class InternalError(AssetctlError):
    """A defect in assetctl itself."""

    code = "internal"
