"""What a rule says of itself, and the findings it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from assetctl.types import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from assetctl.types import Asset, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One compatibility rule.

    Attributes:
        name: In snake_case; that of its file.
        description: What it looks for, in one line.
        severities: When it finds something, by how bad that is.
    """

    name: str
    description: str
    severities: Mapping[Severity, str]

    def finding(self, severity: Severity, message: str, hint: str | None, *assets: Asset) -> Finding:
        """What this rule says of `assets`."""
        return Finding(self.name, severity, tuple(asset.name for asset in assets), message, hint)
