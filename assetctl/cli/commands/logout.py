"""assetctl logout."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.session import Session, command


@command(gives="operations.acquire.login.Logout", examples=["assetctl logout civitai", "assetctl logout hf"])
def app(session: Session, source: Annotated[str, typer.Argument(metavar="SOURCE", help="civitai or hf.")]) -> None:
    """Forget the token that `assetctl login` kept for a source."""
    from assetctl.operations.acquire.login import Logout  # noqa: PLC0415 - help needs none

    had = session.registry.logout(source)

    def render() -> None:
        session.out.line(f"{source}: {'the token is forgotten' if had else 'no token was kept'}.")

    session.out.result(Logout(source, had), render, [source] if had else [])
