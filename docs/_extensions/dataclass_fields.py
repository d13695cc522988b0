"""The fields of the configs, with what their source says of them."""

from __future__ import annotations

import ast
import inspect
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from typing import Any

from xlip.cli.commands import COMMANDS


@dataclass(frozen=True)
class Described:
    """A field of a config."""

    name: str
    type: str
    default: str
    says: str
    """The text under it in the source; empty where there is none."""


def configs() -> dict[type, list[str]]:
    """Every config dataclass, those within others too, with the commands that take it."""
    found: dict[type, list[str]] = {}
    for command, entry in COMMANDS.items():
        module, _, name = entry.config.rpartition(".")
        for cls in within(getattr(import_module(f"xlip.{module}"), name)):
            found.setdefault(cls, [])
            found[cls] += [command] if command not in found[cls] else []
    return found


def objectives() -> dict[str, type]:
    """The dataclass of each objective: its fields are the options under `objectives.NAME`."""
    from xlip.objectives.registry import OBJECTIVES

    return dict(OBJECTIVES)


def within(cls: type) -> Iterator[type]:
    """The dataclass itself, then those of its fields, of lists and of alternatives."""
    yield cls
    hints = typing.get_type_hints(cls)
    for item in fields(cls):  # type: ignore[arg-type]
        for part in parts(hints[item.name]):
            if is_dataclass(part):
                yield from within(part)


def parts(hint: Any) -> Iterator[type]:
    """The classes that a type hint is made of."""
    if isinstance(hint, type) and not typing.get_args(hint):
        yield hint
    for inner in typing.get_args(hint):
        yield from parts(inner)


def described(cls: type) -> list[Described]:
    """The fields of a dataclass in their order, inherited ones first."""
    says: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if is_dataclass(base):
            says |= texts_under(base)
    hints = typing.get_type_hints(cls)
    return [
        Described(item.name, type_name(hints[item.name]), default_of(item), says.get(item.name, ""))
        for item in fields(cls)  # type: ignore[arg-type]
        if item.init
    ]


def texts_under(cls: type) -> dict[str, str]:
    """Field -> the string that stands under it in the source of the class."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(tree, ast.ClassDef)
    found = {}
    for item, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(item, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            found[ast.unparse(item.target)] = " ".join(str(after.value.value).split())
    return found


def type_name(hint: Any) -> str:
    """`list[str]`, `int | None`, `'auto' | bool`: without module names."""
    import re

    text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    text = re.sub(r"typing\.Union\[(.*)\]$", lambda found: found[1].replace(", ", " | "), text)
    text = re.sub(r"typing\.Literal\[([^\]]*)\]", lambda found: found[1].replace(", ", " | "), text)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)


def default_of(item: Any) -> str:
    """As one writes it in YAML; empty for a field that must be given."""
    import yaml

    value = item.default if item.default is not MISSING else None
    if item.default is MISSING:
        if item.default_factory is MISSING:
            return ""
        value = item.default_factory()
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__} as below"
    try:
        return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
    except yaml.YAMLError:
        return repr(value)
