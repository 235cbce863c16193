"""assetctl prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from assetctl.cli.pictures import numbers
from assetctl.cli.request import AutoEmbeddingsOption, CheckpointOption, EmbeddingsOption, read_prompts, single
from assetctl.cli.session import Session, command
from assetctl.prompt.flavours import STEPS
from assetctl.prompt.syntax import BREAK
from assetctl.samplers import FLAVOURS

if TYPE_CHECKING:
    from assetctl.cli.session import Output
    from assetctl.operations.select.prompts import PromptReading


@command(
    gives="operations.select.prompts.PromptReading",
    examples=[
        "assetctl prompt 'a cat with (long whiskers: 0.8) <lora:whiskers:0.7>'",
        "assetctl prompt 'a cat, (bad-hands:0.8)' --checkpoint dream --json",
        "assetctl prompt 'a cat, bad-hands' --no-auto-embeddings",
        "assetctl prompt 'a (cat:1.2) [on a mat]' --flavour comfyui",
    ],
)
def app(
    session: Session,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A prompt; - reads it from standard input.")],
    checkpoint: CheckpointOption = None,
    embedding: EmbeddingsOption = None,
    auto_embeddings: AutoEmbeddingsOption = None,
    flavour: Annotated[
        str | None,
        typer.Option("--flavour", help=f"Whose way to read it is: {', '.join(FLAVOURS)}; by default {FLAVOURS[0]}'s."),
    ] = None,
) -> None:
    """Show how a prompt is read: its segments with their weights, its LoRAs and embeddings, its chunks of 75 tokens."""
    (prompt,) = read_prompts(text)
    reading = session.registry.prompt(
        prompt or "",
        checkpoint=single("--checkpoint", checkpoint),
        embeddings=embedding or (),
        auto_embeddings=auto_embeddings is not False,
        flavour=flavour,
    )
    parsed = reading.parsed
    session.out.result(reading, lambda: _render(session.out, reading), (part for part, _ in parsed.segments))
    for remark in reading.remarks:
        session.out.warning(remark.message, remark.hint)
    for remark in reading.notes:
        session.out.note(remark.message)


def _segment(part: str, weight: float) -> tuple[str, str]:
    """A row: a weight and its words, or where a chunk begins."""
    return ("new chunk", part) if part == BREAK else (f"{weight:.4g}", repr(part))


def _render(out: Output, reading: PromptReading) -> None:
    parsed = reading.parsed
    if parsed.stretches:
        rows = [(each, *_segment(*segment)) for each in parsed.stretches for segment in each.segments]
        shown = [(numbers(each.steps), f"{each.weight:g}", weight, part) for each, weight, part in rows]
        out.table((f"STEPS OF {STEPS}", "AND", "WEIGHT", "SEGMENT"), shown)
    else:
        out.table(("WEIGHT", "SEGMENT"), [_segment(part, weight) for part, weight in parsed.segments])
    for (name, weight), unet in zip(parsed.loras, parsed.unet_weights, strict=True):
        lost = ", which is not in the catalog" if name in (reading.unknown_loras or ()) else ""
        lost = lost or (", which could be any of several" if name in (reading.ambiguous_loras or ()) else "")
        said = "its default weight" if weight is None else f"{weight:g}"
        said += "" if unet is None else f" for text encoders, {unet:g} for the rest"
        out.line(f"LoRA {name}: {said}{lost}")
    mentions = {each.word: each for each in sorted(reading.mentions, key=lambda each: each.used)}
    for word in reading.embeddings:
        each = mentions.get(word)
        read = (
            "chosen" if each is None else f"found, {each.names[0]}" if each.used else f"mere words: it {each.why_not}"
        )
        out.line(f"embedding {word}: {read}")
    if reading.chunks is None:
        out.note(reading.why_none or "")
        out.hint(reading.hint or "")
        return
    if parsed.stretches:
        out.note("The prompt changes between steps or is composed: these are the chunks of its longest text.")
    chunks = [
        (str(number), f"{len(chunk.tokens)}/75", repr(chunk.text)) for number, chunk in enumerate(reading.chunks, 1)
    ]
    out.table(("CHUNK", "TOKENS", "TEXT"), chunks, right=("CHUNK", "TOKENS"))
