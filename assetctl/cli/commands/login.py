"""assetctl login."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from assetctl.cli.session import Session, command

#: No token is longer.
_LONGEST = 4096


@command(
    gives="operations.acquire.login.Login | list[operations.acquire.login.Login]",
    examples=["assetctl login civitai", "assetctl login hf < token.txt", "assetctl login", "assetctl login --json"],
)
def app(
    session: Session,
    source: Annotated[str | None, typer.Argument(metavar="[SOURCE]", help="civitai or hf; by default all.")] = None,
) -> None:
    """Keep a source's token in the system's keyring; without a source, say which tokens there are.

    The token is asked for, or read from standard input: on a command line others could see it.
    CIVITAI_API_TOKEN and HF_TOKEN go before what is kept. `assetctl logout` forgets it.
    """
    if source is None:
        _show(session)
        return
    if sys.stdin.isatty():
        token = typer.prompt(f"Token for {source}", hide_input=True, err=True, default="", show_default=False)
    else:
        token = sys.stdin.read(_LONGEST)
    done = session.registry.login(source, token)
    session.out.result(
        done,
        lambda: session.out.line(f"{done.source}: logged in as {done.user}; the token is in {done.where}."),
        [done.source],
    )


def _show(session: Session) -> None:
    known = session.registry.logins()

    def render() -> None:
        for each in known:
            session.out.line(f"{each.source}: {f'a token from {each.where}' if each.where else 'no token'}")

    session.out.result(known, render, [e.source for e in known if e.where])
