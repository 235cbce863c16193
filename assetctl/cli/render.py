"""Assets, pictures and findings as tables and lines."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import typer

from assetctl.errors import CatalogError
from assetctl.text import readable_size
from assetctl.types import Fitting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from assetctl.cli.session import Output
    from assetctl.errors import AssetctlError
    from assetctl.types import Asset, AssetDetails


COLUMNS = ("NAME", "KIND", "FAMILY", "BASE MODEL", "SIZE", "TRIGGER WORDS", "TAGS")

#: Those that a narrow terminal does without, the least needed first; and those that it cuts short.
_SPARE = ("TAGS", "BASE MODEL", "TRIGGER WORDS", "SIZE", "FAMILY", "KIND")
_SHRINKING = ("TRIGGER WORDS", "TAGS")

#: How many assets a person is shown unless asked for more, and how many are counted to say how many there are.
SHOWN, COUNTED = 100, 100_000

#: Characters of a prompt in a table.
_PROMPT = 40

#: How many entries of a file's metadata a person is shown, and how long a number in them can be.
METADATA_SHOWN, _LONGEST_NUMBER = 20, 8


def local(moment: str) -> str:
    """A moment in UTC as the clock on the wall showed it."""
    try:
        utc = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return moment  # a damaged row
    return utc.astimezone().strftime("%Y-%m-%d %H:%M")


def short(prompt: str) -> str:
    """A prompt in a table."""
    text = " ".join(prompt.split())
    return text if len(text) <= _PROMPT else text[: _PROMPT - 1] + "…"


def show_assets(
    out: Output, assets: Sequence[Asset], fits: Sequence[str] = (), failed: Sequence[AssetctlError] = ()
) -> None:
    """Give a list of assets as a result; `fits` says of each how well it fits a checkpoint. See `Output.result`."""

    def render() -> None:
        if assets and fits:
            rows = ((asset.name, fit, *_row(asset)[1:]) for asset, fit in zip(assets, fits, strict=True))
            columns = (COLUMNS[0], "FIT", *COLUMNS[1:])
            out.table(columns, rows, right=("SIZE",), spare=(*_SPARE, "FIT"), shrinking=_SHRINKING)
        elif assets:
            out.table(COLUMNS, map(_row, assets), right=("SIZE",), spare=_SPARE, shrinking=_SHRINKING)

    data = list(map(Fitting, assets, fits)) if fits else assets
    out.result(data, render, (asset.name for asset in assets), failed)


def list_limit(out: Output, limit: int | None) -> int | None:
    """How many assets to ask for: what was said, 0 being all; for a person 100, and all for a program."""
    if limit is None:
        return None if out.json or out.quiet else SHOWN
    return limit or None


def tell_rest(out: Output, shown: int, limit: int | None, count: Callable[[int], int], *, most: int = COUNTED) -> None:
    """Say that a list was cut short, and how long it is; `count` counts up to its argument."""
    if limit is None or shown < limit or out.json or out.quiet:
        return
    there = count(most + 1)
    if there > shown:
        total = f"more than {most:,}" if there > most else f"{there:,}"
        out.note(f"{shown:,} of {total} shown; `--limit 0` shows all.")


def tell_damaged(out: Output, damaged: Sequence[CatalogError], what: str) -> None:
    """Say that a list is not the whole truth, which its exit code says too.

    Raises:
        Exit: Always.
    """
    several = f"{len(damaged)} {what}s are" if len(damaged) > 1 else f"1 {what} is"
    out.warning(f"{several} not shown. {damaged[0].message}", damaged[0].hint)
    raise typer.Exit(CatalogError.exit_code)


def _row(asset: Asset) -> tuple[str, ...]:
    return (
        asset.name, asset.kind, asset.family or "-", asset.base_model or "-", readable_size(asset.size),
        shortened(asset.trigger_words), ", ".join(asset.tags),
    )  # fmt: skip


def shortened(words: Sequence[str], most: int = 3) -> str:
    """The first few words, and how many more there are."""
    more = f" +{len(words) - most}" if len(words) > most else ""
    return ", ".join(words[:most]) + more


def show_details(out: Output, details: AssetDetails) -> None:
    """Give all of one asset as a result: for a person what it is first, and why and whence after."""

    def render() -> None:
        _show_block(out, _at_a_glance(details))
        out.line("")
        _show_block(out, _on_record(details))
        out.line("")
        _show_block(out, [("evidence", details.identification.confidence)])
        _show_block(out, [(item.source, f"{item.claim}: {item.detail}") for item in details.identification.evidence])
        if details.metadata:
            out.line("")
            _show_block(out, _metadata_lines(details.metadata))

    out.result(details, render, [details.asset.name])
    if details.problem:
        out.warning(details.problem)


def _show_block(out: Output, lines: Iterable[tuple[str, str | None]]) -> None:
    for label, value in lines:
        if value:
            out.labelled(label, value, prose=label == "notes")


def _at_a_glance(details: AssetDetails) -> list[tuple[str, str | None]]:
    """What one needs to use it."""
    asset = details.asset
    family = " ".join(filter(None, (asset.family, asset.base_model and f"({asset.base_model})", asset.variant)))
    weight = None if asset.default_weight is None else f"{asset.default_weight:g}"
    return [
        ("name", asset.name),
        ("kind", asset.kind),
        ("family", family or "unknown"),
        ("size", f"{readable_size(asset.size)} ({asset.size} bytes)"),
        ("trigger words", ", ".join(asset.trigger_words)),
        ("default weight", weight),
        ("path", asset.path + ("" if asset.in_store else "  (yours: assetctl leaves it alone)")),
        ("source", asset.source),
        ("rank", _rank(details)),
        ("format", ", ".join(filter(None, (asset.format, asset.layout)))),
        ("prediction", asset.prediction),
        ("tags", ", ".join(asset.tags)),
        ("notes", asset.notes),
    ]


def _on_record(details: AssetDetails) -> list[tuple[str, str | None]]:
    """What tells it apart, and what became of it here."""
    asset, files = details.asset, details.files
    main = next((file for file in files if file.role == "main"), None)
    return [
        ("SHA256", asset.sha256),
        ("AutoV2", asset.autov2),
        ("AutoV3", main.autov3 if main else None),
        ("BLAKE3", main.blake3 if main else None),
        ("copies", ", ".join(file.path for file in files if file.role == "copy")),
        ("set by you", "; ".join(map(_set_by_hand, details.overrides.items()))),
        ("generations", str(details.generations) if details.generations else None),
    ]


def _set_by_hand(override: tuple[str, object]) -> str:
    """What a person said of one field, in words: that it is none, too."""
    field, value = override[0].replace("_", " "), override[1]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else value
    return f"{field} {shown}" if shown else f"no {field}"


def _rank(details: AssetDetails) -> str | None:
    """A LoRA's rank and alpha, as kohya's trainer wrote them into the file."""
    rank, alpha = (details.metadata.get(f"ss_network_{name}", "") for name in ("dim", "alpha"))
    if details.asset.kind != "lora" or not (rank.isdecimal() and len(rank) < _LONGEST_NUMBER):
        return None
    return f"{rank}, alpha {alpha}" if alpha and len(alpha) < _LONGEST_NUMBER else rank


def _metadata_lines(metadata: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The file's own words, each on one line: they can be larger than all the rest together."""
    yield "metadata", f"{len(metadata)} entries"
    for key, value in islice(metadata.items(), METADATA_SHOWN):
        yield "", f"{_one_line(key, 40)}: {_one_line(value, 100)}"
    if len(metadata) > METADATA_SHOWN:
        yield "", f"… and {len(metadata) - METADATA_SHOWN} more: `--json` shows all"


def _one_line(text: str, most: int) -> str:
    """The beginning of a text, with its spaces and line ends made one space each."""
    beginning = " ".join(text[: 2 * most].split())
    if len(beginning) <= most and len(text) <= 2 * most:
        return beginning
    return f"{beginning[:most]}… ({len(text):,} characters)"
