"""Prompting: how a prompt is read, and which tokens of CLIP it becomes. Works without a catalog, and makes none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AmbiguousNameError, CorruptFileError, GenerationError, NotFoundError
from assetctl.files.safetensors import read_header
from assetctl.identify.plugins import families
from assetctl.operations.library.tokenizer_files import reads_with_clip, tokenizer_folder
from assetctl.prompt import parse_prompt, split_at_tokens
from assetctl.prompt.chunks import CHUNK_LENGTH, count_vectors
from assetctl.prompt.clip import load_tokenizer
from assetctl.prompt.syntax import overweight, unread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from assetctl.operations.workspace import Workspace
    from assetctl.prompt import ParsedPrompt
    from assetctl.prompt.chunks import Chunk
    from assetctl.prompt.clip import ClipTokenizer
    from assetctl.prompt.syntax import Remark
    from assetctl.types import Asset

#: Words of CLIP's own vocabulary, which sd1, sd2 and sdxl share.
_CLIP_WORDS = 49_408


@dataclass(frozen=True, slots=True)
class PromptReading:
    """How a prompt is read.

    Attributes:
        parsed: Its segments and LoRA tags.
        unknown_loras: Names in LoRA tags that the catalog does not have; `None` if there is no catalog.
        embeddings: Tokens of the catalog's embeddings that stand in it.
        unused: Those of them that `generate` reads as mere words, since they were not chosen.
        chunks: What is encoded together; `None` if no tokenizer is known.
        why_none: Why there are no chunks.
        hint: What to do about it.
        remarks: What of it is not read as its writer may mean it.
    """

    parsed: ParsedPrompt
    unknown_loras: tuple[str, ...] | None
    embeddings: tuple[str, ...]
    unused: tuple[str, ...]
    chunks: tuple[Chunk, ...] | None
    why_none: str | None = None
    hint: str | None = None
    remarks: tuple[Remark, ...] = ()


def read_prompt(
    workspace: Workspace, text: str, *, checkpoint: str | None = None, embeddings: Iterable[str] = ()
) -> PromptReading:
    """Take a prompt apart, and cut it into chunks as `generate` does with this checkpoint and these embeddings.

    Without a checkpoint, the only one of the catalog counts, and else any that has CLIP's own vocabulary.

    Raises:
        NotFoundError, AmbiguousNameError: The checkpoint or an embedding.
        FileError: The checkpoint's tokenizer, or an embedding's file, is damaged.
    """
    parsed = parse_prompt(text)
    model = None if checkpoint is None else workspace.catalog.read.find(checkpoint)
    chosen = [workspace.catalog.read.find(name) for name in embeddings]
    known = _has_catalog(workspace)
    at_hand = workspace.catalog.read.assets(kind="embedding") if known else []
    tokens = _tokens_in(parsed, [*chosen, *at_hand])
    unknown = tuple(name for name, _ in parsed.loras if not _is_known(workspace, name)) if known else None
    unused = tuple(token for token in tokens if token not in _tokens_in(parsed, chosen))
    reading = PromptReading(parsed, unknown, tokens, unused, None, remarks=(*unread(text), *overweight(text)))
    try:
        tokenizer = _tokenizer(workspace, model)
    except GenerationError as error:
        return replace(reading, why_none=error.message, hint=error.hint)
    counts = {asset.token: _count(asset) for asset in chosen}
    return replace(reading, chunks=tuple(tokenizer.cut(parsed, counts)))


def _tokenizer(workspace: Workspace, checkpoint: Asset | None) -> ClipTokenizer:
    """The tokenizer of a checkpoint.

    Raises:
        GenerationError: None is known.
        CorruptFileError: It is damaged.
    """
    model = checkpoint or _only_checkpoint(workspace)
    if checkpoint is not None and not reads_with_clip(checkpoint):
        why = f"{checkpoint.name} is of family {checkpoint.family}, which does not read prompts with CLIP."
        raise GenerationError(why, f"Chunks are shown for {', '.join(each.name for each in families() if each.clip)}.")
    folder = None if model is None else tokenizer_folder(workspace, model)
    if folder is not None:
        return load_tokenizer(folder)
    for tokenizer in _shared(workspace):
        return tokenizer
    raise GenerationError(
        "No tokenizer is known, so tokens cannot be counted.",
        "Fetch CLIP's once with `assetctl pull --support sd1`, or name a checkpoint that has one with --checkpoint.",
    )


def _shared(workspace: Workspace) -> Iterator[ClipTokenizer]:
    """CLIP's own tokenizer, wherever it is at hand; one that is damaged is the trouble of its checkpoint alone."""
    from assetctl.sources.support import installed_tokenizer  # noqa: PLC0415 - most prompts have a checkpoint

    installed = installed_tokenizer(workspace.store)
    if installed is not None:
        yield load_tokenizer(installed)
    for checkpoint in workspace.catalog.read.assets(kind="checkpoint") if _has_catalog(workspace) else []:
        folder = tokenizer_folder(workspace, checkpoint)
        try:
            tokenizer = None if folder is None else load_tokenizer(folder)
        except CorruptFileError:
            continue
        if tokenizer is not None and tokenizer.words == _CLIP_WORDS:
            yield tokenizer


def _only_checkpoint(workspace: Workspace) -> Asset | None:
    checkpoints = workspace.catalog.read.assets(kind="checkpoint") if _has_catalog(workspace) else []
    return checkpoints[0] if len(checkpoints) == 1 else None


def _has_catalog(workspace: Workspace) -> bool:
    return workspace.settings.catalog.is_file()


def _is_known(workspace: Workspace, name: str) -> bool:
    try:
        workspace.catalog.read.find_named(name, "lora")
    except AmbiguousNameError:
        return True
    except NotFoundError:
        return False
    return True


def _count(embedding: Asset) -> int:
    count = count_vectors(read_header(Path(embedding.path)))
    if count:
        return count
    raise CorruptFileError(
        f"{embedding.path} holds no embedding of 1 to {CHUNK_LENGTH} vectors.",
        f"See what it is with `assetctl inspect {embedding.typed}`.",
    )


def _tokens_in(parsed: ParsedPrompt, embeddings: Iterable[Asset]) -> tuple[str, ...]:
    """Tokens of embeddings that stand in a prompt, in its order, each once."""
    tokens = {asset.token: None for asset in embeddings}
    pieces = (piece for text, _ in parsed.segments for piece in split_at_tokens(text, tokens))
    return tuple(dict.fromkeys(token for _, token in pieces if token is not None))
