"""The one tree of errors: each has a stable code, an exit code, a message and a hint.

A message names the thing that is wrong; a hint names what to do next, where possible the next command to run. The
command line prints both and exits with the exit code. docs/errors.md says what to do about each.

    AssetctlError           error              1    the root: never raised itself
    ├─ UsageError           usage              2    the words of the request do not make sense
    ├─ NotFoundError        not_found          3    no asset, or no file, goes by that name
    ├─ AmbiguousNameError   ambiguous          3    several assets go by that name
    ├─ IncompatibleError    incompatible       4    the selection cannot work together
    ├─ FileError            file_error         5    a file is not what it should be
    │  ├─ RefusedFileError  file_refused       5    a file is never loaded: a web page, a pickle that would run code
    │  │  └─ OtherFormatError  file_refused    5    a model file in another format than safetensors
    │  ├─ CorruptFileError  file_corrupt       5    a file of the right kind is damaged or cut short
    │  └─ HashMismatchError hash_mismatch      5    the bytes are not those that were promised
    ├─ SourceError          source_failed      6    a source could not be reached, or refused to serve
    │  ├─ UnauthorizedError unauthorized       6    a source wants a token, or other rights than the token has
    │  ├─ SourceNotFoundError  source_not_found 6   a source has no such repository, revision or file
    │  │  └─ WithdrawnError source_not_found  6    a source has a page, and gives away no more what it is about
    │  └─ OfflineError      offline            6    the network was forbidden, or is not there
    ├─ OutOfDateError       out_of_date        1    a machine and its lockfile, or that and its manifest, differ
    ├─ CatalogError         catalog_error      1    the catalog cannot be used
    │  └─ CatalogTooNewError  catalog_too_new  1    the catalog was written by a newer assetctl
    ├─ StorageError         storage            1    the disk is full, or a folder cannot be written
    │  ├─ NameTakenError    storage            1    there is a file of that name, and it is left as it is
    │  └─ NoRoomError       storage            1    one thing is larger than what is free on the disk
    ├─ MissingExtraError    extra_missing      1    an optional part of assetctl is not installed
    ├─ GenerationError      generation_failed  1    a picture could not be made
    │  └─ UnusableError     unusable           4    an asset cannot be generated with
    ├─ StoppedError         interrupted        130  a person stopped the work before its end
    └─ InternalError        internal           1    a defect in assetctl itself
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

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
        done: What was finished before, as the command's result has it; `None` where nothing was.
        errors: All that failed, this one too, where several things were asked for.
        reference: Which of them this is about, as the person named it; `None` where it is about no single one.
    """

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        self.message = redacted(message)
        self.hint = None if hint is None else redacted(hint)
        super().__init__(self.message)
        self.done: object | None = None
        self.errors: Sequence[AssetctlError] | None = None
        self.reference: str | None = None


class UsageError(AssetctlError):
    """Raised where the words of a request do not make sense: an unknown option, a value out of bounds."""

    code = "usage"
    exit_code = 2


class NotFoundError(AssetctlError):
    """Raised where no asset, or no file, goes by the name that was given."""

    code = "not_found"
    exit_code = 3


class AmbiguousNameError(AssetctlError):
    """Raised where several assets go by the name that was given; `candidates` lists them."""

    code = "ambiguous"
    exit_code = 3

    def __init__(self, message: str, hint: str | None = None, candidates: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.candidates = tuple(candidates)


class IncompatibleError(AssetctlError):
    """Raised where a selection is to be used that cannot work together; `findings` say why."""

    code = "incompatible"
    exit_code = 4

    def __init__(self, message: str, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, hint)
        self.findings = tuple(findings)


class FileError(AssetctlError):
    """Raised where a file is not what it should be, and none of the classes below says it better."""

    code = "file_error"
    exit_code = 5


class RefusedFileError(FileError):
    """Raised for a file that is never loaded: a web page, an LFS pointer, a pickle that would run code."""

    code = "file_refused"


class OtherFormatError(RefusedFileError):
    """Raised for a model file in another format than safetensors; `format` is `pickle`, `gguf` or `png`."""

    def __init__(self, message: str, hint: str | None = None, format: str = "pickle") -> None:  # noqa: A002 - the field
        super().__init__(message, hint)
        self.format = format


class CorruptFileError(FileError):
    """Raised for a file of the right kind that is damaged or cut short."""

    code = "file_corrupt"


class HashMismatchError(FileError):
    """Raised where bytes are not those that a source, a lockfile or the catalog promised."""

    code = "hash_mismatch"


class SourceError(AssetctlError):
    """Raised where a source could not be reached, or refused to serve."""

    code = "source_failed"
    exit_code = 6


class UnauthorizedError(SourceError):
    """Raised where a source wants a token, or other rights than the token has."""

    code = "unauthorized"


class SourceNotFoundError(SourceError):
    """Raised where a source has no such repository, revision or file."""

    code = "source_not_found"


class WithdrawnError(SourceNotFoundError):
    """Raised where a source still has a page, and no longer lets anybody have what it was about.

    Attributes:
        version: What it was, as `Versioned.version` tells it; of a model as a whole, its beginning.
        hashes: SHA256 of its files, as far as the page still says.
    """

    def __init__(self, message: str, hint: str, version: str, hashes: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.version, self.hashes = version, tuple(hashes)


class OfflineError(SourceError):
    """Raised where the network is needed, and was forbidden or is not there."""

    code = "offline"


class OutOfDateError(AssetctlError):
    """Raised where `--check` or `--locked` finds that a machine and its lockfile, or that and its manifest, differ."""

    code = "out_of_date"


class CatalogError(AssetctlError):
    """Raised where the catalog cannot be used: damaged, locked by another process, no catalog at all."""

    code = "catalog_error"


class CatalogTooNewError(CatalogError):
    """Raised where the catalog was written by a newer assetctl."""

    code = "catalog_too_new"


class StorageError(AssetctlError):
    """Raised where the disk is full, or a folder cannot be written."""

    code = "storage"


class NameTakenError(StorageError):
    """Raised where there is a file of that name already; it is left as it is."""


class NoRoomError(StorageError):
    """Raised where one thing is larger than what is free on the disk."""


class MissingExtraError(AssetctlError):
    """Raised where an optional part of assetctl is needed and not installed."""

    code = "extra_missing"


class GenerationError(AssetctlError):
    """Raised where a picture could not be made."""

    code = "generation_failed"


class UnusableError(GenerationError):
    """Raised where an asset cannot be generated with: it lacks a part or weight, does not fit, or asks for too much.

    Where several are, `findings` names them all.
    """

    code = "unusable"
    exit_code = 4

    def __init__(self, message: str, hint: str | None = None, findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, hint)
        self.findings = tuple(findings)


class StoppedError(AssetctlError):
    """Raised where a person stopped the work before its end; `done` says what there is, and `rest` how to go on.

    Attributes:
        rest: Options that the same command needs to do what is left; none where the hint tells.
    """

    code = "interrupted"
    exit_code = 130

    def __init__(self, message: str, hint: str | None = None, rest: Mapping[str, str] | None = None) -> None:
        super().__init__(message, hint)
        self.rest = dict(rest or {})


class InternalError(AssetctlError):
    """Made of any other exception: a defect in assetctl itself."""

    code = "internal"
