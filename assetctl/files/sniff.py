"""What a file is that is not what its name says."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NoReturn

from assetctl.errors import ForeignFormatError, RefusedFileError

if TYPE_CHECKING:
    from pathlib import Path

#: Names under which the field keeps pickles; the oldest protocols have no magic number.
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")

#: Names under which people keep models; what a file is, its content decides.
MODEL_SUFFIXES = (".safetensors", ".sft", *PICKLE_SUFFIXES, ".gguf")

_PAGE = "Check the link, and that you are logged in where the source wants that; then fetch it again."
_LFS = "Fetch the real file: `git lfs pull`, or `assetctl pull hf://ORG/REPO/FILE`."
_CONVERT = "`assetctl convert {path}` makes a safetensors file of it."


def sniff(start: bytes, size: int) -> str | None:
    """Format of a file by its first bytes: `empty`, `html`, `lfs-pointer`, `pickle`, `gguf`, `json`,
    an image's, an archive's, or `None` where they say nothing."""
    if size == 0:
        return "empty"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n")[:512].lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<body", b"<script", b"<!--")):
        return "html"
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return "lfs-pointer"
    for magic, name in _MAGIC:
        if start.startswith(magic):
            return name
    return _by_grammar(start, text)


def _by_grammar(start: bytes, text: bytes) -> str | None:
    if start[0] == 0x80 and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if text.startswith((b"{", b"[")) and start[:1] in (b"{", b"[") and b"\0" not in start[:8]:
        return "json"  # and not a safetensors file: the length that it begins with ends in zeros
    return None


_MAGIC = (
    (b"PK\x03\x04", "pickle"),  # torch.save writes a zip around a pickle
    (b"\x93NUMPY", "pickle"),  # an array of objects holds one
    (b"GGUF", "gguf"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
)

_REASONS = {
    "empty": ("is empty", "The download failed: fetch it again."),
    "html": ("is a web page, not a model", _PAGE),
    "lfs-pointer": ("is a Git LFS pointer, not the file it stands for", _LFS),
    "text": ("is a text, not a model", "If a download left it, it may say what went wrong; else give a model's path."),
    "json": ("is JSON, not a model: perhaps an error message saved under a model's name", _PAGE),
}

#: Model files in other formats, which `identify` reads and nothing loads.
_FOREIGN = {
    "pickle": ("is a pickle, which could run code when it is loaded", _CONVERT),
    "gguf": ("is a GGUF file, which assetctl does not load", "Get the safetensors version."),
    "png": ("is a picture", "`assetctl convert {path}` makes a file of an embedding in it."),
}


def refuse(path: Path, start: bytes, size: int) -> None:
    """Raise if `start`, the first bytes of `path`, belong to something that is known and is no safetensors file.

    Raises:
        ForeignFormatError: It is a model file in another format.
        RefusedFileError: Says what the file is instead.
    """
    found = sniff(start, size) or ("pickle" if path.suffix.lower() in PICKLE_SUFFIXES else None)
    found = found or ("text" if _is_text(start) else None)
    if found is not None:
        _raise(path, found)


def _is_text(start: bytes) -> bool:
    """Whether bytes are words that somebody could read: a server's excuse, a README."""
    words = start[:512].decode("utf-8", "ignore")
    return len(words.encode()) > len(start[:512]) - 4 and all(
        letter.isprintable() or letter.isspace() for letter in words
    )


def _raise(path: Path, found: str) -> NoReturn:
    if found in _FOREIGN:
        reason, hint = _FOREIGN[found]
        raise ForeignFormatError(f"{path} {reason}.", hint.format(path=shlex.quote(str(path))), found)
    reason, hint = _REASONS.get(
        found, (f"is a {found.upper()} file, not a model", "Unpack it or get the safetensors version.")
    )
    raise RefusedFileError(f"{path} {reason}.", hint)
