"""Rules, found by their place: every module in `rules/`, and the entry points `assetctl.rules` of other packages."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Protocol

from assetctl.compat import rules
from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assetctl.compat.context import Context
    from assetctl.compat.rule import Rule
    from assetctl.types import Finding

GROUP = "assetctl.rules"


class RuleModule(Protocol):
    """What a file of a rule, or the object behind an entry point, offers."""

    RULE: Rule

    def check(self, context: Context, /) -> Iterable[Finding]:
        """Everything this rule has to say of a selection."""
        ...


@cache
def rule_modules() -> tuple[RuleModule, ...]:
    """All rules, by name.

    Raises:
        UsageError: Two rules share a name, or one of another package can not be loaded.
    """
    own = [
        importlib.import_module(f"{rules.__name__}.{module.name}") for module in pkgutil.iter_modules(rules.__path__)
    ]
    found: dict[str, RuleModule] = {}
    for module in (*own, *_foreign()):
        name = module.RULE.name
        if name in found:
            raise UsageError(f"There are two rules named {name}.", "Uninstall the package that brings the second.")
        found[name] = module
    return tuple(found[name] for name in sorted(found))


def _foreign() -> list[RuleModule]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs as much as a whole check, and is needed once

    loaded = []
    for point in entry_points(group=GROUP):
        hint = "Update or uninstall the package that brings it."
        try:
            module = point.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(f"The rule {point.value} can not be loaded: {error}.", hint) from error
        if not hasattr(module, "RULE") or not callable(getattr(module, "check", None)):
            raise UsageError(f"{point.value} is no rule: it lacks RULE or check.", hint)
        loaded.append(module)
    return loaded
