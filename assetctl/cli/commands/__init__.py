"""The commands, one a file."""

#: Every command and the module of `cli/commands` that holds it, in the order of `--help`.
COMMANDS = {
    "pull": "pull",
    "import": "import_files",
    "list": "list_assets",
    "search": "search",
    "inspect": "inspect_asset",
    "edit": "edit",
    "rm": "remove",
    "convert": "convert",
    "outdated": "outdated",
    "du": "du",
    "prune": "prune",
    "dedupe": "dedupe",
    "enrich": "enrich",
    "verify": "verify",
    "identify": "identify",
    "lock": "lock",
    "sync": "sync",
    "export": "export",
    "check": "check",
    "prompt": "prompt",
    "generate": "generate",
    "reproduce": "reproduce",
    "history": "history",
    "demo": "demo",
}
