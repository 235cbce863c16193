"""The Hugging Face Hub: `hf://ORG/REPO[@REVISION][/PATH]`, `ORG/REPO`, or the address of a page."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, unquote

from assetctl.errors import AmbiguousNameError, RefusedFileError, SourceNotFoundError, UsageError
from assetctl.files.safetensors import MODEL_SUFFIXES
from assetctl.run import all_of
from assetctl.sources._choose import (
    INDEX,
    REFUSED_SUFFIXES,
    SAFETENSORS_HINT,
    could_be_chosen,
    diffusers_files,
    listed,
    read_index,
    variants_of,
)
from assetctl.sources.base import (
    Choice,
    Newest,
    Resolution,
    Way,
    cancellable,
    current_run,
    misspelt,
    need_network,
    path_at,
)
from assetctl.text import air, parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assetctl.run import Run
    from assetctl.settings import Settings
    from assetctl.sources.base import Found, RemoteFile
    from assetctl.text import Air
    from assetctl.types import Facts, Origin

#: What is written so is asked of nobody else.
SCHEMES = ("hf://",)

_PAGE = re.compile(r"/[^/]+/[^/]+/?(?:(?<=/)(?P<kind>blob|resolve|raw|tree)/.+)?")
#: A name of dots alone is none: it would be another folder.
_REPOSITORY = r"(?P<repo>[A-Za-z0-9][\w.-]*/(?!\.+(?![\w.-]))[\w.-]+)"
_REVISION = r"(?:@(?P<revision>refs/(?:pr|convert)/[^/@?]+|(?!\.+(?![^/@?]))[^/@?]+))?"
_VARIANT_WORD = re.compile(r"[A-Za-z0-9_-]{1,40}")
_VARIANT = rf"(?:\?variant=(?P<variant>{_VARIANT_WORD.pattern}))?"
_SCHEME = r"(?i:hf)://(?:models/(?=[^/]+/[^/]))?"
_HF = re.compile(rf"{_SCHEME}{_REPOSITORY}{_REVISION}(?:/(?P<path>[^?]*))?{_VARIANT}", re.ASCII)
_BARE = re.compile(rf"{_REPOSITORY}{_REVISION}{_VARIANT}", re.ASCII)
_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_OTHER_TYPES = (
    "datasets", "spaces", "buckets", "kernels", "collections", "papers", "blog", "docs", "settings", "organizations",
    "posts", "tasks", "learn", "models", "api", "join", "new",
)  # fmt: skip
_OTHER_REPOSITORIES = ("datasets/", "spaces/", "buckets/", "kernels/")
#: Revisions with a slash that need no encoding.
_REF = re.compile(r"refs/(?:pr|convert)/[^/@?%]+")
_COMMIT = re.compile(r"[0-9a-f]{40}", re.ASCII)
#: Files of a folder that are read at a time.
_FILES = 4

#: What is taken if it is there.
_BEST_SUFFIXES = (".safetensors", ".sft")

#: Names that many repositories share and that say nothing of the asset.
_GENERIC = ("diffusion_pytorch_model", "pytorch_lora_weights", "adapter_model", "learned_embeds", "model")

#: Ends of addresses that are of a file, and of no repository.
_FILE_SUFFIXES = (".png", ".zip", ".json", ".txt", ".html", ".webp", ".jpg", ".jpeg")

#: Files of a repository that are listed.
_MOST_CHOICES = 200

_FORM_HINT = "Write hf://ORG/REPO[@REVISION][/FILE] or hf://ORG/REPO?variant=fp16."


def source(settings: Settings) -> HuggingFaceSource:
    """The Hub as a source."""
    return HuggingFaceSource(offline=settings.offline)


@dataclass(frozen=True, slots=True)
class HubReference:
    """A repository, perhaps at a revision, perhaps one file of it, or a variant of its weights."""

    repo: str
    revision: str | None = None
    path: str | None = None
    variant: str | None = None

    def prefix(self) -> str:
        """What turns a path in the repository into a reference."""
        revision = self.revision or ""
        plain = revision if _REF.fullmatch(revision) else quote(revision, safe="")
        return f"hf://{self.repo}{f'@{plain}' if plain else ''}/"

    def written(self) -> str:
        """It in full, as a person would write it."""
        variant = f"?variant={self.variant}" if self.variant else ""
        return (self.prefix() + (self.path or "")).rstrip("/") + variant


class HuggingFaceSource:
    """Resolves to a commit, and fetches with resume and verification, outside of the Hub's own cache."""

    name = "huggingface"
    aliases = ("hf", "hub")

    def __init__(self, *, offline: bool = False) -> None:
        self._offline = offline

    def accepts(self, reference: str) -> bool:
        """Whether it starts with `hf://`, is a page or an AIR of the Hub, or is `ORG/REPO` and no file is there."""
        if reference.lower().startswith(SCHEMES) or _is_page(reference):
            return "://" in reference or not Path(reference).exists()
        named = air(reference)
        if named is not None:
            return named.source == self.name
        return is_bare(reference) and not Path(reference).exists()

    def resolve(self, reference: str) -> Resolution:
        """Ask the Hub for the commit and its files; see `Source`."""
        wanted = parse(reference)
        need_network(reference, offline=self._offline)
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        there = client.look_up(wanted.repo, wanted.revision)
        commit, files = there.commit, there.files
        paths = sorted(files)
        repository = wanted.repo.split("/")[1]
        index = None
        if wanted.path is None and INDEX in files:
            index = read_index(client.read_small(wanted.repo, commit, files[INDEX]), wanted.repo)
            chosen = diffusers_files(paths, index, wanted.repo, wanted.variant)
            name, form = f"{repository}-{wanted.variant}" if wanted.variant else repository, "diffusers"
        else:
            path = (
                choose_single_file(paths, wanted.repo, wanted.prefix())
                if wanted.path is None
                else named_file(wanted.path, paths, wanted.repo, wanted.prefix())
            )
            chosen, name, form = (path,), file_name(path, repository), "file"
        complete = tuple(client.with_hash(wanted.repo, commit, files[path]) for path in chosen)
        page = client.page(wanted.repo, commit, chosen[0] if form == "file" else None)
        page += f"?variant={wanted.variant}" if wanted.variant else ""  # another asset than the plain weights
        warnings = there.warnings(wanted.repo)
        choices = () if wanted.path else _choices(files, chosen, wanted, index)
        return Resolution(self.name, reference, commit, page, name, form, complete, there.facts, warnings, choices)

    def way(self, resolution: Resolution, file: RemoteFile) -> Way:
        """Its place at the commit; see `Source`."""
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        repo = parse(resolution.reference).repo
        return client.way(repo, resolution.revision or "main", file.path, offline=self._offline)

    def folder(self, reference: str) -> tuple[str, str | None]:
        """It is called as the repository is; see `NamesFolders`."""
        wanted = parse(reference)
        return wanted.repo.split("/")[1], wanted.variant

    def with_hashes(self, resolution: Resolution) -> Resolution:
        """Read what of a folder the Hub knows by git's hash alone; see `Pinning`."""
        if resolution.format == "file":  # it comes anyway
            return resolution
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        repo = parse(resolution.reference).repo

        def pinned(file: RemoteFile, run: Run) -> RemoteFile:
            with cancellable(run):
                return file if file.sha256 else client.with_sha256(repo, resolution.revision or "main", file)

        return replace(resolution, files=tuple(all_of(resolution.files, pinned, _FILES, current_run())))

    def describe(self, sha256: str | None, origin: Origin | None) -> Facts | None:
        """It cannot be asked by hash; it knows what came from there. See `Describing`."""
        del sha256
        if origin is None or origin.source != self.name:
            return None
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        return client.look_up(parse(origin.reference).repo, origin.revision).facts

    def pictures(self, sha256: str | None, origin: Origin | None, *, nsfw: bool) -> list[Way]:
        """Those of the repository that go by the file's name, or that its card shows; see `Picturing`."""
        del sha256
        if origin is None or origin.source != self.name:
            return []
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        exact = parse(self.exact(origin))
        return client.pictures(exact.repo, origin.revision, exact.path, nsfw=nsfw)

    def follows(self, origin: Origin) -> bool:
        """What came from there, but for a commit that was named by its hash: that was wanted. See `Versioned`."""
        if origin.source != self.name:
            return False
        try:
            revision = parse(origin.reference).revision
        except UsageError:  # a page of another endpoint: asking tells
            return True
        return revision is None or not _COMMIT.fullmatch(revision)

    def version(self, origin: Origin) -> str | None:
        """The page of a commit; see `Versioned`."""
        return origin.url if origin.source == self.name else None

    def newest(self, origin: Origin) -> Newest | None:
        """What its reference stands for now; see `Versioned`."""
        there = self.resolve(origin.reference)
        if there.revision == origin.revision:
            return None
        sha256 = there.sha256 if there.format == "file" else None
        return Newest((origin.revision or "")[:12], (there.revision or "")[:12], origin.reference, there.url, sha256)

    def exact(self, origin: Origin) -> str:
        """Its commit and, of a repository with more than one file, its path; see `Exact`."""
        try:
            wanted = parse(origin.reference)
        except UsageError:  # a page of another endpoint
            return origin.reference
        shown = unquote((origin.url or "").partition(f"/blob/{origin.revision}/")[2])
        path = shown or wanted.path or ""
        if origin.revision is None or "?" in path:
            return origin.reference
        return HubReference(wanted.repo, origin.revision, path or None, wanted.variant).written()

    def departure(self, wanted: str, said: Resolution) -> str | None:
        """Its files are that repository's at one commit, on the Hub or where `HF_ENDPOINT` says; see `Accountable`."""
        asked, commit = parse(wanted), said.revision or ""
        try:
            if parse(said.reference) != asked:
                return "reference"
        except UsageError:
            return "reference"
        if not _COMMIT.fullmatch(commit) or (_COMMIT.fullmatch(asked.revision or "") and asked.revision != commit):
            return "revision"
        paths = [file.path for file in said.files]
        whole = said.format == "diffusers"
        if not (_may_be_whole(asked, paths) if whole else _may_be_one(asked, paths)):
            return "files"
        for file in said.files:
            if file.url is not None and not _is_at(file.url, f"{asked.repo}/resolve/{commit}/{quote(file.path)}"):
                return "files.url"
        shown = f"tree/{commit}" if whole else f"blob/{commit}/{quote(paths[0])}"
        variant = f"?variant={asked.variant}" if asked.variant else ""
        return None if _is_at(said.url, f"{asked.repo}/{shown}{variant}") else "url"

    def search(self, query: str, kind: str | None, base_models: Sequence[str], limit: int) -> list[Found]:
        """Ask the Hub; see `Searchable`."""
        need_network("A search on the Hub", offline=self._offline)
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - the Hub's client costs 200 ms

        return client.search(query, kind, base_models, limit)

    def user(self, token: str) -> str:
        """Whose token this is; see `TakesTokens`."""
        need_network("Your account on the Hub", offline=self._offline)
        from assetctl.sources.huggingface import client  # noqa: PLC0415 - as above

        return client.user(token)


