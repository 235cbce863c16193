"""assetctl serve."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from pathlib import Path
from typing import Annotated

import typer

from assetctl.cli.session import Session, command, print_json
from assetctl.server import serving
from assetctl.wire import Outcome

#: Seconds that requests at work have to come to their end once the server has.
_PATIENCE = 1.0


@command(
    gives="server.serving.Serving | None",
    examples=[
        "assetctl serve",
        "assetctl serve --port 0",
        "assetctl serve --file studio.toml",
        "assetctl serve --host 0.0.0.0 --port 8000",
        "assetctl serve --stop",
    ],
)
def app(
    session: Session,
    host: Annotated[
        str, typer.Option("--host", help="Where to listen; other addresses than this machine's own take a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Its port; 0 takes a free one.")] = serving.PORT,
    file: Annotated[
        Path,
        typer.Option(
            "--file", "-f", metavar="PATH", help="The manifest whose recipes are models, for OpenAI's clients."
        ),
    ] = Path("registry.toml"),
    stop: Annotated[bool, typer.Option("--stop", help="End the server of this home.")] = False,
) -> None:
    """Serve this home over HTTP: a page for browsers, our own API, A1111's and OpenAI's, until Ctrl-C.

    Jobs are kept in the catalog: what waits when the server ends goes on when it is started again. One worker makes
    the pictures and keeps what it loaded, for `assetctl generate` too.
    """
    if stop:
        ended = serving.stop(session.registry.settings.home)

        def render() -> None:
            session.out.line("No server of this home runs." if ended is None else f"{ended.url} has ended.")

        session.out.result(ended, render, [] if ended is None else [ended.url])
        return

    def told(found: serving.Serving) -> None:
        if session.out.json:
            print_json(Outcome(found, session.out.warnings).document())
            return
        session.out.line(found.url)
        if found.token_file is not None:
            session.out.warning(
                "It is plain HTTP: whoever sees the traffic reads the token and all pictures.",
                "Use it in a network that you trust, or behind a proxy that speaks HTTPS.",
            )
            kept = f"The token is kept in {found.token_file}"
            session.out.note(kept if found.token is None else f"{kept}, and is shown this once: {found.token}")
        session.out.note("Ctrl-C ends it.")

    gc.enable()  # it was off for a short life, and this one is long
    serving.serve(session.registry, host=host, port=port, told=told, manifest=file.absolute())
    _end()


def _end() -> None:
    """End this process though a request is still at work, on a source that is silent for example: nobody hears it."""
    end = time.monotonic() + _PATIENCE
    for each in threading.enumerate():
        if each is not threading.current_thread() and not each.daemon:
            each.join(max(end - time.monotonic(), 0))
            if each.is_alive():
                sys.stdout.flush()
                os._exit(0)
