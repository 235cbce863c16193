"""What a source is, what it says of the files that it has, and how little of it is believed."""

from __future__ import annotations

import hashlib
import re
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from assetctl.errors import OfflineError, RefusedFileError
from assetctl.files.disk import LARGEST_FILE
from assetctl.files.hashing import tree_sha256
from assetctl.files.paths import safe_path
from assetctl.text import parts_of, redacted, visible, without_secrets

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import httpx2

    from assetctl.run import Run
    from assetctl.types import Facts, Origin

_OFFLINE_HINT = "Unset ASSETCTL_OFFLINE and HF_HUB_OFFLINE, or leave out --offline; or give the path of a local file."


def need_network(what: str, *, offline: bool) -> None:
    """See that the network is not switched off.

    Raises:
        OfflineError: It is.
    """
    if offline:
        raise OfflineError(f"{what} needs the network, which is switched off.", _OFFLINE_HINT)


_RUN: ContextVar[Run | None] = ContextVar("run", default=None)


def current_run() -> Run | None:
    """The run that this thread works for, if that was said."""
    return _RUN.get()


@contextmanager
def cancellable(run: Run) -> Iterator[None]:
    """In the block, what this thread waits for of a server is cut off when the run is cancelled.

    Raises:
        Cancelled: It was.
    """
    before = _RUN.set(run)
    try:
        run.check()
        yield
    finally:
        _RUN.reset(before)


#: Characters of a text that is kept.
_LONGEST = 200


def text(said: object) -> str | None:
    """A short text that can be shown."""
    return said.strip()[:_LONGEST] or None if isinstance(said, str) and said.isprintable() else None


def misspelt(reference: str) -> str:
    """A reference that is no address, and may have been meant as one, without the name and password in it."""
    shown = re.sub(r"(?is)^(\s*https?:[/\\]*).*@", r"\1***@", reference)
    shown = re.sub(r"^\s*[^/@]+:[^/]*@(?=[\w-]+\.[\w.-]+[:/])", "***@", shown)  # before a host, without a scheme
    return redacted(shown)[:_LONGEST]


def path_at(address: str, hosts: Container[str]) -> str | None:
    """The path of an address on one of these hosts, in capitals, with a port, without its scheme, or with a name."""
    has_scheme = "://" in address
    parts = parts_of(address if has_scheme else f"https://{address}")
    if not has_scheme and parts.username is not None:  # a password there is seen by nobody who hides those
        return None
    is_there = parts.scheme in ("https", "http") and (parts.hostname or "").rstrip(".") in hosts
    return parts.path if is_there and parts.port in (None, 80, 443) else None


def texts(said: object) -> list[str]:
    """The texts of a list."""
    return [item for item in said if isinstance(item, str)] if isinstance(said, list) else []


#: Trigger words that are kept of one asset, and characters of each.
_MOST_WORDS, _LONGEST_WORD = 64, 500

#: What stands for a byte that is no text in the encoding of its file.
UNREADABLE = "\ufffd"

#: A tag that loads a LoRA: makers write it among the words that wake it, and it is none.
_TAG = re.compile(r"<(?:lora|lyco|lyc|hypernet):[^<>]{1,200}>", re.IGNORECASE)


def words(said: object) -> tuple[str, ...]:
    """Trigger words or tags: those of a list, or of a text that separates them by commas; each once."""
    spoken = listed(said) if isinstance(said, str) else texts(said)
    kept: dict[str, str] = {}
    for each in spoken:
        word = visible(_TAG.sub(" ", each[: 2 * _LONGEST_WORD])).strip(" ,")[:_LONGEST_WORD]
        if word and word.isprintable() and UNREADABLE not in word:
            kept.setdefault(word.casefold(), word)
    return tuple(kept.values())[:_MOST_WORDS]


def listed(said: str) -> list[str]:
    """The parts of a text between commas and lines; those in brackets belong together, where all are closed."""
    parts, depth = [""], 0
    said = said[: _MOST_WORDS * _LONGEST_WORD]
    for char in said:
        depth += (char in "([{") - (char in ")]}")
        if char in ",\n" and depth <= 0:
            parts.append("")
        else:
            parts[-1] += char
    return parts if depth == 0 else re.split(r"[,\n]", said)


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


#: Kinds of digests, and how many hexadecimal digits they have.
_DIGITS = {"sha256": 64, "git": 40}