def is_bare(reference: str) -> bool:
    """Whether it is `ORG/REPO`, which may be a path too."""
    return bool(_BARE.fullmatch(reference)) and not reference.lower().endswith(MODEL_SUFFIXES)


def parse(reference: str) -> HubReference:
    """Read a reference to the Hub.

    Raises:
        UsageError: It does not make sense.
    """
    if _is_page(reference):
        return _parse_page(reference)
    named = air(reference)
    if named is not None:
        return _parse_air(reference, named)
    match = _HF.fullmatch(reference) or _BARE.fullmatch(reference)
    if match is None or match["repo"].startswith(_OTHER_REPOSITORIES):
        raise UsageError(f"{reference!r} does not name a model repository on the Hub.", _FORM_HINT)
    parts = match.groupdict()
    revision = unquote(parts["revision"]) if parts["revision"] else None
    path = (parts.get("path") or "").strip("/") or None
    _see_revision(reference, revision)
    if path and parts["variant"]:
        raise UsageError(f"{reference}: a variant is of a whole repository, not of a file.", _FORM_HINT)
    return HubReference(parts["repo"], revision, path, parts["variant"])


def _parse_air(written: str, named: Air) -> HubReference:
    """Read an AIR: `ORG/REPO[@REVISION][+FILE][.FORMAT]`, where some write a file's name in place of the revision."""
    resource = re.sub(r"\.(?:safetensor|pickletensor|diffusers?|coreml)$", "", named.resource, flags=re.IGNORECASE)
    body, _, path = resource.partition("+")
    repo, _, revision = body.partition("@")
    if not path and revision.lower().endswith(MODEL_SUFFIXES):
        path, revision = revision, ""
    if named.source != "huggingface" or not _BARE.fullmatch(repo) or repo.startswith(_OTHER_REPOSITORIES):
        raise UsageError(f"{misspelt(written)!r} does not name a model repository on the Hub.", _FORM_HINT)
    _see_revision(written, revision or None)
    variant = parse_qs(named.query).get("variant", [""])[-1]
    is_whole = not path and _VARIANT_WORD.fullmatch(variant)
    return HubReference(repo, revision or None, path.strip("/") or None, variant if is_whole else None)


