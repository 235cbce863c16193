"""One run of one command: the options that every command has, and what they open."""

from __future__ import annotations

import functools
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assetctl.cli import typed
from assetctl.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetctl.registry import Registry

_COMMON = "Common options"

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        parser=typed.path,
        help="Use this home instead of ASSETCTL_HOME.",
        rich_help_panel=_COMMON,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_COMMON)]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print names alone.", rich_help_panel=_COMMON)]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback on errors.", rich_help_panel=_COMMON)]

#: What was set before the command's name: `assetctl --home DIR list`.
_before: dict[str, Path | None] = {"home": None}


def remember(home: Path | None, *, debug: bool) -> None:
    """Keep the options that stand before the command's name."""
    del debug  # read from the command line where errors are told
    _before["home"] = home


class Session:
    """What a command works with: its output, and the registry, opened when first used."""

    def __init__(self, home: Path | None, *, json: bool, quiet: bool) -> None:
        self.out = Output(json=json, quiet=quiet)
        self._home = home or _before["home"]
        self._registry: Registry | None = None

    @property
    def registry(self) -> Registry:
        """The registry of the chosen home."""
        if self._registry is None:
            from assetctl.registry import Registry  # noqa: PLC0415 - `--help` needs none

            self._registry = Registry.open(self._home)
        return self._registry

    def close(self) -> None:
        """Let go of the registry."""
        if self._registry is not None:
            self._registry.close()


def command(*, examples: Sequence[str]) -> Callable[[Callable[..., None]], typer.Typer]:
    """Make a Typer application of one command of a function that takes a `Session` first.

    Every command gets `--home`, `--json`, `--quiet` and `--debug` here, and its examples below its help.
    """

    def decorate(function: Callable[..., None]) -> typer.Typer:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:  # noqa: ANN401 - as many types as there are options
            arguments.pop("debug")
            session = Session(arguments.pop("home"), json=arguments.pop("json"), quiet=arguments.pop("quiet"))
            try:
                function(session, **arguments)
            finally:
                session.close()

        own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        common = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, default, annotation in (
                ("home", None, HomeOption), ("json", False, JsonOption),
                ("quiet", False, QuietOption), ("debug", False, DebugOption),
            )
        ]  # fmt: skip
        parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + common
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        del run.__wrapped__
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        epilog = "Examples:\n\n" + "\n\n".join(f"$ {example}" for example in examples)
        app.command(epilog=epilog, context_settings={"help_option_names": ["-h", "--help"]})(run)
        return app

    return decorate
