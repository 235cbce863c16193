"""Pictures with words inside, as other programs leave them, written byte by byte."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write_png(path: Path, size: tuple[int, int] = (64, 64), **texts: str) -> Path:
    """A grey PNG with these texts in it."""
    width, height = size
    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))]
    chunks += [(b"iTXt", name.encode() + b"\0\0\0\0\0" + text.encode()) for name, text in texts.items()]
    chunks += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks))
    return path


def write_png_embedding(path: Path, vectors: int = 2) -> Path:
    """A grey PNG with an embedding of SD 1 in it, as A1111 writes one."""
    said = {"string_to_param": {"*": {"TORCHTENSOR": [[0.5] * 768] * vectors}}, "name": "calico"}
    text = b"sd-ti-embedding\0" + base64.b64encode(json.dumps(said).encode())
    content = write_png(path).read_bytes()
    path.write_bytes(content[:33] + _chunk(b"tEXt", text) + content[33:])  # behind the header
    return path


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def infotext(prompt: str = "a cat", negative: str = "", **fields: object) -> str:
    """A1111's parameters: those named, over usual ones; an underscore stands for a space in a name."""
    known = {"Steps": 2, "Sampler": "Euler a", "CFG scale": 7, "Seed": 5, "Size": "64x64"}
    said = known | {name.replace("_", " "): value for name, value in fields.items()}
    last = ", ".join(f"{name}: {value}" for name, value in said.items() if value is not None)
    return "\n".join([prompt, *([f"Negative prompt: {negative}"] if negative else []), last])


def picture(color: str, size: tuple[int, int] = (40, 30), form: str = "PNG", **how: object) -> bytes:
    """A picture of one colour."""
    from PIL import Image

    made = io.BytesIO()
    Image.new("RGB", size, color).save(made, form, **how)
    return made.getvalue()


def near(color: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether a colour is another, as far as it survives being saved with loss."""
    return all(abs(one - other) < 12 for one, other in zip(color, wanted, strict=True))


def bomb() -> bytes:
    """A PNG of some kilobytes that would be gigabytes."""
    return b"\x89PNG\r\n\x1a\n" + b"".join((
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(bytes(10**7), 9)),
        _chunk(b"IEND", b""),
    ))  # fmt: skip


#: What may be called a picture, and shows nothing.
HOSTILES = {
    "bomb": bomb(), "empty": b"", "words": b"\x89PNG\r\n\x1a\n" + b"x" * 1000,
    "cut": base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAlgAAAJYCAIAAAAxBA+LAAAI5klEQVR4nO3VMQEAIAzAMMC/5yFjRxMF"),
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "html": b"<!doctype html><title>Log in</title>", "film": b"\0\0\0\x20ftypisom" + bytes(1000),
    "gif": base64.b64decode("R0lGODdhAQABAIEAAP8AAAAAAAAAAAAAACwAAAAAAQABAAAIBAABBAQAOw=="),
    "tiff": base64.b64decode(
        "SUkqAAgAAAAKAAABBAABAAAAAQAAAAEBBAABAAAAAQAAAAIBAwADAAAAhgAAAAMBAwABAAAAAQAAAAYBAwABAAAAAgAAABEB"
        "BAABAAAAjAAAABUBAwABAAAAAwAAABYBBAABAAAAAQAAABcBBAABAAAAAwAAABwBAwABAAAAAQAAAAAAAAAIAAgACAD/AAA="
    ),
}  # fmt: skip
