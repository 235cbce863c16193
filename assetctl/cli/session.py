"""What every command shares: the registry it opens, options, questions, and its one result."""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from typer.core import TyperCommand

from assetctl.errors import AssetctlError, CatalogError, UsageError
from assetctl.text import redacted, safe, terminal_json
from assetctl.wire import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from assetctl.operations.make.generate import GenerationResult
    from assetctl.registry import Registry
    from assetctl.run import Event, Run, Warned
    from assetctl.types import Finding


def path(text: str) -> Path:
    """A path; an empty one, as a script has it whose variable is unset, is not the current folder.

    Raises:
        BadParameter: It is empty.
    """
    if not text:
        raise typer.BadParameter("an empty path is none.")
    return Path(text)


_COLOURS = {"error": "\x1b[1;31m", "warning": "\x1b[33m", "hint": "\x1b[36m", "note": "\x1b[2m"}
_PLAIN = "\x1b[0m"

#: Wide enough for any table, where no terminal sets a width: what is piped is never cut.
UNLIMITED = 10_000


def print_json(document: object) -> None:
    """Print one JSON document; for a person at a terminal, indented."""
    option = orjson.OPT_INDENT_2 if sys.stdout.isatty() else 0
    text = orjson.dumps(document, option=option).decode()
    sys.stdout.write((terminal_json(text) if sys.stdout.isatty() else text) + "\n")
    sys.stdout.flush()


def to_stderr(label: str, text: str) -> None:
    """One line for the person: an error, a warning, a hint or a note."""
    sys.stdout.flush()  # results and remarks in the order they were made
    text = safe(redacted(text))
    prefix = "" if label == "note" else f"{label}: "
    if sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        prefix = f"{_COLOURS[label]}{prefix}{_PLAIN if prefix else ''}"
        text += _PLAIN
    sys.stderr.write(f"{prefix}{text}\n")


def show_findings(findings: Iterable[Finding]) -> None:
    """Findings on stderr, worst first, each with what to do."""
    for finding in findings:
        label = "note" if finding.severity == "info" else finding.severity
        to_stderr(label, f"{finding.message} [{finding.rule}]")
        if finding.hint:
            to_stderr("hint", finding.hint)


#: What this command has warned of: its document says so too, whether that is of a result or an error.
WARNED: list[Warned] = []

#: Blanks between two columns of a table for a person, those at its edges, and the narrowest that a shrinking one gets.
_GAP, _EDGES, _NARROWEST = 3, 2, 8


def fitting_columns(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, spare: Sequence[str], shrinking: Sequence[str]
) -> dict[int, int]:
    """Numbers of the columns that there is room for beside each other, with their widths; `spare` ones go in order."""
    from rich.cells import cell_len  # noqa: PLC0415 - only tables pay

    room = width - _EDGES + _GAP
    widths = {
        number: max(map(cell_len, (column, *(row[number] for row in rows)))) for number, column in enumerate(columns)
    }
    least = {
        number: min(wide, max(_NARROWEST, cell_len(columns[number]))) if columns[number] in shrinking else wide
        for number, wide in widths.items()
    }
    left = list(widths)
    for column in spare:
        if sum(least[number] + _GAP for number in left) <= room:
            break
        left.remove(columns.index(column))
    more = max(room - sum(least[number] + _GAP for number in left), 0)
    found = {}
    for number in left:
        found[number] = min(widths[number], least[number] + more) if columns[number] in shrinking else widths[number]
        more -= found[number] - least[number]
    if len(left) == 1:
        found[left[0]] = min(found[left[0]], width - _EDGES)
    return found


