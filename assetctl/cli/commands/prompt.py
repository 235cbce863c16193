"""assetctl prompt."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.session import Session, command
from assetctl.prompt import parse_prompt


@command(examples=["assetctl prompt 'a cat with (long whiskers: 0.8) <lora:whiskers:0.7>'"])
def app(
    session: Session,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="A prompt.")],
) -> None:
    """Show how a prompt is read: its segments with their weights, and its LoRAs."""
    parsed = parse_prompt(text)
    data = {"segments": [list(segment) for segment in parsed.segments], "loras": dict(parsed.loras)}

    def render() -> None:
        session.out.table(("WEIGHT", "SEGMENT"), [(f"{weight:.4g}", repr(part)) for part, weight in parsed.segments])
        for name, weight in parsed.loras:
            session.out.line(f"LoRA {name}: {'its default weight' if weight is None else f'{weight:g}'}")

    session.out.result(data, render, (part for part, _ in parsed.segments))
