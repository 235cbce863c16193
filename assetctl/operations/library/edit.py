"""Edit: what a person knows better than the file."""

from __future__ import annotations

import difflib
import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from assetctl.errors import UsageError
from assetctl.operations.library.ingest import checked_name, checked_words
from assetctl.operations.library.previews import choose
from assetctl.options import check_weight
from assetctl.text import hidden_in
from assetctl.types import KINDS

if TYPE_CHECKING:
    from assetctl.catalog.writing import Writer
    from assetctl.operations.workspace import Workspace
    from assetctl.types import Asset

#: Fields that outrank the file when set, and that `reset` gives back to it.
OVERRIDABLE = ("kind", "family", "base_model", "variant", "prediction", "trigger_words")

#: Fields that `reset` gives up: the others are a person's alone.
RESETTABLE = (*OVERRIDABLE, "default_weight", "notes")


@dataclass(frozen=True, slots=True)
class Changes:
    """What to change; `None` leaves a thing as it is, an empty text takes it away.

    Attributes:
        trigger_words: All of them, in order.
        reset: Names of fields for which the file's own word counts again, or none.
        preview: A picture to show it by, or the number of one of the history; the home keeps a copy.
    """

    name: str | None = None
    kind: str | None = None
    family: str | None = None
    base_model: str | None = None
    variant: str | None = None
    prediction: str | None = None
    trigger_words: tuple[str, ...] | None = None
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    notes: str | None = None
    default_weight: float | None = None
    reset: tuple[str, ...] = ()
    preview: str | None = None


def edit(workspace: Workspace, name: str, changes: Changes, *, labelled: bool = False) -> Asset:
    """Change what the catalog says of an asset; its file is left alone.

    What is `labelled` so by a manifest may be of a family that nothing here knows: its plug-in may come later.

    Raises:
        NotFoundError, AmbiguousNameError: The name.
        UsageError: A value that makes no sense, or a name that is taken.
    """
    asset = workspace.catalog.read.find(name)  # whoever may not write is told of a name that nothing has
    _check(changes, labelled=labelled)
    wanted = None if changes.name is None else checked_name(changes.name)
    if changes.base_model:
        changes = replace(changes, base_model=as_known(changes.base_model))
    if changes.preview is not None:
        choose(workspace, asset, changes.preview)
    with workspace.catalog.write() as writer:
        asset = writer.find(name)
        if changes.default_weight is not None and not labelled:
            _see_that_it_has_weights(asset, changes.kind or asset.kind)
        if wanted is not None and wanted != asset.name:
            if wanted.lower() in writer.names() - {asset.name.lower()}:
                raise UsageError(f"Another asset is called {wanted!r}.", "Choose another name.")
            writer.rename(asset.id, wanted)
        _set(writer, asset, changes)
        writer.change_tags(asset.id, changes.add_tags, changes.remove_tags)
        return writer.by_id(asset.id)


def _set(writer: Writer, asset: Asset, changes: Changes) -> None:
    """Set fields of an asset, and give others back."""
    for field in changes.reset:
        _reset(writer, asset, field)
    for field in OVERRIDABLE:
        value = getattr(changes, field)
        if value is not None:
            writer.override(asset.id, field, list(value) if field == "trigger_words" else value or None)
    if changes.notes is not None:
        writer.set_notes(asset.id, changes.notes or None)
    if changes.default_weight is not None:
        writer.set_default_weight(asset.id, float(changes.default_weight))


def _see_that_it_has_weights(asset: Asset, kind: str) -> None:
    if kind in ("lora", "unknown"):
        return
    hint = "Leave it out."
    if kind == "embedding":
        hint += f" Its token may have a weight in the prompt: ({asset.token}:1.2)."
    raise UsageError(f"Only LoRAs have a default weight, and {asset.name} is of kind {kind}.", hint)


def _reset(writer: Writer, asset: Asset, field: str) -> None:
    """Give a field back to the file, or empty what no file says."""
    if field == "default_weight":
        writer.set_default_weight(asset.id, None)
    elif field == "notes":
        writer.set_notes(asset.id, None)
    else:
        writer.clear_override(asset.id, field)


def base_models() -> tuple[str, ...]:
    """All base models that a family knows, in Civitai's spelling."""
    from assetctl.identify.plugins import families  # noqa: PLC0415 - looking for plug-ins costs as much as an edit

    return tuple(sorted({name for family in families() for _, name in family.lineages}))


def as_known(base_model: str) -> str:
    """A base model as it is spelled where it is known, whatever its case and blanks; another one as it is."""
    return next((known for known in base_models() if _bare(known) == _bare(base_model)), base_model)


def near_base_models(base_model: str) -> list[str]:
    """Those that may have been meant."""
    bare = {_bare(known): known for known in base_models()}
    return [bare[match] for match in difflib.get_close_matches(_bare(base_model), bare, n=3)]


def _bare(base_model: str) -> str:
    return re.sub(r"[\s._-]+", "", base_model).casefold()


_WORD = re.compile(r"[a-z0-9][a-z0-9._-]*")


def _check_family(family: str, *, labelled: bool) -> None:
    """See that a family is known, or like none that is: that of a plug-in, or one that is new to everybody.

    Raises:
        UsageError: It is a slip of one that is known; the hint names what may have been meant, a base model too.
    """
    if labelled and _WORD.fullmatch(family):
        return
    from assetctl.identify.plugins import families  # noqa: PLC0415 - as in `base_models`

    known = [each.name for each in families()]
    if family in known:
        return
    of = next((each for each in families() for _, base in each.lineages if _bare(base) == _bare(family)), None)
    if of is not None:
        base = as_known(family)
        hint = f"{base} is a base model of {of.name}: `--family {of.name} --base-model {shlex.quote(base)}`."
        raise UsageError(f"{family!r} is not a family.", hint)
    bare = {re.sub(r"[^a-z0-9]", "", each): each for each in known}
    near = difflib.get_close_matches(re.sub(r"[^a-z0-9]", "", family[:100].lower()), bare, n=3, cutoff=0.5)
    if not near and _WORD.fullmatch(family):
        return
    meant = f"Did you mean {' or '.join(bare[each] for each in near)}? " if near else ""
    raise UsageError(f"{family[:80]!r} is not a family.", f"{meant}Families are: {', '.join(known)}.")


def _check(changes: Changes, *, labelled: bool) -> None:
    if changes.kind is not None and changes.kind not in KINDS:
        raise UsageError(f"{changes.kind!r} is no kind.", f"Kinds are: {', '.join(KINDS)}.")
    if changes.family:
        _check_family(changes.family, labelled=labelled)
    if changes.prediction not in (None, "", "epsilon", "v_prediction", "flow"):
        raise UsageError(f"{changes.prediction!r} is not a prediction type.", "Use epsilon, v_prediction or flow.")
    if changes.default_weight is not None:
        check_weight(changes.default_weight, "a LoRA by default")
    for field in changes.reset:
        if field not in RESETTABLE:
            raise UsageError(f"{field!r} cannot be reset.", f"One can reset: {', '.join(RESETTABLE)}.")
    checked_words((*(changes.trigger_words or ()), *changes.add_tags))
    for field in ("base_model", "variant", "notes"):
        text = getattr(changes, field)
        hidden = text and hidden_in(text, prose=field == "notes")
        if hidden:
            raise UsageError(f"The {field} {text[:80]!r} holds {hidden}, an invisible character.", "Leave it out.")
