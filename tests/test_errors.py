"""The tree of errors: drawn as it is, documented, and raised."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import assetctl
from assetctl import errors
from assetctl.errors import AssetctlError

CHECKOUT = Path(__file__).resolve().parent.parent
PAGE = (CHECKOUT / "docs" / "errors.md").read_text("utf-8")
README = (CHECKOUT / "README.md").read_text("utf-8")
PACKAGE = Path(assetctl.__file__).parent


def below(kind: type[AssetctlError]) -> list[type[AssetctlError]]:
    """A class and all that derive from it in `errors`, as the tree shows them."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(each for child in children for each in below(child))]


TREE = below(AssetctlError)


def drawn() -> list[tuple[int, str, str, int]]:
    """Depth, class, code and exit code of each line of the drawing."""
    lines = re.findall(r"^    ([│├└─ ]*)(\w+Error) +(\w+) +(\d+) +\S", errors.__doc__ or "", re.MULTILINE)
    return [(len(branches) // 3, name, code, int(exit_code)) for branches, name, code, exit_code in lines]


def documented() -> dict[str, int]:
    """Exit codes by code, of the page's table."""
    return {code: int(exit_code) for code, exit_code in re.findall(r"^\| `(\w+)` \| (\d+) \|", PAGE, re.MULTILINE)}


@cache
def made() -> set[str]:
    """Names of the classes whose errors the package raises or returns, or that others of it derive from."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        if path == Path(errors.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, (ast.Raise, ast.Return, ast.Assign)):
                inside = ast.walk(node)
                names.update(call.func.id for call in inside if isinstance(call, ast.Call) and _is_named(call.func))
            elif isinstance(node, ast.ClassDef):
                names.update(base.id for base in node.bases if _is_named(base))
    return names


def _is_named(node: ast.expr) -> bool:
    return isinstance(node, ast.Name)


def test_the_drawing_is_the_tree():
    depths = [kind.__mro__.index(AssetctlError) for kind in TREE]
    assert drawn() == [
        (depth, kind.__name__, kind.code, kind.exit_code) for depth, kind in zip(depths, TREE, strict=True)
    ]


def test_every_code_is_documented_with_its_exit_code_and_no_other_is():
    assert documented() == {kind.code: kind.exit_code for kind in TREE if kind is not AssetctlError}


@pytest.mark.parametrize("kind", TREE[1:], ids=lambda kind: kind.__name__)
def test_every_class_is_raised_somewhere_and_says_when(kind):
    assert kind.__name__ in made()
    assert (kind.__doc__ or "").startswith(("Raised ", "Made of "))


def test_every_code_that_is_raised_is_of_the_tree():
    codes = set()
    for path in PACKAGE.rglob("*.py"):
        codes |= set(re.findall(r"^    code(?:: ClassVar\[str\])? = \"(\w+)\"", path.read_text("utf-8"), re.MULTILINE))
        codes |= set(re.findall(r"_tell\(\"(\w+)\"", path.read_text("utf-8")))
    assert codes == {kind.code for kind in TREE}


def test_the_readme_knows_every_exit_code():
    table = README.partition("| exit | meaning |")[2].partition("\n\n")[0]
    assert {int(number) for number in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {
        0,
        *(kind.exit_code for kind in TREE),
    }