def _in_line(name: str, width: int) -> str:
    """A name that fits into a line: its middle is left out if need be, for its ends tell most."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415 - only tables pay

    if cell_len(name) <= width:
        return name
    half = (width - 1) // 2
    return f"{chop_cells(name, half)[0]}…{chop_cells(name[::-1], half)[0][::-1]}"


class Output:
    """How one command speaks.

    Args:
        json: Print one document, and nothing else, on stdout.
        quiet: Print names alone; keep hints and notes to ourselves.

    Attributes:
        warnings: What the command has warned of, in order.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        self.json = json
        self.quiet = quiet
        self._given: list[object] = []
        self.warnings = WARNED
        self.warnings.clear()

    def result(
        self,
        data: object,
        render: Callable[[], None],
        names: Iterable[str] = (),
        failed: Sequence[AssetctlError] = (),
    ) -> None:
        """Give the command's result: as data, as names, or rendered for a person.

        Raises:
            AssetctlError: The first of what `failed`, which has them all.
        """
        if self.json:
            self._given = [data]  # the document waits for warnings
        elif self.quiet:
            for name in names:  # another program gets names as they are
                sys.stdout.write(f"{safe(name) if sys.stdout.isatty() else name}\n")
        else:
            render()
        if failed:
            raise Outcome(data, errors=failed).failure

    @contextlib.contextmanager
    def documented(self) -> Iterator[None]:
        """Print the document of what was given in here, unless an error takes its place."""
        try:
            yield
        except typer.Exit:
            self._print()
            raise
        except AssetctlError as error:
            for data in self._given if error.done is None else ():
                error.done = data
            raise
        self._print()

    def _print(self) -> None:
        for data in self._given:
            print_json(Outcome(data, self.warnings).document())

    def line(self, text: str) -> None:
        """One line of a result for a person."""
        sys.stdout.write(safe(text) + "\n")

    def lines(self, texts: Iterable[str]) -> None:
        """Lines of a result for a person."""
        for text in texts:
            self.line(text)

    def labelled(self, label: str, text: str, *, prose: bool = False) -> None:
        """A label and what it is of; further lines of prose stand below its first."""
        for line in text.split("\n") if prose else (text,):
            self.line(f"{label:>14}  {line}")
            label = ""

    def warning(self, text: str, hint: str | None = None) -> None:
        """Something the person should know, and what to do about it."""
        from assetctl.run import Warned  # noqa: PLC0415 - 7 ms that only warnings and runs pay

        self.warn(Warned(message=text, hint=hint))

    def warn(self, event: Event) -> None:
        """What a run tells, if it is a warning."""
        from assetctl.run import Warned  # noqa: PLC0415 - as above

        if isinstance(event, Warned):
            self.warnings.append(event)
            to_stderr("warning", event.message)
            if event.hint:
                self.hint(event.hint)

    def hint(self, text: str) -> None:
        """What the person could do next."""
        if not (self.quiet or self.json):
            to_stderr("hint", text)

    def note(self, text: str) -> None:
        """What was done."""
        if not (self.quiet or self.json):
            to_stderr("note", text)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[str]],
        right: Sequence[str] = (),
        *,
        spare: Sequence[str] = (),
        shrinking: Sequence[str] = (),
    ) -> None:
        """A table of plain text.

        Args:
            columns: Their headings; the first one is what a row is about, and stays whole.
            rows: A cell for each.
            right: Columns that are aligned to the right.
            spare: Columns that a narrow terminal does without, the least needed first.
            shrinking: Columns that are cut short before any is left out.
        """
        from rich import box  # noqa: PLC0415 - 60 ms that only tables pay
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        person = sys.stdout.isatty()
        console = Console(width=None if person else UNLIMITED, highlight=False)
        cells = [[safe(cell) for cell in row] for row in rows]
        natural: dict[int, int | None] = dict.fromkeys(range(len(columns)))
        shown = fitting_columns(columns, cells, console.width, spare, shrinking) if person and spare else natural
        table = Table(box=box.SIMPLE_HEAD if person else None, pad_edge=False, header_style="bold")
        for number, width in shown.items():
            table.add_column(
                columns[number],
                justify="right" if columns[number] in right else "left",
                overflow="fold" if width is None else "ellipsis",
                no_wrap=width is not None,
                width=width,
            )
        for row in cells:
            first = row[0] if shown[0] is None else _in_line(row[0], shown[0])
            table.add_row(*(Text(row[number] if number else first) for number in shown))
        console.print(table)

    @contextlib.contextmanager
    def progress(self, *listeners: Callable[[Event], None], draws: Any = None) -> Iterator[Run]:  # noqa: ANN401
        """A run whose warnings are told and kept, with bars on stderr for a person at a terminal.

        Args:
            listeners: Who hears of it besides.
            draws: What draws previews above the bars, where somebody wants to see them; see `terminal_image`.
        """
        from assetctl.run import Run  # noqa: PLC0415 - as above

        if self.quiet or not sys.stderr.isatty():
            yield Run(self.warn, *listeners)
            return
        from assetctl.cli.progress import Bars  # noqa: PLC0415 - needs Rich

        with Bars(draws) as bars:
            yield Run(self.warn, bars, *listeners, previews=draws is not None)


_COMMON = "Common options"

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home",
        metavar="DIR",
        parser=path,
        help="Use this home instead of ASSETCTL_HOME.",
        rich_help_panel=_COMMON,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_COMMON)]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="Print names alone.", rich_help_panel=_COMMON)]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show a traceback on errors.", rich_help_panel=_COMMON)]

#: What was set before the command's name: `assetctl --home DIR list`.
_before: dict[str, Any] = {"home": None, "run": None}


def remember(home: Path | None, run: Callable[[Sequence[str]], int]) -> None:
    """Keep the option that stands before the command's name, and what runs a command line."""
    _before.update(home=home, run=run)


