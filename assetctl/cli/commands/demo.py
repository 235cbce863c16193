"""assetctl demo."""

from __future__ import annotations

import shlex

import typer

from assetctl.cli.session import Session, command
from assetctl.errors import GenerationError, UsageError


@command(examples=["assetctl demo", "assetctl --home /tmp/demo demo"])
def app(session: Session) -> None:
    """Show the whole tour on small assets made on the spot: pull, list, inspect, check, generate.

    It works in your home; every command is printed as you would type it. Needs no network.
    """
    if session.out.json or session.out.quiet:
        raise UsageError("The demo is a tour for people.", "Leave out --json and --quiet.")
    from assetctl.cli.main import run  # noqa: PLC0415 - the tour runs the command line itself

    home = str(session.registry.settings.home)
    for step in session.registry.demo_steps():
        session.out.line(f"\n# {step.title}\n$ assetctl {shlex.join(step.arguments)}")
        code = run(["--home", home, *step.arguments])
        if code != step.exit_code:
            raise GenerationError(f"The demo stopped: that command ended with {code}.", "See the message above.")
        if code:
            session.out.line(f"(exit code {code}: that is what it should say)")
    session.out.line("\nThat was the tour. `assetctl --help` shows every command.")
    raise typer.Exit(0)
