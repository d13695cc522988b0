"""Filters over columns, as a user writes them: one SQL expression, checked before anything runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from xlip.errors import XLIPError

if TYPE_CHECKING:
    import pyarrow as pa

LONGEST = 4000
"""Characters of a filter."""
DEEPEST = 240
"""Levels of its tree."""
TOO_DEEP = "it is nested too deeply"
CLASSES = frozenset({
    *("COLUMN_REF", "CONSTANT", "COMPARISON", "CONJUNCTION", "OPERATOR", "BETWEEN", "CASE", "CAST", "FUNCTION"),
})  # fmt: skip
"""Parts of an expression that read the row and nothing else."""
FUNCTIONS = frozenset({
    *("+", "-", "*", "/", "//", "%", "~~", "!~~", "~~*", "!~~*", "not_like_escape", "like_escape", "ilike_escape"),
    *("abs", "round", "floor", "ceil", "lower", "upper", "trim", "length", "contains", "starts_with", "ends_with"),
    *("prefix", "suffix", "greatest", "least"),
})  # fmt: skip
_SAFE = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "lock_configuration": "true",
    "memory_limit": "2GB",
}


@dataclass(frozen=True)
class Filter:
    """A checked expression."""

    text: str
    columns: tuple[str, ...]
    """The columns it reads, as the index calls them."""


def checked(text: str, known: Sequence[str]) -> Filter:
    """The filter, once DuckDB's parser has said what is in it: columns, constants, comparisons and plain functions.

    Subqueries, other tables, files, further statements and functions that could reach outside the row are refused by
    the tree of the expression, whatever their spelling; nothing runs before.

    Args:
        text: such as `view = 'PA' and age > 60`.
        known: the columns that there are; capitals make no difference.

    Raises:
        XLIPError: it is no such expression, or names an unknown column.
    """
    if len(text) > LONGEST:
        raise XLIPError(f"--where: expected at most {LONGEST} characters, got {len(text)}")
    condition = _condition(text)
    names = {name.lower(): name for name in known}
    found: dict[str, None] = {}
    for node in _nodes(condition, text):
        kind = node["class"]
        if kind not in CLASSES:
            raise _refused(text, f"{kind.lower()} is not part of a filter")
        if kind == "FUNCTION" and str(node.get("function_name", "")).lower() not in FUNCTIONS:
            raise _refused(text, f"the function {node.get('function_name')} is not part of a filter")
        if kind == "COLUMN_REF":
            name = ".".join(node.get("column_names") or ["?"])
            if name.lower() not in names:
                raise XLIPError(f"--where: no column {name!r}; its columns are {', '.join(known) or 'none'}")
            found[names[name.lower()]] = None
    return Filter(text, tuple(found))


def matching(condition: Filter, table: pa.Table) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows of a table fulfil a filter: (n,) bool; a row that does not know the column does not.

    Args:
        condition: what `checked` gave.
        table: with the filter's columns, dictionary-encoded or not.

    Raises:
        XLIPError: types that cannot be compared.
    """
    import duckdb

    number = _free_name(table.column_names)
    rows = table.append_column(number, [np.arange(table.num_rows)])
    kept = np.zeros(table.num_rows, bool)
    with _connection() as connection:
        connection.register("rows", rows)
        try:
            answer = connection.execute(f'SELECT "{number}" FROM rows WHERE ({condition.text}\n)')
            kept[answer.fetchnumpy()[number]] = True
        except duckdb.Error as error:
            raise _refused(condition.text, _first_line(error)) from error
    return kept


def _free_name(taken: Sequence[str]) -> str:
    name = "row"
    while name in {one.lower() for one in taken}:
        name += "_"
    return name


def _condition(text: str) -> dict[str, Any]:
    """The tree of the condition; the rest of the statement must be that of a plain one."""
    if not text.strip():
        raise _refused(text, "it is empty")
    # A comment ends with its line; the bracket stands on the next one.
    import duckdb

    try:
        tree, plain = (_tree(f"SELECT 1 FROM rows WHERE ({one}\n)") for one in (text, "true"))
    except RecursionError as error:
        raise _refused(text, TOO_DEEP) from error
    except duckdb.Error as error:  # what is no text at all
        raise _refused(text, _first_line(error)) from error
    if "statements" not in tree:
        raise _refused(text, " ".join(str(tree.get("error_message", "not readable")).split()))
    if len(tree["statements"]) != 1:
        raise _refused(text, "more than one statement")
    node, expected = tree["statements"][0]["node"], plain["statements"][0]["node"]
    condition = node.pop("where_clause", None)
    expected.pop("where_clause", None)
    if node != expected or not isinstance(condition, dict):
        raise _refused(text, "more than a condition")
    return condition


def _tree(statement: str) -> dict[str, Any]:
    with _connection() as connection:
        row = connection.execute("SELECT json_serialize_sql(?)", [statement]).fetchone()
    found: dict[str, Any] = json.loads(row[0])
    return {"error_message": found.get("error_message")} if found.get("error") else found


def _nodes(tree: object, text: str, level: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every expression in a tree, at whatever key it stands."""
    if level > DEEPEST:
        raise _refused(text, TOO_DEEP)
    if isinstance(tree, dict):
        if "node" in tree or "subquery" in tree:
            raise _refused(text, "a subquery is not part of a filter")
        if "class" in tree:
            yield tree
        for value in tree.values():
            yield from _nodes(value, text, level + 1)
    elif isinstance(tree, list):
        for value in tree:
            yield from _nodes(value, text, level + 1)


def _connection() -> Any:
    """A connection of its own (what it registers, no other sees) to one empty database that reaches nothing outside."""
    return closing(_database().cursor())


@cache
def _database() -> Any:
    import duckdb

    return duckdb.connect(":memory:", config=_SAFE)


def _refused(text: str, why: str) -> XLIPError:
    text = " ".join(text.encode("utf-8", "replace").decode().split())
    shown = text if len(text) <= 80 else text[:77] + "..."
    return XLIPError(f"--where {shown!r}: {why}; expected one condition such as \"view = 'PA' and age > 60\"")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
