"""Embeddings (textual inversions): their vectors join the text encoder's table, and the prompt's tokens point there.

The tokenizer stays as it is, so that a token such as `cat` shadows the word only while its embedding is in use.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file

from assetctl.errors import UnusableError
from assetctl.files.numbers import FLOATS, NUMBERS
from assetctl.files.safetensors import read_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.generation.diffusers.text import Encoder
    from assetctl.types import Asset

#: Names of SDXL's two tensors, in the order of its encoders.
_SDXL = ("clip_l", "clip_g")


def add_embeddings(assets: Sequence[Asset], encoders: Sequence[Encoder]) -> None:
    """Teach the encoders the tokens of `assets`.

    Raises:
        UnusableError: An embedding is made for another family, or too long for one chunk.
        FileError: Its file is refused or corrupt.
    """
    read = [(token_of(asset), _vectors(asset, encoders)) for asset in assets]
    for index, encoder in enumerate(encoders):
        if read:
            _extend(encoder, [(token, vectors[index]) for token, vectors in read])


def token_of(asset: Asset) -> str:
    """The word that stands for an embedding in a prompt."""
    return asset.trigger_words[0] if asset.trigger_words else asset.name


def _vectors(asset: Asset, encoders: Sequence[Encoder]) -> list[torch.Tensor]:
    """The vectors for each encoder, as (vectors, width)."""
    path = Path(asset.path)
    header = read_header(path)
    names = set(header.tensors)
    wanted = list(_SDXL) if len(encoders) > 1 else [name for name in names if len(names) == 1]
    if not wanted or not names.issuperset(wanted):
        raise _misfit(asset, f"it holds {', '.join(sorted(names)[:4]) or 'nothing'}")
    for name in wanted:
        kind = header.tensors[name]["dtype"]
        if kind not in FLOATS:
            raise _unusable(asset, f"its vectors are {NUMBERS.get(kind, kind)}, and never were vectors of words")
    tensors = load_file(path)
    vectors = [tensors[name] if tensors[name].ndim != 1 else tensors[name][None] for name in wanted]
    for each, encoder in zip(vectors, encoders, strict=True):
        width = encoder.model.get_input_embeddings().weight.shape[1]
        if each.ndim != 2 or each.shape[1] != width:
            raise _misfit(asset, f"its vectors are {each.shape[-1]} wide, and the checkpoint's text encoder is {width}")
        if not 0 < len(each) <= encoder.length - 2 or len(each) != len(vectors[0]):
            raise _misfit(asset, f"it has {len(each)} vectors")
        if not torch.isfinite(each.float()).all():
            raise _unusable(asset, "it is damaged, as some of its numbers are none (NaN) or without end")
    return vectors


def _misfit(asset: Asset, why: str) -> UnusableError:
    return UnusableError(
        f"The embedding {asset.name} does not fit the checkpoint: {why}.",
        f"See its family with `assetctl inspect {asset.typed}`.",
    )


def _unusable(asset: Asset, why: str) -> UnusableError:
    return UnusableError(
        f"The embedding {asset.name} can not be used: {why}.", "Fetch it again from its source, or leave it out."
    )


def _extend(encoder: Encoder, added: Sequence[tuple[str, torch.Tensor]]) -> None:
    """Append vectors to the encoder's table and note where each token's are."""
    table = encoder.model.get_input_embeddings()
    old = table.weight
    new = torch.cat([vectors for _, vectors in added]).to(old)
    table.weight = torch.nn.Parameter(torch.cat([old, new]), requires_grad=False)
    table.num_embeddings = len(table.weight)
    start = len(old)
    for token, vectors in added:
        encoder.embeddings[token] = tuple(range(start, start + len(vectors)))
        start += len(vectors)
