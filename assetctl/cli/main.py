"""The entry point: finds a command by its name, runs it, and turns every error into words and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from assetctl.cli.commands import COMMANDS, load
from assetctl.cli.failures import INTERRUPTED, guard_results, report
from assetctl.cli.session import DebugOption, HomeOption, remember
from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class LazyCommands(dict[str, Any]):
    """Commands by name; a command's module is imported when it is asked for."""

    def __missing__(self, name: str) -> object:
        """Load a command that is asked for the first time."""
        if name not in COMMANDS:
            raise KeyError(name)
        self[name] = command = load(name)
        return command


class LazyGroup(TyperGroup):
    """A group that knows its commands by name before it has loaded any."""

    def __init__(self, **attributes: Any) -> None:  # noqa: ANN401 - whatever Typer passes on
        super().__init__(**attributes)
        self.commands = LazyCommands(dict.fromkeys(()))

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - Typer's signature
        """Names, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - Typer's signature
        """The command of this name, loaded now."""
        return self.commands[cmd_name] if cmd_name in COMMANDS else None


app = typer.Typer(
    cls=LazyGroup,
    name="assetctl",
    help="A package manager for Stable Diffusion assets: pull them, know them, prove what fits, and generate.",
    epilog="Start with `assetctl demo` or `assetctl import ~/models`. See `assetctl pull --help` for examples.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - 10 ms that only --version pays

        sys.stdout.write(f"assetctl {version('assetctl')}\n")
        raise typer.Exit


@app.callback()
def _root(
    home: HomeOption = None,
    debug: DebugOption = False,
    _version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_print_version, is_eager=True, help="Print the version and stop."),
    ] = False,
) -> None:
    del debug  # read from the command line where errors are told
    remember(home, run)


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing but a defect in Python itself raises."""
    try:
        _check_text(arguments)
        code = app(args=list(arguments) or ["--help"], prog_name="assetctl", standalone_mode=False)
        sys.stdout.flush()  # what cannot be written is to be told now
    except BaseException as error:  # noqa: BLE001 - the one place where everything ends
        return report(error, arguments)
    if code == INTERRUPTED:  # Typer has caught the interrupt itself, and said nothing
        return report(KeyboardInterrupt(), arguments)
    return code if isinstance(code, int) else 0


def _check_text(arguments: Sequence[str]) -> None:
    for argument in arguments:
        try:
            argument.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UsageError(f"{argument!a} is no valid text.", "Rename the file, or write UTF-8.") from error


def main() -> None:
    """Run the command line of this process and exit."""
    guard_results()
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - closed: `2>&-`
    gc.disable()  # a short-lived process: collecting while importing costs a tenth of the start-up
    sys.exit(run(sys.argv[1:]))
