"""Findings of a check, for a person and for a script."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING, Any

from assetctl.cli.output import safe, to_stderr

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from assetctl.cli.output import Output
    from assetctl.compat.rule import Rule
    from assetctl.types import CheckReport, Coverage, Finding

_MARKS = {"error": "✗", "warning": "!", "info": "·"}

#: Rules whose findings say that something could not be told.
_LEFT_OPEN = frozenset({"no_checkpoint", "not_compared", "unknown_family"})


def report_data(report: CheckReport) -> dict[str, Any]:
    """A report as the JSON contract has it."""
    return {
        "ok": report.ok,
        "findings": findings_data(report.findings),
        "coverage": [dataclasses.asdict(coverage) for coverage in report.coverage],
    }


def findings_data(findings: Iterable[Finding]) -> list[dict[str, Any]]:
    """Findings as the JSON contract has them."""
    return [dataclasses.asdict(finding) for finding in findings]


def show_findings(findings: Iterable[Finding]) -> None:
    """Findings on stderr, worst first, each with what to do."""
    for finding in findings:
        to_stderr(*_line(finding))
        if finding.hint:
            to_stderr("hint", finding.hint)


def _line(finding: Finding) -> tuple[str, str]:
    label = "note" if finding.severity == "info" else finding.severity
    return label, f"{finding.message} [{finding.rule}]"


def show_rules(out: Output, rules: Sequence[Rule]) -> None:
    """What a check looks for."""
    data = [
        {
            "rule": rule.name,
            "description": rule.description,
            "severities": {str(how): why for how, why in rule.severities.items()},
        }
        for rule in rules
    ]
    rows = [(rule.name, ", ".join(rule.severities), rule.description) for rule in rules]
    out.result(data, lambda: out.table(("RULE", "SEVERITY", "WHAT MUST HOLD"), rows), (rule.name for rule in rules))


def show_report(report: CheckReport) -> None:
    """A report as a page on stdout."""
    for finding in report.findings:
        _write(f"{_MARKS[finding.severity]} {finding.message} [{finding.rule}]")
        if finding.hint:
            _write(f"    {finding.hint}")
    for coverage in report.coverage:
        told = f"  {coverage.lora}: changes {coverage.matched} of {coverage.modules} modules"
        if coverage.unmatched or coverage.shape_conflicts:
            told += f", {len(coverage.unmatched)} match nothing, {len(coverage.shape_conflicts)} have other shapes"
        if coverage.elsewhere:
            told += f", {len(coverage.elsewhere)} are of text encoders, which are not in this file"
        _write(told + _scaling(coverage))
    _write(_verdict(report))


def _write(line: str) -> None:
    sys.stdout.write(safe(line) + "\n")


def _verdict(report: CheckReport) -> str:
    if not report.ok:
        return "✗ This selection can not work together."
    if any(finding.rule in _LEFT_OPEN for finding in report.findings):
        return "✓ Nothing speaks against this selection, as far as it could be compared."
    return "✓ This selection fits."


def _scaling(coverage: Coverage) -> str:
    """Rank and alpha as people write them, or the range of each."""
    parts = [
        f"{name} {_range(found)}" for name, found in (("rank", coverage.ranks), ("alpha", coverage.alphas)) if found
    ]
    return f" ({', '.join(parts)})" if parts else ""


def _range(numbers: Sequence[float]) -> str:
    return f"{numbers[0]:g}" if len(numbers) == 1 else f"{numbers[0]:g} to {numbers[-1]:g}"
