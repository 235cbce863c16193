"""Previews: a picture to know an asset by, and small copies of pictures, made once.

What lies beside an asset's file is its owner's: it is looked at, and never written there. Pictures may be hostile; from
one that is no good there is no small copy, and no error.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import secrets
from functools import lru_cache
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING

from assetctl.errors import AssetctlError, UsageError
from assetctl.files.disk import storage_errors
from assetctl.files.paths import open_regular
from assetctl.store.placement import move_anywhere

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset

#: The longer side of a small copy, in pixels.
_SIDE = 512

#: What a picture may be that is made smaller: bytes of its file, and pixels, which its header is asked for first.
_LARGEST_FILE, _MOST_PIXELS = 64 * 2**20, 50_000_000

#: Bytes that all small copies may take; and after how many new ones that is looked at.
_MOST_KEPT, _LOOK_EVERY = 256 * 2**20, 64

#: Pictures that are looked at at a time: each may take some hundred megabytes while it is unpacked.
_AT_ONCE = BoundedSemaphore(2)

#: A file that was not there before, and no link.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)

#: What small copies are called, and one that is being written.
_OURS = re.compile(r"[0-9a-f]{64}\.webp|\.[0-9a-f]{16}")

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_FORMATS = ("PNG", "JPEG", "WEBP")


def preview_of(workspace: Workspace, asset: Asset) -> Path | None:
    """The picture that shows an asset: chosen, beside its file, fetched from its source, or the latest made with it."""
    return own_preview(workspace, asset) or _latest(workspace, asset)


def own_preview(workspace: Workspace, asset: Asset) -> Path | None:
    """The picture that is an asset's own: one that was chosen, one beside its file, or one fetched from its source."""
    chosen, fetched = _chosen(workspace, asset), _fetched(workspace, asset)
    if chosen.is_file():
        return chosen
    return next(_beside(Path(asset.path)), None) or (fetched if fetched.is_file() else None)


def _beside(path: Path) -> Iterator[Path]:
    """Pictures that go by the name of a file, as A1111 and its kin have them; an embedding in a PNG is one itself."""
    stems = [path.name] if path.is_dir() else [path.stem, path.name]
    for stem in stems:
        for suffix in (*(f".preview{suffix}" for suffix in _SUFFIXES), *_SUFFIXES):
            picture = path.with_name(f"{stem}{suffix}")
            with contextlib.suppress(OSError, ValueError):
                if picture.is_file():
                    yield picture


def _latest(workspace: Workspace, asset: Asset) -> Path | None:
    from assetctl.catalog import GenerationFilter  # noqa: PLC0415 - most have one beside them

    made = workspace.catalog.generations.latest(GenerationFilter((asset.id,)), 3, lambda _: None)
    return next((Path(each.image_path) for each in made if each.is_there), None)


def _chosen(workspace: Workspace, asset: Asset) -> Path:
    """Where the picture lies that somebody chose, if they did; numbers of assets are never given again."""
    return kept_pictures(workspace.settings.home, asset.id)[0]


def _fetched(workspace: Workspace, asset: Asset) -> Path:
    """Where the small copy lies of a picture that the asset's source shows it by."""
    return kept_pictures(workspace.settings.home, asset.id)[1]


def keep_fetched(workspace: Workspace, asset: Asset, data: bytes) -> bool:
    """Keep what its source shows an asset by, made small: no byte of it stays as it came. Whether it is a picture.

    Raises:
        StorageError: It cannot be kept.
    """
    with _AT_ONCE:
        small = _small(data)
    if small is not None:
        _write(_fetched(workspace, asset), small)
    return small is not None


def choose(workspace: Workspace, asset: Asset, picture: str) -> None:
    """Keep a copy of a picture to show an asset by; an empty name gives up what the home keeps of it.

    Args:
        workspace: The home.
        asset: The asset.
        picture: A PNG, JPEG or WebP file, or the number of a picture of the history.

    Raises:
        UsageError: It is no picture that can be shown.
        NotFoundError: There is no such picture.
        StorageError: It cannot be kept.
    """
    place = _chosen(workspace, asset)
    if not picture:
        with storage_errors(f"remove {place}"):
            place.unlink(missing_ok=True)
            _fetched(workspace, asset).unlink(missing_ok=True)
        return
    path = Path(picture).expanduser()
    if picture.isascii() and picture.isdecimal() and not path.exists():
        path = Path(workspace.catalog.generations.get(int(picture[:18])).image_path)
    data = _bytes(path)
    if data is None or _small(data) is None:
        hint = "Name a PNG, JPEG or WebP file, or a number of `assetctl history`."
        raise UsageError(f"{str(path)!r:.200} is no picture that can be shown.", hint)
    _write(place, data)


