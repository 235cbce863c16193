"""assetctl du."""

from __future__ import annotations

from assetctl.cli.session import Session, command
from assetctl.text import readable_size


@command(gives="list[operations.library.upkeep.Usage]", lists=True, examples=["assetctl du", "assetctl du --json"])
def app(session: Session) -> None:
    """Show how much space assets take, by kind and family."""
    found = session.registry.usage()

    def render() -> None:
        columns = ("KIND", "FAMILY", "ASSETS", "SIZE", "IN STORE")
        rows = [
            (each.kind, each.family or "-", str(each.count), readable_size(each.size), readable_size(each.stored))
            for each in found
        ]
        session.out.table(columns, rows, right=columns[2:])
        total, stored = sum(each.size for each in found), sum(each.stored for each in found)
        session.out.line(f"{readable_size(total)} in all, {readable_size(stored)} of them in the store.")

    session.out.result(found, render)
