"""Inspect a picture: what it says of itself, and which of its assets are here."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from assetctl.errors import FileError, StorageError
from assetctl.files.paths import absolute, open_regular
from assetctl.files.png_embeddings import KEYWORD, holds_embedding
from assetctl.operations.library.verify import learn_hashes, may_hash
from assetctl.options import label, together, written
from assetctl.pictures import parse_infotext, read_parameters
from assetctl.pictures.image_files import PictureFile, look_at_picture, picture_format
from assetctl.pictures.saving import FORMATS
from assetctl.text import model_path, without_suffix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from assetctl.errors import AssetctlError
    from assetctl.operations.workspace import Workspace
    from assetctl.pictures import PictureParameters, UsedAsset
    from assetctl.run import Run
    from assetctl.types import Asset, AssetFile


_CIVITAI = "https://civitai.com"

#: Fewer digits of a hash than these say nothing.
_LEAST_DIGITS = 6

#: AutoV1: how many digits it has, and which bytes of a file it is the SHA256 of.
_AUTOV1_DIGITS, _AUTOV1_START, _AUTOV1_LENGTH = 8, 0x100000, 0x10000

#: What is said of a file whose name is right, and whose folder is not the one that the picture names.
_ELSEWHERE = "it lies in another folder there"

#: What is said of several files of the right name where a hash would tell which it is.
UNHASHED = "their hashes are not known"

#: How many assets of one name are looked into.
_MOST_NAMESAKES = 5


Status = Literal["here", "other_bytes", "missing", "ambiguous"]


@dataclass(frozen=True, slots=True)
class ResolvedAsset:
    """An asset that a picture names, and what the catalog has of it.

    Attributes:
        status: `here`; `other_bytes`, the name is here and belongs to another file; `missing`; or
            `ambiguous`, with the names of the `candidates`.
        matched_by: `sha256`, `autov2`, `autov3`, `blake3`, `autov1`, or `name` where no hash could be compared.
        sources: Where it could come from, best first.
        note: What else there is to say of the match; of what is missing, how it comes back from the trash.
    """

    used: UsedAsset
    status: Status
    asset: Asset | None = None
    matched_by: str | None = None
    candidates: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    note: str | None = None

    @property
    def verdict(self) -> str:
        """What is here of it, in words: `here, whiskers, by its SHA256`."""
        note = f"; {self.note}" if self.note else ""
        if self.status == "missing":
            return f"missing{note}"
        if self.status == "ambiguous" or self.asset is None:
            return f"could be any of {', '.join(self.candidates)}{note}"
        if self.status == "other_bytes":
            return f"same name, other bytes: {self.asset.name} is not this file{note}"
        how = "by its name" if self.matched_by == "name" else f"by its {_HASHES.get(self.matched_by or '', 'hash')}"
        return f"here, {self.asset.name}, {how}{note}"


_HASHES = {"sha256": "SHA256", "autov1": "AutoV1", "autov2": "AutoV2", "autov3": "AutoV3", "blake3": "BLAKE3"}


class Resolver:
    """Finds what pictures name.

    Args:
        workspace: The home.
        hashes: Whether hashes that are not known yet may be computed, of assets that go by the right name; `None` for
            those of small files.
        software: Who made the picture.
    """

    def __init__(
        self, workspace: Workspace, *, hashes: bool | None = True, software: str | None = None, run: Run
    ) -> None:
        self._workspace = workspace
        self._read = workspace.catalog.read
        self._hashes = hashes
        self._run = run
        # InvokeAI hashes with BLAKE3 and names; a record of ours has its own source, or the file was a local one.
        self._knows_civitai = software not in ("InvokeAI", "assetctl")

    def resolve_all(self, assets: Iterable[UsedAsset]) -> tuple[ResolvedAsset, ...]:
        """Find each; a file is not taken for two that lie in different folders there."""
        found = [self.resolve(used) for used in assets]
        names: dict[int, set[str | None]] = {}
        for each in found:
            if each.asset is not None:
                names.setdefault(each.asset.id, set()).add(each.used.name)
        return tuple(
            ResolvedAsset(each.used, "missing", sources=each.sources)
            if each.note == _ELSEWHERE and each.asset is not None and len(names[each.asset.id]) > 1
            else each
            for each in found
        )

    def resolve(self, used: UsedAsset) -> ResolvedAsset:
        """Find one asset: by any hash, then by its name."""
        digits = _digits(used)
        found = self._by_hash(used, digits) if digits else None
        resolved = found or self._by_name(used, digits)
        gone = resolved.asset is not None and not Path(resolved.asset.path).exists()
        note = f"its file is gone: {resolved.asset.path}" if gone and resolved.asset else resolved.note
        if resolved.status == "missing" and used.name:
            note = self._workspace.trash.how_to_restore(used.name)
        return replace(resolved, sources=self._sources(resolved, digits), note=note)

    def unhashed(self, resolved: Sequence[ResolvedAsset]) -> int:
        """How many assets lack a hash of the sort by which one is named that was not found."""
        wanted = {_digits(each.used) for each in resolved if each.status in ("missing", "other_bytes")} - {""}
        if not wanted or not self._read.unhashed():
            return 0
        known = ((asset, self._read.files(asset)) for asset in self._read.assets())
        return sum(any(_lacks(asset, files, digits) for digits in wanted) for asset, files in known)

    def _by_hash(self, used: UsedAsset, digits: str) -> ResolvedAsset | None:
        found = self._read.by_hash(digits)
        how = "autov1" if not found else None
        if not found and len(digits) == _AUTOV1_DIGITS:
            found = [asset for asset, autov1 in self._autov1 if autov1 == digits]
        if not found:
            return None
        for likely in ([each for each in found if _is_called(each, used.name)], _of_role(found, used.role), found):
            if len(likely) == 1:
                asset = likely[0]
                return ResolvedAsset(used, "here", asset, how or _matched_by(asset, self._read.files(asset), digits))
        return ResolvedAsset(used, "ambiguous", candidates=tuple(asset.name for asset in found))

    def _by_name(self, used: UsedAsset, digits: str) -> ResolvedAsset:
        named, note = self._named(used)
        if not named:
            return ResolvedAsset(used, "missing")
        if digits:
            return self._compared(used, digits, named)
        if len(named) == 1:
            return ResolvedAsset(used, "here", named[0], "name", note=note)
        return ResolvedAsset(used, "ambiguous", candidates=tuple(asset.name for asset in named))

    def _named(self, used: UsedAsset) -> tuple[list[Asset], str | None]:
        """Assets that go by the name that a picture says, and what there is to say of that."""
        if not used.name:
            return [], None
        words = self._read.called(used.name) if used.role == "embedding" else []
        for found, note in (
            (self._read.named(used.name), None),
            (words, None),
            (self._read.by_alias(used.name), "its metadata have that name"),
            (self._read.named(used.name, shorter=True), _ELSEWHERE),
        ):
            fitting = _of_role(found, used.role)[:_MOST_NAMESAKES]
            if fitting:
                return fitting, note
        return [], None

    def _compared(self, used: UsedAsset, digits: str, named: Sequence[Asset]) -> ResolvedAsset:
        """Assets of the right name, none of which has the hash as far as it is known; compute what is not."""
        unknown = []
        for asset in named:
            files = self._read.files(asset)
            if _lacks(asset, files, digits) and may_hash(asset, files, self._hashes):
                files = self._hashed(asset, files)
                how = _matched_by(asset, files, digits)
                if how is not None:
                    return ResolvedAsset(used, "here", asset, how)
            if _lacks(asset, files, digits):
                unknown.append(asset)
        if len(unknown) > 1:
            return ResolvedAsset(used, "ambiguous", candidates=tuple(asset.name for asset in unknown), note=UNHASHED)
        if unknown:
            note = "its hash is not known, so it may be another file"
            return ResolvedAsset(used, "here", unknown[0], "name", note=note)
        return ResolvedAsset(used, "other_bytes", named[0], "name")

    def _hashed(self, asset: Asset, files: tuple[AssetFile, ...]) -> tuple[AssetFile, ...]:
        """The asset's files with their hashes; as they were, where a file cannot be read or has changed."""
        try:
            return learn_hashes(self._workspace, asset, self._run)
        except (FileError, StorageError):
            return files

    @cached_property
    def _autov1(self) -> list[tuple[Asset, str | None]]:
        """A1111's first hash of every checkpoint: cheap, and so ambiguous that it is not worth keeping."""
        checkpoints = self._read.assets(kind="checkpoint")
        return [(asset, _autov1(asset)) for asset in checkpoints if asset.format != "diffusers"]

    def _sources(self, resolved: ResolvedAsset, digits: str) -> tuple[str, ...]:
        used = resolved.used
        sources = list(used.sources)
        sought = digits or (used.name if resolved.status == "missing" else None)
        if sought and not sources and self._knows_civitai and resolved.status != "here":
            sources.append(f"{_CIVITAI}/search/models?query={quote(sought)}")
        return tuple(dict.fromkeys(sources))


