"""The safetensors files of a model folder: which there are, what they are made of, and how diffusers gets at them."""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from assetctl.errors import UnusableError
from assetctl.files.numbers import FLOATS, NUMBERS
from assetctl.generation.json_files import read_object, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from assetctl.files.safetensors import Header

#: Kinds of weights: how their files are called, by the component's library.
_WEIGHTS = {"diffusers": "diffusion_pytorch_model", "transformers": "model"}

_MAX_SHARDS, _MAX_INDEX = 256, 16 * 2**20


def weight_files(folder: Path, library: str) -> list[Path]:
    """The safetensors files of a component's weights, in all the variants that there are.

    Raises:
        UnusableError: There are none, or too many.
    """
    name = re.escape(_WEIGHTS[library])
    pattern = re.compile(rf"{name}(\.\w{{1,32}})?(-\d{{5}}-of-\d{{5}})?(\.\w{{1,32}})?\.safetensors")
    found = sorted(path for path in folder.glob("*.safetensors") if pattern.fullmatch(path.name))
    if not found or len(found) > _MAX_SHARDS:
        what = "none of its weights are in a safetensors file" if not found else "its weights are in too many pieces"
        pickles = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        raise UnusableError(
            f"{folder.parent} could not be loaded: of its {folder.name}, {what}.",
            "Pickled weights (.bin) are never loaded: look for the same model with safetensors files."
            if pickles
            else "Fetch it again, or choose another checkpoint.",
        )
    return found


def link_weights(folder: Path, library: str, into: Path) -> None:
    """Make a component's safetensors files appear in `into`, with our own index of those that are in pieces.

    Raises:
        UnusableError: There are none, or an index can not be read.
    """
    into.mkdir(parents=True, exist_ok=True)
    files = weight_files(folder, library)
    for path in files:
        _link(path.resolve(), into / path.name)
    names = {path.name for path in files}
    for path in folder.glob(f"{_WEIGHTS[library]}*.safetensors.index*.json"):
        table = read_object(path, folder.parent, _MAX_INDEX).get("weight_map")
        # one of a variant that was not fetched names pieces that are not there
        if isinstance(table, dict) and all(isinstance(name, str) and name in names for name in table.values()):
            write_json(into / path.name, {"metadata": {}, "weight_map": table})


def _link(path: Path, link: Path) -> None:
    for way in (os.symlink, os.link):
        try:
            way(path, link)
        except OSError:
            continue
        return
    shutil.copyfile(path, link)  # Windows, without the right to make links, and on another drive


def refuse_numbers(header: Header, begin: tuple[str, ...] = ("",)) -> None:
    """Refuse weights that are no real numbers, which torch would turn into some.

    Raises:
        UnusableError: A weight or bias whose name begins so is none.
    """
    for name, entry in header.tensors.items():
        kind = entry["dtype"]
        if kind not in FLOATS and name.endswith(("weight", "bias")) and name.startswith(begin):
            raise UnusableError(
                f"{header.path} can not be used: {name[:200]} holds {NUMBERS.get(kind, kind)}.",
                "Look for the same model in fp16, bf16 or fp32.",
            )
