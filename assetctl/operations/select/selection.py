"""Names that a person gave, or a recipe of a manifest, become a selection of assets."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, NoReturn

from assetctl.catalog.reading import refuse_ambiguous
from assetctl.compat.check import OpenedCheckpoint, run_rules
from assetctl.errors import NotFoundError, UsageError
from assetctl.manifest import read_manifest
from assetctl.manifest.manifest import find_recipe
from assetctl.prompt import parse_prompt, split_at_tokens
from assetctl.prompt.chunks import embeddings_named, without_named
from assetctl.text import model_path, without_suffix
from assetctl.types import ROLES, AssetUse, Finding, Mention, Selection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from assetctl.catalog.reading import Reader
    from assetctl.options import Settings
    from assetctl.request import Request, Use
    from assetctl.types import Asset


def select(read: Reader, request: Request, *, note_unknown_tags: bool = False) -> Selection:
    """Find everything that a request names.

    A LoRA tag with a name that no asset has is an error, or only noted in the selection.

    Raises:
        NotFoundError, AmbiguousNameError: A name.
        UsageError: A weight for what takes none, or two checkpoints.
    """
    uses = [_found(read, use) for use in request.uses]
    for role in ("checkpoint", "vae"):
        several = [use.asset for use in uses if use.role == role]
        if len(several) > 1:
            _refuse_place(several[1])
    unknown = []
    prompts = (request.prompt, request.negative_prompt)
    for name, weight in (tag for text in prompts if text for tag in parse_prompt(text).loras):
        try:
            uses.append(_weighted("lora", read.find_named(name, "lora"), weight))
        except NotFoundError as error:
            if not note_unknown_tags:
                raise
            unknown.append((name, error.hint or ""))
    return Selection(tuple(uses), *prompts, request.settings, tuple(unknown))


def alone(checkpoint: Asset, asset: Asset, settings: Settings = MappingProxyType({})) -> Selection:
    """The checkpoint with one other asset, in the place of its kind."""
    role = asset.kind if asset.kind in ROLES else "controlnet"
    return Selection((AssetUse("checkpoint", checkpoint), _weighted(role, asset, None)), settings=settings)


def _found(read: Reader, use: Use) -> AssetUse:
    asset = read.find(use.reference)
    role = use.role or ("checkpoint" if asset.kind == "diffusion-model" else asset.kind)
    if role not in ROLES:
        _refuse_place(asset)
    if use.weight is not None and role != "lora":
        hint = f"Name it alone: {asset.typed}."
        if asset.kind == "embedding":
            hint += f" Its token may have a weight in the prompt: ({asset.name}:1.2)."
        raise UsageError(f"{use} gives a weight to {asset.name}, but only LoRAs take weights.", hint)
    return _weighted(role, asset, use.weight)


def _refuse_place(asset: Asset) -> NoReturn:
    hint = (
        "A selection has one checkpoint, one VAE, LoRAs, embeddings and ControlNets; `assetctl edit` sets a wrong kind."
    )
    raise UsageError(f"{asset.name} is a {asset.kind}, and there is no place for it in this selection.", hint)


def _weighted(role: str, asset: Asset, weight: float | None) -> AssetUse:
    """A weight that was not named is the asset's own, or 1; only LoRAs have one."""
    if weight is None:
        weight = 1.0 if asset.default_weight is None or role != "lora" else asset.default_weight
    return AssetUse(role, asset, weight)


#: Rules that keep an embedding from being taken for a word of a prompt, where nobody asked for it.
_REFUSING = frozenset({
    "embedding_numbers", "embedding_width", "family", "format", "kind", "missing_file", "unreadable_file",
})  # fmt: skip


def with_embeddings(read: Reader, selection: Selection, *, take: bool = True) -> Selection:
    """Find the embeddings that prompts call by their words, as A1111 does; those that somebody chose come first.

    A word stands for the one embedding that goes by it and fits the checkpoint: by its file's name, or else by its
    token. It is a whole word in any case, and the longest where several match. Where several go by it, none is taken.

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
    search = _Words(read, selection, [asset for asset in there if _is_said(asset, said)], take)
    texts = {where: [text for text, _ in parse_prompt(prompt).segments] for where, prompt in prompts.items() if prompt}
    for where, parts in texts.items():
        for text in parts:
            search.look(text, where)
    uses = [_called(use, said, texts.values()) if use.role == "embedding" else use for use in selection.uses]
    found = [AssetUse("embedding", _going_by(asset, word), found_by=word) for asset, word in search.taken.values()]
    return replace(selection, uses=(*uses, *found), mentions=tuple(dict.fromkeys(search.mentions)))


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


def _called(use: AssetUse, said: str, texts: Iterable[list[str]]) -> AssetUse:
    """An embedding that was chosen, with the word that prompts call it by where they do not have its token."""
    asset = use.asset
    if not _is_said(asset, said):
        return use
    parts = [text for each in texts for text in each]
    words = (asset.token, *_names_of(asset))
    there = [word for word in words if any(token for text in parts for _, token in split_at_tokens(text, [word]))]
    named = [name for text in parts for name in embeddings_named(text)]
    there += [name for name in named if without_suffix(model_path(name)[-1]).casefold() in map(str.casefold, words)]
    return replace(use, asset=_going_by(asset, there[0])) if there else use


class _Words:
    """Looks through prompts for words that embeddings go by."""

    def __init__(self, read: Reader, selection: Selection, candidates: Sequence[Asset], take: bool) -> None:  # noqa: FBT001
        self._read, self._selection, self._take = read, selection, take
        self.taken: dict[int, tuple[Asset, str]] = {}
        self.mentions: list[Mention] = []
        self._own = [word for asset in selection.embeddings for word in (asset.token, *_names_of(asset))]
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
                if word not in self._by_word and word not in map(str.casefold, self._own):
                    (self._by_word if fitting else self._unfit).setdefault(word, fitting or assets)

    def look(self, text: str, where: str) -> None:
        """Look through a part of a prompt."""
        for name in embeddings_named(text):
            self._look_up(name, where)
        for piece, word in split_at_tokens(without_named(text), [*self._own, *self._by_word]):
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
        return word.casefold() in map(str.casefold, self._own)

    def _note(self, word: str, where: str, assets: Sequence[Asset], *, explicit: bool) -> None:
        names = tuple(asset.name for asset in assets)
        refusal = self._refusal(assets[0]) if assets else None
        why, hint = None, None
        if not assets:
            why, hint = "names no embedding of the catalog", "`assetctl list --kind embedding` shows all."
        elif refusal is not None:
            why, hint = f"is not taken for an embedding: {refusal.message.rstrip('.')}", refusal.hint
        elif len(assets) > 1:
            why = f"could be any of the embeddings {', '.join(names)}"
            hint = f"Name the one that you mean: --embedding {assets[0].typed}."
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
        alone_ = Selection((AssetUse("embedding", asset),)) if checkpoint is None else alone(checkpoint, asset)
        report = run_rules(alone_, opened=self._opened, only=_REFUSING)
        return next((each for each in report.findings if each.severity == "error" and asset.name in each.assets), None)

    @cached_property
    def _opened(self) -> OpenedCheckpoint | None:
        checkpoint = self._selection.checkpoint
        return None if checkpoint is None else OpenedCheckpoint(checkpoint)


def read_recipe(manifest: Path, name: str) -> Request:
    """The recipe of this name.

    Raises:
        NotFoundError: There is no manifest.
        UsageError: It makes no sense, or has no such recipe.
    """
    return find_recipe(read_manifest(manifest), name, manifest)
