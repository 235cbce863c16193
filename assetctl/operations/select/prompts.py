"""Prompting: how a prompt is read, and which tokens of CLIP it becomes. Works without a catalog, and makes none."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.errors import AmbiguousNameError, CorruptFileError, GenerationError, NotFoundError
from assetctl.files.paths import read_regular
from assetctl.files.safetensors import read_header
from assetctl.identify.plugins import families
from assetctl.operations.library.tokenizer_files import reads_with_clip, tokenizer_folder
from assetctl.operations.select.selection import with_embeddings
from assetctl.prompt import parse_prompt, split_at_tokens
from assetctl.prompt.chunks import CHUNK_LENGTH, count_vectors
from assetctl.prompt.clip import MERGES, VOCABULARY, load_tokenizer
from assetctl.prompt.syntax import foreign, overweight, unread
from assetctl.types import AssetUse, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from assetctl.operations.workspace import Workspace
    from assetctl.prompt import ParsedPrompt
    from assetctl.prompt.chunks import Chunk
    from assetctl.prompt.clip import ClipTokenizer
    from assetctl.prompt.syntax import Remark
    from assetctl.types import Asset, Mention

#: Checkpoints that a hint names, and bytes of a file of a tokenizer.
_MOST_SHOWN, _LARGEST = 5, 16 * 2**20

#: Words of CLIP's own vocabulary, which sd1, sd2 and sdxl share.
_CLIP_WORDS = 49_408


@dataclass(frozen=True, slots=True)
class PromptReading:
    """How a prompt is read.

    Attributes:
        parsed: Its segments and LoRA tags.
        unknown_loras: Names in LoRA tags that the catalog does not have; `None` if there is no catalog.
        embeddings: Words in it that embeddings of the catalog go by.
        mentions: Those by which embeddings go that were not chosen, each with what `generate` takes it for.
        chunks: What is encoded together; `None` if no tokenizer is known.
        why_none: Why there are no chunks.
        hint: What to do about it.
        remarks: What of it is not read as its writer may mean it.
        notes: What of it other programs than A1111 read as more than words.
    """

    parsed: ParsedPrompt
    unknown_loras: tuple[str, ...] | None
    embeddings: tuple[str, ...]
    mentions: tuple[Mention, ...]
    chunks: tuple[Chunk, ...] | None
    why_none: str | None = None
    hint: str | None = None
    remarks: tuple[Remark, ...] = ()
    notes: tuple[Remark, ...] = ()


def read_prompt(
    workspace: Workspace,
    text: str,
    *,
    checkpoint: str | None = None,
    embeddings: Iterable[str] = (),
    auto_embeddings: bool = True,
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
    selection = _selected(workspace, text, model, chosen, take=auto_embeddings) if known else Selection()
    used, mentions = selection.embeddings, selection.mentions
    words = (*_tokens_in(parsed, used), *(each.word for each in mentions))
    unknown = tuple(name for name, _ in parsed.loras if not _is_known(workspace, name)) if known else None
    remarks, notes = (*unread(text), *overweight(text)), tuple(foreign(text))
    reading = PromptReading(parsed, unknown, tuple(dict.fromkeys(words)), mentions, None, remarks=remarks, notes=notes)
    try:
        tokenizer = _tokenizer(workspace, model)
    except GenerationError as error:
        return replace(reading, why_none=error.message, hint=error.hint)
    counts = {asset.token: _count(asset) for asset in used}
    return replace(reading, chunks=tuple(tokenizer.cut(parsed, counts)))


def _selected(workspace: Workspace, text: str, model: Asset | None, chosen: list[Asset], *, take: bool) -> Selection:
    """The embeddings that were chosen, and those that the prompt calls; the only checkpoint is the one that counts."""
    checkpoint = model or _only_checkpoint(workspace)
    uses = [AssetUse("embedding", asset) for asset in chosen]
    if checkpoint is not None:
        uses.append(AssetUse("checkpoint", checkpoint))
    return with_embeddings(workspace.catalog.read, Selection(tuple(uses), text), take=take)


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
    own = _own_tokenizers(workspace) if checkpoint is None else {}
    if len({content for _, content in own.values()}) == 1:
        return load_tokenizer(next(iter(own.values()))[0])
    if own:
        names = ", ".join(asset.typed for asset in list(own)[:_MOST_SHOWN])
        raise GenerationError(
            f"Tokens cannot be counted: {len(own)} checkpoints have tokenizers of their own, which differ.",
            f"Name the one that you mean with --checkpoint: {names}.",
        )
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


def _own_tokenizers(workspace: Workspace) -> dict[Asset, tuple[Path, bytes]]:
    """Checkpoints that bring a tokenizer, each with where it lies and a hash of what it says."""
    found: dict[Asset, tuple[Path, bytes]] = {}
    for checkpoint in workspace.catalog.read.assets(kind="checkpoint") if _has_catalog(workspace) else []:
        folder = tokenizer_folder(workspace, checkpoint) if reads_with_clip(checkpoint) else None
        with suppress(OSError):
            if folder is not None:
                content = b"".join(read_regular(folder / name, _LARGEST) for name in (VOCABULARY, MERGES))
                found[checkpoint] = folder, sha256(content).digest()
    return found


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