def choose_single_file(paths: Iterable[str], where: str, prefix: str) -> str:
    """The one model file of a repository that is no diffusers folder.

    Args:
        paths: All files.
        where: The repository, for messages.
        prefix: What turns a path into a reference.

    Raises:
        AmbiguousNameError: There are several.
        RefusedFileError: There are only other frameworks' weights.
        SourceNotFoundError: There is none.
    """
    paths = sorted(paths)
    models = [path for path in paths if path.endswith(_BEST_SUFFIXES)]
    models = models or [path for path in paths if path.lower().endswith(MODEL_SUFFIXES)]
    top = [path for path in models if "/" not in path]
    if len(top) == 1:
        return top[0]
    if models:
        found = [prefix + path for path in top or models]
        raise AmbiguousNameError(
            f"{where} has {len(found)} model files: {listed(top or models)}.",
            f"Name one of them, for example: assetctl pull {found[0]}",
            candidates=found,
        )
    if any(path.endswith(REFUSED_SUFFIXES) for path in paths):
        raise RefusedFileError(f"{where} has no safetensors file.", SAFETENSORS_HINT)
    raise SourceNotFoundError(f"{where} has no model file.", "Check the repository's page for what it is.")


def _choices(
    files: Mapping[str, RemoteFile], chosen: Sequence[str], wanted: HubReference, index: object
) -> tuple[Choice, ...]:
    """What a repository has that could be pulled, with what was chosen of it marked: files, and whole folders.

    Files in folders of a diffusers folder are parts of it, in this precision or that: each of these is one choice.
    """
    models = [path for path in sorted(files) if path.lower().endswith(MODEL_SUFFIXES)]
    if index is not None:
        models = [path for path in models if "/" not in path]
    listed_ = tuple(
        Choice(path, size=files[path].size, chosen=path in chosen, reference=wanted.prefix() + path)
        for path in models[:_MOST_CHOICES]
    )
    if index is None:
        return listed_
    folders: dict[tuple[str, ...], Choice] = {}  # plain weights may be those of a variant, where there are no others
    for variant in dict.fromkeys((wanted.variant, None, *variants_of(list(files)))):
        with contextlib.suppress(
            RefusedFileError
        ):  # some component has it, and others have neither it nor plain weights
            paths = diffusers_files(list(files), index, wanted.repo, variant)
            size = sum(files[path].size or 0 for path in paths)
            name, is_it = variant or "diffusers", variant == wanted.variant
            reference = HubReference(wanted.repo, wanted.revision, None, variant).written()
            folders.setdefault(paths, Choice(name, None, "folder", size, "diffusers", variant, is_it, reference))
    return (*folders.values(), *listed_)


