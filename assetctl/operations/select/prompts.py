"""Prompting: the embeddings that prompts call, how a prompt is read, and which tokens of CLIP it becomes.

Reading works without a catalog, and makes none.
"""

from __future__ import annotations

import unicodedata
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from assetctl.catalog.reading import refuse_ambiguous
from assetctl.compat.check import OpenedCheckpoint, Situation, run_rules
from assetctl.compat.rules.unknown_lora import not_here
from assetctl.errors import AmbiguousNameError, CorruptFileError, GenerationError, NotFoundError
from assetctl.files.paths import read_regular
from assetctl.files.safetensors import read_header
from assetctl.identify.plugins import families
from assetctl.operations.workspace import reads_with_clip, tokenizer_folder
from assetctl.options import option
from assetctl.prompt import split_at_tokens
from assetctl.prompt.chunks import (
    CHUNK_LENGTH,
    MERGES,
    VOCABULARY,
    count_vectors,
    embeddings_called,
    embeddings_named,
    load_tokenizer,
    without_called,
    without_named,
)
from assetctl.prompt.flavours import chunks_of, segments_of, split_at_embeddings
from assetctl.prompt.flavours import reading as parsed_as
from assetctl.prompt.syntax import BREAK, Remark, foreign, overweight, unread
from assetctl.request import refuse_length
from assetctl.text import model_path, without_suffix
from assetctl.types import AssetUse, Finding, Mention, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from assetctl.catalog.reading import Reader
    from assetctl.errors import AssetctlError
    from assetctl.operations.workspace import Workspace
    from assetctl.prompt import ParsedPrompt
    from assetctl.prompt.chunks import Chunk, ClipTokenizer
    from assetctl.types import Asset

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
        ambiguous_loras: Those that several of its LoRAs go by, which `generate` refuses; likewise.
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
    ambiguous_loras: tuple[str, ...] | None = None


def read_prompt(
    workspace: Workspace,
    text: str,
    *,
    checkpoint: str | None = None,
    embeddings: Iterable[str] = (),
    auto_embeddings: bool = True,
    flavour: str | None = None,
) -> PromptReading:
    """Take a prompt apart, and cut it into chunks as `generate` does with this checkpoint and these embeddings.

    It is read as a flavour reads it, the usual one unless one is named.

    Without a checkpoint, the only one of the catalog counts, and else any that has CLIP's own vocabulary.

    Raises:
        UsageError: It is far too long.
        NotFoundError, AmbiguousNameError: The checkpoint or an embedding.
        FileError: The checkpoint's tokenizer, or an embedding's file, is damaged.
    """
    refuse_length(text)
    flavour = str(option("flavour").usual if flavour is None else option("flavour").checked(flavour))
    parsed = parsed_as(text, flavour)
    model = None if checkpoint is None else workspace.catalog.read.find(checkpoint)
    chosen = [workspace.catalog.read.find(name) for name in embeddings]
    known = _has_catalog(workspace)
    selection = Selection()
    if known:
        selection = _selected(workspace, text, model, chosen, flavour, take=auto_embeddings)
    used, mentions = selection.embeddings, selection.mentions
    words = (*_tokens_in(parsed, used, flavour), *(each.word for each in mentions))
    refused = _refused(workspace, parsed) if known else {}
    unknown, ambiguous = (
        tuple(name for name, _ in parsed.loras if isinstance(refused.get(name), kind)) if known else None
        for kind in (NotFoundError, AmbiguousNameError)
    )
    told = [_remark(name, error) for name, error in refused.items()]
    reading = PromptReading(
        parsed,
        unknown,
        tuple(dict.fromkeys(words)),
        mentions,
        None,
        remarks=(*told, *unread(text, flavour), *overweight(text)),
        notes=tuple(foreign(text)),
        ambiguous_loras=ambiguous,
    )
    try:
        tokenizer = _tokenizer(workspace, model)
    except GenerationError as error:
        return replace(reading, why_none=error.message, hint=error.hint)
    counts = {asset.token: _count(asset) for asset in used}
    return replace(reading, chunks=tuple(chunks_of(text, tokenizer, counts, flavour)))


def _selected(
    workspace: Workspace, text: str, model: Asset | None, chosen: list[Asset], flavour: str, *, take: bool
) -> Selection:
    """The embeddings that were chosen, and those that the prompt calls; the only checkpoint is the one that counts."""
    checkpoint = model or _only_checkpoint(workspace)
    uses = [AssetUse("embedding", asset) for asset in chosen]
    if checkpoint is not None:
        uses.append(AssetUse("checkpoint", checkpoint))
    selection = Selection(tuple(uses), text, settings={"flavour": flavour})
    return with_embeddings(workspace.catalog.read, selection, take=take)


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


def _refused(workspace: Workspace, parsed: ParsedPrompt) -> dict[str, AssetctlError]:
    """Names in LoRA tags that `generate` could not find its LoRA by, each with what it says of that."""
    found: dict[str, AssetctlError] = {}
    for name in dict.fromkeys(name for name, _ in parsed.loras):
        try:
            workspace.catalog.read.find_named(name, "lora")
        except (AmbiguousNameError, NotFoundError) as error:
            found[name] = error
    return found


