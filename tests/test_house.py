"""The rules of the house that a reader relies on: one direction of imports, no circle, short functions and files."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import xlip
from xlip.cli import COMMANDS

ROOT = Path(xlip.__file__).parent
FILES = sorted(file for file in ROOT.rglob("*.py"))
ORDER = (
    ("errors", "shipped"),
    ("files", "identity", "notices", "markdown", "processes"),
    ("metrics", "tables", "checksums", "options"),
    ("study", "images"),
    ("reports",),
    ("phantom",),
    ("sources",),
    ("preparation",),
    ("audit",),
    ("results",),
    ("runtime",),
    ("explain", "search"),
    ("pacs",),
    ("serve",),
    ("batches",),
    ("models",),
    ("objectives",),
    ("train",),
    ("finetune",),
    ("suites", "evaluate"),
    ("pages",),
    ("export", "speed"),
    ("demo", "ablation", "doctor"),
    ("cli",),
)
"""A room imports from rows above its own only, for types too."""
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}
LARGEST_ROOM = 0.16
"""Share of the source that one room may hold."""


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def imports(file: Path) -> Iterator[str]:
    """Modules of ours that a file imports anywhere, for types alone too."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] == "xlip")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "xlip":
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else str(node.module)


def room(module: str) -> str:
    return [*module.split("."), "__init__"][1]


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way_and_pieces_are_short(file: Path) -> None:
    text = file.read_text("utf-8")
    own = room(module_of(file))
    if own != "__init__":  # the public face hands on names of every room
        others = {room(name) for name in imports(file)} - {own, "__init__"}
        assert not {name for name in others if LEVEL[name] >= LEVEL[own]}, f"{own} imports {others}"
    assert text.count("\n") < 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, node.name


def test_every_room_has_its_place() -> None:
    assert {room(name) for name in MODULES} - {"__init__"} == set(LEVEL)


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = {
        name: {other for other in imports(file) if other in MODULES} - {name, "xlip"} for name, file in MODULES.items()
    }
    for name in graph:
        seen: set[str] = set()
        ahead = list(graph[name])
        while ahead:
            step = ahead.pop()
            assert step != name, f"{name} is part of a circle of imports"
            if step not in seen:
                seen.add(step)
                ahead += graph[step]


def test_no_room_holds_too_much_of_the_source() -> None:
    lines: dict[str, int] = {}
    for name, file in MODULES.items():
        lines[room(name)] = lines.get(room(name), 0) + file.read_text("utf-8").count("\n")
    largest = max(lines, key=lambda name: lines[name])
    assert lines[largest] <= LARGEST_ROOM * sum(lines.values()), f"{largest}: {lines[largest]} lines"


def test_torch_begins_in_batches() -> None:
    """Preparing, auditing and measuring need no torch: rooms before `batches` do not import it as they load."""
    for name, file in MODULES.items():
        if room(name) == "__init__" or LEVEL[room(name)] >= LEVEL["batches"]:
            continue
        for node in ast.parse(file.read_text("utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {one.split(".")[0] for one in names} & {"torch", "transformers", "accelerate"}, name


def test_pixels_of_a_model_are_made_in_one_place() -> None:
    """Bytes become numbers in [0, 1] in `batches.pixels` alone: two ways to do it have drifted apart before."""
    found = {name for name, file in MODULES.items() if "float() / 255" in file.read_text("utf-8")}
    assert found == {"xlip.batches.pixels"}
    squares = {name for name, file in MODULES.items() if "fit(decode(" in file.read_text("utf-8")}
    assert squares <= {"xlip.preparation.card_pictures"}  # pictures for people


def defaults(function: ast.FunctionDef) -> set[tuple[str, str]]:
    """(parameter, its default as it is written)."""
    plain, named = function.args.posonlyargs + function.args.args, function.args.kwonlyargs
    pairs = list(zip(plain[len(plain) - len(function.args.defaults) :], function.args.defaults, strict=True))
    pairs += [(one, value) for one, value in zip(named, function.args.kw_defaults, strict=True) if value]
    return {(one.arg, ast.unparse(value)) for one, value in pairs}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_writes_its_defaults_once(command: str) -> None:
    """In its config: no function beside that has a parameter of the same name and default. '' and None stand for
    'not given', which is no choice that could come to differ.
    """
    module, _, name = f"xlip.{COMMANDS[command].config}".rpartition(".")
    nodes = list(ast.walk(ast.parse(MODULES[module].read_text("utf-8"))))
    config = next(node for node in nodes if isinstance(node, ast.ClassDef) and node.name == name)
    fields = [item for item in config.body if isinstance(item, ast.AnnAssign) and item.value]
    once = {(ast.unparse(item.target), ast.unparse(item.value)) for item in fields if item.value}
    absent = {(name, nothing) for name, _ in once for nothing in ("''", "None")}
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef)]
    assert {node.name: again for node in functions if (again := defaults(node) & once - absent)} == {}