def named_file(path: str, paths: Sequence[str], where: str, prefix: str) -> str:
    """`path`, if there is such a file and it can be a model.

    Raises:
        SourceNotFoundError: There is no such file.
        RefusedFileError: It is another framework's.
    """
    if path not in paths:
        below = [prefix + other for other in paths if other.endswith(".safetensors") and other.startswith(path + "/")]
        hint = f"Name a file of that folder: {', '.join(below[:5])}" if below else "Check the name on its page."
        raise SourceNotFoundError(f"{where} has no file {path}.", hint)
    if path.lower().endswith(REFUSED_SUFFIXES):
        raise RefusedFileError(f"{where} has {path}, which is another framework's file.", SAFETENSORS_HINT)
    return path


def file_name(path: str, repository: str) -> str:
    """What to call the asset in `path`: its own name, unless that is one which all share."""
    file = PurePosixPath(path)
    if not file.stem.startswith(_GENERIC):
        return file.stem if path.endswith(_BEST_SUFFIXES) else file.name
    return "-".join((repository, *file.parts[:-1]))


def _may_be_whole(asked: HubReference, paths: Sequence[str]) -> bool:
    """Whether these can be the files of a repository as a whole."""
    return asked.path is None and could_be_chosen(paths, asked.variant)


def _may_be_one(asked: HubReference, paths: Sequence[str]) -> bool:
    """Whether this can be the one file that was asked for."""
    if len(paths) != 1:
        return False
    return paths[0] == asked.path if asked.path else paths[0].lower().endswith(MODEL_SUFFIXES)