def is_page(source: str) -> bool:
    """Whether a source is a page for people, which `pull` cannot follow."""
    return source.startswith(_CIVITAI)


def _digits(used: UsedAsset) -> str:
    digits = (used.hash or "").lower().rpartition(":")[2]
    return digits if len(digits) >= _LEAST_DIGITS else ""


def _of_role(assets: Sequence[Asset], role: str) -> list[Asset]:
    fitting = (role, "unknown", "diffusion-model") if role == "checkpoint" else (role, "unknown")
    return [asset for asset in assets if role == "other" or asset.kind in fitting]


def _is_called(asset: Asset, name: str | None) -> bool:
    if name is None:
        return False
    path = "/" + without_suffix("/".join(model_path(asset.path)))
    return asset.name.lower() == name.lower() or path.casefold().endswith("/" + name.casefold())


def _matched_by(asset: Asset, files: Sequence[AssetFile], digits: str) -> str | None:
    """Which hash begins with these digits; AutoV3 is known with its first twelve."""
    own = [file for file in files if file.role != "part"]
    if any((sha256 or "").startswith(digits) for sha256 in (asset.sha256, *(file.sha256 for file in own))):
        return "autov2" if len(digits) == 10 else "sha256"
    if any((file.autov3 or "").startswith(digits[:12]) for file in own):
        return "autov3"
    return "blake3" if any((file.blake3 or "").startswith(digits) for file in own) else None


