"""assetctl dedupe."""

from __future__ import annotations

from typing import Annotated

import typer

from assetctl.cli.render import readable_size
from assetctl.cli.session import Session, command
from assetctl.errors import AssetctlError


@command(examples=["assetctl dedupe", "assetctl dedupe --link", "assetctl dedupe --json"])
def app(
    session: Session,
    link: Annotated[bool, typer.Option("--link", help="Make each copy a hard link to the other file.")] = False,
) -> None:
    """Show files that hold the same bytes, and with --link let them share them.

    Both files are read and compared first. Afterwards a change to the one is a change to the other.
    """
    found = session.registry.find_duplicates()
    done = []
    for duplicate in found:
        if link:
            try:
                duplicate = session.registry.link_duplicate(duplicate)  # noqa: PLW2901 - the same one, linked
            except AssetctlError as error:
                session.out.warning(error.message)
        done.append(duplicate)
    data = [
        {"asset": each.asset, "path": str(each.path), "copy": str(each.copy), "size": each.size, "linked": each.linked}
        for each in done
    ]

    def render() -> None:
        for each in done:
            how = "shares its bytes now" if each.linked else "holds the same bytes"
            session.out.line(f"{each.copy} {how} as {each.path}, {readable_size(each.size)}")
        freed = sum(each.size for each in done if each.linked == link)
        session.out.line(f"{readable_size(freed)} {'are' if link else 'could be'} free.")

    session.out.result(data, render, [str(each.copy) for each in done])
    if found and not link:
        session.out.hint("`assetctl dedupe --link` makes each pair one file.")
