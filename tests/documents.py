"""Documents of `--json`, held against the schemas that `assetctl schema` prints."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import jsonschema

from assetctl.cli.commands.schema import describe
from assetctl.cli.main import COMMANDS


@cache
def _validator(command: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(describe(command).document)  # whether that is one, `test_schema` tells


def hold(arguments: list[str], printed: str) -> Any:
    """The document that a command line printed; it must be of the command's schema."""
    document = json.loads(printed)
    command = next((each for each in arguments if each in COMMANDS), None)
    if command is not None:
        best = jsonschema.exceptions.best_match(_validator(command).iter_errors(document))
        assert best is None, f"assetctl {command}: {best.json_path}: {best.message}"
    return document
