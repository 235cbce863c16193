"""Errors become words and an exit code, and so does an output that nobody reads any more."""

from __future__ import annotations

import contextlib
import difflib
import errno
import io
import os
import re
import sys
import traceback
from typing import IO, TYPE_CHECKING

import typer

from assetctl.cli.session import WARNED, print_json, show_findings, to_stderr
from assetctl.errors import (
    AssetctlError,
    IncompatibleError,
    InternalError,
    StoppedError,
    StorageError,
    UnusableError,
    UsageError,
)
from assetctl.text import redacted, safe
from assetctl.wire import document, envelope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class LostOutputError(StorageError):
    """Results cannot be written: where they went is full, or closed."""


class EnoughError(Exception):
    """Whoever reads the results has seen enough: `| head`. No `OSError`, of which Click would make a failure."""


class Results(io.TextIOWrapper):
    """A stream of results; what could not be written is told once, and let go."""

    _lost = False

    def write(self, text: str) -> int:
        """Take some text."""
        try:
            return len(text) if self._lost else super().write(text)
        except OSError as error:
            raise self._told(error) from error

    def flush(self) -> None:
        """Send what was taken."""
        try:
            if not self._lost:
                super().flush()
        except OSError as error:
            raise self._told(error) from error

    def _told(self, error: OSError) -> EnoughError | LostOutputError:
        """The error as it goes on; what the buffers below hold goes nowhere, so that leaving is quiet."""
        self._lost = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
        if isinstance(error, BrokenPipeError):
            return EnoughError()
        reason = error.strerror or "standard output is closed"
        hint = "Send them to a file or a program that takes them, and run the command again."
        return LostOutputError(f"The results cannot be written: {reason}.", hint)


def guard_results() -> None:
    """Make this process's standard output one of these; a closed one becomes one that takes nothing."""
    was = sys.stdout
    if was is None:
        nothing: IO[bytes] = open(os.devnull, "rb", buffering=0)  # noqa: PTH123, SIM115 - it takes the place of a stream
        sys.stdout = Results(nothing, encoding="utf-8")
    elif isinstance(was, io.TextIOWrapper):
        encoding, errors, by_line, at_once = was.encoding, was.errors, was.line_buffering, was.write_through
        sys.stdout = Results(was.detach(), encoding, errors, line_buffering=by_line, write_through=at_once)
        sys.__stdout__ = sys.stdout  # type: ignore[misc]  # the other name of the same: its buffer is gone


INTERRUPTED = 130

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

#: Click's names of types, the longer first.
_CLICKS = {
    "integer range": "whole number",
    "int range": "whole number",
    "float range": "number",
    "integer": "whole number",
    "int": "whole number",
    "float": "number",
}

# Typer carries its own copy of Click; this is the public class that leads to its base of usage errors.
_TyperUsageError = typer.BadParameter.__mro__[1]


def report(error: BaseException, arguments: Sequence[str]) -> int:
    """Tell the person what went wrong and return the exit code.

    Args:
        error: What ended the command.
        arguments: The command line: `--json` and `--debug` in it decide how the error is told.
    """
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, (BrokenPipeError, EnoughError)):
        return 0
    if "--debug" in arguments:
        sys.stderr.write(safe(redacted(_trace(error)), lines=True))
    wants_json = "--json" in arguments and not isinstance(error, LostOutputError)
    known = _understood(error, arguments)
    if known is not error:
        known.done = getattr(error, "done", None)
    if not wants_json:
        if isinstance(known, (IncompatibleError, UnusableError)) and known.findings:
            show_findings(each for each in known.findings if each.message != known.message)
        _show_done(known)
    if isinstance(known, StoppedError) and known.rest:
        known.hint = f"For the rest: `{again(arguments, known.rest)}`."
    _tell(known, wants_json=wants_json)
    return known.exit_code


def _show_done(error: AssetctlError) -> None:
    """Name the files that were finished, for a person; what several things came to was shown already."""
    done = [] if error.errors else document(error.done) or []
    # of a grid, its sheet has all that was done
    paths = [done["sheet"]] if isinstance(done, dict) else [each["path"] for each in done]
    with contextlib.suppress(LostOutputError):
        sys.stdout.write("".join(f"{safe(each)}\n" for each in paths if each is not None))


