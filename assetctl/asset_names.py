"""What an asset can be called, whoever says so: a person, a manifest, or a document from the trash."""

from __future__ import annotations

from assetctl.types import LONGEST_NAME
from assetctl.visible import hidden_in

#: `:` parts a name from its weight, `<>` enclose a LoRA tag.
SPECIAL = ":<>"

#: What no name holds: a path, a weight and a tag would be read otherwise.
_READ_OTHERWISE = frozenset(f"/\\{SPECIAL}")


def can_be_name(name: str) -> bool:
    """Whether an asset or a recipe can be called so: all of it is seen, and nothing takes it for something else."""
    return (
        0 < len(name) <= LONGEST_NAME
        and name == name.strip()
        and bool(name.strip("."))
        and _READ_OTHERWISE.isdisjoint(name)
        and hidden_in(name) is None
    )
