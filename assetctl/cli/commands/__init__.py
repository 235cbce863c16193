"""The commands, one a file."""

from __future__ import annotations

import importlib
from typing import Any

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

#: What other programs call a command of ours.
ELSEWHERE = {
    "remove": "rm", "delete": "rm", "uninstall": "rm", "add": "import", "scan": "import", "register": "import",
    "install": "pull", "download": "pull", "get": "pull", "fetch": "pull", "ls": "list", "info": "inspect",
    "show": "inspect", "find": "search", "update": "outdated", "upgrade": "outdated", "run": "generate",
    "txt2img": "generate", "create": "generate", "clean": "prune", "gc": "prune", "restore": "trash", "undo": "trash",
    "whoami": "login", "auth": "login", "tag": "edit", "set": "edit", "rename": "edit", "what": "identify",
    "compatible": "check", "freeze": "lock", "replay": "reproduce", "log": "history", "tour": "demo", "init": "demo",
    "server": "serve", "start": "serve", "web": "serve", "ui": "serve", "webui": "serve", "queue": "jobs", "ps": "jobs",
}  # fmt: skip

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


def load(name: str) -> Any:  # noqa: ANN401 - Typer's own
    """The command of this name; its module is imported now."""
    import typer  # noqa: PLC0415 - completion reads the names alone

    module = importlib.import_module(f"{__name__}.{COMMANDS[name]}")
    command: Any = typer.main.get_command(module.app)  # Typer reads the panel, of which Click does not know
    panel = next(each for each, names in PANELS.items() if name in names)
    command.name, command.rich_help_panel, command.short_help = name, panel, IN_SHORT.get(name)
    return command
