"""Print what identification makes of every generated header and, where they are at hand, of real ones.

`python benchmarks/confusion.py` prints the families' contracts and two tables: kinds and families, each row what
files are and each column what they are taken for. The same text stands in docs/identification.md.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetctl.files.safetensors import Header
from assetctl.identify import identify_header
from assetctl.identify.plugins import families

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "../shared/corpus"

#: What is, then what it is taken for.
Pair = tuple[str, str]


def header(name: str, shapes: dict[str, list[int]], metadata: dict[str, str] | None = None) -> Header:
    """A header of `shapes`, without a file."""
    tensors = {tensor: {"dtype": "F16", "shape": shape} for tensor, shape in shapes.items()}
    return Header(Path(f"{name}.safetensors"), 0, 0, tensors, metadata or {})


def generated() -> Iterator[tuple[str, str | None, Header]]:
    """Kind, family and header of every generated case."""
    sys.path.insert(0, str(ROOT / "tests"))
    try:
        cases: dict[str, Any] = import_module("identify.lookalikes").CASES
    finally:
        sys.path.pop(0)
    for name, case in cases.items():
        yield case.kind, case.family, header(name, case.shapes)


def real() -> Iterator[tuple[str, str | None, Header]]:
    """Kind, family and header of every case of the third-party corpus, if it is beside the checkout."""
    if not (CORPUS / "labels.json").is_file():
        return
    for label in json.loads((CORPUS / "labels.json").read_text()):
        document = json.loads((CORPUS / f"headers/{label['name']}.json").read_text())
        shapes = {name: tensor["shape"] for name, tensor in document["tensors"].items()}
        said = document["metadata"].items()
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in said}
        yield label["kind"], label["family"], header(label["name"], shapes, texts)


def pairs() -> tuple[list[Pair], list[Pair]]:
    """Kinds and families, each as it is and as it is taken for."""
    kinds, by_family = [], []
    for cases in (generated(), real()):
        for kind, family, case in cases:
            found = identify_header(case)
            kinds.append((kind, found.kind))
            by_family.append((family or "not told", found.family or "not told"))
    return kinds, by_family


def table(found: list[Pair], what: str) -> list[str]:
    """Lines of a Markdown table: right and wrong answers, and what the wrong ones were."""
    lines = [f"| {what} | files | right | taken for |", "| --- | ---: | ---: | --- |"]
    for name in sorted({is_ for is_, _ in found}):
        answers = Counter(said for is_, said in found if is_ == name)
        wrong = ", ".join(f"{said} ({count})" for said, count in sorted(answers.items()) if said != name)
        lines.append(f"| {name} | {answers.total()} | {answers[name]} | {wrong or 'nothing else'} |")
    return lines


def report() -> str:
    """Everything that this command prints."""
    kinds, by_family = pairs()
    contracts = [f"| {family.name} | {family.contract} |" for family in families()]
    return "\n".join([
        "| family | what tensors must show |",
        "| --- | --- |",
        *contracts,
        "",
        *table(kinds, "kind"),
        "",
        *table(by_family, "family"),
    ])  # fmt: skip


if __name__ == "__main__":
    print(report())
