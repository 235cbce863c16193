"""assetctl schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from assetctl.cli.main import COMMANDS, load
from assetctl.cli.request import words_of_flag
from assetctl.cli.session import Output, Session, command
from assetctl.errors import NotFoundError
from assetctl.wire import document

if TYPE_CHECKING:
    from assetctl.wire.schema import Command, Description, Parameter


@command(
    gives="wire.schema.Description",
    examples=["assetctl schema", "assetctl schema pull", "assetctl schema list --json"],
)
def app(
    session: Session,
    name: Annotated[str | None, typer.Argument(metavar="[COMMAND]", help="By default all commands.")] = None,
) -> None:
    """Show what commands take and print: options, error codes, and the JSON Schema of each document."""
    from assetctl.wire.schema import Description, error_codes, event_schema  # noqa: PLC0415 - 10 ms that `--help` spares

    if name is not None and name not in COMMANDS:
        raise NotFoundError(f"There is no command {name!r}.", "`assetctl schema` lists them.")
    commands = [describe(each) for each in ([name] if name else COMMANDS)]
    found = Description(commands, error_codes(), event_schema())
    session.out.result(
        found, lambda: _show(session.out, found, whole=name is not None), [each.name for each in commands]
    )


def describe(name: str) -> Command:
    """What a command takes and prints."""
    from assetctl.wire.schema import Command, result_schema  # noqa: PLC0415 - as above

    loaded = load(name)
    parameters = [(each.param_type_name, _parameter(each)) for each in loaded.params]
    schema = result_schema(loaded.callback.gives, loaded.callback.done)
    arguments, options = ([each for kind, each in parameters if kind == wanted] for wanted in ("argument", "option"))
    return Command(name, loaded.help, arguments, options, {"title": f"assetctl {name} --json"} | schema)


#: Typer's names of types, where it has two for one.
_TYPES = {"str": "text", "int": "integer", "float": "number"}


def _parameter(of: Any) -> Parameter:  # noqa: ANN401 - Typer's own
    from assetctl.wire.schema import Parameter  # noqa: PLC0415 - as above

    choices = list(map(str, getattr(of.type, "choices", ()))) or [*words_of_flag(of.opts)]
    kind = of.type.name.removesuffix(" range")
    many = of.nargs == -1 or bool(getattr(of, "multiple", False))
    names = [*of.opts, *of.secondary_opts]
    return Parameter(names, _TYPES.get(kind, kind), choices, document(of.default), of.required, many, of.help or "")


def _show(out: Output, found: Description, *, whole: bool) -> None:
    if not whole:
        out.table(("COMMAND", "WHAT IT DOES"), [(each.name, each.help.partition("\n\n")[0]) for each in found.commands])
    for each in found.commands if whole else ():
        out.lines(each.help.split("\n"))
        rows = [
            (
                ", ".join(one.names),
                "|".join(one.choices) or one.type,
                "" if one.default is None else str(one.default),
                one.help,
            )
            for one in (*each.arguments, *each.options)
        ]
        out.table(("NAME", "TYPE", "DEFAULT", "HELP"), rows)
        out.lines(orjson.dumps(each.document, option=orjson.OPT_INDENT_2).decode().split("\n"))
    out.table(("ERROR", "EXIT", "WHEN"), [(each.code, str(each.exit_code), each.description) for each in found.errors])
