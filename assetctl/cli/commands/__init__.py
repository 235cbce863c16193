"""The commands, one a file."""

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
    "Make": {"generate": "generate", "reproduce": "reproduce", "history": "history"},
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
}  # fmt: skip
