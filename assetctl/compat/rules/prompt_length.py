"""Prompts that are longer than what CLIP reads at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.compat.check import Rule
from assetctl.errors import CorruptFileError
from assetctl.identify.plugins import family_called
from assetctl.options import option
from assetctl.prompt.chunks import CHUNK_LENGTH, beyond, count_vectors, load_tokenizer
from assetctl.prompt.flavours import chunks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from assetctl.compat.check import Context
    from assetctl.prompt.chunks import Chunk
    from assetctl.types import Finding

RULE = Rule(
    "prompt_length",
    f"Every prompt fits into the {CHUNK_LENGTH} tokens that CLIP reads at a time, where a tokenizer is known.",
    {
        "warning": "The checkpoint's CLIP does not read the end of a prompt, or its tokenizer is damaged.",
        "info": "A prompt takes several chunks, which other programs may cut.",
    },
)

_SHOWN = 60


def check(context: Context) -> Iterator[Finding]:
    """Count the tokens of both prompts, if any may be too long."""
    selection = context.selection
    checkpoint, folder = selection.checkpoint, context.situation.tokenizer
    family = None if checkpoint is None else family_called(checkpoint.family)
    if checkpoint is None or folder is None or family is None or family.clip is None:
        return
    counts = _vectors(context)
    prompts = {"prompt": selection.prompt, "negative prompt": selection.negative_prompt}
    long = {which: text for which, text in prompts.items() if text and (counts or not _is_short(text))}
    if not long:
        return
    try:
        tokenizer = load_tokenizer(Path(folder))
    except CorruptFileError as error:
        yield RULE.finding("warning", f"The prompt's tokens cannot be counted: {error.message}", error.hint, checkpoint)
        return
    flavour = str(selection.settings.get("flavour") or option("flavour").usual)
    for which, text in long.items():
        chunks = chunks_of(text, tokenizer, counts, flavour)
        lost = beyond(chunks)
        if lost and family.clip == "start":
            message = (
                f"{checkpoint.name} reads {CHUNK_LENGTH} tokens of the {which} with CLIP, and not: {_shown(lost)}."
            )
            hint = "Put what matters first; the other text encoder, T5, reads on if it is in use."
            yield RULE.finding("warning", message, hint, checkpoint)
        elif lost:
            yield _told(which, chunks, lost)


def _told(which: str, chunks: list[Chunk], lost: str) -> Finding:
    message = (
        f"The {which} takes {len(chunks)} chunks of {CHUNK_LENGTH} tokens; "
        f"programs without chunks cut what is past the first {CHUNK_LENGTH}: {_shown(lost)}."
    )
    return RULE.finding("info", message, "See where the cuts fall with `assetctl prompt`.")


def _is_short(text: str) -> bool:
    """Whether a prompt cannot be too long: a token has at least one letter, and ASCII stays as it is."""
    return text.isascii() and len(text) <= CHUNK_LENGTH


def _vectors(context: Context) -> dict[str, int]:
    """Token of each chosen embedding to how many tokens it takes."""
    headers = {asset: context.header(asset) for asset in context.selection.embeddings if asset.kind == "embedding"}
    counts = {asset.token: count_vectors(header) for asset, header in headers.items() if header is not None}
    return {token: count for token, count in counts.items() if count}


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