def _trace(error: BaseException) -> str:
    """How Python tells of an error; further lines of what it quotes stand in from the margin, where ours begin."""
    return "".join(part.rstrip("\n").replace("\n", "\n  ") + "\n" for part in traceback.format_exception(error))


def _understood(error: BaseException, arguments: Sequence[str]) -> AssetctlError:
    if isinstance(error, AssetctlError):
        return error
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return StoppedError("Interrupted.", "What was done is kept: run the same command to go on.")
    if isinstance(error, _TyperUsageError):
        return _misused(error, arguments)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return StorageError("The disk is full.", "Free some space and run the command again; nothing is half-done.")
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        return StorageError(f"{place}{error.strerror}.", "Check the path and its permissions.")
    return InternalError(
        f"assetctl has a defect: {type(error).__name__}: {error}",
        "Run the same command with --debug and report what it prints.",
    )


def _misused(error: BaseException, arguments: Sequence[str]) -> UsageError:
    """What Click says of a command line, in our words."""
    context = getattr(error, "ctx", None)
    known = [] if context is None else context.find_root().command.list_commands(context)
    command = next((name for name in known if context and name == context.info_name), "")
    message = str(getattr(error, "message", error)) or type(error).__name__
    if hasattr(error, "format_message"):
        message = _plain(error.format_message())
    if not command or message.startswith("No such command"):
        return UsageError(message, _nearest_command(message, known))
    if message.startswith("Got unexpected extra argument") and command in _TAKE_TEXT:
        return UsageError(f"The {_TAKE_TEXT[command]} must be one argument.", _quoted(command, arguments))
    return UsageError(message, f"See `assetctl {command} --help`.")


#: Commands that take one text of several words, and what it is.
_TAKE_TEXT = {"generate": "prompt", "prompt": "prompt"}


def _quoted(command: str, arguments: Sequence[str]) -> str:
    """How words that were meant to be one text are typed; by example, where options stand among them."""
    import shlex  # noqa: PLC0415 - only where a text was not quoted

    words = arguments[arguments.index(command) + 1 :]
    if any(word.startswith("-") or " " in word for word in words):
        return f"Quote it, and values of several words: `assetctl {command} 'a red star' --negative 'blurry, dark'`."
    return f"Quote it: `assetctl {command} {shlex.quote(' '.join(words))}`."


def _plain(message: str) -> str:
    """What Click says of a wrong value, in words for people."""
    for words, plain in _CLICKS.items():
        message = message.replace(f"is not a valid {words}", f"is no {plain}")
    return message


def _nearest_command(message: str, known: Sequence[str]) -> str:
    """The command that was meant: by its name in other programs, else by its spelling."""
    word = re.search(r"command '([^']+)'", message)
    meant = word[1].lower() if word else ""
    near = [ELSEWHERE[meant]] if meant in ELSEWHERE else difflib.get_close_matches(meant, known, n=1)
    return f"Did you mean `assetctl {near[0]}`?" if near else "See `assetctl --help`."


def again(arguments: Sequence[str], options: Mapping[str, str]) -> str:
    """The same command line with other values for these options, none of a switch, to be pasted into a shell."""
    import shlex  # noqa: PLC0415 - only where a command was stopped

    kept: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            kept += [word, *words]
        elif (name := _SHORT.get(word, word)) in options:
            if options[name]:  # else it is a switch
                next(words, None)
        elif word.partition("=")[0] not in options:
            kept.append(word)
    end = kept.index("--") if "--" in kept else len(kept)
    given = [part for name, value in options.items() for part in ((name, value) if value else (name,))]
    return shlex.join(["assetctl", *kept[:end], *given, *kept[end:]])


#: Options that have a short name.
_SHORT = {"-o": "--out"}


def naming(error: AssetctlError) -> str:
    """What went wrong, with what it is about, where several things were asked for."""
    about = error.reference
    return error.message if about is None or about in error.message else f"{about}: {error.message}"


def _tell(error: AssetctlError, *, wants_json: bool) -> None:
    told = {error.hint}
    for other in (error.errors or ())[1:]:
        to_stderr("warning", naming(other))
        if other.hint not in told and not wants_json:
            told.add(other.hint)
            to_stderr("hint", str(other.hint))
    if wants_json:
        with contextlib.suppress(LostOutputError):  # then in words
            print_json(envelope({"error": document(error)}, WARNED))
            return
    to_stderr("error", error.message)
    if error.hint:
        to_stderr("hint", error.hint)
