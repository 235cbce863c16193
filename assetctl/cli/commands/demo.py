"""assetctl demo."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from assetctl.cli.render import show_assets
from assetctl.cli.session import Session, command
from assetctl.errors import GenerationError, UsageError


@command(
    gives="list[types.Asset]", examples=["assetctl demo", "assetctl --home /tmp/demo demo", "assetctl demo --pull"]
)
def app(
    session: Session,
    pull: Annotated[bool, typer.Option("--pull", help="Only bring the demo family in; make no tour.")] = False,
) -> None:
    """Show the whole tour on a small family of assets: pull, list, inspect, check, generate.

    The family ships with assetctl: a checkpoint that draws coloured shapes, two LoRAs, two embeddings. The tour
    works in your home; every command is printed as you would type it. Needs no network.
    """
    if pull:
        show_assets(session.out, [result.asset for result in session.registry.pull_demo()])
        return
    if session.out.json or session.out.quiet:
        raise UsageError("The demo is a tour for people.", "Leave out --json and --quiet, or add --pull.")
    home = str(session.registry.settings.home)
    for step in session.registry.demo_steps():
        session.out.lines(["", f"# {step.title}", f"$ assetctl {shlex.join(step.arguments)}"])
        code = session.run(["--home", home, *step.arguments])
        if code != step.exit_code:
            raise GenerationError(f"The demo stopped: that command ended with {code}.", "See the message above.")
        if code:
            session.out.line(f"(exit code {code}: that is what it should say)")
    session.out.line("")
    session.out.line("That was the tour. `assetctl --help` shows every command.")
    raise typer.Exit(0)