def _remark(name: str, error: AssetctlError) -> Remark:
    """What is said of a LoRA's name, as a check says it."""
    said = not_here(name, error.hint) if isinstance(error, NotFoundError) else error
    return Remark(said.message, said.hint or "")


def _count(embedding: Asset) -> int:
    count = count_vectors(read_header(Path(embedding.path)))
    if count:
        return count
    raise CorruptFileError(
        f"{embedding.path} holds no embedding of 1 to {CHUNK_LENGTH} vectors.",
        f"See what it is with `assetctl inspect {embedding.typed}`.",
    )


def _tokens_in(parsed: ParsedPrompt, embeddings: Iterable[Asset], flavour: str) -> tuple[str, ...]:
    """Tokens of embeddings that stand in a prompt, in its order, each once."""
    tokens = {asset.token: None for asset in embeddings}
    pieces = (piece for text, _ in parsed.segments for piece in split_at_embeddings(text, tokens, flavour))
    return tuple(dict.fromkeys(token for _, token in pieces if token is not None))


#: Rules that keep an embedding from being taken for a word of a prompt, where nobody asked for it.
_REFUSING = frozenset({
    "embedding_numbers", "embedding_width", "family", "format", "kind", "missing_file", "unreadable_file",
})  # fmt: skip


def with_embeddings(read: Reader, selection: Selection, *, take: bool = True) -> Selection:
    """Find the embeddings that prompts call by their words, as A1111 does; those that somebody chose come first.

    A word stands for the one embedding that goes by it and fits the checkpoint: by its file's name, or else by its
    token. It is a whole word in any case, and the longest where several match. Where several go by it, none is taken.
    In the flavour of ComfyUI, `embedding:` has to stand before it, and a blank before that.

    Args:
        read: The catalog.
        selection: What was chosen, with the prompts.
        take: Whether to use what is found; it is only told otherwise.

    Raises:
        AmbiguousNameError: `embedding:NAME` could name several.
    """
    prompts = {"prompt": selection.prompt or "", "negative prompt": selection.negative_prompt or ""}
    said = "\n".join(prompts.values()).casefold()
    if not said.strip():
        return selection
    chosen = [use.asset for use in selection.uses if use.role == "embedding"]
    there = [asset for asset in read.assets(kind="embedding") if asset.id not in {each.id for each in chosen}]
    flavour = str(selection.settings.get("flavour") or option("flavour").usual)
    search = _Words(read, selection, [asset for asset in there if _is_said(asset, said)], take, flavour)
    texts = {where: _words_of(prompt, flavour) for where, prompt in prompts.items() if prompt}
    for where, parts in texts.items():
        for text in parts:
            search.look(text, where)
    uses = [_called(use, said, texts.values(), flavour) if use.role == "embedding" else use for use in selection.uses]
    found = [AssetUse("embedding", _going_by(asset, word), found_by=word) for asset, word in search.taken.values()]
    return replace(selection, uses=(*uses, *found), mentions=tuple(dict.fromkeys(search.mentions)))


def _words_of(prompt: str, flavour: str) -> list[str]:
    """The parts of a prompt that are words: BREAK is none."""
    return [text for text, weight in segments_of(prompt, flavour) if text != BREAK or weight >= 0]


def _names_of(asset: Asset) -> tuple[str, ...]:
    """What an embedding goes by in other programs: its file's name; and its own here."""
    return tuple(dict.fromkeys((model_name_of(asset), without_suffix(asset.name))))


def model_name_of(asset: Asset) -> str:
    """The name of an asset's file, without folders and suffix."""
    return unicodedata.normalize("NFC", without_suffix(model_path(asset.path)[-1]))


def _is_said(asset: Asset, said: str) -> bool:
    """Whether a text has any word of an embedding somewhere: most have none, and this is quick."""
    return any(word.casefold() in said for word in (*_names_of(asset), asset.token))


def _going_by(asset: Asset, word: str) -> Asset:
    """The embedding with this word for its token."""
    if asset.token.casefold() == word.casefold():
        return asset
    return replace(asset, trigger_words=(word, *(each for each in asset.trigger_words if each != word)))


def _called(use: AssetUse, said: str, texts: Iterable[list[str]], flavour: str) -> AssetUse:
    """An embedding that was chosen, with the word that prompts call it by where they do not have its token."""
    asset = use.asset
    if not _is_said(asset, said):
        return use
    parts = [text for each in texts for text in each]
    words = (asset.token, *_names_of(asset))
    pieces = {word: (piece for text in parts for piece in split_at_embeddings(text, [word], flavour)) for word in words}
    there = [word for word in words if any(token for _, token in pieces[word])]
    named = [name for text in parts for name in _named(text, flavour)]
    there += [name for name in named if without_suffix(model_path(name)[-1]).casefold() in map(str.casefold, words)]
    return replace(use, asset=_going_by(asset, there[0])) if there else use


def _named(text: str, flavour: str) -> list[str]:
    return (embeddings_called if flavour == "comfyui" else embeddings_named)(text)