@dataclass(frozen=True, slots=True)
class Digest:
    """What bytes are known by: `sha256`, or `git`, the SHA1 of them as a git blob, which counts their size too."""

    kind: str
    value: str

    def __post_init__(self) -> None:
        if not re.fullmatch(rf"[0-9a-f]{{{_DIGITS[self.kind]}}}", self.value, re.ASCII):
            raise RefusedFileError(f"{self.value[:80]!r} is given as a hash, and is none.")

    def begun(self, size: int | None) -> hashlib._Hash | None:
        """A hash to feed with the bytes of a file of this size; `None` where it cannot be computed on the way."""
        if self.kind == "sha256":
            return hashlib.sha256()
        if size is None:
            return None
        return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def digests(**known: str | None) -> tuple[Digest, ...]:
    """Those of some digests, each by its kind, that are known.

    Raises:
        RefusedFileError: One is no hash.
    """
    return tuple(Digest(kind, value) for kind, value in known.items() if value is not None)


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file at a source; `None` where the source does not say. Names and hashes are seen to be such.

    Attributes:
        path: Relative, with `/`, seen to be safe.
        size: In bytes.
        digests: What its bytes are known by, the best first.
        url: Where it can be had, for people and lockfiles.
    """

    path: str
    size: int | None = None
    digests: tuple[Digest, ...] = ()
    url: str | None = None

    def __post_init__(self) -> None:
        safe_path(self.path, "A source")

    def digest(self, kind: str) -> str | None:
        """Its digest of one kind, if that is known."""
        return next((digest.value for digest in self.digests if digest.kind == kind), None)

    @property
    def sha256(self) -> str | None:
        """Its SHA256, if that is known."""
        return self.digest("sha256")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the files that a page or repository has.

    Attributes:
        name: What it is called there.
        number: The source's own number of it, where it has some.
        type: What the source calls it: `Model`, `VAE`, `Text Encoder`, ...
        size: In bytes.
        format: As the source says.
        precision: As the source says.
        chosen: Whether it is the one that comes.
        reference: What brings it; `None` for what is no model.
    """

    name: str
    number: int | None = None
    type: str | None = None
    size: int | None = None
    format: str | None = None
    precision: str | None = None
    chosen: bool = False
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Resolution:
    """Exactly what a reference stands for now.

    Attributes:
        source: Name of the source.
        reference: As it was given; no secret that is in it is kept here, nor one in `url`.
        revision: The commit, where there are commits.
        url: A page or file for people.
        name: What the asset may be called.
        format: `file`, `diffusers`, or `archive` for a ZIP whose models are not known before it is here.
        files: The one file, or those of the folder.
        facts: What the source says of the asset.
        warnings: What the person should know.
        choices: Which files there were to choose from, where there was more than one.
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
    choices: tuple[Choice, ...] = ()

    def __post_init__(self) -> None:
        if self.source != "path":  # a path is what it is
            object.__setattr__(self, "reference", without_secrets(self.reference))
            object.__setattr__(self, "url", None if self.url is None else without_secrets(self.url))

    @property
    def size(self) -> int:
        """Bytes in all, of the files that say."""
        return sum(file.size or 0 for file in self.files)

    @property
    def sha256(self) -> str | None:
        """The hash of the file, or of the folder as a whole, where those of its files are known."""
        if self.format == "archive":  # what is in it has other hashes
            return None
        if self.format == "file":
            return self.files[0].sha256
        hashes = [(file.path, file.sha256) for file in self.files if file.sha256]
        return tree_sha256(hashes) if len(hashes) == len(self.files) else None


@dataclass(frozen=True, slots=True)
class Way:
    """How to ask a server for one file.

    Attributes:
        what: The file's name for messages, without secrets.
        url: Its address.
        headers: What to send; `Authorization` goes to the address's own host alone.
        session: The client that asks.
        check: Raises the source's own error for an answer that is none.
        errors: Turns what `check` and the network raise into our errors, given `what`.
        timeout: Seconds without a byte that count as a stall.
        named: The address that a person named, where `url` is one that a server gave.
        most: Limit on its bytes, where no size is promised.
        offline: Whether nobody may be asked.
    """

    what: str
    url: str
    headers: Callable[[], Mapping[str, str]]
    session: Callable[[], httpx2.Client]
    check: Callable[[httpx2.Response], None]
    errors: Callable[[str], AbstractContextManager[None]]
    timeout: float = 30.0
    named: str | None = None
    most: int = LARGEST_FILE
    offline: bool = False


class Source(Protocol):
    """Somewhere that assets come from: it says what a reference means, and where each file can be had.

    `transfer` brings the files. A module of this folder with `source(settings)` is a source.
    """

    name: str

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

    def way(self, resolution: Resolution, file: RemoteFile) -> Way | Path:
        """Where one of the files can be had: how to ask a server, or a path of this machine. No network.

        Raises:
            NotFoundError: A path at which nothing is.
            RefusedFileError: It may not be taken.
        """
        ...


@runtime_checkable
class NamesFolders(Protocol):
    """A source whose references to diffusers folders say more than that; those of others are named as they resolve."""

    def folder(self, reference: str) -> tuple[str, str | None]:
        """The folder's name there, and the variant of weights that is preferred to the plain ones."""
        ...


