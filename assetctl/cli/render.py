"""Assets as JSON, as rows, and as a page."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetctl.cli.output import Output
    from assetctl.types import Asset, AssetDetails

COLUMNS = ("NAME", "KIND", "FAMILY", "BASE MODEL", "SIZE", "TRIGGER WORDS", "TAGS")


def asset_data(asset: Asset) -> dict[str, Any]:
    """An asset as the JSON contract has it."""
    data = {field: getattr(asset, field) for field in asset.__slots__ if field != "id"}
    return data | {"trigger_words": list(asset.trigger_words), "tags": list(asset.tags)}


def show_assets(out: Output, assets: Sequence[Asset]) -> None:
    """Give a list of assets as a result."""

    def render() -> None:
        if assets:
            out.table(COLUMNS, map(_row, assets), right=("SIZE",))

    out.result([asset_data(asset) for asset in assets] if out.json else None, render, (asset.name for asset in assets))


def _row(asset: Asset) -> tuple[str, ...]:
    return (
        asset.name, asset.kind, asset.family or "-", asset.base_model or "-", readable_size(asset.size),
        shortened(asset.trigger_words), ", ".join(asset.tags),
    )  # fmt: skip


def shortened(words: Sequence[str], most: int = 3) -> str:
    """The first few words, and how many more there are."""
    more = f" +{len(words) - most}" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def readable_size(size: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def details_data(details: AssetDetails) -> dict[str, Any]:
    """All of one asset as the JSON contract has it."""
    found = details.identification
    return asset_data(details.asset) | {
        "autov2": details.asset.sha256 and details.asset.sha256[:10],
        "files": [
            {name: getattr(file, name) for name in ("path", "role", "size", "sha256", "autov3", "blake3")}
            for file in details.files
        ],
        "identification": dataclasses.asdict(found),
        "overrides": details.overrides,
        "origin": None if details.origin is None else dataclasses.asdict(details.origin),
        "metadata": details.metadata,
        "generations": details.generations,
        "problem": details.problem,
    }


def show_details(out: Output, details: AssetDetails) -> None:
    """Give all of one asset as a result."""

    def render() -> None:
        for label, value in _lines(details):
            if value:
                out.line(f"{label:>14}  {value}")
        out.line("")
        out.line("      evidence")
        for item in details.identification.evidence:
            out.line(f"{item.source:>14}  {item.claim}: {item.detail}")

    out.result(details_data(details) if out.json else None, render, [details.asset.name])
    if details.problem:
        out.warning(details.problem)


def _lines(details: AssetDetails) -> list[tuple[str, str | None]]:
    asset, files = details.asset, details.files
    family = " ".join(filter(None, (asset.family, asset.base_model and f"({asset.base_model})", asset.variant)))
    main = next((file for file in files if file.role == "main"), None)
    weight = None if asset.default_weight is None else f"{asset.default_weight:g}"
    return [
        ("name", asset.name),
        ("kind", asset.kind),
        ("family", family or "unknown"),
        ("prediction", asset.prediction),
        ("format", ", ".join(filter(None, (asset.format, asset.layout)))),
        ("size", f"{readable_size(asset.size)} ({asset.size} bytes)"),
        ("trigger words", ", ".join(asset.trigger_words)),
        ("default weight", weight),
        ("tags", ", ".join(asset.tags)),
        ("notes", asset.notes),
        ("path", asset.path + ("" if asset.in_store else "  (yours: assetctl leaves it alone)")),
        ("copies", ", ".join(file.path for file in files if file.role == "copy")),
        ("source", asset.source),
        ("SHA256", asset.sha256),
        ("AutoV2", asset.sha256 and asset.sha256[:10]),
        ("AutoV3", main.autov3 if main else None),
        ("BLAKE3", main.blake3 if main else None),
        ("set by you", ", ".join(f"{field}={value}" for field, value in details.overrides.items())),
        ("generations", str(details.generations) if details.generations else None),
        ("confidence", details.identification.confidence),
    ]
