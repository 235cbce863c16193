"""Whether a selection can work together, told from headers alone: rules, and how far each LoRA reaches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetctl.compat.context import Context
from assetctl.compat.discovery import rule_modules
from assetctl.compat.opened import Opened
from assetctl.errors import AssetctlError
from assetctl.types import CheckReport, Finding

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from assetctl.compat.discovery import RuleModule
    from assetctl.compat.rule import Rule
    from assetctl.types import Selection

__all__ = ["Opened", "list_rules", "run_rules"]

_ORDER = ("error", "warning", "info")


def run_rules(selection: Selection, *, opened: Opened | None = None, only: Container[str] | None = None) -> CheckReport:
    """Ask every rule about a selection.

    A file that can not be read becomes a finding; the other rules go on. The report is in order when
    no finding is an error. Findings stand by severity, then by rule.

    Args:
        selection: What is checked.
        opened: Its checkpoint, where several selections with the same one are asked about: it is read once.
        only: Names of the rules to ask; all by default.
    """
    context = Context(selection, opened)
    asked = (module for module in rule_modules() if only is None or module.RULE.name in only)
    findings = [finding for module in asked for finding in _asked(module, context)]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    coverage = tuple(covered for _, covered in context.coverage)
    return CheckReport(all(finding.severity != "error" for finding in findings), tuple(findings), coverage)


def list_rules() -> tuple[Rule, ...]:
    """What each rule looks for, by name."""
    return tuple(module.RULE for module in rule_modules())


def _asked(module: RuleModule, context: Context) -> Iterator[Finding]:
    try:
        yield from module.check(context)
    except AssetctlError as error:
        yield Finding(module.RULE.name, "error", (), error.message, error.hint)