class Packed(NamedTuple):
    """A ZIP as it can be fetched, and the path in it of the one file that is meant; `None` means all models in it."""

    archive: Resolution
    member: str | None = None


@runtime_checkable
class Packing(Protocol):
    """A source that has models in ZIPs."""

    def packed(self, resolution: Resolution) -> Packed | None:
        """The ZIP that this is, or is in; `None` for what is neither."""
        ...

    def unpacked(self, archive: Resolution, member: str, file: RemoteFile, of: int) -> Resolution:
        """What one file of a ZIP is by itself: its own reference and address, and what its page says.

        The address begins as that of the ZIP does, and ends in `of=` and how many assets there are in that.
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
class Describing(Protocol):
    """A source that says things of files that did not, or not just now, come from it."""

    name: str

    def describe(self, sha256: str | None, origin: Origin | None) -> Facts | None:
        """What it says of bytes with this hash, or that came from there; `None` where it cannot know any.

        Raises:
            SourceNotFoundError: It knows nothing of them.
            SourceError: It cannot be reached.
        """
        ...


@runtime_checkable
class Picturing(Protocol):
    """A source that shows by pictures what things are like."""

    name: str

    def pictures(self, sha256: str | None, origin: Origin | None, *, nsfw: bool) -> Sequence[Way]:
        """The ways to pictures of bytes with this hash, or that came from there, the one that shows them best first.

        Args:
            sha256: Of the bytes, where they are those of one file.
            origin: Where they came from.
            nsfw: Whether those come too of which it does not say that everybody may see them.

        Raises:
            SourceNotFoundError: It knows nothing of them.
            SourceError: It cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest version of something at its source, where that is another than is here.

    Attributes:
        here: The version that is here, in the source's words.
        there: The newest.
        reference: What `pull` takes.
        version: What `Versioned.version` says of what comes from there.
        sha256: Of its one file, where the source says.
    """

    here: str
    there: str
    reference: str
    version: str | None
    sha256: str | None = None


@runtime_checkable
class Versioned(Protocol):
    """A source that has newer versions of things."""

    name: str

    def follows(self, origin: Origin) -> bool:
        """Whether it can be asked for a newer version of what came from there; not where one was wanted for good."""
        ...

    def version(self, origin: Origin) -> str | None:
        """Which version of what came from there, told from any other that the source has; `None` where unknown."""
        ...

    def newest(self, origin: Origin) -> Newest | None:
        """The newest version like what came from there, `None` where that is it.

        Raises:
            SourceError: The source cannot be reached, or has it no longer.
        """
        ...


@runtime_checkable
class TakesTokens(Protocol):
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
class Plain(Protocol):
    """A source whose references name one file each, so that nobody need be asked which one is meant."""

    def unasked(self, reference: str) -> Resolution:
        """What a reference says by itself; no network.

        Raises:
            UsageError: The reference does not make sense.
        """
        ...


@runtime_checkable
class Pinning(Protocol):
    """A source that can tell hashes which its listings lack."""

    def with_hashes(self, resolution: Resolution) -> Resolution:
        """The same with the SHA256 of every file, as far as the asset need not be fetched for it; small ones are read.

        Raises:
            SourceError: The source cannot be reached.
            HashMismatchError: A file is larger than any that lacks a hash should be, or is not what was promised.
        """
        ...