class _Words:
    """Looks through prompts for words that embeddings go by."""

    def __init__(
        self,
        read: Reader,
        selection: Selection,
        candidates: Sequence[Asset],
        take: bool,  # noqa: FBT001
        flavour: str,
    ) -> None:
        self._read, self._selection, self._take, self._flavour = read, selection, take, flavour
        self.taken: dict[int, tuple[Asset, str]] = {}
        self.mentions: list[Mention] = []
        self._own = [word for asset in selection.embeddings for word in (asset.token, *_names_of(asset))]
        self._own_folded = frozenset(map(str.casefold, self._own))
        self._refused: dict[int, Finding | None] = {}
        self._by_word: dict[str, list[Asset]] = {}
        self._unfit: dict[str, list[Asset]] = {}
        for names in (_names_of, lambda asset: (asset.token,)):  # a file's name comes before what a page calls it
            found: dict[str, list[Asset]] = {}
            for asset in candidates:
                for word in names(asset):
                    found.setdefault(word.casefold(), []).append(asset)
            for word, assets in found.items():
                fitting = [asset for asset in assets if self._refusal(asset) is None]
                if word not in self._by_word and word not in self._own_folded:
                    (self._by_word if fitting else self._unfit).setdefault(word, fitting or assets)

    def look(self, text: str, where: str) -> None:
        """Look through a part of a prompt."""
        for name in _named(text, self._flavour):
            self._look_up(name, where)
        bare = (without_called if self._flavour == "comfyui" else without_named)(text)
        for piece, word in split_at_tokens(bare, [*self._own, *self._by_word]):
            if word is None:
                for each, other in split_at_tokens(piece, self._unfit):
                    if other is not None:
                        self._note(each, where, self._unfit[other], explicit=False)
            elif word.casefold() in self._by_word:
                self._note(piece, where, self._by_word[word.casefold()], explicit=False)

    def _look_up(self, name: str, where: str) -> None:
        """An embedding that the prompt names as one."""
        if self._is_own(name):
            return
        known = [asset for asset in self._read.named(name) if asset.kind == "embedding"]
        known = known or self._by_word.get(name.casefold(), []) or self._unfit.get(name.casefold(), [])
        fitting = [asset for asset in known if self._refusal(asset) is None]
        if len(fitting) > 1 and self._take:
            refuse_ambiguous(name, fitting)
        self._note(name, where, fitting or known, explicit=True)

    def _is_own(self, name: str) -> bool:
        word = without_suffix(model_path(name)[-1]) if model_path(name) else name
        return word.casefold() in self._own_folded

    def _note(self, word: str, where: str, assets: Sequence[Asset], *, explicit: bool) -> None:
        names = tuple(asset.name for asset in assets)
        refusal = self._refusal(assets[0]) if assets else None
        why, hint = None, None
        if not assets:
            why, hint = "names no embedding of the catalog", "`assetctl list --kind embedding` shows all."
        elif self._flavour == "comfyui" and not explicit:
            why = "is read as words: ComfyUI has embeddings named"
            hint = f"Write embedding:{word}, with a blank before and behind it, if you mean it."
        elif refusal is not None:
            why, hint = f"is not taken for an embedding: {refusal.message.rstrip('.')}", refusal.hint
        elif len(assets) > 1:
            why = f"could be any of the embeddings {', '.join(names)}"
            hint = f"Name the one that you mean: `--embedding {assets[0].typed}`."
        elif not self._take:
            why, hint = (
                f"is not taken for the embedding {names[0]}",
                f"Add `--embedding {assets[0].typed}` if you mean it.",
            )
        else:
            known, by = self.taken.setdefault(assets[0].id, (assets[0], word))
            if by.casefold() != word.casefold():
                why, hint = f"is read as words, since {by} stands for {known.name}", f"Write {by} in its place."
        self.mentions.append(Mention(word, where, names, why is None, why, hint, explicit))

    def _refusal(self, asset: Asset) -> Finding | None:
        """Why an embedding cannot be used here; `None` where it can."""
        if asset.id not in self._refused:
            self._refused[asset.id] = self._asked(asset)
        return self._refused[asset.id]

    def _asked(self, asset: Asset) -> Finding | None:
        checkpoint = self._selection.checkpoint
        if checkpoint is not None and None in (asset.family, checkpoint.family):
            unknown = asset if asset.family is None else checkpoint
            hint = f"If you know it, set it: `assetctl edit {unknown.typed} --family FAMILY`."
            return Finding("family", "info", (asset.name,), f"The family of {unknown.name} is unknown.", hint)
        uses = [AssetUse("checkpoint", each) for each in (checkpoint,) if each is not None]
        alone = Selection((*uses, AssetUse("embedding", asset)))
        report = run_rules(alone, Situation("generate"), opened=self._opened, only=_REFUSING)
        return next((each for each in report.findings if each.severity == "error" and asset.name in each.assets), None)

    @cached_property
    def _opened(self) -> OpenedCheckpoint | None:
        checkpoint = self._selection.checkpoint
        return None if checkpoint is None else OpenedCheckpoint(checkpoint)
