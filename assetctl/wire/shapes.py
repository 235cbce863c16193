"""Where a document is not simply the fields of its dataclass."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """How one class becomes a document.

    Attributes:
        flat: Fields whose own keys stand in their place; of settings, those of all options.
        keys: Key and where its value is: a field or property, or one of what a field holds: `asset.name`. Of a list,
            that of each of its items. The field itself is left out, unless it is named here too.
        without: Fields that are left out.
    """

    flat: tuple[str, ...] = ()
    keys: dict[str, str] = {}  # noqa: RUF012 - a default of a tuple's field, which nobody changes
    without: tuple[str, ...] = ()


#: By where the class is, so that nothing is imported for it. All others are their fields.
SHAPES = {
    "axes.Axis": Shape(keys={"values": "labels"}, without=("kind", "about", "labels")),
    "catalog.generations.Generation": Shape(
        flat=("settings",),
        keys={"path": "image_path", "sha256": "image_sha256", "is_there": "is_there"}, without=("record",)
    ),
    "compat.check.Rule": Shape(keys={"rule": "name"}, without=("told_as",)),
    "operations.acquire.enrich.Enriched": Shape(keys={"name": "asset.name"}),
    "operations.acquire.outdated.Newer": Shape(keys={"name": "asset.name"}),
    "operations.acquire.pull.PullPlan": Shape(("resolution",), {"here": "here.name", "missing": "missing"}),
    "operations.acquire.search.SearchHit": Shape(("found",), {"here": "here.name"}),
    "operations.library.convert.Conversion": Shape(
        keys={"size": "size"}, without=("asset", "known", "original", "warnings", "expected")
    ),
    "operations.library.identify_files.Identified": Shape(("identification",), without=("named",)),
    "operations.library.remove.Removal": Shape(
        keys={"name": "asset.name", "deleted": "deletes", "kept": "keeps"},
        without=("changed", "is_owned", "is_final"),
    ),
    "operations.library.trash.Emptied": Shape(keys={"size": "size"}),
    "operations.library.trash.Restored": Shape(without=("asset",)),
    "operations.library.upkeep.Duplicate": Shape(keys={"linked": "linked", "how": "shared"}),
    "operations.library.upkeep.Pruning": Shape(
        keys={"size": "size", "files": "leftovers", "missing": "missing.name"}
    ),
    "operations.make.jobs.JobResult": Shape(keys={"error": "failure"}),
    "operations.make.generate.GenerationResult": Shape(
        keys={"selection": "plan.uses", "plan": "plan", "findings": "report.findings"}
    ),
    "operations.make.generate.SavedPicture": Shape(without=("environment",)),
    "operations.make.grid.GridCell": Shape(
        keys={"selection": "plan.uses", "plan": "plan", "findings": "report.findings"}
    ),
    "operations.make.grid.GridResult": Shape(without=("title",)),
    "operations.make.history.Remade": Shape(("generation",), {"record": "generation.record"}),
    "operations.make.inspect_picture.PictureDetails": Shape(
        ("file",), {"parameters": "parameters", "software": "parameters.software", "record": "parameters.record"},
        without=("unhashed",),
    ),
    "operations.make.inspect_picture.ResolvedAsset": Shape(("used",), {"asset": "asset.name"}),
    "operations.make.reproduce.Reproduced": Shape(("reproduction", "result")),
    "operations.make.reproduce.Reproduction": Shape(
        keys={"original": "original.path", "original_is_there": "original.is_there"}, without=("plan", "report")
    ),
    "operations.provision.export.Export": Shape(keys={"manifest": "text"}, without=("unhashed",)),
    "operations.provision.lock.LockResult": Shape(keys={"changed": "changed"}, without=("lock", "failed")),
    "operations.provision.sync.Step": Shape(without=("asset", "locked")),
    "operations.select.prompts.PromptReading": Shape(
        keys={
            "segments": "parsed.segments", "loras": "parsed.weights", "lora_tags": "parsed.loras",
            "unet_weights": "parsed.unet_weights", "stretches": "parsed.stretches",
        },
        without=("why_none", "hint", "remarks", "ambiguous_loras"),
    ),
    "pictures.parameters.PictureParameters": Shape(
        flat=("settings",),
        without=("software", "assets", "record", "understood", "unread")
    ),
    "plan.Plan": Shape(
        flat=("settings",),
        keys={
            "prompt": "prompt.segments", "negative_prompt": "negative_prompt.segments",
            "prompt_stretches": "prompt.stretches", "negative_stretches": "negative_prompt.stretches",
        },
        without=("uses", "prediction", "tokenizer"),
    ),
    "plan.PlannedUse": Shape(keys={"weight": "applied_weight"}),
    "prompt.chunks.Chunk": Shape(keys={"tokens": "count", "text": "text"}, without=("weights",)),
    "sources.base.RemoteFile": Shape(keys={"sha256": "sha256"}, without=("digests", "url")),
    "sources.base.Resolution": Shape(keys={"size": "size"}, without=("facts", "warnings")),
    "store.leftovers.Leftover": Shape(keys={"why": "what"}, without=("files", "lock")),
    "store.trash.Entry": Shape(
        keys={"size": "size", "paths": "files.path"}, without=("asset", "folder", "store", "home")
    ),
    "types.Asset": Shape(without=("id",)),
    "types.AssetDetails": Shape(("asset",), {"autov2": "asset.autov2"}),
    "types.AssetFile": Shape(without=("mtime_ns",)),
    "types.Fitting": Shape(("asset",)),
}  # fmt: skip
