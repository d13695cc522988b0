"""The rules of the house that a reader relies on: one direction of imports, short functions and files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xlip

ROOT = Path(xlip.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ORDER = (
    ("errors",),
    ("files", "identity", "metrics"),
    ("data",),
    ("models",),
    ("objectives",),
    ("train",),
    ("finetune",),
    ("config",),
    ("suites", "evaluate"),
    ("report", "demo"),
    ("cli",),
)
"""A package imports from rows above its own only."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def imports(tree: ast.Module) -> Iterator[str]:
    """Packages of ours that a file imports when it runs (not for types alone)."""
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and id(node) not in typing and (node.module or "").startswith("xlip"):
            path = (node.module or "").split(".")
            yield from [path[1]] if len(path) > 1 else [alias.name for alias in node.names]


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way_and_pieces_are_short(file: Path) -> None:
    text = file.read_text("utf-8")
    tree = ast.parse(text)
    own = file.relative_to(ROOT).with_suffix("").parts[0]
    if own != "__init__":
        backwards = {name for name in imports(tree) if name in LEVEL and name != own and LEVEL[name] >= LEVEL[own]}
        assert not backwards, f"{own} imports {backwards}"
    assert text.count("\n") < 400
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_every_package_has_its_place() -> None:
    assert {file.relative_to(ROOT).with_suffix("").parts[0] for file in FILES} - {"__init__"} == set(LEVEL)