def _is_at(address: str | None, place: str) -> bool:
    """Whether an address is that of this place on the Hub, or where `HF_ENDPOINT` says."""
    own = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return address in {f"{endpoint}/{place}" for endpoint in ("https://huggingface.co", own) if endpoint}


def _is_page(reference: str) -> bool:
    return _page_path(reference) is not None


def _page_path(address: str) -> str | None:
    """The path of an address on the Hub or, behind whatever path that has, on the one that `HF_ENDPOINT` names.

    On the host of a mirror other things may lie as well: there it must look like the page of a model.
    """
    if (known := path_at(address, _HOSTS)) is not None:
        return known
    parts, own = parts_of(address), parts_of(os.environ.get("HF_ENDPOINT", "").rstrip("/"))
    if parts.scheme not in ("https", "http"):
        return None
    if not own.netloc or parts.netloc.lower() != own.netloc.lower() or not parts.path.startswith(f"{own.path}/"):
        return None
    path = parts.path.removeprefix(own.path)
    page = _PAGE.fullmatch(path)
    return path if page and (page["kind"] or not path.lower().endswith((*MODEL_SUFFIXES, *_FILE_SUFFIXES))) else None


def _parse_page(address: str) -> HubReference:
    """Read the address of a repository, a folder or a file as the browser shows it."""
    parts = [unquote(part) for part in (_page_path(address) or "").split("/") if part]
    repo = "/".join(parts[:2]).removesuffix(".git")
    if len(parts) < 2 or parts[0] in _OTHER_TYPES or not _BARE.fullmatch(repo):
        raise UsageError(f"{address} is not the page of a model.", _FORM_HINT)
    shown = parse_qs(parts_of(address).query).get("show_file_info", [None])[-1]  # the page tells of this file
    if len(parts) == 2:
        return HubReference(repo, path=shown)
    if parts[2] not in ("blob", "resolve", "raw", "tree", "commit") or len(parts) == 3:
        raise UsageError(f"{address} is neither a repository nor a file of one.", _FORM_HINT)
    end = 6 if parts[3] == "refs" else 4
    revision = "/".join(parts[3:end])
    _see_revision(address, revision)
    return HubReference(repo, revision, shown or "/".join(parts[end:]) or None)


def _see_revision(written: str, revision: str | None) -> None:
    """Refuse one that leads out of its place in an address, however it was encoded."""
    if revision and any(part in (".", "..") for part in revision.split("/")):
        raise UsageError(f"{written!r} has a revision that can be none.", _FORM_HINT)