def thumbnail(workspace: Workspace, picture: Path) -> bytes | None:
    """A small WebP of a picture, made once; `None` where none can be made."""
    with _AT_ONCE:
        return _thumbnail(workspace, picture)


def _thumbnail(workspace: Workspace, picture: Path) -> bytes | None:
    try:
        status = picture.stat()
        place = _place(workspace.settings.home, str(picture), status.st_mtime_ns, status.st_size)
        if place is None:
            return None
        if (kept := _bytes(place)) is not None:
            return kept or None  # of what is no good an empty one is kept, so that it is tried once
        data = _bytes(picture)
        small = None if data is None else _small(data)
        with contextlib.suppress(AssetctlError):  # a full disk keeps nobody from looking
            _write(place, small or b"")
            _bound(workspace.settings.home)
    except (OSError, ValueError):
        return None
    return small


def thumbnails(home: Path) -> list[Path]:
    """All small copies that a home keeps."""
    try:
        there = [each for each in os.scandir(_folder(home)) if each.is_file(follow_symlinks=False)]
    except OSError:
        return []
    return [Path(each.path) for each in there if _OURS.fullmatch(each.name)]


def kept_pictures(home: Path, number: int) -> list[Path]:
    """Where a home keeps the pictures of the asset of a number: what was chosen, and what its source shows."""
    return [home / "previews" / str(number), home / "previews" / f"{number}.source"]


def move_pictures(sources: Sequence[Path], targets: Sequence[Path]) -> None:
    """Move pictures that are there to places where nothing lies.

    Raises:
        StorageError: The disk refused.
    """
    for source, target in zip(sources, targets, strict=True):
        with storage_errors(f"move {source}"), contextlib.suppress(FileExistsError):
            if source.is_file():
                target.parent.mkdir(exist_ok=True)
                move_anywhere(source, target)


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of files, as far as they are there."""
    total = 0
    for path in paths:
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _folder(home: Path) -> Path:
    return home / "cache" / "thumbnails"


@lru_cache(10_000)
def _place(home: Path, picture: str, mtime_ns: int, size: int) -> Path | None:
    """Where the small copy of a picture of these bytes lies; asked once as long as it is not written to."""
    del mtime_ns  # what is remembered goes by it
    data = _bytes(Path(picture)) if size <= _LARGEST_FILE else None
    return None if data is None else _folder(home) / f"{hashlib.sha256(data).hexdigest()}.webp"


def _bytes(path: Path) -> bytes | None:
    """What a regular file of bounded size holds."""
    try:
        with os.fdopen(open_regular(path)[0], "rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except (OSError, ValueError):
        return None
    return data if len(data) <= _LARGEST_FILE else None


def _small(data: bytes) -> bytes | None:
    """A small WebP of a picture's bytes; its size is asked of its header, and bounded, before a pixel is unpacked."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - most commands show none

    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            if image.width * image.height > _MOST_PIXELS or getattr(image, "n_frames", 1) > 1000:
                return None
            image.draft("RGB", (2 * _SIDE, 2 * _SIDE))
            image.thumbnail((_SIDE, _SIDE))
            turned = ImageOps.exif_transpose(image)
            shown = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
            made = io.BytesIO()
            shown.save(made, "WEBP", quality=80, method=2)
    except Exception:  # noqa: BLE001 - Pillow's decoders fail in many ways on what is no picture
        return None
    return made.getvalue()


def _write(place: Path, data: bytes) -> None:
    """Write a file of the home whole, or not at all."""
    with storage_errors(f"write {place}"):
        place.parent.mkdir(parents=True, exist_ok=True)
        part = place.with_name(f".{secrets.token_hex(8)}")
        try:
            with os.fdopen(os.open(part, _NEW, 0o600), "wb") as file:  # nobody else may have been let see the picture
                file.write(data)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)


def _bound(home: Path) -> None:
    """Delete the oldest small copies where all of them take too much; looked at now and then."""
    if secrets.randbelow(_LOOK_EVERY):
        return
    with contextlib.suppress(OSError):
        found = sorted((each.stat().st_mtime_ns, each.stat().st_size, each) for each in thumbnails(home))
        left = sum(size for _, size, _ in found)
        for _, size, path in found:
            if left <= _MOST_KEPT:
                return
            path.unlink(missing_ok=True)
            left -= size
