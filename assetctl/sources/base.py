"""What a source is, what it says of the files that it has, and how little of it is believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from assetctl.errors import RefusedFileError
from assetctl.files.disk import LARGEST_FILE
from assetctl.files.paths import safe_path
from assetctl.text import redacted, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from assetctl.types import Facts, Origin

    Report = Callable[["FetchProgress"], None]

#: What somebody does who needs the network, and whose is switched off.
OFFLINE_HINT = "Leave out --offline or unset ASSETCTL_OFFLINE and HF_HUB_OFFLINE; or give the path of a local file."


#: Characters of a text that is kept.
_LONGEST = 200


def text(said: object) -> str | None:
    """A short text that can be shown."""
    return said.strip()[:_LONGEST] or None if isinstance(said, str) and said.isprintable() else None


def misspelt(reference: str) -> str:
    """A reference that is no address, and may have been meant as one, without the name and password in it."""
    shown = re.sub(r"(?is)^(\s*https?:[/\\]*).*@", r"\1***@", reference)
    return redacted(shown)[:_LONGEST]


def texts(said: object) -> list[str]:
    """The texts of a list."""
    return [item for item in said if isinstance(item, str)] if isinstance(said, list) else []


def number(said: object) -> int | None:
    """A whole number from 0 on, which every database takes."""
    return said if type(said) is int and 0 <= said < 2**63 else None


def size(said: object) -> int | None:
    """How many bytes a file has, if it can have so many."""
    bytes_ = number(said)
    return bytes_ if bytes_ is not None and bytes_ <= LARGEST_FILE else None


def dictionary(said: object) -> Mapping[str, Any]:
    """A JSON object; empty, where it is none."""
    return said if isinstance(said, dict) else {}


def dictionaries(said: object) -> list[dict[str, Any]]:
    """The JSON objects of a list."""
    return [item for item in said if isinstance(item, dict)] if isinstance(said, list) else []


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file at a source; `None` where the source does not say. Names and hashes are seen to be such.

    Attributes:
        path: Relative, with `/`, seen to be safe.
        size: In bytes.
        sha256: Hash of the content.
        git_oid: SHA1 of the content as a git blob, for small files on the Hub.
        url: Where it can be had, for people and lockfiles.
    """

    path: str
    size: int | None = None
    sha256: str | None = None
    git_oid: str | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        safe_path(self.path, "A source")
        for digest, length in ((self.sha256, 64), (self.git_oid, 40)):
            if digest is not None and not re.fullmatch(rf"[0-9a-f]{{{length}}}", digest, re.ASCII):
                raise RefusedFileError(f"{self.path} is given the hash {digest[:80]!r}, which is not a hash.")


@dataclass(frozen=True, slots=True)
class Resolution:
    """Exactly what a reference stands for now.

    Attributes:
        source: Name of the source.
        reference: As it was given; no secret that is in it is kept here, nor one in `url`.
        revision: The commit, where there are commits.
        url: A page or file for people.
        name: What the asset may be called.
        format: `file` or `diffusers`.
        files: The one file, or those of the folder.
        facts: What the source says of the asset.
        warnings: What the person should know.
    """

    source: str
    reference: str
    revision: str | None
    url: str | None
    name: str
    format: str
    files: tuple[RemoteFile, ...]
    facts: Facts | None = None
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.source != "path":  # a path is what it is
            object.__setattr__(self, "reference", without_secrets(self.reference))
            object.__setattr__(self, "url", None if self.url is None else without_secrets(self.url))

    @property
    def size(self) -> int:
        """Bytes in all, of the files that say."""
        return sum(file.size or 0 for file in self.files)


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far one file is, in bytes."""

    file: str
    done: int
    total: int | None


class Source(Protocol):
    """Somewhere that assets come from. A module of this folder with `source(settings)` is one."""

    name: str
    #: SHA256 of what was fetched, by path, where it was computed on the way.
    hashes: dict[str, str]

    def accepts(self, reference: str) -> bool:
        """Whether this reference is written in the source's way. Cheap: no network."""
        ...

    def resolve(self, reference: str) -> Resolution:
        """Find out what a reference stands for; nothing is fetched but names and hashes.

        Raises:
            UsageError: The reference does not make sense.
            NotFoundError: There is no such file here.
            SourceError: The source does not have it, or cannot be reached.
            RefusedFileError: What is there is of a kind that is never loaded.
            AmbiguousNameError: Several files could be meant.
        """
        ...

    def fetch(self, resolution: Resolution, into: Path, report: Report) -> Path:
        """Fetch into the folder `into` and verify; what an earlier try left there is gone on with.

        Returns:
            The file or folder inside `into`.

        Raises:
            HashMismatchError: The bytes are not those that were promised; they are gone.
            CorruptFileError: A file changed while it was copied.
            SourceError: The source failed; what came so far is kept.
            StorageError: The disk refused.
        """
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """One model that a search at a source found.

    Attributes:
        reference: What `pull` takes.
        name: What its page calls it.
        kind: In our words, `None` where the source does not say or we have none.
        base_model: As the source says.
        size: Bytes of the file that `pull` would take, where the source says.
        sha256: Of that file, where the source says.
        downloads: How often it was downloaded.
        creator: Who published it.
        page: For people.
    """

    reference: str
    name: str
    kind: str | None
    base_model: str | None
    size: int | None
    sha256: str | None
    downloads: int | None
    creator: str | None
    page: str


@runtime_checkable
class Searchable(Protocol):
    """A source that can be searched."""

    name: str
    #: Other words for it.
    aliases: tuple[str, ...]

    def search(self, query: str, kind: str | None, base_models: Sequence[str], limit: int) -> list[Found]:
        """Models that suit the words, best first; of one kind, and of one of some base models, if any are given.

        Raises:
            SourceError: The source cannot be reached.
        """
        ...


@runtime_checkable
class Guarded(Protocol):
    """A source that has things which are not for everyone."""

    name: str
    #: Other words for it.
    aliases: tuple[str, ...]

    def user(self, token: str) -> str:
        """The name of the person whose token this is.

        Raises:
            UnauthorizedError: The source does not know it.
            SourceError: The source cannot be reached.
        """
        ...


@runtime_checkable
class Exact(Protocol):
    """A source in whose way of writing one can name exactly what came."""

    def exact(self, origin: Origin) -> str:
        """The reference that brings the same again, as far as the origin tells; else the one that it had."""
        ...


@runtime_checkable
class Accountable(Protocol):
    """A source that can tell, without asking anyone, what was resolved by a reference from what was not."""

    def departure(self, wanted: str, said: Resolution) -> str | None:
        """Which part of a resolution from outside does not follow from the reference; `None` if all does.

        Hashes are not looked at. Addresses must be those that the source itself would make.
        """
        ...


@runtime_checkable
class Confinable(Protocol):
    """A source that can be kept to one folder of this machine."""

    def confined(self, folder: Path, *, known: bool = False) -> Source:
        """The same source, which refuses whatever does not lie in the folder, links followed.

        Where whoever asks has named the hash of the asset (`known`), that may lie elsewhere, and nothing else may.
        """
        ...


@runtime_checkable
class Pinning(Protocol):
    """A source that can tell hashes which its listings lack."""

    def with_hashes(self, resolution: Resolution) -> Resolution:
        """The same with the SHA256 of every file; small ones are read for it.

        Raises:
            SourceError: The source cannot be reached.
            HashMismatchError: A file is larger than any that lacks a hash should be, or is not what was promised.
        """
        ...