class Session:
    """What a command works with: its output, and the registry, opened when first used.

    Args:
        home: The one that was named.
        json: See `Output`.
        quiet: Likewise.
        lists: Whether a home that is not there would be answered by nothing, as one is in which nothing is.
    """

    def __init__(self, home: Path | None, *, json: bool, quiet: bool, lists: bool = False) -> None:
        self.out = Output(json=json, quiet=quiet)
        self._home = home or _before["home"]
        self._lists = lists
        self._registry: Registry | None = None

    @property
    def registry(self) -> Registry:
        """The registry of the chosen home.

        Raises:
            CatalogError: It was named and is not there, and the command would only list what is in it.
        """
        if self._registry is None:
            from assetctl.registry import Registry  # noqa: PLC0415 - `--help` needs none

            self._registry = Registry.open(self._home)
            home = self._registry.settings.home
            if self._lists and self._home is not None and not home.exists():
                hint = "Check what --home names; `assetctl pull` and `assetctl import` make a home where there is none."
                raise CatalogError(f"There is no home at {home}.", hint)
        return self._registry

    @staticmethod
    def run(arguments: Sequence[str]) -> int:
        """Run another command line, as the demo does, and return its exit code."""
        code: int = _before["run"](arguments)
        return code

    def close(self) -> None:
        """Let go of the registry."""
        if self._registry is not None:
            self._registry.close()


class PlainHelp(TyperCommand):
    """A command whose help is shown as it is written: brackets of prompts are no markup."""

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - Typer's own copies of Click's types
        """Write the help."""
        from rich.markup import escape  # noqa: PLC0415 - only `--help` pays

        told: list[Any] = [self, *self.params]
        with contextlib.ExitStack() as after:
            for each in told:
                for name in ("help", "epilog"):
                    if text := getattr(each, name, None):
                        after.callback(setattr, each, name, text)
                        # a tag of nothing behind each colon: two of them would enclose the name of an emoji
                        setattr(each, name, ":[b][/b]".join(map(escape, text.split(":"))))
            super().format_help(ctx, formatter)


def command(
    *,
    gives: str,
    done: str | None = None,
    examples: Sequence[str],
    more: Sequence[inspect.Parameter] = (),
    lists: bool = False,
) -> Callable[[Callable[..., None]], typer.Typer]:
    """Make a Typer application of one command of a function that takes a `Session` first.

    Every command gets `--home`, `--json`, `--quiet` and `--debug` here, and its examples below its help.

    Args:
        gives: The type of its `data`, named by its place in this package: `list[types.Asset]`.
        done: That of what was finished before an error, where it is another.
        examples: Command lines.
        more: Options that the function takes as keywords, beside those that it names.
        lists: Whether it only says what is in a home; see `Session`.
    """

    def decorate(function: Callable[..., None]) -> typer.Typer:
        @functools.wraps(function)
        def run(**arguments: Any) -> None:  # noqa: ANN401 - as many types as there are options
            arguments.pop("debug")
            said = {name: arguments.pop(name) for name in ("home", "json", "quiet")}
            session = Session(**said, lists=lists)
            try:
                with session.out.documented():
                    function(session, **arguments)
            finally:
                session.close()

        named = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
        own = [*more, *(each for each in named if each.kind is not inspect.Parameter.VAR_KEYWORD)]
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
        run.gives, run.done = gives, done or gives  # type: ignore[attr-defined]
        app.command(cls=PlainHelp, epilog=epilog, context_settings={"help_option_names": ["-h", "--help"]})(run)
        return app

    return decorate


OutsideOption = Annotated[
    bool,
    typer.Option("--allow-outside", help="Let paths leave the manifest's folder: you wrote it yourself."),
]


def tell_expired(session: Session) -> None:
    """Name what left the trash for good, so that nobody looks for it in vain."""
    for entry in session.registry.expired():
        session.out.note(
            f"{entry.name}, deleted {entry.deleted_at}, left the trash for good: for its age, or to make room"
        )


def confirmed(out: Output, question: str, *, yes: bool) -> bool:
    """Whether a person says yes: by `--yes`, or at the terminal.

    Raises:
        UsageError: No terminal is there to ask at.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("This takes your word, and no terminal is there to ask you at.", "Add --yes if you mean it.")
    if typer.confirm(question, err=True):
        return True
    out.note("Nothing was done.")
    return False


def tell_result(session: Session, result: GenerationResult) -> None:
    """Findings, and the time it took."""
    show_findings(() if session.out.json else result.report.findings)
    session.out.note(f"loaded in {result.timings['load']:.1f} s, made in {result.timings['sample']:.1f} s")