def _lacks(asset: Asset, files: Sequence[AssetFile], digits: str) -> bool:
    """Whether a hash is unknown that can have so many digits: AutoV2 has 10, AutoV3 12, all others up to 64."""
    main = next((file for file in files if file.role == "main"), None)
    if main is None:
        return asset.sha256 is None
    if main.sha256 is None or len(digits) == 10:
        return main.sha256 is None
    lacks_autov3 = main.autov3 is None and asset.format == "safetensors"
    return lacks_autov3 if len(digits) == 12 else lacks_autov3 or main.blake3 is None


def _autov1(asset: Asset) -> str | None:
    """The first digits of the SHA256 of 64 KiB in the middle of nowhere; `None` for a file that ends before."""
    try:
        with os.fdopen(open_regular(Path(asset.path))[0], "rb") as file:
            file.seek(_AUTOV1_START)
            piece = file.read(_AUTOV1_LENGTH)
    except OSError:
        return None
    return hashlib.sha256(piece).hexdigest()[:_AUTOV1_DIGITS] if piece else None


#: Of a picture that is made again, beside the one that it is made from.
Likeness = Literal["same", "alike", "another"]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What comes of making a picture again, as `reproduce` does.

    Attributes:
        likeness: `same`, byte for byte; `alike`, where it may be the same or resembles it; `another` picture, for
            certain; `None` where it cannot be made, or files have to be hashed to tell.
        verdict: That in one sentence.
        remarks: What is not carried over, and why else the new one may differ, each in one sentence.
        error: What `reproduce` refuses to make it for; `None` where it makes it.
        request: What `/v1/generate` is asked for one like it, of what is here.
    """

    likeness: Likeness | None
    verdict: str
    remarks: tuple[str, ...] = ()
    error: AssetctlError | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PictureDetails:
    """What is known of a picture, or of a text that was copied out of one.

    Attributes:
        parameters: What it says; `None` where it says nothing.
        assets: Those it names, in its order.
        unhashed: How many assets of the catalog lack a hash, any of which might be one that is missing here.
        unread: Names of texts in it that are not understood.
        embedding: Whether it holds an embedding, as A1111 shares them.
        outlook: What comes of making it again; `None` where it does not say how it was made.
    """

    file: PictureFile
    parameters: PictureParameters | None
    assets: tuple[ResolvedAsset, ...] = ()
    unhashed: int = 0
    unread: tuple[str, ...] = ()
    embedding: bool = False
    outlook: Outlook | None = None

    @property
    def silence(self) -> str | None:
        """What there is to say of a picture that does not say how it was made; `None` of one that does."""
        if self.parameters is not None:
            return None
        if self.embedding:
            return "It is an embedding: A1111 writes one into a picture, so that it can be shared."
        if self.unread:
            return f"It holds texts ({', '.join(self.unread)}) that assetctl does not understand."
        return "It does not say how it was made."


def inspect_picture(workspace: Workspace, path: Path, *, hashes: bool | None = None, run: Run) -> PictureDetails:
    """Read a picture and look for its assets in the catalog.

    Of assets that go by the name that the picture says, hashes that are not known yet are computed, and kept, as
    `hashes` says; those of small files where nothing is said.

    Raises:
        FileError: It is no PNG, JPEG or WebP picture, or is damaged.
        StorageError: It cannot be read.
    """
    parameters = read_parameters(path)
    file, embedding = look_at_picture(path), holds_embedding(path)
    if parameters is None or parameters.unread:
        unread = () if parameters is None else tuple(name for name in parameters.unread if name != KEYWORD)
        return PictureDetails(file, None, unread=unread, embedding=embedding)
    return replace(_found(workspace, file, parameters, run, hashes=hashes), embedding=embedding)


def inspect_infotext(workspace: Workspace, text: str, run: Run) -> PictureDetails:
    """Likewise of a text that was copied out of a picture or from a page, which has no file."""
    return _found(workspace, PictureFile(Path("-"), None, None, None), parse_infotext(text), run, hashes=False)


def _found(
    workspace: Workspace, file: PictureFile, parameters: PictureParameters, run: Run, *, hashes: bool | None
) -> PictureDetails:
    resolver = Resolver(workspace, hashes=hashes, software=parameters.software, run=run)
    assets = resolver.resolve_all(parameters.assets)
    return PictureDetails(file, parameters, assets, resolver.unhashed(assets))


#: Fields that are shown elsewhere: as parameters, or as assets.
_SHOWN = {
    "Model", "Model hash", "VAE", "VAE hash", "Lora hashes", "TI hashes", "Version",
}  # fmt: skip


def lines_of(said: PictureParameters) -> list[tuple[str, str]]:
    """What a picture says, each with what that is called: steps, CFG, clip skip."""
    lines = [("made by", said.software), ("prompt", said.prompt), ("negative", said.negative_prompt)]
    lines += [(label(options), written(options, said.settings)) for options in together("field").values()]
    shown = _SHOWN | together("field").keys()
    others = [f"{key}: {value}" for key, value in said.fields.items() if key not in shown]
    lines += [("also", ", ".join(others) or None), *(("note", note) for note in said.notes)]
    return [(name, value) for name, value in lines if value is not None]


def find_picture(workspace: Workspace, name: str) -> Path | None:
    """The picture that `name` is the path of, unless it is an asset; by content, or else by suffix."""
    if not name or "\0" in name:
        return None
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - leaves an unknown user's home as it is
    try:
        if not path.is_file():
            return None
        is_picture = path.suffix.lower() in FORMATS or picture_format(path) is not None
    except OSError:
        return None
    path = absolute(path)
    return None if not is_picture or workspace.catalog.read.has_path(str(path)) else path
