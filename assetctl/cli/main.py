"""The entry point: finds a command by its name, runs it, and turns every error into words and an exit code."""

from __future__ import annotations

import gc
import importlib
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from assetctl.cli.failures import INTERRUPTED, guard_results, report
from assetctl.cli.session import DebugOption, HomeOption, remember
from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


#: The panels of `--help`, and in each its commands in order, most used first: name, and module in `cli/commands`.
PANELS = {
    "Start": {"demo": "demo"},
    "Get": {
        "pull": "pull",
        "import": "import_files",
        "search": "search",
        "outdated": "outdated",
        "enrich": "enrich",
        "login": "login",
        "logout": "logout",
    },
    "Know": {
        "list": "list_assets",
        "inspect": "inspect_asset",
        "check": "check",
        "identify": "identify",
        "prompt": "prompt",
        "schema": "schema",
    },
    "Keep": {
        "edit": "edit",
        "rm": "remove",
        "trash": "trash",
        "verify": "verify",
        "du": "du",
        "convert": "convert",
        "prune": "prune",
        "dedupe": "dedupe",
    },
    "Provision": {"sync": "sync", "lock": "lock", "export": "export"},
    "Make": {"generate": "generate", "reproduce": "reproduce", "history": "history", "samplers": "samplers"},
    "Serve": {"serve": "serve", "jobs": "jobs"},
}

#: Every command and its module, in the order of `--help`.
COMMANDS = {name: module for panel in PANELS.values() for name, module in panel.items()}

#: What `--help` says in one line of a command whose own first sentence is longer than that.
IN_SHORT = {
    "demo": "Take the whole tour with a small family of assets.",
    "import": "Register the files that you have, where they lie.",
    "convert": "Make a safetensors file of a pickle or a PNG embedding.",
    "login": "Keep a source's token in the system's keyring.",
    "logout": "Forget the token of a source.",
    "search": "Search your assets, Civitai or Hugging Face.",
    "inspect": "Show all that is known of an asset or a picture, and why.",
    "check": "Prove whether a selection works, before anything is loaded.",
    "edit": "Correct and complete what the catalog says of an asset.",
    "identify": "Say what files are, from their headers alone.",
    "prompt": "Show how a prompt is read: weights, LoRAs, chunks.",
    "schema": "Show what commands take, and the JSON that they print.",
    "enrich": "Learn trigger words, base models and licences.",
    "outdated": "Show which assets have a newer version at their source.",
    "rm": "Forget assets, and move their files to the trash.",
    "trash": "Show what was deleted, put it back, or delete it for good.",
    "verify": "Say which files are missing or changed.",
    "prune": "Move to the trash what was left in the store unfinished.",
    "dedupe": "Show files that hold the same bytes, and let them share.",
    "sync": "Make this machine have what the manifest names.",
    "lock": "Pin the manifest's revisions, sizes and hashes.",
    "export": "Write a manifest of what the catalog has.",
    "samplers": "List samplers and schedules, by A1111's names and ComfyUI's.",
}


@cache
def load(name: str) -> Any:  # noqa: ANN401 - Typer's own
    """The command of this name; its module is imported when it is first asked for."""
    module = importlib.import_module(f"assetctl.cli.commands.{COMMANDS[name]}")
    command: Any = typer.main.get_command(module.app)  # Typer reads the panel, of which Click does not know
    panel = next(each for each, names in PANELS.items() if name in names)
    command.name, command.rich_help_panel, command.short_help = name, panel, IN_SHORT.get(name)
    return command


class LazyGroup(TyperGroup):
    """A group that knows its commands by name before it has loaded any."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - Typer's signature
        """Names, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> Any:  # noqa: ANN401, ARG002 - Typer's signature
        """The command of this name."""
        return load(cmd_name) if cmd_name in COMMANDS else None


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
